"""The errors of sealcast, one tree for every package.

::

    SealcastError
    ├── ProtocolError            a rule of sealcast.1 was broken
    │   ├── LocalProtocolError       by us: a bug in the caller
    │   └── RemoteProtocolError      by the peer: .code says what to answer
    ├── InvalidName              a name the field does not allow (also a ValueError)
    └── TokenError               .code is what the network is told
        ├── TokenMalformed           not a token, cut short, or over a cap
        ├── TokenVersionRefused      a 006 token where the app does not accept one
        ├── TokenBadSignature        no certificate of the app signed it
        ├── TokenAppMismatch         made for another app
        ├── TokenNotForChannel       names another channel, or no channel at all
        ├── TokenNotForUser          names another user
        ├── TokenNotPermitted        lacks the privilege to join
        ├── TokenExpired             its life or its join privilege has ended
        └── TokenNotYetValid         issued in the future

No error carries a token, a key or a payload, and none says which byte of a token was wrong.
The SDK's own errors (``sealcast.client.errors``) and the server's stand on the same root.
"""

from __future__ import annotations

from typing import ClassVar

from .codes import Code, end, reply

__all__ = [
    "InvalidName",
    "LocalProtocolError",
    "ProtocolError",
    "RemoteProtocolError",
    "SealcastError",
    "TokenAppMismatch",
    "TokenBadSignature",
    "TokenError",
    "TokenExpired",
    "TokenMalformed",
    "TokenNotForChannel",
    "TokenNotForUser",
    "TokenNotPermitted",
    "TokenNotYetValid",
    "TokenVersionRefused",
]


class SealcastError(Exception):
    """The root: ``except SealcastError`` catches everything that sealcast raises on purpose."""


class ProtocolError(SealcastError):
    """A rule of sealcast.1 was broken."""


class LocalProtocolError(ProtocolError):
    """This side tried to break the protocol; nothing was sent and no state changed."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol; ``code`` is what to answer it with.

    A reply code (below 4000) is answered with an ``error`` control; an end code closes the connection.
    """

    def __init__(self, detail: str, code: Code | None = None, ref: int = 0) -> None:
        super().__init__(detail)
        self.code = code if code is not None else end("protocol_error")
        self.ref = ref

    @property
    def fatal(self) -> bool:
        """Whether the connection must be closed, rather than the request refused."""
        return self.code.number >= 4000


class InvalidName(SealcastError, ValueError):
    """An App ID, channel or user name that the field's rules do not allow."""


class TokenError(SealcastError):
    """A token that does not grant what was asked. The class is the cause; ``code`` goes to the network."""

    code: ClassVar[Code] = reply("invalid_token")

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.code.message)


class TokenMalformed(TokenError):
    """Not an access token: wrong prefix, cut short, trailing bytes, or over a size cap."""


class TokenVersionRefused(TokenError):
    """A 006 token presented to an app whose policy accepts 007 only."""

    code = reply("token_version_refused")


class TokenBadSignature(TokenError):
    """None of the app's certificates signed this token."""


class TokenAppMismatch(TokenError):
    """The token was made for another App ID."""

    code = reply("app_mismatch")


class TokenNotForChannel(TokenError):
    """The token has no RTC entry, or none that names this channel."""

    code = reply("channel_mismatch")


class TokenNotForUser(TokenError):
    """The token names this channel for another user."""

    code = reply("user_mismatch")


class TokenNotPermitted(TokenError):
    """The token names channel and user but lacks the privilege to join."""

    code = reply("not_permitted")


class TokenExpired(TokenError):
    """The token's life, or its join privilege, has ended."""

    code = reply("token_expired")


class TokenNotYetValid(TokenError):
    """The token was issued further in the future than the allowed clock skew."""

    code = reply("token_not_yet_valid")
