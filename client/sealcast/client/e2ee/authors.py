"""Who made what is kept: read from a hello, which may be that of somebody who left long ago."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealcast.client.errors import KeyMissing

from .company import Companion, Company, check_fits, companion_of
from .context import Sender
from .hello import read_sent_hello
from .lifetime import Uncopyable
from .opener import Opener
from .peers import Introduction
from .provider import KeyProvider

__all__ = ["Authors"]


class Authors(Uncopyable):
    """Decides whose signature counts, and lets an opener open what that author sealed.

    Args:
        own: this side, which is an author too.
        provider: decides who is trusted.
        company: the members of the moment: who is among them was decided about already.
        wall: the time in Unix seconds.

    """

    __slots__ = ("_company", "_own", "_provider", "_wall")

    def __init__(
        self, own: Sender, provider: KeyProvider, company: Company, wall: Callable[[], float]
    ) -> None:
        self._own = own
        self._provider = provider
        self._company = company
        self._wall = wall

    def admit(self, opener: Opener, member: int, user: str, hello: bytes | None) -> Companion:
        """Let *opener* open what *user* sealed, whose number was *member* then.

        Raises:
            KeyMissing: there is no hello.
            HelloRefused: it does not hold, or its author is not trusted.

        """
        if hello is None:
            raise KeyMissing
        sent = read_sent_hello(hello, self._own.ctx)
        check_fits(sent.hello, user, self._own, self._provider.kem)
        companion = companion_of(self._own, sent)
        own = companion.sender == self._own and sent.hello.identity == self._provider.identity().public
        present = self._company.get(member)
        if not own and (present is None or present.body != sent.body):
            self._provider.vouch(Introduction(member, sent.hello, sent.certificate), self._wall())
        identity = Ed25519PublicKey.from_public_bytes(sent.hello.identity)
        opener.admit(member, companion.sender, hashlib.sha256(sent.body).digest(), identity)
        return companion
