"""One user's side of a sealed channel: keys, sending, receiving and who is there, put together.

No I/O and no clock of its own. Its owner calls it with the time, and afterwards, when ``stirred``, takes
what has to go out (``outgoing``), what may be delivered (``take_ready``) and what happened
(``notices``), and comes back at ``next_timeout``.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from sealcast.client.errors import HelloRefused, SealError
from sealcast.protocol.names import Kind

from .authors import Authors
from .company import Company, check_fits, companion_of
from .context import Entropy, Sender
from .direct import Direct
from .hello import CHALLENGE, Hello, Role, SentHello, read_sent_hello, sign_hello
from .history import HistoryReader
from .lifetime import Uncopyable
from .notices import Notice, TrustEnded
from .peers import Introduction
from .protection import Protection
from .provider import KeyProvider
from .receiving import NOTICES_MAX, Received, Receiving
from .safety import channel_code
from .sending import ControlFrame, Sending
from .values import ValueBox

__all__ = ["Announced", "Conversation", "RefusedMember"]

_MS: Final = 1000


class Announced(NamedTuple):
    """A member as the relay announces it."""

    member: int
    user: str
    hello: bytes | None


class RefusedMember(NamedTuple):
    """A member whose hello was not accepted, and why."""

    member: int
    error: HelloRefused


class Conversation(Uncopyable):
    """A sending and receiving context of one channel, for its whole life.

    Args:
        sender: this side, with its fresh session.
        provider: its keys.
        protection: how frames are protected.
        certificate: follows the hello.
        wall: the time in Unix seconds.
        entropy: what the challenge is made from.

    """

    __slots__ = (
        "_authors",
        "_company",
        "_now",
        "_pending",
        "_provider",
        "_stirred",
        "_wall",
        "hello",
        "history",
        "receiving",
        "sender",
        "sending",
        "values",
    )

    def __init__(
        self,
        sender: Sender,
        provider: KeyProvider,
        protection: Protection,
        certificate: bytes,
        wall: Callable[[], float],
        entropy: Entropy,
    ) -> None:
        self.sender = sender
        self._provider = provider
        self._wall = wall
        self._now = 0.0
        self._stirred = False
        self._pending: deque[Notice] = deque(maxlen=NOTICES_MAX)
        self._authors: dict[int, Announced] = {}
        signer = provider.identity()
        hello = Hello(
            role=Role.AUDIENCE if protection.audience else Role.MEMBER,
            suite=sender.suite.id,
            user=sender.user,
            session=sender.session,
            identity=signer.public,
            kem=provider.kem,
            kem_public=provider.kem_public,
            time_ms=self._wall_ms(),
            challenge=entropy(CHALLENGE),
        )
        self.hello = sign_hello(hello, sender.ctx, signer, certificate)
        """What introduces this context to the others; the same for its whole life."""
        self._company = Company(sender, hello.encode(), provider.held)
        self.sending = Sending(sender, provider.sending(sender), signer, protection, provider.mark_used)
        self.receiving = Receiving(provider, self._company, hello.challenge, protection, self._wall_ms)
        authors = Authors(sender, provider, self._company, wall)
        self.history = HistoryReader(provider, authors, protection)
        """Opens messages that the channel has kept; nothing of it touches what comes in live."""
        self.values = ValueBox(self.sending, provider, authors, protection)
        """Seals and opens what is set for all to see; likewise."""

    def __repr__(self) -> str:
        return f"Conversation(suite={self.sender.suite}, epoch={self.epoch}, sessions={len(self._company)})"

    @property
    def epoch(self) -> int:
        """The epoch that frames are sealed in."""
        return self.sending.sealer.epoch

    @property
    def stirred(self) -> bool:
        """Whether there is something to take, or another time to come back at."""
        return self._stirred or self.receiving.stirred or self.sending.stirred

    @property
    def code(self) -> str:
        """The channel code of all sessions that are accepted at present, this one included."""
        return channel_code(self.sender.ctx, self._company.hellos())

    # --- who is there ---

    def joined(self, roster: Iterable[Announced], now: float) -> list[RefusedMember]:
        """Take the members that are there after this side has joined; return whose hello is refused.

        The roster replaces the one before. Sessions that are still there go on as they are.
        """
        self._enter(now)
        self._authors.clear()
        self.receiving.dismiss_authors()
        refused: list[RefusedMember] = []
        read: dict[int, SentHello] = {}
        for member, user, hello in roster:
            try:
                sent = self._read(user, hello)
            except HelloRefused as error:
                refused.append(RefusedMember(member, error))
            else:
                if sent is not None:
                    read[member] = sent
        introductions = [Introduction(member, sent.hello, sent.certificate) for member, sent in read.items()]
        for refusal in self._provider.joined(introductions, now, self._wall()):
            del read[refusal.member]
            assert isinstance(refusal.error, HelloRefused), "providers refuse hellos"
            refused.append(RefusedMember(refusal.member, refusal.error))
        for member in self._company:
            companion = self._company.get(member)
            if companion is None or member not in read or read[member].body != companion.body:
                self._dismiss(member)
        for member, sent in read.items():
            if self._company.get(member) is None:
                try:
                    self._admit(member, sent, now)
                except HelloRefused as error:
                    refused.append(RefusedMember(member, error))
        self.receiving.resume(now)
        self.sending.beaconing.returned()
        self._settle(now)
        return refused

    def add_member(self, member: int, user: str, hello: bytes | None, now: float) -> None:
        """Open frames of *member*, which the relay says is *user*, by what its hello says.

        Whoever had the number before loses it, also when the hello is refused.

        Raises:
            HelloRefused: it does not hold, or the member is not trusted; see ``ChannelCrypto.add_member``.

        """
        self._enter(now)
        self._dismiss(member)
        try:
            sent = self._read(user, hello)
        except HelloRefused:
            self._forsake(member, now)
            raise
        if sent is None:
            self._forsake(member, now)
            return
        try:
            self._provider.add_member(Introduction(member, sent.hello, sent.certificate), now, self._wall())
            self._admit(member, sent, now)
        finally:
            self._settle(now)

    def remove_member(self, member: int, now: float) -> None:
        """Open nothing more of *member*, and where keys are managed change them."""
        self._enter(now)
        self._dismiss(member)
        self._forsake(member, now)

    def _forsake(self, member: int, now: float) -> None:
        self._provider.remove_member(member, now)
        self._settle(now)

    def _read(self, user: str, hello: bytes | None) -> SentHello | None:
        if hello is None:
            return None
        sent = read_sent_hello(hello, self.sender.ctx)
        if sent.hello.session == self.sender.session:
            raise HelloRefused("the hello carries this side's own session; the relay sent it back")
        check_fits(sent.hello, user, self.sender, self._provider.kem)
        return sent

    def _admit(self, member: int, sent: SentHello, now: float) -> None:
        companion = companion_of(self.sender, sent)
        try:
            self.receiving.admit(member, companion, hashlib.sha256(sent.body).digest())
        except HelloRefused:
            self._provider.remove_member(member, now)
            raise
        self._company.add(member, companion)
        if not companion.is_audience:
            self.sending.beaconing.welcome(companion.name, sent.hello.challenge, now)

    def _dismiss(self, member: int) -> None:
        self.receiving.dismiss(member)
        gone = self._company.remove(member)
        if gone is not None:
            self.receiving.forget(gone.name)
            self.sending.beaconing.dismiss(gone.name)

    # --- what comes in ---

    def receive(self, member: int, data: bytes, now: float, offset: int | None = None) -> list[Received]:
        """Take a frame; see ``Receiving.receive``."""
        self._now = now
        received = self.receiving.receive(member, data, now, offset)
        if self.receiving.stirred:
            self._settle(now)
        return received

    def recall(self, authors: Iterable[Announced]) -> None:
        """Take the senders of messages that will be recovered and are no members; read when one comes."""
        self._authors = {author.member: author for author in authors}

    def recover(self, member: int, data: bytes, now: float, offset: int) -> list[Received]:
        """Take a message that was sent while this side was away; see ``Receiving.recover``.

        Raises:
            HelloRefused: its author's hello does not hold, or the author is not trusted.
            SealError: it is refused.

        """
        self._enter(now)
        author = self._authors.get(member)
        if author is not None and self._company.get(member) is None:
            sent = self._read(author.user, author.hello)
            if sent is not None:
                self._provider.vouch(Introduction(member, sent.hello, sent.certificate), self._wall())
                companion = companion_of(self.sender, sent)
                self.receiving.admit_author(member, companion, hashlib.sha256(sent.body).digest())
            del self._authors[member]
        received = self.receiving.recover(member, data, now, offset)
        self._settle(now)
        return received

    def receive_direct(self, member: int, data: bytes, now: float) -> None:
        """Take what *member* sent directly; raises SealError when it is not accepted."""
        self._enter(now)
        try:
            companion = self._company.get(member)
            if self._provider.receive_direct(member, data, now) and companion is not None:
                self.receiving.retry([companion.name], now)
        finally:
            self._settle(now)

    def set_key(self, epoch: int, secret: bytes, now: float | None) -> None:
        """Seal with the application's secret for *epoch* from now on; see ``ChannelCrypto.set_key``."""
        self._enter(self._now if now is None else now)
        if self._provider.set_key(epoch, secret):
            self.receiving.drop_epoch(epoch)
            self._settle(self._now)
            self.receiving.retry(None, self._now)
            self._settle(self._now)

    def reconsider(self, now: float, announced: Iterable[Announced]) -> list[int]:
        """Ask again about members that were not trusted; return who of *announced* is admitted now."""
        self._enter(now)
        admitted = self._provider.reconsider(now, self._wall())
        by_number = {member: (user, hello) for member, user, hello in announced}
        for member in admitted:
            user, hello = by_number.get(member, ("", None))
            try:
                sent = self._read(user, hello)
                if sent is not None:
                    self._admit(member, sent, now)
            except SealError:
                self._provider.remove_member(member, now)
        self._settle(now)
        return [member for member in admitted if self._company.get(member) is not None]

    # --- what goes out, and time ---

    def outgoing(self, now: float | None) -> list[Direct | ControlFrame]:
        """Return what is to be sent, in this order, before any frame that is sealed from now on."""
        if now is not None:
            self._now = now
        self._stirred = self.receiving.stirred = False
        control = self.sending.control_frames(self._company, self._now, self._wall_ms())
        return [*self._provider.outgoing(), *control]

    def sealed_size(self, kind: Kind, length: int) -> int:
        """Return how many bytes a payload becomes at most; raises PaddingExceeded."""
        return self.sending.layers.sealed_size(kind, length)

    def notices(self) -> list[Notice]:
        """Return what happened since the last call."""
        taken = [*self._pending, *self.receiving.notices()]
        self._pending.clear()
        return taken

    def next_timeout(self) -> float | None:
        """Return when to call ``handle_timeout``; None for not at all."""
        times = (
            self._provider.next_timeout(),
            self.receiving.next_timeout(),
            self.sending.next_timeout(),
        )
        return min((time for time in times if time is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._enter(now)
        self._provider.handle_timeout(now)
        self.receiving.handle_timeout(now)
        self._settle(now)

    def _enter(self, now: float) -> None:
        self._now = now
        self._stirred = True

    def _settle(self, now: float) -> None:
        """Bring both halves to where the provider is."""
        self.receiving.drop_keys(self._provider.stale())
        for notice in self._provider.notices():
            if isinstance(notice, TrustEnded):
                self._dismiss(notice.member)
            self._pending.append(notice)
        base = self._provider.sending(self.sender)
        held = self.sending.sealer.base
        if (base.epoch, base.step) != (held.epoch, held.step):
            self.sending.rekey(base, self._company, now, self._wall_ms())

    def _wall_ms(self) -> int:
        return int(self._wall() * _MS)
