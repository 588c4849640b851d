"""Controls about messages that a channel has kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from .control import Control
from .fields import U32, U64, array, integer, may, must, text, truth
from .parts import KeptMessage, MemberInfo, kept_message, member_info

__all__ = ["HISTORY_MAX", "PAGE_BYTES", "History", "Past"]

HISTORY_MAX: Final = 256
"""Messages that may be asked for at a time."""
PAGE_BYTES: Final = 256 * 1024
"""Bytes of messages in one answer; a single larger message is still answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History(Control):
    """Ask for messages that the channel has kept; answered by ``past`` or ``error``.

    With ``before``: the newest ones below that offset. Else the oldest ones above ``after``.
    """

    NAME: ClassVar[str] = "history"
    channel: int = must(integer(U32))
    limit: int = must(integer(HISTORY_MAX))
    after: int = may(integer(U64), 0)
    before: int | None = may(integer(U64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Past(Control):
    """The answer to ``history``: messages in the order of their offsets, own ones included."""

    NAME: ClassVar[str] = "past"
    channel: int = must(integer(U32))
    epoch: str = must(text(64))
    offset: int = must(integer(U64))
    """The offset of the newest message of the channel."""
    messages: tuple[KeptMessage, ...] = must(array(HISTORY_MAX, kept_message))
    authors: tuple[MemberInfo, ...] = must(array(HISTORY_MAX, member_info))
    """Their senders, as they were introduced then."""
    more: bool = may(truth, False)
    """Whether there are more in the direction that was asked for."""
