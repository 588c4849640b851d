"""Who counts as a member for encryption: what decides whether somebody's keys are wrapped to.

The relay's word is not enough, because it can mint tokens and invent members. Three policies:

``AuthorityTrust``   a certificate of the customer's authority key. The default.
``CallbackTrust``    the application's own check, for example against a directory it trusts.
``FirstUseTrust``    the first identity key seen of a user is remembered, a later one refused. The first
                     meeting is unprotected, so it is chosen by name and never by leaving something out.

All are asked once for each hello, before anything is wrapped, and refuse by raising.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from sealcast.client.errors import IdentityChanged, MemberNotTrusted, PrivateFileRefused, TrustStoreBusy

from .certificate import verify_certificate
from .hello import Role
from .trust_store import TrustStore

__all__ = ["AuthorityTrust", "CallbackTrust", "Claim", "FirstUseTrust", "TrustPolicy", "trust_policy"]

_PUBLIC: Final = 32


class Claim(NamedTuple):
    """What a hello claims, after its signature was verified: the question put to a trust policy."""

    app_id: str
    channel: str
    ctx: bytes
    user: str
    """The user, as the hello says and the relay confirms."""
    identity: bytes
    """The identity key that signed the hello, 32 bytes."""
    role: Role
    certificate: bytes
    """What came with the hello; empty when nothing did."""


class TrustPolicy(Protocol):
    """Decides who is a member."""

    def check(self, claim: Claim, wall: float) -> float | None:
        """Return until when the claim is trusted, in Unix seconds; None for as long as the member stays.

        *wall* is the present time in Unix seconds.

        Raises:
            HelloRefused: the claim is not trusted; the subclass says why.

        """

    def recall(self, claim: Claim, wall: float) -> None:
        """Check the author of an earlier message; nothing is remembered of it. Raises as ``check``."""


class AuthorityTrust:
    """Trusts who has a certificate of one authority, for as long as the certificate holds."""

    __slots__ = ("_authority",)

    def __init__(self, authority: bytes) -> None:
        """*authority* is the public key, 32 bytes."""
        if len(authority) != _PUBLIC:
            raise ValueError(f"an authority's public key has {_PUBLIC} bytes")
        self._authority = bytes(authority)

    def check(self, claim: Claim, wall: float) -> float | None:
        """Verify the claim's certificate; see ``verify_certificate`` for what it raises."""
        certificate = verify_certificate(
            claim.certificate,
            self._authority,
            ctx=claim.ctx,
            user=claim.user,
            identity=claim.identity,
            role=claim.role,
            wall=wall,
        )
        return certificate.not_after

    def recall(self, claim: Claim, wall: float) -> None:
        """Verify the claim's certificate: it has to hold today, whenever the message was sent."""
        self.check(claim, wall)


class CallbackTrust:
    """Trusts whom the application vouches for: ``verify_member(claim)`` must return exactly True."""

    __slots__ = ("_verify",)

    def __init__(self, verify_member: Callable[[Claim], bool]) -> None:
        # Its coroutine would be neither awaited nor False.
        if inspect.iscoroutinefunction(verify_member):
            raise TypeError("verify_member is called while a member joins and cannot be async")
        self._verify = verify_member

    def check(self, claim: Claim, wall: float) -> float | None:
        """Ask the application.

        Raises:
            MemberNotTrusted: it did not return True; what it raised is the cause.

        """
        try:
            vouched = self._verify(claim)
        except Exception as error:
            raise MemberNotTrusted from error
        if vouched is not True:
            raise MemberNotTrusted
        return None

    def recall(self, claim: Claim, wall: float) -> None:
        """Ask the application; raises as ``check``."""
        self.check(claim, wall)


class FirstUseTrust:
    """Trusts the identity key that a user had first, by a ``TrustStore``."""

    __slots__ = ("_store",)

    def __init__(self, store: TrustStore) -> None:
        self._store = store

    def check(self, claim: Claim, wall: float) -> float | None:
        """Compare with the store, or remember.

        Raises:
            IdentityChanged: the user is known by another key; ``TrustStore.accept`` takes the new one.
            MemberNotTrusted: the store is full, busy or cannot be used; the cause says which.

        """
        try:
            self._store.check(claim.app_id, claim.user, claim.identity, wall)
        except (TrustStoreBusy, PrivateFileRefused, OSError) as error:
            raise MemberNotTrusted("the trust store cannot be used, so nobody is trusted by it") from error
        return None

    def recall(self, claim: Claim, wall: float) -> None:
        """Compare with the store. What a relay says of the past decides nothing about the present.

        Raises:
            IdentityChanged: the user is known by another key.
            MemberNotTrusted: the store cannot be used.

        """
        try:
            known = self._store.known(claim.app_id, claim.user)
        except (PrivateFileRefused, OSError) as error:
            raise MemberNotTrusted("the trust store cannot be used, so nobody is trusted by it") from error
        if known is not None and known.identity != claim.identity:
            raise IdentityChanged


def trust_policy(
    authority: bytes | None = None,
    *,
    verify_member: Callable[[Claim], bool] | None = None,
    trust: str = "authority",
    store: TrustStore | None = None,
) -> TrustPolicy:
    """Return the policy that these arguments of ``Key.managed`` ask for.

    Args:
        authority: the authority's public key.
        verify_member: the application's check.
        trust: ``authority``, ``callback`` or ``first_use``; the last two must be named.
        store: where first use remembers; without one it remembers until the process ends.

    Raises:
        ValueError: an unknown name, or arguments that belong to another policy. A policy that was
            asked for is never replaced by a weaker one.

    """
    given = {"authority": authority, "callback": verify_member, "first_use": store}
    if trust not in given:
        raise ValueError("trust is authority, callback or first_use")
    if any(value is not None for name, value in given.items() if name != trust):
        raise ValueError(f"an argument belongs to another policy than trust={trust!r}")
    if trust == "first_use":
        return FirstUseTrust(store if store is not None else TrustStore())
    if trust == "callback":
        if verify_member is None:
            raise ValueError("trust='callback' needs verify_member")
        return CallbackTrust(verify_member)
    if authority is None:
        raise ValueError("managed keys need the authority's public key, or another trust by name")
    return AuthorityTrust(authority)
