"""Names and limits: what an App ID, a channel, a user, a kind and a privilege may be.

Channel names follow the field's rule: 1-64 bytes of 89 ASCII characters. ``*`` is not among them, so
that a wildcard in a token is never ambiguous. User names are 1-255 printable ASCII characters without
``*``. ASCII only, because names enter key derivation and two spellings of one name must not exist.
"""

from __future__ import annotations

import enum
import re
from typing import Final, NewType

from .errors import InvalidName

__all__ = [
    "CHANNEL_MAX",
    "PRIVILEGE_OF_KIND",
    "SUBPROTOCOL",
    "USER_MAX",
    "AppId",
    "ChannelName",
    "Kind",
    "Privilege",
    "UserId",
    "app_id",
    "certificate",
    "channel_name",
    "user_id",
]

AppId = NewType("AppId", str)
ChannelName = NewType("ChannelName", str)
UserId = NewType("UserId", str)

SUBPROTOCOL: Final = "sealcast.1"
"""The WebSocket subprotocol (RFC 6455 §1.9) that both sides must name."""

CHANNEL_MAX: Final = 64
USER_MAX: Final = 255

_APP_ID = re.compile(r"[0-9a-fA-F]{32}")
_CHANNEL = re.compile(r"[a-zA-Z0-9 !#$%&()+\-:;<=.>?@\[\]^_{}|~,]{1,64}")
_USER = re.compile(r"[\x20-\x29\x2b-\x7e]{1,255}")


class Kind(enum.IntEnum):
    """The kind of a frame: the low four bits of the descriptor's first byte (E2EE profile §2)."""

    CONTROL = 0
    AUDIO = 1
    VIDEO = 2
    DATA = 3
    MESSAGE = 4
    SCREEN = 5
    CUSTOM = 15


class Privilege(enum.IntEnum):
    """What an RTC entry of a token may grant, numbered as in the access-token format."""

    JOIN = 1
    AUDIO = 2
    VIDEO = 3
    DATA = 4


PRIVILEGE_OF_KIND: Final[dict[Kind, Privilege]] = {
    Kind.CONTROL: Privilege.JOIN,
    Kind.AUDIO: Privilege.AUDIO,
    Kind.VIDEO: Privilege.VIDEO,
    Kind.SCREEN: Privilege.VIDEO,
    Kind.DATA: Privilege.DATA,
    Kind.MESSAGE: Privilege.DATA,
    Kind.CUSTOM: Privilege.DATA,
}
"""The privilege a member needs to publish a kind."""


def app_id(text: str) -> AppId:
    """Check an App ID: 32 hexadecimal characters, case kept. Raises InvalidName."""
    if not _APP_ID.fullmatch(text):
        raise InvalidName("an App ID is 32 hexadecimal characters")
    return AppId(text)


def certificate(text: str) -> str:
    """Check an app certificate: 32 hexadecimal characters, case kept. Raises InvalidName.

    The error never repeats the text: a certificate is a secret.
    """
    if not _APP_ID.fullmatch(text):
        raise InvalidName("an app certificate is 32 hexadecimal characters")
    return text


def channel_name(text: str) -> ChannelName:
    """Check a channel name: 1-64 of the 89 allowed characters. Raises InvalidName."""
    if not _CHANNEL.fullmatch(text):
        raise InvalidName(
            "a channel name has 1-64 characters of"
            " a-z A-Z 0-9 space ! # $ % & ( ) + - : ; < = . > ? @ [ ] ^ _ { } | ~ ,"
        )
    return ChannelName(text)


def user_id(text: str) -> UserId:
    """Check a user name: 1-255 printable ASCII characters without ``*``. Raises InvalidName."""
    if not _USER.fullmatch(text):
        raise InvalidName("a user name has 1-255 printable ASCII characters, without *")
    return UserId(text)
