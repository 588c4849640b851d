"""Long lists in pages: ``?limit=50&cursor=…``; the answer has ``next``, the next cursor or null."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, Field

from .errors import ApiError

__all__ = ["Page", "PageAsked", "PageAskedOf", "place_of"]

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A part of a list."""

    items: list[T]
    next: str | None = Field(description="the cursor of the next page; null on the last one")

    @classmethod
    def of(cls, found: Sequence[T], asked: PageAsked, place: Callable[[T], str]) -> Page[T]:
        """Return the page of what was found with ``asked.most``; *place* is what the list is in order of."""
        items = list(found[: asked.limit])
        more = len(found) > asked.limit
        return cls(items=items, next=_encoded(place(items[-1])) if more else None)


@dataclass(frozen=True, slots=True)
class PageAsked:
    """Which page."""

    limit: int
    after: str
    """The place of the last item of the page before; empty for the first one."""

    @property
    def most(self) -> int:
        """How many items to look for: one more than are shown, to know whether there is a next page."""
        return self.limit + 1


def _asked(
    limit: Annotated[int, Query(ge=1, le=200, description="items in the page")] = 50,
    cursor: Annotated[str, Query(max_length=512, description="`next` of the page before")] = "",
) -> PageAsked:
    return PageAsked(limit, place_of(cursor))


PageAskedOf = Annotated[PageAsked, Depends(_asked)]
"""For a route's arguments."""


def _encoded(place: str) -> str:
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def place_of(cursor: str) -> str:
    """Return the place that a cursor names. Raises ApiError."""
    try:
        place = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        place = "\0"
    if not place.isprintable():
        raise ApiError("invalid", problems=["cursor: should be the `next` of another page"])
    return place
