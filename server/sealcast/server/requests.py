"""What a member may ask about its channel, besides leaving, renewing and sending: a handler each.

A handler is given the member, the control, the time and a way to answer, which it uses once, now or later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple, TypeAlias

from sealcast.protocol.controls import (
    Control,
    Done,
    History,
    Lock,
    MemberInfo,
    Metadata,
    Past,
    Presence,
    Present,
    SetMetadata,
    State,
    Unlock,
)
from sealcast.protocol.keeping import PAGE_BYTES
from sealcast.protocol.names import Kind
from sealcast.protocol.parts import KeptMessage

from .interfaces import Author
from .member import Member
from .sharing import Declined, Sharing

__all__ = ["CHANGES", "HANDLERS", "Asked", "Handler", "Refusal", "introductions"]


_DATA: Final = 1 << Kind.DATA


class Refusal(NamedTuple):
    """An answer that is a no."""

    name: str
    """Of the reply code."""
    retry_after: float | None = None


class Asked(NamedTuple):
    """A request, and how to answer it."""

    member: Member
    control: Any
    """Of the class that the handler is for."""
    now: float
    """The present, in monotonic seconds."""
    answer: Callable[[Control | Refusal], None]
    """Says yes or no; what comes after the membership's end is no longer about it."""
    sharing: Sharing
    """What members share."""


Handler: TypeAlias = Callable[[Asked], None]


def introductions(authors: Collection[Author]) -> tuple[MemberInfo, ...]:
    """Return authors as controls list them."""
    return tuple(MemberInfo(**author._asdict()) for author in authors)


def _history(asked: Asked) -> None:
    """Answer with a page of kept messages."""
    control: History = asked.control
    channel = asked.member.channel
    if not channel.keeps:
        asked.answer(Refusal("history_off"))
        return
    if control.limit == 0:
        asked.answer(Refusal("bad_request"))
        return
    channel.flush_to(asked.member)  # what is live comes before the page that has it too
    found, more = channel.archive.page(
        after=control.after, before=control.before, limit=control.limit, most_bytes=PAGE_BYTES
    )
    asked.answer(
        Past(
            channel=channel.number,
            epoch=channel.position.epoch,
            offset=channel.position.offset,
            messages=tuple(KeptMessage(**kept._asdict()) for kept in found),
            authors=introductions(channel.archive.authors(found).values()),
            more=more,
        )
    )


def _metadata(asked: Asked) -> None:
    """Answer with all that the members share; to read it needs no privilege."""
    _answer_in_order(asked, asked.sharing.items(asked.member))


def _set_metadata(asked: Asked) -> None:
    def done(outcome: int | str) -> None:
        if isinstance(outcome, str):
            asked.answer(Refusal(outcome))
        else:
            _answer_in_order(asked, Done(channel=asked.member.channel.number, revision=outcome))

    if _may_change(asked):
        asked.sharing.change(asked.member, asked.control, done)


def _lock(asked: Asked) -> None:
    try:
        if _may_change(asked):
            _answer_in_order(asked, asked.sharing.lock(asked.member, asked.control))
    except Declined as declined:
        asked.answer(Refusal(declined.name, declined.retry_after))


def _unlock(asked: Asked) -> None:
    try:
        if _may_change(asked):
            asked.sharing.unlock(asked.member, asked.control.name)
            _answer_in_order(asked, Done(channel=asked.member.channel.number))
    except Declined as declined:
        asked.answer(Refusal(declined.name, declined.retry_after))


def _may_change(asked: Asked) -> bool:
    """Say whether a member may change what all share; if not, that is the answer."""
    if asked.member.allowed & _DATA:
        return True
    asked.answer(Refusal("not_permitted"))
    return False


def _answer_in_order(asked: Asked, control: Control) -> None:
    """Answer after everything that happened before."""
    member = asked.member
    if member.channel.members.get(member.number) is member:
        member.channel.flush_to(member)
    asked.answer(control)


def _presence(asked: Asked) -> None:
    """Answer with everybody who is there."""
    channel = asked.member.channel
    others = tuple(other.info for other in channel.others(asked.member))
    _answer_in_order(asked, Present(channel=channel.number, members=others, total=len(others) + 1))


def _state(asked: Asked) -> None:
    """Set the member's state, and tell the others."""
    control: State = asked.control
    channel = asked.member.channel
    channel.introduce(asked.member)
    if channel.set_state(asked.member, control.data):
        _answer_in_order(asked, Done(channel=channel.number))
    else:
        asked.answer(Refusal("too_big"))


HANDLERS: Final[dict[type[Control], Handler]] = {
    History: _history,
    Presence: _presence,
    State: _state,
    Metadata: _metadata,
    SetMetadata: _set_metadata,
    Lock: _lock,
    Unlock: _unlock,
}
"""By the class of the control."""

CHANGES: Final = frozenset({State, SetMetadata, Lock, Unlock})
"""What everybody is told of, so that less of it is allowed."""
