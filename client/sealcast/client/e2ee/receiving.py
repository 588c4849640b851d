"""The receiving half of a channel: what is opened, what has to wait, what beacons and signatures say.

A frame takes this way: opened (``opener``), or held while its key is under way; a control frame is
read here; any other is delivered if its sender's epoch has proved to be fresh (``gate``), else held.
Frames of a sender leave in the order in which they came, messages of all in that of the channel.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealcast.client.errors import KeyMissing, NotFresh, OpenFailed, SealError, Unsigned
from sealcast.protocol.descriptor import BYTES, SEALED, SIGNED
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import read_header

from .alerts import Authentic, Lost, RosterSplit, Stalled, Suppressed, Unauthentic
from .batch import BATCH, BatchReader, Verdict, read_batch
from .beacon import Beacon, read_beacon
from .company import Companion, Company
from .context import EPOCH_BITS, pack_kid, unpack_kid
from .gate import Gate, Passage
from .hold import HOLD_EACH, HOLD_SECONDS, MESSAGE_SECONDS, Hold
from .keyring import Stale
from .layers import ALWAYS_SIGNED, OpenLayers
from .lifetime import Uncopyable
from .message_order import MessageOrder
from .notices import Notice
from .opener import Opened, Opener
from .protection import Protection
from .provider import KeyProvider
from .ratchet import STEP_MAX
from .rekey import Name
from .watch import Watch

__all__ = ["NOTICES_MAX", "Received", "Receiving"]

NOTICES_MAX: Final = 1024
"""Notices kept for an owner that does not take them; the oldest go first."""

_SIGNED_FIRST: Final = frozenset(SEALED << 4 | kind for kind in ALWAYS_SIGNED)
"""The first byte of frames that must be signed."""
_TWO_BYTE_KID: Final = 0x90
_LEAST: Final = BYTES + 3
_AUTHOR: Final = 2**32
"""Added to the numbers of authors: no number on the wire is that large, so no live frame opens as theirs."""


class Received(NamedTuple):
    """A frame that may be delivered."""

    member: int
    """The number that it came under; by now the member may have left."""
    user: str
    opened: Opened
    offset: int | None
    """The message's place in the channel, as it was handed to ``receive``: places grow, over epochs too."""
    historical: bool = False
    """Whether nothing has proved that its sender was there when it came: see ``Receiving.recover``."""

    @property
    def size(self) -> int:
        """The bytes of its payload."""
        return len(self.opened.payload)


class _Waiting(NamedTuple):
    member: int
    data: bytes
    offset: int | None
    since: float
    recovered: bool = False


