"""A user joined to a channel through a session: its number, its rights, and what is known of its frames."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from sealcast.protocol.controls import Joined, MemberInfo, Renewed
from sealcast.protocol.descriptor import KEYFRAME, RESERVED
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import LEAST, HeaderError, read_header

from .auth import Rights, kinds_until
from .interfaces import Author
from .limits import Meter
from .visitor import Visitor

if TYPE_CHECKING:
    from .channel import Channel
    from .fanout import Outlet

__all__ = ["Member"]

_KINDS: Final = frozenset(map(int, Kind))

_COUNTERS_MAX: Final = 256
"""Keys of one member whose counters the relay remembers; the oldest is forgotten first."""

_HEAD: Final = 7
"""Bytes of descriptor, config and a key id of two bytes: alike in all frames of a stream under one key."""
_HEADS_MAX: Final = 64
_TWO_BYTE_KID: Final = 0x9
"""The high half of a config byte that says so (RFC 9605 §4.3)."""
_Head: TypeAlias = tuple[list[int], int, int]
"""The counter that has to grow, where its bytes end, and the least value that takes so many."""


def _none() -> list[int]:
    return [0, 0]


class Member:
    """A user joined to a channel through a session."""

    __slots__ = (
        "_counters",
        "_heads",
        "allowance",
        "allowed",
        "author",
        "bytes_in",
        "carried",
        "changes",
        "channel",
        "clear",
        "hello",
        "keyed",
        "kinds",
        "latest",
        "meter",
        "number",
        "outlet",
        "rights",
        "run",
        "since",
        "spoke",
        "state",
        "user",
        "visitor",
    )

    def __init__(
        self,
        channel: Channel,
        number: int,
        user: str,
        hello: bytes | None,
        rights: Rights,
        outlet: Outlet,
        run: bytes = b"",
    ) -> None:
        self.channel = channel
        self.number = number
        self.user = user
        self.hello = hello
        self.outlet = outlet
        self.run = run
        """Names its messages over connections; empty if it does not send any again."""
        self.visitor: Visitor | None = None
        """The connection that it joined on, or came back on."""
        self.state: bytes | None = None
        """What it says of itself, opaque."""
        self.spoke = False
        """Whether anything of it was ever sent to the others."""
        self.author = Author(number, user, hello)
        """How it is introduced to those who read its messages later."""
        self.since = 0.0
        """When it joined, in Unix seconds."""
        self.kinds: defaultdict[int, list[int]] = defaultdict(_none)
        """By kind: how many frames or messages it has sent, and their bytes."""
        self.bytes_in = 0
        """Bytes of all of them."""
        self.clear = 0
        """How many of them were in clear."""
        self.carried: Counter[tuple[str, str]] | None = None
        """What it was not sent on former connections, by kind and reason."""
        self.latest: list[int] | None = None
        """The last counter of the key that it used last, and that key's id."""
        self.meter: Meter | None = None
        """What it may send; made when it sends something."""
        self.allowance = -1
        """The number of ``bytes_in`` up to which its meter need not be asked."""
        self.keyed = 0
        """A bit mask of its streams that have carried a keyframe."""
        self._counters: dict[int, list[int]] = {}
        """The last counter of each key id, and the key id."""
        self._heads: dict[bytes, _Head] = {}
        """What stood before the counter of frames that were let through, and what it says of the next."""
        self.rights = rights
        self.allowed = 0
        self.changes: float | None = None
        """When, in Unix seconds, the mask of allowed kinds changes next."""

    def refresh(self, rights: Rights, now: float) -> None:
        """Let these rights count from now on."""
        self.rights = rights
        self._heads.clear()
        self.allowed, self.changes = kinds_until(rights, now)

    def succeeds(self, departed: Member) -> bool:
        """Say whether this is a departed member that is back: the same user in the same run or session."""
        return self.user == departed.user and (
            (self.run != b"" and self.run == departed.run)
            or (self.hello is not None and self.hello == departed.hello)
        )

    @property
    def frames_in(self) -> int:
        """How many frames and messages it has sent."""
        return sum(count for count, _ in self.kinds.values())

    @property
    def dropped(self) -> Mapping[tuple[str, str], int]:
        """Frames that it was not sent, by kind and reason."""
        now = self.outlet.drops(self.channel.number)
        return now if self.carried is None else self.carried + Counter(now)

    def part(self) -> None:
        """Keep what only its connection knows, which ends."""
        if dropped := self.dropped:
            self.carried = Counter(dropped)

    @property
    def info(self) -> MemberInfo:
        """How it is introduced to the others."""
        return MemberInfo(member=self.number, user=self.user, hello=self.hello, state=self.state)

    def joined(
        self, now: float, policy: dict[str, str], *, recovered: bool = False, authors: Collection[Author] = ()
    ) -> Joined:
        """Return what the member is told: its numbers, the others, and its rights at *now* (Unix seconds).

        *authors* are senders of messages that it gets now and that are no members any more.
        """
        channel = self.channel
        others = channel.others(self)
        return Joined(
            channel=channel.number,
            member=self.number,
            epoch=channel.position.epoch,
            offset=channel.position.offset,
            members=tuple(other.info for other in others),
            grant=self.rights.left(now),
            expires_in=max(self.rights.expires - now, 0),
            policy=policy,
            recovered=recovered,
            authors=tuple(MemberInfo(**author._asdict()) for author in authors),
            total=len(others) + 1,
        )

    def renewed(self, now: float) -> Renewed:
        """Return what the member is told of its new rights at *now* (Unix seconds)."""
        rights = self.rights
        return Renewed(
            channel=self.channel.number, grant=rights.left(now), expires_in=max(rights.expires - now, 0)
        )

    def check(self, data: bytes, start: int) -> str | None:
        """Check what the relay may know of a frame or message whose descriptor is at *start*.

        Returns the name of the reply code to refuse it with, or None; only a None moves the counter.
        """
        known = self._heads.get(data[start : start + _HEAD])
        if known is None:
            return self._check_any(data, start)
        counter, end, least = known
        value = int.from_bytes(data[start + _HEAD : start + end], "big")
        if len(data) < start + end or value < least:
            return "encryption_required"
        if value <= counter[0]:
            return "counter_repeated"
        counter[0] = value
        self.latest = counter
        return None

    def _check_any(self, data: bytes, start: int) -> str | None:
        """Check a frame whose first bytes are not known yet, and remember them."""
        first = data[start]
        kind = first & 15
        if not self.allowed >> kind & 1:
            return "not_permitted" if kind in _KINDS else "bad_frame"
        flags = data[start + 1]
        if flags & (RESERVED | KEYFRAME):  # seldom
            if flags & RESERVED:
                return "bad_frame"
            self.keyed |= 1 << data[start + 3]
        if first >> 4 == 1:
            return self._check_counter(data, start)
        if first >> 4 != 2 or self.channel.encryption_required:
            return "encryption_required"
        self.channel.metrics.clear_frames += 1
        self.clear += 1
        return None

    def _check_counter(self, data: bytes, start: int) -> str | None:
        try:
            key_id, value, end = read_header(data, start + 4)
        except HeaderError:
            return "encryption_required"
        counter = self._counters.get(key_id)
        if counter is None:
            if len(self._counters) >= _COUNTERS_MAX:
                del self._counters[next(iter(self._counters))]
                self._heads.clear()
            counter = self._counters[key_id] = [-1, key_id]
        if value <= counter[0]:
            return "counter_repeated"
        counter[0] = value
        self.latest = counter
        size = end - start - _HEAD
        if data[start + 4] >> 4 == _TWO_BYTE_KID and size > 0:
            if len(self._heads) >= _HEADS_MAX:
                self._heads.clear()
            self._heads[data[start : start + _HEAD]] = (counter, end - start, LEAST[size])
        return None
