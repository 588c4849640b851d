"""Access tokens: build one, look into one, verify one.

A token is what an application server hands to a user so that a relay, which knows the app's
certificates and nothing else about its users, can admit them: *this user may join this channel and
publish these kinds until then*. Formats: AccessToken2 (``007``) and, where an app accepts it, the
older AccessToken (``006``). docs/tokens.md has the byte layouts and the reasons for the policy.

Three ways in, and only the last decides anything:

- ``AccessToken`` builds. Clock and randomness are arguments; ``sealcast.client.tokens.mint`` has both.
- ``parse`` shows what a token *says*. Anybody can write anything into a token.
- ``verify`` returns a ``Grant`` or raises the one TokenError that names the cause.

The policy where the format is silent: no token lives longer than 24 hours, none lives 0 seconds,
no privilege outlives its token, and every doubt is a refusal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from . import token_006, token_007
from .errors import (
    TokenExpired,
    TokenMalformed,
    TokenNotForChannel,
    TokenNotForUser,
    TokenNotPermitted,
    TokenVersionRefused,
)
from .names import AppId, ChannelName, Privilege, UserId
from .names import certificate as check_certificate
from .token_006 import Claims006
from .token_007 import PAYLOAD_MAX, SERVICES_MAX, SIGNATURE_SIZE, TEXT_MAX, AccessToken
from .token_bytes import FrozenMap
from .token_checks import (
    check_app,
    check_life,
    check_signature,
    deadline,
    legal_channel,
    legal_user,
    signature_id,
)
from .token_services import (
    ChatService,
    ConvoAiService,
    EducationService,
    FcdnService,
    FpaService,
    RtcService,
    Rtm2Access,
    Rtm2Resource,
    Rtm2Service,
    RtmService,
    Service,
    StreamingService,
    SttService,
    is_wildcard,
    name_matches,
)

__all__ = [
    "LIFE_MAX",
    "PAYLOAD_MAX",
    "SERVICES_MAX",
    "TEXT_MAX",
    "AccessToken",
    "ChatService",
    "Claims006",
    "ConvoAiService",
    "EducationService",
    "FcdnService",
    "FpaService",
    "FrozenMap",
    "Grant",
    "LoginGrant",
    "ParsedToken",
    "RtcService",
    "Rtm2Access",
    "Rtm2Resource",
    "Rtm2Service",
    "RtmService",
    "Service",
    "StreamingService",
    "SttService",
    "Version",
    "is_wildcard",
    "name_matches",
    "parse",
    "token_id",
    "verify",
    "verify_login",
]

LIFE_MAX: Final = 86400
"""The longest life of a token in seconds, whatever it says."""

Version = Literal["006", "007"]

_LOGIN: Final = 1
"""The privilege to log in, in RtmService and Rtm2Service."""


# --- looking into one ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ParsedToken:
    """What a token says. **Nothing here is verified**, and nothing here may decide who gets in.

    ``issued_at`` is in Unix seconds, ``expire`` in seconds after it, as written. A 006 token carries
    only its end, 24 hours after the build; its ``issued_at`` is reckoned back from that.

    ``service_count`` is what the token announces and ``services`` what could be read: ``stopped_at``
    is the unknown service type that reading stopped at, or None. ``signature_size`` is in bytes; the
    signature itself is left out, so that this object can be printed and logged; ``token_id`` can be, too.
    """

    version: Version
    app_id: AppId
    issued_at: int
    expire: int
    salt: int
    services: tuple[Service, ...]
    service_count: int
    stopped_at: int | None
    signature_size: int
    claims_006: Claims006 | None
    token_id: str

    @property
    def expires(self) -> int:
        """The Unix second at which the token would end, LIFE_MAX considered."""
        return self.issued_at + min(self.expire, LIFE_MAX)

    @property
    def has_signature(self) -> bool:
        """Whether something as long as a signature is there. It may be anything: see ``verify``."""
        return self.signature_size == SIGNATURE_SIZE


def parse(token: str) -> ParsedToken:
    """Take a token of either version apart **without verifying it**, for inspection only.

    Raises TokenMalformed.
    """
    if _version(token) == token_006.PREFIX:
        old = token_006.decode(token)
        return ParsedToken(
            version="006",
            app_id=old.app_id,
            issued_at=_issued_at_006(old),
            expire=old.end - _issued_at_006(old),
            salt=old.salt,
            services=(),
            service_count=0,
            stopped_at=None,
            signature_size=len(old.signature),
            claims_006=Claims006(old.channel_crc, old.user_crc, old.privileges),
            token_id=signature_id(old.signature),
        )
    new = token_007.decode(token)
    return ParsedToken(
        version="007",
        app_id=new.app_id,
        issued_at=new.issued_at,
        expire=new.expire,
        salt=new.salt,
        services=new.services,
        service_count=new.service_count,
        stopped_at=new.stopped_at,
        signature_size=len(new.signature),
        claims_006=None,
        token_id=signature_id(new.signature),
    )


def token_id(token: str) -> str:
    """Return what names a token where the token itself must not stand. Raises TokenMalformed."""
    return parse(token).token_id


# --- verifying -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grant:
    """What a verified token allows one user in one channel.

    ``expires`` is the Unix second at which the membership ends: the token's end or, if sooner, the
    end of the privilege to join. ``deadlines`` has the granted privileges only, each with the Unix
    second at which it ends, never later than the token. Every end is exclusive.
    """

    app_id: AppId
    channel: ChannelName
    user: UserId
    issued_at: int
    expires: int
    deadlines: Mapping[Privilege, int]
    version: Version
    token_id: str
    """Names the token: see ``token_id``."""

    def allows(self, privilege: Privilege, now: float) -> bool:
        """Say whether *privilege* is granted at *now*. Nothing is, once the membership has ended."""
        if not now < self.expires:
            return False
        try:
            return now < self.deadlines[privilege]
        except KeyError:
            return False


@dataclass(frozen=True, slots=True)
class LoginGrant:
    """What a verified signalling token allows: to log in as ``user`` until ``expires`` (exclusive)."""

    app_id: AppId
    user: UserId
    issued_at: int
    expires: int


def verify(
    token: str,
    *,
    app_id: str,
    certificates: Sequence[str],
    channel: str,
    user: str,
    now: float,
    accept_006: bool = False,
    max_skew: int | None = None,
) -> Grant:
    """Return what *token* grants *user* in *channel* of *app_id* at *now*, in Unix seconds.

    *certificates* are the app's valid ones; any of them may have signed. *max_skew* is how many
    seconds ahead of *now* a token may have been issued; None means that it does not matter.

    Of several RTC entries, those that name channel and user and whose privilege to join is alive are
    candidates. One of them is used, alone: an exact channel before a wildcard, then an exact user
    before a wildcard, then the later end. What different entries grant is never added up.

    Checked in this order, and the first failure is the one raised: TokenMalformed, TokenVersionRefused,
    TokenAppMismatch, TokenBadSignature, TokenExpired, TokenNotYetValid, TokenNotForChannel,
    TokenNotForUser, TokenNotPermitted, TokenExpired (the privilege to join). A 006 token is signed
    over names that are not in it, so there the two names come before the signature.

    InvalidName means that one of *certificates* is none: a mistake of the caller, not of the token.
    """
    signers = [check_certificate(certificate) for certificate in certificates]
    if _version(token) == token_006.PREFIX:
        if not accept_006:
            raise TokenVersionRefused("the token is of version 006 and this app accepts 007 only")
        return _verify_006(token, app_id, signers, channel, user, now, max_skew)
    envelope, end = _verify_007(token, app_id, signers, now, max_skew)
    return _join(envelope, end, channel, user, now)


def verify_login(
    token: str,
    *,
    app_id: str,
    certificates: Sequence[str],
    user: str,
    now: float,
    max_skew: int | None = None,
) -> LoginGrant:
    """Return what a 007 *token* grants *user* who logs in to signalling, by an RTM or RTM2 entry.

    Names are compared exactly, there are no wildcards; of several entries the one that ends last
    counts. Arguments, order and errors are those of ``verify``, TokenNotForChannel aside.
    """
    signers = [check_certificate(certificate) for certificate in certificates]
    if _version(token) == token_006.PREFIX:
        raise TokenVersionRefused("the token is of version 006 and a login takes 007 only")
    envelope, end = _verify_007(token, app_id, signers, now, max_skew)
    logins = [entry for entry in envelope.services if isinstance(entry, RtmService | Rtm2Service)]
    if not logins:
        raise TokenNotPermitted("the token has no entry to log in with")
    person = legal_user(user)
    own = [entry for entry in logins if entry.user == person]
    if not own:
        raise TokenNotForUser("the token is for another user")
    ends = [
        deadline(envelope.issued_at, end, entry.privileges[_LOGIN])
        for entry in own
        if _LOGIN in entry.privileges
    ]
    if not ends:
        raise TokenNotPermitted("the token does not include the privilege to log in")
    expires = max(ends)
    if not now < expires:
        raise TokenExpired("the privilege to log in has ended")
    return LoginGrant(envelope.app_id, person, envelope.issued_at, expires)


def _version(token: str) -> str:
    if not isinstance(token, str):
        raise TokenMalformed("a token is a text")
    if len(token) > TEXT_MAX:
        raise TokenMalformed(f"the token is longer than {TEXT_MAX} characters")
    prefix = token[:3]
    if prefix not in (token_006.PREFIX, token_007.PREFIX):
        raise TokenMalformed("the text does not begin like an access token")
    return prefix


def _verify_007(
    token: str, app_id: str, signers: Sequence[str], now: float, max_skew: int | None
) -> tuple[token_007.Envelope, int]:
    """Check everything that does not depend on names; return the fields and the token's end."""
    envelope = token_007.decode(token)
    check_app(envelope.app_id, app_id)
    check_signature(
        envelope.signature,
        [token_007.sign(signer, envelope.issued_at, envelope.salt, envelope.signed) for signer in signers],
    )
    end = envelope.issued_at + min(envelope.expire, LIFE_MAX)
    check_life(envelope.issued_at, end, now, max_skew)
    return envelope, end


