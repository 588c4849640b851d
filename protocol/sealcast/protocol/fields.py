"""What a field of a control may hold: its type and its largest size, checked on the way in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any, Final, cast

__all__ = [
    "U32",
    "U64",
    "Check",
    "array",
    "blob",
    "integer",
    "mapping",
    "may",
    "must",
    "seconds",
    "text",
    "truth",
]

U32: Final = 2**32 - 1
U64: Final = 2**64 - 1

Check = Callable[[Any], Any]
"""Returns the value, perhaps as another type; raises ValueError when it is not acceptable."""


def text(most: int) -> Check:
    """Accept text of at most *most* characters."""

    def check(value: Any) -> str:
        if type(value) is not str or len(value) > most:
            raise ValueError
        return value

    return check


def blob(most: int) -> Check:
    """Accept at most *most* bytes."""

    def check(value: Any) -> bytes:
        if type(value) is not bytes or len(value) > most:
            raise ValueError
        return value

    return check


def integer(most: int) -> Check:
    """Accept a whole number from 0 to *most*; never a bool."""

    def check(value: Any) -> int:
        if type(value) is not int or not 0 <= value <= most:
            raise ValueError
        return value

    return check


def seconds(value: Any) -> float:
    """Accept a finite, non-negative number."""
    if type(value) not in (int, float) or not 0 <= value <= U32:
        raise ValueError
    return cast(float, value)


def truth(value: Any) -> bool:
    """Accept true or false."""
    if type(value) is not bool:
        raise ValueError
    return value


_KEY = text(64)


def mapping(most: int, item: Check) -> Check:
    """Accept a map from text to what *item* accepts, of at most *most* entries."""

    def check(value: Any) -> dict[str, Any]:
        if type(value) is not dict or len(value) > most:
            raise ValueError
        return {_KEY(key): item(entry) for key, entry in value.items()}

    return check


def array(most: int, item: Check) -> Check:
    """Accept an array of what *item* accepts, of at most *most* entries; it becomes a tuple."""

    def check(value: Any) -> tuple[Any, ...]:
        if type(value) not in (list, tuple) or len(value) > most:
            raise ValueError
        return tuple(map(item, value))

    return check


def must(check: Check, *, shown: bool = True) -> Any:
    """Declare a field that has to be there; *shown* says whether ``repr`` may print it."""
    return field(repr=shown, metadata={"check": check})


def may(check: Check, default: Any = None, *, shown: bool = True) -> Any:
    """Declare a field that may be absent."""
    return field(default=default, repr=shown, metadata={"check": check})
