"""Which keys opened what they must not: the model that the simulation and the meeting over sockets share.

Everybody who ever took part is a holder of all keys that it was given, from the first minute to the last.
A frame leaks when a holder who was not allowed to open it has, or can compute, the key it was sealed under.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from sealcast.client.e2ee.context import BaseKey, Sender
from sealcast.client.e2ee.ratchet import advance
from sealcast.client.e2ee.rekey import GATHER, SWITCH

WINDOW = GATHER + SWITCH
"""Seconds from the moment when a sender hears of a leave, in which it may still use a key of before."""


class SealedFrame(Protocol):
    """A frame, with what was true at its sender's when it was sealed."""

    sender: Sender
    base: BaseKey
    at: float
    allowed: frozenset[bytes]
    """The sessions that may be able to open it: who was in its sender's view, or left it within WINDOW."""


class Holder(Protocol):
    """One session and every key that it was ever given, by the sender's session and epoch."""

    sender: Sender
    known: dict[tuple[bytes, int], list[BaseKey]]


def keys_that_leaked(frames: Iterable[SealedFrame], holders: Iterable[Holder]) -> list[str]:
    """Return every pair of a frame and a holder that could open it and must not."""
    leaks = []
    everybody = list(holders)
    bases: dict[tuple[bytes, int, int], tuple[BaseKey, list[SealedFrame]]] = {}
    for frame in frames:
        place = (frame.sender.session, frame.base.epoch, frame.base.step)
        bases.setdefault(place, (frame.base, []))[1].append(frame)
    for (session, epoch, step), (base, sealed) in bases.items():
        for holder in everybody:
            for known in holder.known.get((session, epoch), ()):
                if known.step <= step and advance(holder.sender.suite, known, step) == base:
                    leaks += [
                        f"{holder.sender.user} opens {frame.sender.user}'s frame of {frame.at:.3f}"
                        for frame in sealed
                        if holder.sender.session not in frame.allowed
                    ]
    return leaks