class Receiving(Uncopyable):
    """Opens what comes in. One thread at a time."""

    __slots__ = (
        "_authors",
        "_batches",
        "_clear",
        "_company",
        "_distrusted",
        "_gate",
        "_keyless",
        "_notices",
        "_order",
        "_passages",
        "_provider",
        "_wall_ms",
        "_watch",
        "opener",
        "ready",
        "stirred",
    )

    def __init__(
        self,
        provider: KeyProvider,
        company: Company,
        challenge: bytes,
        protection: Protection,
        wall_ms: Callable[[], int],
    ) -> None:
        """Make the half that answers to *challenge*, by a clock in milliseconds since 1970."""
        self._provider = provider
        self._company = company
        self.opener = Opener(provider.receiving, layers=OpenLayers(protection.cipher))
        self._gate: Gate[Received] = Gate(challenge, strict=not protection.audience)
        self._keyless: Hold[Name, _Waiting] = Hold(total=HOLD_EACH)
        self._order: MessageOrder[Received] = MessageOrder()
        self._watch = Watch(self.opener.last)
        self._wall_ms = wall_ms
        self._batches = BatchReader() if protection.sign_media else None
        # By member number and the low byte of the key id: which epoch it is, and that nothing has to be
        # asked any more.
        self._passages: dict[tuple[int, int], Passage] = {}
        self._clear: set[tuple[int, int]] = set()
        self._distrusted: dict[tuple[Name, int], bool] = {}
        self._authors: dict[int, Companion] = {}
        self._notices: deque[Notice] = deque(maxlen=NOTICES_MAX)
        self.ready: list[Received] = []
        """What became deliverable by something else than ``receive``."""
        self.stirred = False
        """Whether there are notices, or times have changed, since the owner looked."""

    def receive(self, number: int, data: bytes, now: float, offset: int | None = None) -> list[Received]:
        """Take a frame of member *number*; return what may be delivered now, in order.

        Raises:
            SealError: as ``Opener.open``; Unsigned; KeyMissing or NotFresh when there is no room to wait.

        """
        if len(data) >= _LEAST and data[0] in _SIGNED_FIRST and not data[1] & SIGNED:
            raise Unsigned
        # The short way: this key id's epoch is fresh, and its key id has two bytes.
        if len(data) >= _LEAST and (number, data[6]) in self._clear and data[4] & 0xF0 == _TWO_BYTE_KID:
            opened = self.opener.open(number, data)
            companion = self._company.get(number)
            assert companion is not None, "only members have keys that are clear"
            received = Received(number, companion.sender.user, opened, offset)
            return self._order.let([received]) if self._order else [received]
        return self._let(_Waiting(number, bytes(data), offset, now), now)

    def recover(self, number: int, data: bytes, now: float, offset: int) -> list[Received]:
        """Take a message that was sent while this side was away; return what may be delivered now, in order.

        *number* is what its sender had then: that of a member or of an author that was admitted. It counts
        like every frame of its sender, so it is delivered once and never again. It does not wait for proof
        that its sender is here now, since the sender may be gone: without the proof it is *historical*.

        Raises:
            SealError: as ``receive``, but for NotFresh.

        """
        if len(data) < _LEAST or data[0] & 15 != Kind.MESSAGE:
            raise OpenFailed("only messages are recovered")
        if not data[1] & SIGNED and data[0] >> 4 == SEALED:
            raise Unsigned
        return self._let(_Waiting(number, data, offset, now, recovered=True), now)

    def _let(self, waiting: _Waiting, now: float) -> list[Received]:
        self.stirred = True
        try:
            return self._order.let(self._take(waiting, now))
        except KeyMissing:
            if not self._wait(waiting):
                raise
            self._order.wait(waiting.offset)
            return []

    def _whose(self, waiting: _Waiting) -> tuple[int, Companion | None]:
        """Return under which number the opener knows the sender, and who that is."""
        companion = self._company.get(waiting.member)
        if companion is None and waiting.recovered:
            return waiting.member + _AUTHOR, self._authors.get(waiting.member)
        return waiting.member, companion

    def _wait(self, waiting: _Waiting) -> bool:
        """Let a frame wait for its key; return False if there is no room, or the key never comes.

        That is so when a later epoch or step is held: it was sealed before this side was given a key.
        """
        _, companion = self._whose(waiting)
        if companion is None or self._company.number(companion.name) is None:
            return False
        _, epoch, _ = unpack_kid(read_header(waiting.data, BYTES)[0])
        newest = self._provider.held(companion.sender)
        if newest is not None and 0 < newest.epoch - epoch & EPOCH_BITS <= EPOCH_BITS // 2:
            return False
        if self._provider.receiving(companion.sender, epoch, STEP_MAX) is not None:
            return False
        patience = _patience(waiting.offset)
        return self._keyless.put(companion.name, waiting, len(waiting.data), waiting.since, patience)

    def retry(self, names: Iterable[Name] | None, now: float) -> None:
        """Try again what waits for the keys of these senders, of all if None."""
        for name in self._keyless.keys() if names is None else names:
            for waiting in self._keyless.take(name):
                try:
                    self.ready += self._order.let(self._take(waiting, now))
                    continue
                except KeyMissing:
                    if self._wait(waiting):
                        continue
                    self._lost(waiting.member, KeyMissing, 1)
                except SealError as error:
                    self._lost(waiting.member, type(error), 1)
                self.ready += self._order.settle(waiting.offset, [])

    def _take(self, waiting: _Waiting, now: float) -> list[Received]:
        data, offset = waiting.data, waiting.offset
        number, companion = self._whose(waiting)
        opened = self.opener.open(number, data)
        assert companion is not None, "only members and authors have keys"
        kid, ctr, _ = read_header(data, BYTES)
        passage = self._passage(number, companion, kid, now)
        if opened.descriptor.kind is Kind.CONTROL:
            return self._control(companion, kid, passage, opened.payload, now)
        if self._batches is not None and opened.descriptor.kind not in ALWAYS_SIGNED:
            self._batches.note(companion.name, kid, ctr, data, now)
        fresh = self._gate.is_open(passage)
        historical = waiting.recovered and not fresh
        received = Received(waiting.member, companion.sender.user, opened, offset, historical)
        if fresh and self._batches is None and number < _AUTHOR:
            self._clear.add((number, kid & 0xFF))
        if fresh or historical:
            return [received]
        if not self._gate.hold.put(passage, received, len(opened.payload), now, _patience(offset)):
            raise NotFresh
        self._order.wait(offset)
        return []

    def _passage(self, number: int, companion: Companion, kid: int, now: float) -> Passage:
        """Return whose epoch a good frame was of; the first time, the provider learns of it."""
        key = (number, kid & 0xFF)
        passage = self._passages.get(key)
        if passage is None:
            _, epoch, step = unpack_kid(kid)
            base = self._provider.receiving(companion.sender, epoch, step)
            assert base is not None, "a frame was opened with it"
            self._provider.opened(companion.sender, epoch, step, now)
            passage = self._passages[key] = (companion.name, base.epoch)
        return passage

    # --- control frames ---

    def _control(
        self, companion: Companion, kid: int, passage: Passage, body: bytes, now: float
    ) -> list[Received]:
        if body[:1] == bytes((BATCH,)):
            if self._batches is not None:
                self._judge(self._batches.batch(companion.name, read_batch(body)))
            return []
        beacon = read_beacon(body)
        if beacon.epoch != passage[1]:
            raise OpenFailed("the beacon is of another epoch than its key")
        released = self._gate.beacon(passage, beacon, self._wall_ms())
        if self._gate.is_open(passage):
            self._look(companion, kid, beacon, now)
        return released

    def _look(self, companion: Companion, kid: int, beacon: Beacon, now: float) -> None:
        same = beacon.roster == self._company.roster(beacon.epoch)
        counters = [(stream << 8 | kid & 0xFF, following) for stream, following in beacon.streams]
        self._watch.beacon(companion.name, beacon.epoch, same, counters, now)

    def _judge(self, verdicts: Iterable[Verdict]) -> None:
        for name, stream, good, bad in verdicts:
            number, known = self._number(name), self._distrusted.get((name, stream))
            if bad:
                self._distrusted[name, stream] = True
                self._tell(Unauthentic(number, name[0], stream, bad))
            elif good and known is not False:
                self._distrusted[name, stream] = False
                self._tell(Authentic(number, name[0], stream))

    # --- who is there ---

    def admit(self, number: int, companion: Companion, hello_id: bytes) -> None:
        """Open frames of member *number*; raises HelloRefused like ``Opener.admit``."""
        identity = Ed25519PublicKey.from_public_bytes(companion.hello.identity)
        self.opener.admit(number, companion.sender, hello_id, identity)

    def admit_author(self, number: int, companion: Companion, hello_id: bytes) -> None:
        """Let ``recover`` open what *companion* sent when it had *number*; raises HelloRefused."""
        identity = Ed25519PublicKey.from_public_bytes(companion.hello.identity)
        self.opener.admit(number + _AUTHOR, companion.sender, hello_id, identity)
        self._authors[number] = companion

    def dismiss_authors(self) -> None:
        """Recover nothing more of senders that are not members."""
        for number in tuple(self._authors):
            del self._authors[number]
            self.dismiss(number + _AUTHOR)

    def dismiss(self, number: int) -> None:
        """Open nothing more of member *number*. What it sent before may still be delivered."""
        self.opener.dismiss(number)
        self._clear = {key for key in self._clear if key[0] != number}
        self._passages = {key: kept for key, kept in self._passages.items() if key[0] != number}

    def forget(self, name: Name) -> None:
        """Watch a session no more: it has left, and brings no more keys."""
        self.stirred = True
        for waiting in self._keyless.take(name):
            self._lost(waiting.member, KeyMissing, 1)
            self.ready += self._order.settle(waiting.offset, [])
        self._watch.forget(name)
        if self._batches is not None:
            self._batches.forget(name)
        self._distrusted = {key: kept for key, kept in self._distrusted.items() if key[0] != name}

    def resume(self, now: float) -> None:
        """Note that this side was away until now, and that the company is that of now.

        Messages that had come before and waited for proof wait on, for as long as at first, if their
        senders are here. Those of the others are like what is recovered: no proof will come.
        """
        self.stirred = True
        self._watch.pause(now)
        waited = self._gate.hold.sift(lambda received: received.offset is not None)
        for passage, received in sorted(waited, key=lambda each: each[1].offset or 0):
            here = self._company.number(passage[0]) is not None
            if not here or not self._gate.hold.put(passage, received, received.size, now, MESSAGE_SECONDS):
                self.ready += self._order.settle(received.offset, [received._replace(historical=True)])

    def drop_keys(self, stale: Iterable[Stale]) -> None:
        """Drop what was derived from keys that are gone."""
        for name, epoch, below in stale:
            self.opener.forget_keys(name, epoch, below)
            authors = (number + _AUTHOR for number, author in self._authors.items() if author.name == name)
            for number in (*self._company.numbers(name), *authors):
                for step in range(below):
                    self._clear.discard((number, kid := pack_kid(0, epoch, step)))
                    self._passages.pop((number, kid), None)

    def drop_epoch(self, epoch: int) -> None:
        """Drop what was derived for every epoch with the same low four bits."""
        self.opener.forget_epoch(epoch)
        self._clear.clear()
        self._passages.clear()

    # --- time ---

    def next_timeout(self) -> float | None:
        """Return when to call ``handle_timeout``."""
        times = (
            self._keyless.next_timeout(),
            self._gate.hold.next_timeout(),
            self._watch.next_timeout(),
            self._batches.next_timeout() if self._batches is not None else None,
        )
        return min((time for time in times if time is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Give up what has waited for too long, and look at the senders."""
        lost: Counter[tuple[int, type[SealError]]] = Counter()
        for _, waiting in self._keyless.expire(now):
            lost[waiting.member, KeyMissing] += 1
            self.ready += self._order.settle(waiting.offset, [])
        for _, received in self._gate.hold.expire(now):
            lost[received.member, NotFresh] += 1
            self.ready += self._order.settle(received.offset, [])
        for (number, reason), count in lost.items():
            self._lost(number, reason, count)
        for name, what, stream, count in self._watch.handle_timeout(now):
            number, user = self._number(name), name[0]
            if what == "missing":
                self._tell(Suppressed(number, user, stream, count))
            else:
                self._tell((Stalled if what == "stalled" else RosterSplit)(number, user))
        if self._batches is not None:
            self._judge(self._batches.handle_timeout(now))

    @property
    def held(self) -> int | None:
        """The place of the first message that waits; None when none does."""
        return self._order.first

    def take_ready(self) -> list[Received]:
        """Return what became deliverable by something else than ``receive``."""
        taken, self.ready = self.ready, []
        return taken

    def notices(self) -> list[Notice]:
        """Return what happened since the last call."""
        taken = list(self._notices)
        self._notices.clear()
        return taken

    def _number(self, name: Name) -> int:
        return self._company.number(name) or 0

    def _lost(self, number: int, reason: type[SealError], count: int) -> None:
        self._tell(Lost(number, reason, count))

    def _tell(self, notice: Notice) -> None:
        self.stirred = True
        self._notices.append(notice)


def _patience(offset: int | None) -> float:
    """Return how long something may wait: a message, which has a place, for longer than a frame."""
    return HOLD_SECONDS if offset is None else MESSAGE_SECONDS
