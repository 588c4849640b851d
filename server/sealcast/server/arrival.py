"""What is checked first: the names of a join; size, shape, rights and counter of what a member sends."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sealcast.protocol import names
from sealcast.protocol.codes import Code, reply
from sealcast.protocol.controls import Join
from sealcast.protocol.envelope import FRAME_START, MESSAGE_START
from sealcast.protocol.errors import InvalidName
from sealcast.protocol.names import Kind

from .member import Member

__all__ = ["refusal_of_frame", "refusal_of_join", "refusal_of_message", "request_of"]

_MESSAGE: Final = int(Kind.MESSAGE)


def refusal_of_join(join: Join, members: Collection[Member], most: int) -> Code | None:
    """Return the code to refuse a join with, before its token is looked at, or None.

    *members* are the memberships that the connection has, *most* those it may have.
    """
    try:
        names.channel_name(join.channel)
        names.user_id(join.user)
    except InvalidName:
        return reply("invalid_name")
    if any(member.channel.key.channel == join.channel for member in members):
        return reply("already_joined")
    return reply("too_many_channels") if len(members) >= most else None


def request_of(data: bytes) -> int:
    """Return the ref of a message; 0, which is none, when it is cut short."""
    return int.from_bytes(data[12:16], "big") if len(data) >= MESSAGE_START else 0


def refusal_of_frame(member: Member, data: bytes, most: int) -> str | None:
    """Return the reply code to refuse a frame with, or None; *most* counts from the descriptor on."""
    if not FRAME_START + 4 <= len(data) <= FRAME_START + most:
        return "bad_frame" if len(data) < FRAME_START + 4 else "too_big"
    if data[1:4] != b"\0\0\0" or data[FRAME_START] & 15 == _MESSAGE:
        return "bad_frame"
    return member.check(data, FRAME_START)


def refusal_of_message(member: Member, data: bytes, most: int, ref: int) -> str | None:
    """Return the reply code to refuse a message with, or None; *most* counts from the descriptor on."""
    if len(data) - MESSAGE_START > most:
        return "too_big"
    if (
        len(data) < MESSAGE_START + 4
        or data[1:4] != b"\0\0\0"
        or data[MESSAGE_START] & 15 != _MESSAGE
        or ref == 0
    ):
        return "bad_frame"
    return member.check(data, MESSAGE_START)
