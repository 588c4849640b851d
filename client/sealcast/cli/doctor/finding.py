"""What a check finds: how bad it is, what it is about, and what to do."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

__all__ = ["Check", "Finding", "Level", "examine", "fine", "worth_a_look", "wrong"]


class Level(enum.StrEnum):
    """How bad it is."""

    GOOD = "good"
    WARNING = "warning"
    WRONG = "wrong"


class Finding(NamedTuple):
    """One line of the report."""

    level: Level
    what: str
    """What was looked at, in a word or two."""
    found: str
    advice: str = ""
    """What to do, where something is to be done."""


Check: TypeAlias = Callable[[], Iterator[Finding]]


def fine(what: str, found: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(Level.GOOD, what, found)


def worth_a_look(what: str, found: str, advice: str) -> Finding:
    """Return a finding with which a relay runs, but not as well as it could."""
    return Finding(Level.WARNING, what, found, advice)


def wrong(what: str, found: str, advice: str) -> Finding:
    """Return a finding with which a relay does not start, or fails later."""
    return Finding(Level.WRONG, what, found, advice)


def examine(checks: dict[str, Check]) -> Iterator[Finding]:
    """Run all checks by name; one that fails itself is a finding, and stops nobody."""
    for what, check in checks.items():
        try:
            yield from check()
        except OSError as error:
            yield worth_a_look(what, f"could not be looked at: {error.strerror or error}", "look by hand")
