"""How much of something is in use, where many share one bound."""

from __future__ import annotations

__all__ = ["Used"]


class Used:
    """A count that many keep together, an app's for example."""

    __slots__ = ("amount",)

    def __init__(self, amount: int = 0) -> None:
        self.amount = amount

    def __repr__(self) -> str:
        return f"Used({self.amount})"
