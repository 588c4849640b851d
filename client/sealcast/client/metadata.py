"""A channel's metadata, as its members see it: values under names, set by one for all."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sealcast.protocol import controls
from sealcast.protocol.codes import reply
from sealcast.protocol.controls import MetadataItems, SetMetadata
from sealcast.protocol.errors import InvalidName, RemoteProtocolError
from sealcast.protocol.names import Kind
from sealcast.protocol.parts import NAME_MAX, VALUE_MAX
from sealcast.protocol.sharing import ITEMS_MAX

from .asking import ask
from .errors import Disconnected, NotConnected, RequestRefused, RequestTimeout, RevisionConflict, SealError
from .events import MetadataChanged
from .failures import reason_of
from .reasons import plain_user

if TYPE_CHECKING:
    from .e2ee import ValueAuthor
    from .membership import Membership, Route

__all__ = ["ChannelMetadata", "Held", "Item", "Metadata", "check_shared_name", "is_shared_name"]

_CONFLICT: Final = reply("revision_conflict").number


def is_shared_name(name: str) -> bool:
    """Say whether an item or a lock may be called so: 1-64 printable ASCII characters."""
    return 0 < len(name) <= NAME_MAX and name.isascii() and name.isprintable()


def check_shared_name(name: str) -> None:
    """Raise InvalidName unless an item or a lock may be called so."""
    if not is_shared_name(name):
        raise InvalidName("an item of metadata or a lock has a name of 1 to 64 printable ASCII characters")


@dataclass(frozen=True, slots=True)
class Item:
    """A value that somebody has set."""

    value: bytes | None = field(repr=False)
    """None when it could not be opened."""
    revision: int
    """The number of the change that set it, for ``set_metadata(revision=)``."""
    member: int
    """The number that its author had then."""
    user: str
    reason: str | None = None
    """Why it could not be opened, as in ``SealFailure``: ``key_missing`` when it was set before this side
    was given keys; anything else was changed on its way."""

    @property
    def sealed(self) -> bool:
        """Whether it is there and cannot be read."""
        return self.reason is not None


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that somebody has."""

    fence: int
    user: str
    ttl: float
    """Seconds that it had left, unless its owner goes on."""
    member: int | None
    """The owner's number; None while it is away."""


@dataclass(frozen=True, slots=True)
class Metadata(Mapping[str, Item]):
    """What a channel's members share, at one moment: items by name, and who holds which lock."""

    items_by_name: Mapping[str, Item] = field(repr=False)
    revision: int
    """The number of the channel's last change."""
    locks: Mapping[str, Held]

    def __getitem__(self, name: str) -> Item:
        return self.items_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.items_by_name)

    def __len__(self) -> int:
        return len(self.items_by_name)


def _label(name: str) -> bytes:
    return b"metadata/" + name.encode("ascii")


