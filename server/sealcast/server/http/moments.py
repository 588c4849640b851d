"""A span of time in a query: ``?from=…&to=…``, in Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Query

__all__ = ["Span", "SpanOf"]

_MOST: Final = 1e11


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when; None is open."""

    since: float | None
    until: float | None


def _asked(
    since: Annotated[
        float | None, Query(alias="from", ge=0, le=_MOST, description="Unix seconds, inclusive")
    ] = None,
    until: Annotated[
        float | None, Query(alias="to", ge=0, le=_MOST, description="Unix seconds, exclusive")
    ] = None,
) -> Span:
    return Span(since, until)


SpanOf = Annotated[Span, Depends(_asked)]
"""For a route's arguments."""
