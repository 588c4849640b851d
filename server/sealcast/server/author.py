"""Who sent or set something that outlives the membership."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Author"]


class Author(NamedTuple):
    """A member as it was introduced then."""

    member: int
    user: str
    hello: bytes | None

    def __repr__(self) -> str:
        return f"Author({self.member}, {self.user!r})"
