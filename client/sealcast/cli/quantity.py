"""Durations as options."""

from __future__ import annotations

from sealcast.protocol.quantities import seconds

from .failure import Failure, Status

__all__ = ["duration"]


def duration(option: str, text: str | None) -> float | None:
    """Return an option's duration in seconds, None when it is not given. Raises Failure."""
    if text is None:
        return None
    try:
        return seconds(text)
    except ValueError as error:
        raise Failure(f"{option} is {error}", status=Status.USAGE) from None
