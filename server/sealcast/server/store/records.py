"""What the database holds, as the rest of the relay sees it, and how a request to it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from sealcast.protocol.errors import SealcastError

__all__ = [
    "DAY",
    "AccountRecord",
    "Answer",
    "AppRecord",
    "BlockRecord",
    "CallRecord",
    "CertificateRecord",
    "CertificateRole",
    "KeyRecord",
    "MembershipRecord",
    "MigrationNeeded",
    "Missing",
    "Role",
    "StoreDown",
    "StoreError",
    "StoreUnusable",
    "Taken",
    "WrongState",
    "too_many",
]

CertificateRole = Literal["primary", "secondary"]
Role = Literal["admin", "operator", "viewer"]
"""What an account may do in the console: everything, everything but keys and accounts, look."""


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """What may sign an app's tokens."""

    certificate_id: str
    secret: str = field(repr=False)
    role: CertificateRole
    enabled: bool
    created: float


@dataclass(frozen=True, slots=True)
class AppRecord:
    """One app."""

    app_id: str
    name: str
    enabled: bool
    settings: Mapping[str, Any]
    """The sections ``policy``, ``limits`` and so on, with the options that are not at their defaults."""
    certificates: tuple[CertificateRecord, ...]
    """Primary first."""
    version: int
    """Grows with every change of the app or its certificates."""
    created: float
    updated: float


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One API key; the key itself is not kept."""

    key_id: str
    name: str
    digest: bytes = field(repr=False)
    """SHA-256 of the key."""
    scopes: tuple[str, ...]
    app_id: str | None
    """The one app that it is good for; None for all."""
    rate: int | None
    """Requests a minute; None for the server's default."""
    created: float
    expires: float | None
    last_used: float | None


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """Somebody who may sign in to the console."""

    account_id: str
    email: str
    password_hash: str = field(repr=False)
    role: Role
    disabled: bool
    created: float


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """A network that an operator keeps out."""

    network: str
    """As ``networks.network_of`` spells it."""
    reason: str
    created: float
    until: float | None
    """Unix seconds; None: until it is lifted."""
    actor: str
    """Who did it, as the audit log names it."""


@dataclass(eq=False, slots=True)
class CallRecord:
    """The life of a channel on one node; it is written again whenever it has changed."""

    call_id: str
    run_id: str
    """The process's, from its start to its end."""
    node: str
    app_id: str
    channel: str
    opened: float
    closed: float | None = None
    reason: str | None = None
    """``over``, or ``node_lost`` where nobody saw the end."""
    memberships: int = 0
    """How often somebody joined."""
    peak: int = 0
    """How many were there at the same time at most."""
    present: int = 0
    """How many are there; not kept."""
    kept: bool = False
    """Whether it has been written before: if it is not there any more, it was deleted."""


@dataclass(eq=False, slots=True)
class MembershipRecord:
    """A user in a channel, from joining to leaving; it is written again when it has ended."""

    record_id: str
    call: CallRecord | None
    """None in what was read."""
    call_id: str
    run_id: str
    app_id: str
    user_id: str
    member: int
    """Its number in the channel."""
    address: str
    """Whole, cut to a network, or empty, as the options say."""
    agent: str
    system: str
    """The operating system, as far as the user agent says."""
    joined: float
    ended: float | None = None
    reason: str | None = None
    """The name of an end code, or ``node_lost``."""
    frames_in: int = 0
    """What it has sent; written at the end."""
    bytes_in: int = 0
    kept: bool = False
    """As a call's."""


DAY: Final = 86_400.0
"""Seconds for which answers are kept."""


class Answer(NamedTuple):
    """What is known of a request that was begun before."""

    fingerprint: bytes
    """Of the request: another one under the same key is a mistake."""
    status: int | None
    """None: no answer yet, or the process ended before there was one."""
    body: bytes | None
    begun: float


class StoreError(SealcastError):
    """A request to the database was not carried out."""


class Missing(StoreError):
    """There is no such thing; ``what`` says of which kind."""

    def __init__(self, what: str) -> None:
        super().__init__(f"no such {what}")
        self.what = what


class Taken(StoreError):
    """There is one already; ``what`` says of which kind."""

    def __init__(self, what: str) -> None:
        super().__init__(f"there is such a {what} already")
        self.what = what


class WrongState(StoreError):
    """It cannot be done in the state that things are in; ``name`` is stable, the text for people."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


def too_many(what: str, most: int) -> WrongState:
    """Return the refusal of one rule more than an app may have; *what* says of which kind."""
    return WrongState("too_many_rules", f"the app has {most} {what}s, which is as many as it may have")


class StoreDown(StoreError):
    """The database does not answer, or not in time; trying again later makes sense."""


class StoreUnusable(StoreError):
    """The database cannot be used as it is configured."""


class MigrationNeeded(StoreUnusable):
    """The database has another schema than this version of sealcast."""
