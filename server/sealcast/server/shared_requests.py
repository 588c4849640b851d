"""What members ask about metadata and locks, and what they are answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from sealcast.protocol.controls import Control, Done, Lock, Metadata, SetMetadata, Unlock
from sealcast.protocol.names import Kind

from .channel import Member
from .config import AppLimits
from .sharing import Declined, Sharing

__all__ = ["Asked", "SharedRequest", "carry_out"]

SharedRequest: TypeAlias = Metadata | SetMetadata | Lock | Unlock

_DATA: Final = 1 << Kind.DATA


class Asked(NamedTuple):
    """Who asks, and where the answer goes; exactly one of the two is called, at once or later."""

    member: Member
    sharing: Sharing
    limits: AppLimits
    answer: Callable[[Control], None]
    refuse: Callable[[str, float | None], None]
    """Called with the name of a reply code, and the seconds after which to try again."""


def carry_out(control: SharedRequest, asked: Asked) -> None:
    """Do what a member asks for, if it may: to read needs no privilege, to change anything ``data``."""
    if isinstance(control, Metadata):
        asked.answer(asked.sharing.items(asked.member))
    elif not asked.member.allowed & _DATA:
        asked.refuse("not_permitted", None)
    elif isinstance(control, SetMetadata):
        _set(control, asked)
    else:
        _lock(control, asked)


def _set(control: SetMetadata, asked: Asked) -> None:
    channel = control.channel

    def done(outcome: int | str) -> None:
        if isinstance(outcome, str):
            asked.refuse(outcome, None)
        else:
            asked.answer(Done(channel=channel, revision=outcome))

    asked.sharing.change(asked.member, control, asked.limits, done)


def _lock(control: Lock | Unlock, asked: Asked) -> None:
    try:
        if isinstance(control, Lock):
            asked.answer(asked.sharing.lock(asked.member, control, asked.limits))
        else:
            asked.sharing.unlock(asked.member, control.name)
            asked.answer(Done(channel=control.channel))
    except Declined as declined:
        asked.refuse(declined.name, declined.retry_after)
