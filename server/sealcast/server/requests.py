"""What a member may ask about its channel, besides leaving, renewing and sending: a handler each.

A handler is given the member, the control, the time and a way to answer, which it uses once, now or later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple, TypeAlias

from sealcast.protocol.controls import Control, History, MemberInfo, Past
from sealcast.protocol.keeping import PAGE_BYTES
from sealcast.protocol.parts import KeptMessage

from .interfaces import Author
from .member import Member

__all__ = ["HANDLERS", "Asked", "Handler", "Refusal", "introductions"]


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
    """Says yes or no; what comes after the membership's end goes nowhere."""


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
    channel.flush_to(asked.member)  # so that what is live comes in one order with what was before
    found, more = channel.page(
        after=control.after, before=control.before, limit=control.limit, most_bytes=PAGE_BYTES
    )
    asked.answer(
        Past(
            channel=channel.number,
            epoch=channel.position.epoch,
            offset=channel.position.offset,
            messages=tuple(KeptMessage(**kept._asdict()) for kept in found),
            authors=introductions(channel.authors(found).values()),
            more=more,
        )
    )


HANDLERS: Final[dict[type[Control], Handler]] = {History: _history}
"""By the class of the control."""
