"""Messages that the channel has kept: opened in any order, apart from everything that comes in live.

What a relay shows of the past must change nothing about the present. So nothing here moves a window,
opens the gate or remembers an identity; and what live frames have shown is not asked either.

A message is refused when its key is not held, when it or its author's hello does not hold, or when it
was shown at another place before. On a page a sender's messages must stand in the order in which it
sealed them. Freshness cannot be proved of the past: whoever holds the secret of an epoch can, with the
relay, invent a session that was never there; never what an existing session has signed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from sealcast.client.errors import KeyMissing, OpenFailed, Replayed, SealError, Unsigned
from sealcast.protocol.descriptor import BYTES, CLEAR, SIGNED
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import read_header

from .authors import Authors
from .company import Companion
from .layers import OpenLayers
from .lifetime import Uncopyable
from .opener import Opened, Opener, read_descriptor
from .protection import Protection
from .provider import KeyProvider
from .rekey import Name

__all__ = ["SHOWN_MAX", "HistoryReader", "Kept", "Reopened"]

SHOWN_MAX: Final = 65_536
"""Messages whose place is remembered; the oldest are forgotten first, and may then be shown elsewhere."""


class Kept(NamedTuple):
    """A message as the relay lists it."""

    offset: int
    member: int
    """The number that its sender had then."""
    data: bytes
    """``D | SFrame``."""


class Reopened(NamedTuple):
    """What became of a kept message: opened, or why it was not."""

    offset: int
    member: int
    user: str
    opened: Opened | None
    error: SealError | None


class _Author(NamedTuple):
    user: str
    companion: Companion | None
    error: SealError | None


class HistoryReader(Uncopyable):
    """Reads pages of kept messages with the keys that are held.

    Args:
        provider: the keys.
        authors: whose messages count; own ones are read like all others.
        protection: how frames are protected.

    """

    __slots__ = ("_authors", "_protection", "_provider", "_shown", "_shown_max")

    def __init__(
        self,
        provider: KeyProvider,
        authors: Authors,
        protection: Protection,
        *,
        shown_max: int = SHOWN_MAX,
    ) -> None:
        self._provider = provider
        self._authors = authors
        self._protection = protection
        self._shown: OrderedDict[tuple[Name, int, int], tuple[str, int]] = OrderedDict()
        self._shown_max = shown_max

    def __repr__(self) -> str:
        return f"HistoryReader(shown={len(self._shown)})"

    def reopen(
        self, epoch: str, messages: Iterable[Kept], authors: Iterable[tuple[int, str, bytes | None]]
    ) -> Iterator[Reopened]:
        """Open a page; see ``ChannelCrypto.reopen``. Each message is opened when it is asked for."""
        opener = Opener(self._provider.reading, layers=OpenLayers(self._protection.cipher))
        announced = {member: (user, hello) for member, user, hello in authors}
        known: dict[int, _Author] = {}
        for message in messages:
            if message.member not in known:
                known[message.member] = self._author(opener, message.member, announced)
            author = known[message.member]
            try:
                opened = self._open(opener, epoch, message, author)
            except SealError as error:
                yield Reopened(message.offset, message.member, author.user, None, error)
            else:
                yield Reopened(message.offset, message.member, author.user, opened, None)

    def _author(self, opener: Opener, member: int, announced: dict[int, tuple[str, bytes | None]]) -> _Author:
        user, hello = announced.get(member, ("", None))
        try:
            return _Author(user, self._authors.admit(opener, member, user, hello), None)
        except SealError as error:
            return _Author(user, None, error)

    def _open(self, opener: Opener, epoch: str, message: Kept, author: _Author) -> Opened:
        descriptor = read_descriptor(message.data)
        if descriptor.kind is not Kind.MESSAGE:
            raise OpenFailed("what stands among the messages is none")
        if not descriptor.flags & SIGNED and descriptor.version != CLEAR:
            raise Unsigned
        if author.companion is None:
            raise author.error or KeyMissing()
        opened = opener.open(message.member, message.data)
        kid, ctr, _ = read_header(message.data, BYTES)
        self._show((author.companion.name, kid, ctr), (epoch, message.offset))
        return opened

    def _show(self, which: tuple[Name, int, int], place: tuple[str, int]) -> None:
        """Note where a message stands; raises Replayed when it stood elsewhere before."""
        if self._shown.setdefault(which, place) != place:
            raise Replayed
        self._shown.move_to_end(which)
        if len(self._shown) > self._shown_max:
            self._shown.popitem(last=False)