class ChannelMetadata:
    """The metadata of one channel, over all its connections.

    What was opened once is remembered: with keys that change with the members it may not open again.
    """

    __slots__ = ("_loop", "_membership", "_opened")

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._loop = asyncio.get_running_loop()
        self._opened: OrderedDict[str, tuple[bytes, bytes]] = OrderedDict()

    async def read(self, timeout: float) -> Metadata:
        """Ask for all of it; raises as ``ask``."""
        found = await self._ask(timeout)
        authors = {info.member: (info.member, plain_user(info.user), info.hello) for info in found.authors}
        items = {}
        for item in filter(lambda item: is_shared_name(item.name), found.items):
            author = authors.get(item.member, (item.member, "", None))
            value, reason = self._open(author, item.name, item.value)
            items[item.name] = Item(value, item.revision, item.member, author[1], reason)
        for name in self._opened.keys() - items.keys():
            del self._opened[name]
        locks = {
            info.name: Held(info.fence, plain_user(info.user), info.ttl, info.member)
            for info in found.locks
            if is_shared_name(info.name)
        }
        return Metadata(items, found.revision, locks)

    async def change(self, name: str, value: bytes | None, revision: int | None, timeout: float) -> int:
        """Set an item, or take it away; return the number of the change.

        When the connection ends before the answer, it is found out whether the change was made.

        Raises:
            RevisionConflict: it is not the item's present revision.
            Disconnected: the connection ended, and what others did since hides whether it was made.
            SealcastError: as ``Channel.set_metadata`` says.

        """
        check_shared_name(name)
        deadline = self._loop.time() + timeout
        sealed: bytes | None = None
        try:
            async with asyncio.timeout_at(deadline) as limit:
                while True:
                    route = await self._route()
                    if value is not None and sealed is None:
                        most = route.link.limit("value") or VALUE_MAX
                        sealed = self._membership.sealing.seal_value(_label(name), value, most)
                    asked = SetMetadata(channel=route.channel, name=name, value=sealed, revision=revision)
                    try:
                        made = await self._submit(route, asked, deadline)
                    except Disconnected as lost:
                        found = await self._find_out(asked, lost, deadline)
                        if found is None:
                            continue
                        made = found
                    if value is not None and sealed is not None:
                        self._remember(name, sealed, value)
                    return made
        except TimeoutError:
            if not limit.expired():
                raise
            raise (NotConnected() if self._membership.route is None else RequestTimeout()) from None

    async def _submit(self, route: Route, asked: SetMetadata, deadline: float) -> int:
        left = max(deadline - self._loop.time(), 0.0)
        try:
            done = await route.link.request(asked, left, route.channel)
        except RequestRefused as refused:
            if refused.code.number == _CONFLICT:
                raise RevisionConflict(refused.code) from None
            raise
        assert isinstance(done, controls.Done)
        return done.revision

    async def _find_out(self, asked: SetMetadata, lost: Disconnected, deadline: float) -> int | None:
        """Return the number of a change that has no answer; None when it has to be asked for again."""
        if asked.revision is None and asked.value is None:
            return None
        found = await self._ask(max(deadline - self._loop.time(), 0.0))
        item = next((item for item in found.items if item.name == asked.name), None)
        # No two values that are sealed are alike: this one is ours.
        if item is not None and item.value == asked.value:
            return item.revision
        present = 0 if item is None else item.revision
        if asked.revision in (None, present):
            return None
        raise lost

    async def _route(self) -> Route:
        self._membership.require(Kind.DATA)
        while (route := self._membership.route) is None:
            await self._membership.changed()
            self._membership.require(Kind.DATA)
        return route

    async def _ask(self, timeout: float) -> MetadataItems:
        return await ask(
            self._membership, lambda route: controls.Metadata(channel=route.channel), timeout, MetadataItems
        )

    def told(self, changed: controls.MetadataChanged) -> None:
        """Somebody has changed an item; raises RemoteProtocolError when it cannot be called so."""
        if not is_shared_name(changed.name):
            raise RemoteProtocolError("an item of metadata with a name that no item can have")
        route, reception = self._membership.route, self._membership.reception
        number = changed.member
        if route is not None and number == route.member:
            author: ValueAuthor = (number, self._membership.user, self._membership.crypto.hello)
        else:
            author = reception.roster.announced(number) or (number, "", None)
        value, reason = None, None
        if changed.value is None:
            self._opened.pop(changed.name, None)
        else:
            value, reason = self._open(author, changed.name, changed.value)
        reception.tell(
            MetadataChanged(
                member=number,
                user=author[1],
                name=changed.name,
                value=value,
                revision=changed.revision,
                reason=reason,
            )
        )

    def _open(self, author: ValueAuthor, name: str, sealed: bytes) -> tuple[bytes | None, str | None]:
        """Return a value, or why there is none."""
        known = self._opened.get(name)
        if known is not None and known[0] == sealed:
            return known[1], None
        try:
            value = self._membership.crypto.open_value(author, _label(name), sealed)
        except SealError as error:
            self._opened.pop(name, None)
            reason = reason_of(error)
            self._membership.reception.stats.seal_failures[reason] += 1
            return None, reason
        self._remember(name, sealed, value)
        return value, None

    def _remember(self, name: str, sealed: bytes, value: bytes) -> None:
        self._opened[name] = sealed, value
        self._opened.move_to_end(name)
        if len(self._opened) > ITEMS_MAX:
            self._opened.popitem(last=False)
