"""The steps of the schema, one module each, from nothing to what ``schema`` declares."""

from __future__ import annotations

from typing import Final

__all__ = ["HEAD"]

HEAD: Final = "0005"
"""The newest step."""