def _join(envelope: token_007.Envelope, end: int, channel: str, user: str, now: float) -> Grant:
    """Find the RTC entry that lets *user* into *channel*."""
    entries = [entry for entry in envelope.services if isinstance(entry, RtcService)]
    if not entries:
        raise TokenNotForChannel("the token has no entry for a channel")
    room = legal_channel(channel)
    entries = [entry for entry in entries if name_matches(entry.channel, room)]
    if not entries:
        raise TokenNotForChannel("the token is for another channel")
    person = legal_user(user)
    entries = [entry for entry in entries if name_matches(entry.user, person)]
    if not entries:
        raise TokenNotForUser("the token is for another user")
    offers = [
        (entry, _deadlines(envelope.issued_at, end, entry))
        for entry in entries
        if Privilege.JOIN in entry.privileges
    ]
    if not offers:
        raise TokenNotPermitted("the token does not include the privilege to join")
    offers = [offer for offer in offers if now < offer[1][Privilege.JOIN]]
    if not offers:
        raise TokenExpired("the privilege to join has ended")
    _, deadlines = max(offers, key=lambda offer: _precedence(*offer))
    expires = deadlines[Privilege.JOIN]
    name = signature_id(envelope.signature)
    return Grant(envelope.app_id, room, person, envelope.issued_at, expires, deadlines, "007", name)


