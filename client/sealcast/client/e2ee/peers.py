"""The other members under managed keys: who was verified, by which member numbers, until when."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealcast.client.errors import HelloRefused

from .context import Sender
from .hello import Hello, Role
from .kem import PublicKem
from .rekey import Name
from .trust import Claim, TrustPolicy
from .wrap import Pair, Party

__all__ = ["REFUSED_MAX", "Introduction", "Peer", "Peers"]

REFUSED_MAX: Final = 1024
"""Members that were not trusted and are kept in mind, for when the application changes its own."""
_WRAPS_KEPT: Final = 2
"""Wraps kept of each: a member that joins while a sender changes keys gets two."""


class Introduction(NamedTuple):
    """A member as the relay announces it: its number, its hello (signature verified), its certificate."""

    member: int
    hello: Hello
    certificate: bytes


class Peer:
    """One verified session of another member. Several member numbers may stand for it in turn."""

    __slots__ = ("identity", "inbound", "members", "name", "outbound", "receives", "to", "until")

    def __init__(self, own: Sender, me: Party, to_me: tuple[int, bytes], hello: Hello) -> None:
        """Take the peer from its hello; *to_me* is this side's key encapsulation and public key.

        Raises:
            HelloRefused: the hello's key encapsulation key is not usable.

        """
        party = Party(hello.user, hello.session, hello.identity)
        self.name: Name = (hello.user, hello.session)
        self.to = PublicKem(hello.kem, hello.kem_public)
        self.identity = Ed25519PublicKey.from_public_bytes(hello.identity)
        self.outbound = Pair(own.ctx, own.suite, me, party, hello.kem, hello.kem_public)
        self.inbound = Pair(own.ctx, own.suite, party, me, *to_me)
        # A gateway is given single streams (grant 1), never a sender's base key.
        self.receives = hello.role is not Role.GATEWAY
        self.members: list[int] = []
        self.until: float | None = None

    def __repr__(self) -> str:
        return f"Peer(members={self.members})"

    @property
    def address(self) -> int:
        """The member number to send to: the latest."""
        return self.members[-1]

    def is_introduced_by(self, hello: Hello) -> bool:
        """Whether *hello* is of the same keys as the one that this peer was made from."""
        pair = self.outbound
        return (pair.receiver.identity, pair.kem, pair.kem_public) == (
            hello.identity,
            hello.kem,
            hello.kem_public,
        )


class _Refused(NamedTuple):
    introduction: Introduction
    wraps: deque[bytes]


class Peers:
    """All verified peers, and the hellos of members that were refused by the trust policy."""

    __slots__ = (
        "_app_id",
        "_by_member",
        "_by_name",
        "_channel",
        "_me",
        "_own",
        "_refused",
        "_stale",
        "_to_me",
        "_trust",
        "_until",
    )

    def __init__(
        self,
        app_id: str,
        channel: str,
        own: Sender,
        identity: bytes,
        to_me: tuple[int, bytes],
        trust: TrustPolicy,
    ) -> None:
        self._app_id = app_id
        self._channel = channel
        self._own = own
        self._me = Party(own.user, own.session, identity)
        self._to_me = to_me
        self._trust = trust
        self._by_member: dict[int, Peer] = {}
        self._by_name: dict[Name, Peer] = {}
        self._refused: OrderedDict[int, _Refused] = OrderedDict()
        self._until: float | None = None
        self._stale = False

    def __len__(self) -> int:
        return len(self._by_name)

    def of_member(self, member: int) -> Peer | None:
        """Return the verified peer that *member* stands for."""
        return self._by_member.get(member)

    def of_name(self, name: Name) -> Peer | None:
        """Return the verified peer with this user and session."""
        return self._by_name.get(name)

    def all(self) -> list[Peer]:
        """Return all verified peers."""
        return list(self._by_name.values())

    @property
    def trusted_until(self) -> float | None:
        """When the first peer's trust ends, in the seconds of *now*; None when none does."""
        if self._stale:
            ends = (peer.until for peer in self._by_name.values() if peer.until is not None)
            self._until = min(ends, default=None)
            self._stale = False
        return self._until

    def refused(self) -> list[tuple[Introduction, list[bytes]]]:
        """Return the members that were not trusted, as they were introduced, with the wraps they sent."""
        return [(refused.introduction, list(refused.wraps)) for refused in self._refused.values()]

    def keep_for_later(self, member: int, wrap: bytes) -> None:
        """Keep the latest wraps of a member that is not trusted: its sender will not send them again."""
        refused = self._refused.get(member)
        if refused is not None:
            refused.wraps.append(wrap)

    def admit(self, introduction: Introduction, now: float, wall: float) -> Peer:
        """Return the peer that was introduced, verified, with the member's number added to it.

        The number must be free.

        Raises:
            HelloRefused: it is this side's own session, uses another suite or key encapsulation,
                reuses a session under other keys, or is not trusted.

        """
        member, hello, _ = introduction
        if hello.session == self._own.session:
            raise HelloRefused("the hello carries this side's own session; the relay sent it back")
        if hello.suite != self._own.suite.id or hello.kem != self._to_me[0]:
            raise HelloRefused("the member uses another suite or key encapsulation; give all the same")
        name = (hello.user, hello.session)
        peer = self._by_name.get(name)
        if peer is not None and not peer.is_introduced_by(hello):
            raise HelloRefused("another hello has introduced this session already")
        until = self._ask(introduction, wall)
        if peer is None:
            peer = Peer(self._own, self._me, self._to_me, hello)
            self._by_name[name] = peer
        peer.until = None if until is None else now + (until - wall)
        self._stale = True
        peer.members.append(member)
        self._by_member[member] = peer
        self._refused.pop(member, None)
        return peer

    def _claim(self, introduction: Introduction) -> Claim:
        _, hello, certificate = introduction
        return Claim(
            self._app_id, self._channel, self._own.ctx, hello.user, hello.identity, hello.role, certificate
        )

    def _ask(self, introduction: Introduction, wall: float) -> float | None:
        member = introduction.member
        try:
            return self._trust.check(self._claim(introduction), wall)
        except HelloRefused:
            # Asked once more in vain, it keeps what it sent.
            if member not in self._refused:
                self._refused[member] = _Refused(introduction, deque(maxlen=_WRAPS_KEPT))
                if len(self._refused) > REFUSED_MAX:
                    self._refused.popitem(last=False)
            raise

    def vouch(self, introduction: Introduction, wall: float) -> None:
        """Ask the trust policy about the author of an earlier message; nothing is kept of it.

        Raises:
            HelloRefused: it is not trusted.

        """
        self._trust.recall(self._claim(introduction), wall)

    def release(self, member: int) -> Peer | None:
        """Forget a member number; return its peer if no other number stands for it any more."""
        self._refused.pop(member, None)
        peer = self._by_member.pop(member, None)
        if peer is None:
            return None
        peer.members.remove(member)
        if peer.members:
            return None
        del self._by_name[peer.name]
        self._stale = True
        return peer

    def clear(self) -> list[Peer]:
        """Forget all members; return the peers that there were."""
        peers = self.all()
        self._by_member.clear()
        self._by_name.clear()
        self._refused.clear()
        self._stale = True
        return peers
