"""What each member sent, was told and received, and what may and must be true of all of it together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from sealcast.client import Event, Message, Resumed, SealFailure

__all__ = ["Diary", "Place", "Wrong", "judge"]


class Wrong(AssertionError):
    """A promise was broken."""


class Place(NamedTuple):
    """Where a message stands in its channel."""

    epoch: str
    offset: int


_UNKNOWN = 1_000_000
"""Announced when it cannot be known how many messages were missed."""


@dataclass
class Diary:
    """One membership, from its join to its end."""

    user: str
    events: list[Event] = field(default_factory=list)
    acked: dict[bytes, Place] = field(default_factory=dict)
    """What this member sent and the relay acknowledged."""
    tried: set[bytes] = field(default_factory=set)
    """Everything it sent, acknowledged or not."""


def judge(diaries: list[Diary], *, durable: bool = False) -> None:
    """Raise Wrong unless these diaries of one channel can all be true.

    A *durable* channel has one epoch for ever, so nobody loses its position in it.

    * a message has one place, and a place one message, whoever looks;
    * a member receives in the order of the places, nothing twice, and never its own;
    * an ack names the place where the others see the message;
    * a place that a member passed over without receiving it was announced, by ``Resumed`` or as unopened.
    """
    placed = _placed(diaries)
    if durable and len({place.epoch for place in placed}) > 1:
        raise Wrong("a channel on disk began another epoch")
    for diary in diaries:
        _check_order(diary)
        _check_gaps(diary, placed)


def _placed(diaries: list[Diary]) -> dict[Place, bytes]:
    placed: dict[Place, bytes] = {}
    places: dict[bytes, Place] = {}
    for diary in diaries:
        seen = [(Place(e.epoch, e.offset), e.data) for e in diary.events if isinstance(e, Message)]
        for place, data in [*seen, *((place, data) for data, place in diary.acked.items())]:
            if placed.setdefault(place, data) != data:
                raise Wrong(f"two messages at {place}")
            if places.setdefault(data, place) != place:
                raise Wrong(f"one message at {place} and at {places[data]}")
    return placed


def _check_order(diary: Diary) -> None:
    last: dict[str, int] = {}
    for event in diary.events:
        if not isinstance(event, Message):
            continue
        if event.data in diary.tried:
            raise Wrong(f"{diary.user} received a message of its own")
        if event.offset <= last.get(event.epoch, 0):
            raise Wrong(f"{diary.user} received offset {event.offset} after {last[event.epoch]}")
        last[event.epoch] = event.offset


def _check_gaps(diary: Diary, placed: dict[Place, bytes]) -> None:
    """A place passed over is the member's own message, or was announced, though perhaps a moment later."""
    passed: list[Place] = []
    announced = 0
    last: dict[str, int] = {}
    moves = 1
    """Epochs of which there may be messages: the first, and one for each loss of the position."""
    for event in diary.events:
        if isinstance(event, Resumed):
            if event.recovered and event.missed:
                raise Wrong(f"{diary.user} was told that all was recovered, and {event.missed} missed")
            announced += _UNKNOWN if event.missed is None else event.missed
            moves += event.missed is None
        elif isinstance(event, SealFailure):
            # What came and could not be opened, for example because its sender was not known to be live.
            announced += event.count
        elif isinstance(event, Message):
            after = last.get(event.epoch, event.offset - 1)
            passed += [Place(event.epoch, offset) for offset in range(after + 1, event.offset)]
            last[event.epoch] = event.offset
            if len(last) > moves:
                raise Wrong(f"{diary.user} moved to another epoch without being told")
    passed = [place for place in passed if placed.get(place) not in diary.tried]
    # A message of its own that nobody received and no ack came for may stand anywhere.
    lost = diary.tried - set(placed.values())
    if len([place for place in passed if place in placed]) > announced or len(passed) > announced + len(lost):
        raise Wrong(f"{diary.user} passed over {passed}, {announced} of them announced")
