"""``sealcast doctor``: is this machine, and this configuration, fit to run a relay?"""

from __future__ import annotations

__all__: list[str] = []
