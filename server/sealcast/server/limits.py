"""How much of something may be done in a while: token buckets, and the quotas that are made of them."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, NamedTuple

from .config import AppRates
from .networks import address_of, key_of

__all__ = ["Bucket", "Meter", "Quota", "Quotas", "Shortage", "take_all"]

_SHARE: Final = 8
"""The part of a bucket that one member may be granted in advance."""
_GRANT_MAX: Final = 64 * 1024
_FRAME_LEAST: Final = 16
"""Bytes of the smallest frame: so many bytes are at most one frame."""
_ADDRESSES_MAX: Final = 10_000
_USERS_MAX: Final = 10_000
_UNLIMITED: Final = sys.maxsize


class Bucket:
    """Allows *burst* at once and *rate* per second after that. *name* is the option that says so."""

    __slots__ = ("_rate", "_then", "burst", "left", "name")

    def __init__(self, rate: float, burst: float, now: float, name: str = "") -> None:
        self.name = name
        self.burst = burst
        self.left = burst
        self._rate = rate
        self._then = now

    def wait(self, now: float, amount: float = 1.0) -> float:
        """Return the seconds until *amount* is there; 0.0 when it is there now."""
        self.left = min(self.burst, self.left + (now - self._then) * self._rate)
        self._then = now
        return 0.0 if self.left >= amount else (amount - self.left) / self._rate

    def take(self, now: float, amount: float = 1.0) -> float:
        """Take *amount* and return 0.0; or take nothing and return the seconds to wait for it."""
        wait = self.wait(now, amount)
        if not wait:
            self.left -= amount
        return wait


class Shortage(NamedTuple):
    """Something was refused: how many seconds to wait, and the option that limits it."""

    wait: float
    limit: str


def take_all(needs: Iterable[tuple[Bucket, float]], now: float) -> Shortage | None:
    """Take from all buckets, or from none and say which one is short of it for the longest time."""
    needs = tuple(needs)
    longest = max(((bucket.wait(now, amount), bucket.name) for bucket, amount in needs), default=(0.0, ""))
    if longest[0]:
        return Shortage(*longest)
    for bucket, amount in needs:
        bucket.left -= amount
    return None


class Quota:
    """What one member, connection, address or app may do; a bucket for each thing that is limited.

    Args:
        rates: the limits.
        scope: ``member``, ``connection``, ``user``, ``address`` or ``app``.
        now: the present, in monotonic seconds.

    """

    __slots__ = ("bytes", "connections", "frames", "joins", "messages")

    def __init__(self, rates: AppRates, scope: str, now: float) -> None:
        def bucket(what: str, seconds: float, per: float = 1.0) -> tuple[Bucket, ...]:
            name = f"{what}_per_{scope}"
            rate = getattr(rates, name, 0) / per
            return (Bucket(rate, max(rate * seconds, 1.0), now, name),) if rate else ()

        self.frames = bucket("frames", rates.burst)
        self.bytes = bucket("bytes", rates.burst)
        self.messages = bucket("messages", rates.burst)
        self.joins = bucket("joins", 60.0, 60.0)
        self.connections = bucket("connections", 60.0, 60.0)


class Quotas:
    """The quotas that the connections of one app share."""

    __slots__ = ("_addresses", "_app", "_by_address", "_rates", "_users")

    def __init__(self, rates: AppRates, now: float) -> None:
        self._rates = rates
        self._app = Quota(rates, "app", now)
        self._by_address = any(rate for name, rate in rates if name.endswith("_address"))
        self._addresses: OrderedDict[str, Quota] = OrderedDict()
        self._users: OrderedDict[str, Quota] = OrderedDict()

    def connect(self, now: float) -> Shortage | None:
        """Ask for one new connection of the app."""
        return take_all([(bucket, 1.0) for bucket in self._app.connections], now)

    def join_of(self, user: str, now: float) -> Shortage | None:
        """Ask for one join of a user, who has proved to be that one: nobody uses up what is another's."""
        if not self._rates.joins_per_user:
            return None
        quota = self._users.pop(user, None) or Quota(self._rates, "user", now)
        self._users[user] = quota
        if len(self._users) > _USERS_MAX:
            self._users.popitem(last=False)
        return take_all([(bucket, 1.0) for bucket in quota.joins], now)

    def over(self, address: str, now: float) -> tuple[Quota, ...]:
        """Return the quotas over a connection from *address*: the app's, and the address's if there is one.

        Without an address there is only the app's. An IPv6 network of 64 bits, which is what one peer has,
        counts as one address. When there are too many, that which was not asked for for the longest time is
        forgotten, and starts afresh.
        """
        if not self._by_address or not address:
            return (self._app,)
        network = _network(address)
        quota = self._addresses.pop(network, None) or Quota(self._rates, "address", now)
        self._addresses[network] = quota
        if len(self._addresses) > _ADDRESSES_MAX:
            self._addresses.popitem(last=False)
        return quota, self._app


