"""Taking fixed binary formats apart: fields off the front, one refusal for whatever does not fit."""

from __future__ import annotations

from sealcast.client.errors import SealError
from sealcast.protocol.errors import InvalidName
from sealcast.protocol.names import user_id

__all__ = ["Reader"]


class Reader:
    """Takes fields off the front of *data*; what does not fit raises *refusal*.

    The message says what is wrong with *what*, never what stood there.
    """

    __slots__ = ("_at", "_data", "_refusal", "_what")

    def __init__(self, data: bytes, what: str, refusal: type[SealError]) -> None:
        self._data = data
        self._what = what
        self._refusal = refusal
        self._at = 0

    def refuse(self, why: str) -> SealError:
        """Return the refusal that says *why*, to be raised."""
        return self._refusal(f"the {self._what} {why}")

    def take(self, size: int) -> bytes:
        """Return the next *size* bytes."""
        end = self._at + size
        if end > len(self._data):
            raise self.refuse("is cut short")
        part = self._data[self._at : end]
        self._at = end
        return part

    def integer(self, size: int) -> int:
        """Return the next *size* bytes as a big-endian number."""
        return int.from_bytes(self.take(size), "big")

    def prefixed(self) -> bytes:
        """Return what follows a u16 length."""
        return self.take(self.integer(2))

    def user(self) -> str:
        """Return a user name that follows a u16 length."""
        try:
            return user_id(self.prefixed().decode("ascii"))
        except (UnicodeDecodeError, InvalidName):
            raise self.refuse("has a user name that is not allowed") from None

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(len(self._data) - self._at)

    def end(self) -> None:
        """Refuse bytes that are left over."""
        if self._at != len(self._data):
            raise self.refuse("has bytes left over")
