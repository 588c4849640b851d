"""The ban rules and revocations that there are now, of all apps, and what follows from them.

What is asked for every join is answered from memory, so it is answered while the database is away. With a
database the rules are kept there, and those that other processes make are seen with ``refresh``; without one
they are gone when the process ends.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, Generic, Protocol, TypeVar

from sealcast.protocol.names import Privilege

from .bans import NOTHING, Ban, BanBook
from .revocations import Revocation, RevocationBook
from .rules import Keeper, R
from .store.records import Missing, too_many

__all__ = ["Access", "Bans", "Book", "Enforcer", "Revocations", "Rules", "new_rule_id"]

_MANY: Final = 32
"""Changes seen at once from which on everybody in the app is looked at, once."""
_LAPSE_EVERY: Final = 5.0
"""Seconds between two looks for rules that have ended; that they have ended is exact without it."""
_PURGE_EVERY: Final = 600.0
"""Seconds between two purges of the database."""


class Book(Protocol[R]):
    """The rules of one app."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __iter__(self) -> Iterator[R]:
        """Go through them."""
        ...

    def get(self, rule_id: str, /) -> R | None:
        """Return a rule, or None."""
        ...

    def put(self, rule: R, /) -> None:
        """Add a rule, or let one be as this says."""
        ...

    def take(self, rule_id: str, /) -> R | None:
        """Take a rule out; return it, if there was one."""
        ...

    def lapsed(self, now: float) -> list[R]:
        """Take out the rules that have ended; return them."""
        ...


B = TypeVar("B", bound=Book[Any])


class Enforcer(Protocol):
    """Where rules are enforced on those who are there."""

    def reconsider(self, app_id: str, channel: str | None, user: str | None) -> None:
        """Look at everybody in this app (or channel, or at this user) whether the rules let them be."""
        ...

    def kick(self, ban: Ban) -> None:
        """Put out whom a rule names, and no more than that."""
        ...


def new_rule_id(now: float) -> str:
    """Make an id. Ids grow with time, so a list in their order is one in the order of making."""
    return f"{int(now * 1000):012x}{secrets.token_hex(4)}"


class Rules(Generic[R, B]):
    """The rules of one kind.

    Args:
        what: what one is called in refusals.
        make: makes the book of an app.
        now: Unix time.
        keeper: the database's, if there is one.

    """

    def __init__(
        self, what: str, make: Callable[[], B], now: Callable[[], float], keeper: Keeper[R] | None
    ) -> None:
        self._what = what
        self._make = make
        self._now = now
        self._keeper = keeper
        self._purge_at = now() + _PURGE_EVERY
        self._books: dict[str, B] = {}
        self._version = 0
        self.changes = 0
        """Grows with every change that was made here."""
        self._lock = asyncio.Lock()
        """One change, or look at changes, after the other: nothing older must be taken for news."""
        self.enforcer: Enforcer | None = None

    @property
    def kept(self) -> bool:
        """Whether they outlive the process."""
        return self._keeper is not None

    def of(self, app_id: str) -> list[R]:
        """Return the rules of an app that have not ended, in the order of their ids."""
        now, book = self._now(), self._books.get(app_id)
        found = [] if book is None else [rule for rule in book if rule.end > now]
        return sorted(found, key=lambda rule: rule.rule_id)

    def get(self, app_id: str, rule_id: str) -> R:
        """Return a rule. Raises Missing."""
        book = self._books.get(app_id)
        rule: R | None = None if book is None else book.get(rule_id)
        if rule is None or rule.end <= self._now():
            raise Missing(self._what)
        return rule

    async def add(self, rule: R, most: int) -> None:
        """Add a rule, which holds at once.

        Raises:
            WrongState: the app has *most* already.
            StoreDown: the database does not answer; nothing has changed.

        """
        async with self._lock:
            if self._keeper is not None:
                await self._keeper.add(rule, most)
            elif len(self.of(rule.app_id)) >= most:
                raise too_many(self._what, most)
            self._put(rule)
            self.changes += 1
        self._reconsider([rule])

    async def lift(self, app_id: str, rule_id: str) -> R:
        """Take a rule back. Raises Missing, StoreDown."""
        async with self._lock:
            if self._keeper is not None:
                rule = await self._keeper.lift(app_id, rule_id)
            else:
                rule = self.get(app_id, rule_id)
            self._take(app_id, rule_id)
            self.changes += 1
        self._reconsider([rule])
        return rule

    def doubt(self) -> None:
        """Read everything anew with the next ``refresh``: a change that was made may not have been kept."""
        self._version = 0

    def __len__(self) -> int:
        """Return how many there are, of all apps; some may have ended a moment ago."""
        return sum(map(len, self._books.values()))

    async def refresh(self) -> None:
        """Take over what other processes have changed. Raises StoreDown."""
        if self._keeper is None:
            return
        async with self._lock:
            changes = await self._keeper.changes(self._version)
            touched = []
            gone = changes.gone
            if changes.whole:
                there = {rule.rule_id for rule in changes.there}
                known = [rule for book in self._books.values() for rule in book]
                gone = [(rule.app_id, rule.rule_id) for rule in known if rule.rule_id not in there]
            for app_id, rule_id in gone:
                rule = self._take(app_id, rule_id)
                if rule is not None:
                    touched.append(rule)
            for rule in changes.there:
                if self._book(rule.app_id).get(rule.rule_id) != rule:
                    self._put(rule)
                    touched.append(rule)
            self._version = changes.version
            if self._now() >= self._purge_at:
                await self._keeper.purge()
                self._purge_at = self._now() + _PURGE_EVERY
        self._reconsider(touched)

    def lapse(self, now: float) -> None:
        """Forget the rules that have ended."""
        for app_id, book in list(self._books.items()):
            book.lapsed(now)
            if not len(book):
                del self._books[app_id]

    def _book(self, app_id: str) -> B:
        book = self._books.get(app_id)
        if book is None:
            book = self._books[app_id] = self._make()
        return book

    def _put(self, rule: R) -> None:
        self._book(rule.app_id).put(rule)

    def _take(self, app_id: str, rule_id: str) -> R | None:
        book = self._books.get(app_id)
        rule: R | None = None if book is None else book.take(rule_id)
        return rule

    def _reconsider(self, rules: Iterable[R]) -> None:
        if self.enforcer is None:
            return
        places: dict[str, dict[tuple[str | None, str | None], None]] = {}
        for rule in rules:
            places.setdefault(rule.app_id, {})[rule.channel, rule.user] = None
        for app_id, scopes in places.items():
            for channel, user in scopes if len(scopes) < _MANY else ((None, None),):
                self.enforcer.reconsider(app_id, channel, user)