def _network(address: str) -> str:
    if ":" not in address:
        return address
    parsed = address_of(address)
    return address if parsed is None else key_of(parsed)


class Meter:
    """What one member may still send, by all the quotas over it.

    To ask costs microseconds, which is too much for every frame: an answer grants some in advance,
    taken from the buckets then, so that asking again is a comparison of two numbers until it is used up.
    What was not used is given back with the next question.

    Args:
        quotas: the member's own, its connection's, its address's and its app's.
        sent: how many frames, and how many bytes, the member has sent so far, which count no more.

    """

    __slots__ = ("_bytes", "_frames", "_granted", "_messages", "_since", "allowance")

    def __init__(self, quotas: Iterable[Quota], sent: tuple[int, int] = (0, 0)) -> None:
        quotas = tuple(quotas)
        self._frames = tuple(bucket for quota in quotas for bucket in quota.frames)
        self._bytes = tuple(bucket for quota in quotas for bucket in quota.bytes)
        self._messages = tuple(bucket for quota in quotas for bucket in quota.messages)
        self._granted = (0, 0)
        self._since = sent
        self.allowance = sent[1]
        """The number of sent bytes up to which nothing needs to be asked."""

    def ask(self, sent: tuple[int, int], size: int, now: float) -> Shortage | None:
        """Ask for one frame or message of *size* bytes; None: it may be sent, and so may ``allowance``.

        *sent* is how many frames, and how many bytes, the member has sent so far.
        """
        self._settle(sent)
        if not self._frames and not self._bytes:
            self.allowance = _UNLIMITED
            return None
        frames = [(bucket, 1.0) for bucket in self._frames]
        shortage = take_all([*frames, *((bucket, float(size)) for bucket in self._bytes)], now)
        if shortage is None:
            more = self._advance()
            self._granted = (1 + more // _FRAME_LEAST, size + more)
            self.allowance = sent[1] + size + more
        return shortage

    def message(self, now: float) -> Shortage | None:
        """Ask for one message, beside what it counts as a frame."""
        return take_all([(bucket, 1.0) for bucket in self._messages], now) if self._messages else None

    def _settle(self, sent: tuple[int, int]) -> None:
        frames, size = (
            granted - (n - m) for granted, n, m in zip(self._granted, sent, self._since, strict=True)
        )
        for bucket in self._frames:
            bucket.left += frames
        for bucket in self._bytes:
            bucket.left += size
        self._granted, self._since = (0, 0), sent
        self.allowance = sent[1]

    def _advance(self) -> int:
        """Take some in advance; return how many bytes."""
        room = float(_GRANT_MAX)
        for bucket in self._frames:
            room = min(room, int(min(bucket.left, bucket.burst / _SHARE)) * _FRAME_LEAST)
        for bucket in self._bytes:
            room = min(room, bucket.left, bucket.burst / _SHARE)
        more = int(room) if room >= _FRAME_LEAST else 0
        for bucket in self._frames:
            bucket.left -= more // _FRAME_LEAST
        for bucket in self._bytes:
            bucket.left -= more
        return more
