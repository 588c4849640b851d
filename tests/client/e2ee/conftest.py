"""Two members of one channel who hold the same key."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from sealcast.client.e2ee import Authority, ChannelCrypto, Direct, Identity, Key, Received
from sealcast.client.e2ee.notices import Notice
from sealcast.client.errors import SealError
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.names import Kind

APP = "0123456789abcdef0123456789abcdef"
SECRET = bytes(range(32))


@pytest.fixture
def bind() -> Callable[..., ChannelCrypto]:
    """Make a context: ``bind("alice")``, with anything else that should differ."""

    def make(
        user: str,
        *,
        app: str = APP,
        channel: str = "standup",
        secret: bytes = SECRET,
        suite: str = "AES_128_GCM",
        epoch: int = 0,
    ) -> ChannelCrypto:
        return Key.raw(secret, suite=suite, epoch=epoch).bind(app, channel, user)

    return make


@pytest.fixture(params=["AES_128_GCM", "AES_256_GCM"])
def pair(
    request: pytest.FixtureRequest, bind: Callable[..., ChannelCrypto]
) -> tuple[ChannelCrypto, ChannelCrypto]:
    """Alice, and Bob, to whom she is member 1."""
    alice, bob = bind("alice", suite=request.param), bind("bob", suite=request.param)
    bob.add_member(1, "alice", alice.hello)
    return alice, bob


AUDIO = Descriptor(Kind.AUDIO, stream=2)
MESSAGE = Descriptor(Kind.MESSAGE, stream=1)
N = TypeVar("N", bound=Notice)


class Seat:
    """One member of a channel that exists in memory only, and what it got."""

    def __init__(self, number: int, user: str, crypto: ChannelCrypto) -> None:
        self.number = number
        self.user = user
        self.crypto = crypto
        self.got: list[Received] = []
        self.told: list[Notice] = []
        self.refused: list[str] = []

    @property
    def heard(self) -> list[bytes]:
        """The payloads that were delivered, in order."""
        return [received.opened.payload for received in self.got]

    def notices(self, kind: type[N]) -> list[N]:
        return [notice for notice in self.told if isinstance(notice, kind)]


class Channel:
    """A relay, a network and a clock in one: takes all that contexts want sent, and drives their time.

    *meddle* may change what a member gets: called with (sender, receiver, frame), returns frames.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.skew = 0.0
        self.seats: dict[int, Seat] = {}
        self.tape: list[tuple[int, bytes]] = []
        self.meddle: Callable[[Seat, Seat, bytes], list[bytes]] = lambda sender, receiver, frame: [frame]
        self.meddle_direct: Callable[[int, Direct], list[bytes]] = lambda sender, direct: [direct.data]
        self.authority = Authority.generate()
        self._numbers = 0
        self._offset = 0

    def wall(self) -> float:
        return 1_800_000_000.0 + self.now + self.skew

    def managed(self, user: str, **choices: Any) -> Key:
        identity = Identity.generate()
        # Managed keys look at their own certificate by the real clock, at the others' by the channel's.
        span = {"not_before": int(time.time()) - 60, "not_after": 2_000_000_000}
        identity.hold(self.authority.certify(APP, "standup", user, identity.public, **span))
        return Key.managed(identity, self.authority.public, **choices)

    def join(self, user: str, key: Key) -> Seat:
        self._numbers += 1
        seat = Seat(self._numbers, user, key.bind(APP, "standup", user, wall=self.wall))
        self.seat(seat)
        return seat

    def seat(self, seat: Seat) -> None:
        roster = [(other.number, other.user, other.crypto.hello) for other in self.seats.values()]
        seat.refused += [str(refused.error) for refused in seat.crypto.joined(roster, self.now)]
        for other in self.seats.values():
            self._announce(other, seat)
        self.seats[seat.number] = seat
        self.flush()

    def _announce(self, seat: Seat, newcomer: Seat) -> None:
        try:
            seat.crypto.add_member(newcomer.number, newcomer.user, newcomer.crypto.hello, self.now)
        except SealError as error:
            seat.refused.append(str(error))

    def leave(self, seat: Seat) -> None:
        del self.seats[seat.number]
        for other in self.seats.values():
            other.crypto.remove_member(seat.number, self.now)
        self.flush()

    def send(self, seat: Seat, payload: bytes, descriptor: Descriptor = AUDIO) -> bytes:
        frame = seat.crypto.seal(descriptor, payload)
        self.flush()
        self.carry(seat, frame)
        self.flush()
        return frame

    def carry(self, sender: Seat, frame: bytes) -> None:
        self.tape.append((sender.number, frame))
        if frame[0] & 15 == Kind.MESSAGE:
            self._offset += 1
        for seat in list(self.seats.values()):
            if seat is not sender:
                for data in self.meddle(sender, seat, frame):
                    self.hand(seat, sender.number, data)

    def hand(self, seat: Seat, number: int, frame: bytes) -> None:
        try:
            offset = self._offset if frame[:1] == bytes([0x10 | Kind.MESSAGE]) else None
            seat.got += seat.crypto.receive(number, frame, self.now, offset)
        except SealError as error:
            seat.refused.append(type(error).__name__)

    def flush(self) -> None:
        busy = True
        while busy:
            busy = False
            for seat in list(self.seats.values()):
                for item in seat.crypto.outgoing(self.now):
                    busy = True
                    if isinstance(item, Direct):
                        self._direct(seat, item)
                    else:
                        self.carry(seat, item.data)
                seat.got += seat.crypto.take_ready()
                seat.told += seat.crypto.notices()

    def _direct(self, sender: Seat, direct: Direct) -> None:
        receiver = self.seats.get(direct.member)
        if receiver is None:
            return
        for data in self.meddle_direct(sender.number, direct):
            try:
                receiver.crypto.receive_direct(sender.number, data, self.now)
            except SealError as error:
                receiver.refused.append(type(error).__name__)

    def wait(self, seconds: float) -> None:
        """Let time pass, with everything that is due in it."""
        end = self.now + seconds
        while True:
            dues = [due for seat in self.seats.values() if (due := seat.crypto.next_timeout()) is not None]
            if not dues or min(dues) > end:
                break
            self.now = max(self.now, min(dues))
            for seat in list(self.seats.values()):
                due = seat.crypto.next_timeout()
                if due is not None and due <= self.now:
                    seat.crypto.handle_timeout(self.now)
            self.flush()
        self.now = end
        self.flush()


@pytest.fixture
def room() -> Channel:
    """An empty channel."""
    return Channel()
