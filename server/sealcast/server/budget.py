"""How much of something is in use, where many share one bound."""

from __future__ import annotations

__all__ = ["Budget"]


class Budget:
    """So many at most, together."""

    __slots__ = ("most", "used")

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0

    def __repr__(self) -> str:
        return f"Budget({self.used} of {self.most})"

    def has(self, more: int) -> bool:
        """Whether there is room for so much more."""
        return self.used + more <= self.most