def _deadlines(issued_at: int, end: int, entry: RtcService) -> FrozenMap[Privilege, int]:
    return FrozenMap(
        {
            privilege: deadline(issued_at, end, entry.privileges[privilege])
            for privilege in Privilege
            if privilege in entry.privileges
        }
    )


def _precedence(entry: RtcService, deadlines: Mapping[Privilege, int]) -> tuple[bool, bool, int]:
    """Rank an entry: what names exactly is what its issuer meant, and goes before a wildcard."""
    return not is_wildcard(entry.channel), not is_wildcard(entry.user), deadlines[Privilege.JOIN]


def _verify_006(
    token: str,
    app_id: str,
    signers: Sequence[str],
    channel: str,
    user: str,
    now: float,
    max_skew: int | None,
) -> Grant:
    envelope = token_006.decode(token)
    check_app(envelope.app_id, app_id)
    room = legal_channel(channel)
    if token_006.name_crc(room) != envelope.channel_crc:
        raise TokenNotForChannel("the token is for another channel")
    person = legal_user(user)
    # An empty name stands for any user. Its checksum is 0, which some names share: both may be meant.
    names = [name for name in (person, "") if token_006.name_crc(name) == envelope.user_crc]
    if not names:
        raise TokenNotForUser("the token is for another user")
    check_signature(
        envelope.signature,
        [
            token_006.sign(signer, envelope.app_id, room, name, envelope.message)
            for signer in signers
            for name in names
        ],
    )
    issued_at = _issued_at_006(envelope)
    check_life(issued_at, envelope.end, now, max_skew)
    # The format does not say when a token was issued, so its life is capped from now on.
    end = min(envelope.end, int(now) + LIFE_MAX)
    deadlines = FrozenMap(
        {
            privilege: min(end, envelope.privileges[privilege] or end)
            for privilege in Privilege
            if privilege in envelope.privileges
        }
    )
    if Privilege.JOIN not in deadlines:
        raise TokenNotPermitted("the token does not include the privilege to join")
    expires = deadlines[Privilege.JOIN]
    if not now < expires:
        raise TokenExpired("the privilege to join has ended")
    name = signature_id(envelope.signature)
    return Grant(envelope.app_id, room, person, issued_at, expires, deadlines, "006", name)


def _issued_at_006(envelope: token_006.Envelope) -> int:
    return max(envelope.end - LIFE_MAX, 0)
