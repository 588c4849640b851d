"""The sections of the console, a module each; the navigation shows them in this order.

A new one is a module with a ``SECTION`` and its templates, and one more name below.
"""

from __future__ import annotations

from typing import Final

from ..visit import Section
from . import (
    accounts,
    api_keys,
    apps,
    audit,
    bans,
    blocks,
    calls,
    certificates,
    channels,
    overview,
    revocations,
    signin,
    webhooks,
)

__all__ = ["SECTIONS"]

SECTIONS: Final[tuple[Section, ...]] = (
    overview.SECTION,
    apps.SECTION,
    certificates.SECTION,
    channels.SECTION,
    bans.SECTION,
    revocations.SECTION,
    calls.SECTION,
    webhooks.SECTION,
    blocks.SECTION,
    audit.SECTION,
    api_keys.SECTION,
    accounts.SECTION,
    signin.SECTION,
)
"""All of them."""