class Bans(Rules[Ban, BanBook]):
    """The ban rules."""

    def __init__(self, now: Callable[[], float], keeper: Keeper[Ban] | None = None) -> None:
        super().__init__("ban", BanBook, now, keeper)

    async def change(self, app_id: str, ban_id: str, until: float | None) -> Ban:
        """Let a ban end at another time. Raises Missing, StoreDown."""
        async with self._lock:
            if self._keeper is not None:
                ban = await self._keeper.change(app_id, ban_id, until)
            else:
                ban = replace(self.get(app_id, ban_id), until=until)
            self._put(ban)
            self.changes += 1
        self._reconsider([ban])
        return ban

    def kick(self, ban: Ban) -> None:
        """Put out whom it names, who may come back at once: the rule is not kept."""
        if self.enforcer is not None:
            self.enforcer.kick(ban)

    def denied(self, app_id: str, channel: str, user: str, address: str) -> Mapping[Privilege, float]:
        """Return what *user* at *address* may not do in *channel* now, each with the time when that ends."""
        book = self._books.get(app_id)
        return NOTHING if book is None else book.denied(channel, user, address, self._now())

    def shut_out(self, app_id: str, address: str) -> bool:
        """Say whether nobody at *address* may join anything in the app."""
        book = self._books.get(app_id)
        return book is not None and book.shut_out(address, self._now())


class Revocations(Rules[Revocation, RevocationBook]):
    """The revoked tokens."""

    def __init__(self, now: Callable[[], float], keeper: Keeper[Revocation] | None = None) -> None:
        super().__init__("revocation", RevocationBook, now, keeper)

    def revoked(self, app_id: str, channel: str, user: str, token_id: str, issued_at: float) -> bool:
        """Say whether a token is revoked for *user* in *channel*."""
        book = self._books.get(app_id)
        return book is not None and book.revoked(channel, user, token_id, issued_at)


class Access:
    """Both kinds.

    Args:
        now: Unix time.
        bans: where bans are kept, if they are.
        revocations: where revocations are kept, if they are.

    """

    def __init__(
        self,
        now: Callable[[], float],
        bans: Keeper[Ban] | None = None,
        revocations: Keeper[Revocation] | None = None,
    ) -> None:
        self._now = now
        self.bans = Bans(now, bans)
        self.revocations = Revocations(now, revocations)
        self.due: float | None = None

    def serve(self, enforcer: Enforcer) -> None:
        """Enforce changes here from now on."""
        self.bans.enforcer = self.revocations.enforcer = enforcer

    async def refresh(self) -> None:
        """Read what has changed in the database; the first time, everything. Raises StoreDown."""
        await self.bans.refresh()
        await self.revocations.refresh()

    @property
    def changes(self) -> int:
        """Grows with every change that was made here."""
        return self.bans.changes + self.revocations.changes

    def doubt(self) -> None:
        """Read everything anew with the next ``refresh``."""
        self.bans.doubt()
        self.revocations.doubt()

    def on_time(self, now: float) -> float | None:
        """Forget what has ended; called by the wheel."""
        wall = self._now()
        self.bans.lapse(wall)
        self.revocations.lapse(wall)
        return now + _LAPSE_EVERY
