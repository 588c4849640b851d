"""What ban rules and revocations have in common, and how a database that keeps them is used."""

from __future__ import annotations

from typing import Generic, NamedTuple, Protocol, TypeVar

__all__ = ["Changes", "Keeper", "R", "Rule"]


class Rule(Protocol):
    """What bans and revocations have in common."""

    @property
    def app_id(self) -> str:
        """The app that it is about."""
        ...

    @property
    def channel(self) -> str | None:
        """The channel that it is about, if it is about one."""
        ...

    @property
    def user(self) -> str | None:
        """The user that it is about, if it is about one."""
        ...

    @property
    def rule_id(self) -> str:
        """Its id."""
        ...

    @property
    def end(self) -> float:
        """When it ends, in Unix seconds."""
        ...


R = TypeVar("R", bound=Rule)


class Changes(NamedTuple, Generic[R]):
    """What has changed in the database."""

    version: int
    there: list[R]
    """Rules that are new or have changed."""
    gone: list[tuple[str, str]]
    """App and id of rules that were lifted."""
    whole: bool
    """Whether *there* is everything, so that what is not in it is gone."""


class Keeper(Protocol[R]):
    """Where rules are kept. All methods raise StoreDown."""

    async def changes(self, version: int) -> Changes[R]:
        """Return what has changed since the state of that version; 0: everything."""
        ...

    async def add(self, rule: R, most: int) -> None:
        """Keep a rule. Raises WrongState when the app has *most* already."""
        ...

    async def change(self, app_id: str, rule_id: str, until: float | None) -> R:
        """Let a rule end at another time; return it. Raises Missing."""
        ...

    async def lift(self, app_id: str, rule_id: str) -> R:
        """Take a rule back; return it. Raises Missing."""
        ...

    async def purge(self) -> None:
        """Delete what has ended, or was lifted, some time ago."""
        ...
