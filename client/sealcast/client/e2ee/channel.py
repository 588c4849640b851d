"""One channel's encryption, as the SDK uses it: seal, open, who is a member, which key, what is due."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from sealcast.client.errors import KeyMissing
from sealcast.protocol.descriptor import BYTES, CLEAR, SEALED, Descriptor
from sealcast.protocol.names import Kind, user_id

from .clear import clear_open, clear_reopen, clear_seal
from .context import Payload
from .conversation import Announced, Conversation, RefusedMember
from .direct import Direct
from .history import Kept, Reopened
from .lifetime import Uncopyable
from .notices import Notice
from .opener import Opened
from .receiving import Received
from .sending import ControlFrame
from .values import ValueAuthor, clear_open_value, clear_seal_value

__all__ = ["ChannelCrypto"]

_NO_KEY: Final = "a context without a key cannot be given one; join again with a key"


class ChannelCrypto(Uncopyable):
    """Seals what one user sends to a channel and opens what the others send.

    Made by ``Key.bind``, with a random session id that never leaves memory except in the hello. It
    outlives connections: a reconnect keeps it, a new process makes a new one. It is never copied or
    pickled, and dead in a forked child. ``seal`` may be called from several threads, the rest from one.

    It has no clock for what is due: *now* is in seconds of the caller's, which only goes forward. After
    any call, when ``stirred``, its owner sends what ``outgoing`` returns before whatever was sealed since,
    takes ``take_ready`` and ``notices``, and calls ``handle_timeout`` at ``next_timeout``.
    """

    __slots__ = ("_sealed", "_user", "open", "seal")

    seal: Callable[[Descriptor, Payload], bytes]
    """``seal(descriptor, payload) -> D | SFrame``; see ``Sealer.seal`` for what it raises.

    The descriptor's version must be this context's ``version``. An attribute, because one more call
    per frame would cost a tenth of the sealing.
    """
    open: Callable[[int, Payload], Opened]
    """``open(member, D | SFrame) -> Opened``: the cryptography of ``receive`` alone; see ``Opener.open``.

    It says who sealed the frame, and not that it is of today: a recording opens too.
    """

    def __init__(self, user: str, sealed: Conversation | None) -> None:
        """Use ``Key.bind``."""
        self._user = user_id(user)
        self._sealed = sealed
        if sealed is None:
            self.seal, self.open = clear_seal, clear_open
        else:
            self.seal, self.open = sealed.sending.seal, sealed.receiving.opener.open

    def __repr__(self) -> str:
        if self._sealed is None:
            return "ChannelCrypto(no key)"
        return f"ChannelCrypto(suite={self._sealed.sender.suite}, epoch={self._sealed.epoch})"

    @property
    def version(self) -> int:
        """The version of every descriptor of this context: 1 sealed, 2 clear text."""
        return CLEAR if self._sealed is None else SEALED

    @property
    def hello(self) -> bytes | None:
        """What introduces this context to the other members, sent with the join; None without a key.

        The same bytes for the context's whole life.
        """
        return None if self._sealed is None else self._sealed.hello

    @property
    def epoch(self) -> int | None:
        """The epoch that frames are sealed in; None without a key."""
        return None if self._sealed is None else self._sealed.epoch

    @property
    def code(self) -> str | None:
        """The channel code, 60 digits, of this side and all members that are accepted; None without a key."""
        return None if self._sealed is None else self._sealed.code

    def sealed_size(self, kind: Kind, length: int) -> int:
        """Return how many bytes a payload of *length* becomes at most, from the descriptor on.

        Raises:
            PaddingExceeded: frames have a constant size, and it is smaller.

        """
        return BYTES + length if self._sealed is None else self._sealed.sealed_size(kind, length)

    # --- who is there ---

    def joined(
        self, roster: Iterable[tuple[int, str, bytes | None]], now: float = 0.0
    ) -> list[RefusedMember]:
        """Take (member, user, hello) of all who are there after this side has joined, or joined again.

        It replaces the roster of before. Returns whose hello is refused, and why.
        """
        if self._sealed is None:
            return []
        return self._sealed.joined((Announced(*member) for member in roster), now)

    def add_member(self, member: int, user: str, hello: bytes | None, now: float = 0.0) -> None:
        """Open frames of *member*, which the relay says is *user*, by what its hello says.

        Whoever had the number before loses it, also when the hello is refused. A member without a
        hello is not an error: its frames raise KeyMissing.

        Raises:
            HelloRefused: malformed, wrongly signed, made for another channel, user, suite or way of
                sharing keys, one of our own sent back to us, or one member too many; with managed
                keys also when the member is not trusted, by the subclass that says why.

        """
        if self._sealed is not None:
            self._sealed.add_member(member, user, hello, now)

    def remove_member(self, member: int, now: float = 0.0) -> None:
        """Stop opening frames of *member*; an unknown number is no error.

        The counters seen of its session are remembered, so leaving and joining again lets no old
        frame through. With managed keys the others get a new key.
        """
        if self._sealed is not None:
            self._sealed.remove_member(member, now)

    def reconsider(self, roster: Iterable[tuple[int, str, bytes | None]], now: float) -> list[int]:
        """Ask again about members that were not trusted; return the numbers that are admitted now."""
        if self._sealed is None:
            return []
        return self._sealed.reconsider(now, (Announced(*member) for member in roster))

    # --- what comes in ---

    def receive(self, member: int, data: Payload, now: float, offset: int | None = None) -> list[Received]:
        """Take a frame of *member* (``D | SFrame``); return what may be delivered now, in order.

        That is nothing while the frame has to wait for its key or for proof that its sender is here now,
        and what had to wait for this frame as well. *offset* comes out again with the frame.

        Raises:
            SealError: the frame is refused, see ``Opener.open``; or Unsigned; or it would have to wait
                and there is no room (KeyMissing, NotFresh).

        """
        frame = data if type(data) is bytes else bytes(data)
        if self._sealed is None:
            return [Received(member, "", clear_open(member, frame), offset)]
        return self._sealed.receive(member, frame, now, offset)

    def recall(self, authors: Iterable[tuple[int, str, bytes | None]]) -> None:
        """Take (member, user, hello) of senders that left and whose messages will be recovered.

        They count for ``recover`` until the next ``joined``.
        """
        if self._sealed is not None:
            self._sealed.recall(Announced(*author) for author in authors)

    def recover(self, member: int, data: Payload, now: float, offset: int) -> list[Received]:
        """Take a message that was sent while this side was away, as the relay delivers it after a join.

        As ``receive``, and it counts as one: nothing is delivered twice. It does not wait for proof that its
        sender is here now; it is ``historical`` where there is none.

        Raises:
            SealError: it is refused, or its author's hello is.

        """
        frame = data if type(data) is bytes else bytes(data)
        if self._sealed is None:
            return [Received(member, "", clear_open(member, frame), offset)]
        return self._sealed.recover(member, frame, now, offset)

    def reopen(
        self, epoch: str, messages: Iterable[Kept], authors: Iterable[tuple[int, str, bytes | None]]
    ) -> Iterator[Reopened]:
        """Open messages that the channel has kept, one after the other, in the order of their offsets.

        The signature proves who sealed a message and what it says. That it is a message of this place, and
        that none is left out, is the relay's word. What comes in live is not touched, and no refusal raises.

        Args:
            epoch: the channel's epoch that the offsets are of.
            messages: as the relay lists them, own ones included.
            authors: (member, user, hello) of their senders, as they were introduced then.

        """
        if self._sealed is None:
            return clear_reopen(messages, authors)
        return self._sealed.history.reopen(epoch, messages, authors)

    def seal_value(self, label: bytes, data: bytes, most: int) -> bytes:
        """Seal what is set for all to see in one place, which *label* names, in *most* bytes at most.

        Raises:
            LimitExceeded: it is larger.
            SealError: it cannot be sealed; PaddingExceeded: frames have a constant size, and it is smaller.

        """
        if self._sealed is None:
            return clear_seal_value(label, data, most)
        return self._sealed.values.seal(label, data, most)

    def open_value(self, author: ValueAuthor, label: bytes, value: bytes) -> bytes:
        """Open what *author* has set in the place of that label: (member, user, hello) as they were then.

        The signature proves who set it, and where. That it is the newest is the relay's word. What comes in
        live is not touched.

        Raises:
            KeyMissing: its key, or its author's hello, is not here.
            SealError: it is not what its author has sealed for this place.

        """
        if self._sealed is None:
            return clear_open_value(label, value)
        return self._sealed.values.open(author, label, value)

    def receive_direct(self, member: int, data: bytes, now: float) -> None:
        """Take what *member* sent to this one alone: a key, or that it has one.

        Raises:
            WrapRefused: it is not accepted; nothing has changed.
            KeyMissing: the member is not a verified one, or there are no keys here.

        """
        if self._sealed is None:
            raise KeyMissing
        self._sealed.receive_direct(member, data, now)

    def set_key(self, epoch: int, secret: bytes, now: float | None = None) -> None:
        """Seal with the application's *secret* for *epoch* from now on.

        Frames of a member's older epochs open until ten seconds after its first good frame of a later one,
        or until an epoch with the same low four bits replaces theirs. The present epoch with its own
        secret again changes nothing.

        Raises:
            KeyMissing: this context was made by ``Key.none()``.
            EpochRefused: the epoch does not come after the present one.
            ValueError: the secret does not have 32 bytes.
            SealError: keys are managed: the members make them.
            ContextPoisoned: the process has forked since this was made.

        """
        if self._sealed is None:
            raise KeyMissing(_NO_KEY)
        self._sealed.set_key(epoch, secret, now)

    def rotate(self, secret: bytes, now: float | None = None) -> int:
        """Seal with *secret* in the next epoch; return its number. Raises like ``set_key``."""
        if self._sealed is None:
            raise KeyMissing(_NO_KEY)
        epoch = self._sealed.epoch + 1
        self._sealed.set_key(epoch, secret, now)
        return epoch

    def hasten(self) -> None:
        """Let no member wait for the proof that this side is here: see the freshness of docs/encryption.md.

        To be called with every message that is sealed, and before leaving; then ``outgoing`` has the proof.
        """
        if self._sealed is not None:
            self._sealed.sending.beaconing.hasten()

    # --- what is due ---

    @property
    def stirred(self) -> bool:
        """Whether something is to be taken, or ``next_timeout`` may have changed."""
        return self._sealed is not None and self._sealed.stirred

    def outgoing(self, now: float | None = None) -> list[Direct | ControlFrame]:
        """Return what is to be sent, in this order, before any frame that was sealed since the last call.

        Not to be called while there is no way to send it.
        """
        return [] if self._sealed is None else self._sealed.outgoing(now)

    @property
    def held(self) -> int | None:
        """The offset of the first message that waits, as it was handed over; None when none does."""
        return None if self._sealed is None else self._sealed.receiving.held

    def take_ready(self) -> list[Received]:
        """Return frames that became deliverable by something else than ``receive``, in order."""
        return [] if self._sealed is None else self._sealed.receiving.take_ready()

    def notices(self) -> list[Notice]:
        """Return what happened since the last call."""
        return [] if self._sealed is None else self._sealed.notices()

    def next_timeout(self) -> float | None:
        """Return when to call ``handle_timeout``; None for not at all."""
        return None if self._sealed is None else self._sealed.next_timeout()

    def handle_timeout(self, now: float) -> None:
        """Do what is due: give up what waited for too long, retire and make keys, look at the senders."""
        if self._sealed is not None:
            self._sealed.handle_timeout(now)
