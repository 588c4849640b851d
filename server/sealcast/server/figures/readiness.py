"""Whether the relay can be given work, and what is against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from ..hub import Hub
from .board import Sample
from .parts import Pulse, Writing

__all__ = ["Readiness"]

_STORAGE_TIME: Final = 30.0
"""Seconds for which a failed write speaks against the relay. Without members nothing is written, so
nothing would ever show that the disk is well again: after that time somebody has to try."""


class Readiness:
    """Says what is against new members.

    Args:
        hub: is it going down?
        pulse: of the database; None without one.
        storage: where messages are written; None without such a place.
        wall: the present, in Unix seconds.

    """

    def __init__(
        self, hub: Hub, pulse: Pulse | None, storage: Writing | None, wall: Callable[[], float]
    ) -> None:
        self._hub = hub
        self._pulse = pulse
        self._storage = storage
        self._wall = wall

    def __call__(self) -> Iterator[Sample]:
        """Return whether it is ready, as far as is known without asking anybody."""
        yield Sample("draining", self._hub.draining)
        yield Sample("ready", not self.problems())

    def problems(self) -> list[str]:
        """Return what is against it, a line each that begins with the part."""
        found = []
        if self._hub.draining:
            found.append("drain: this relay is going down")
        if self._pulse is not None and not self._pulse.up:
            found.append("database: it does not answer")
        failed_at = None if self._storage is None else self._storage.failed_at
        if failed_at is not None and self._wall() - failed_at < _STORAGE_TIME:
            found.append("storage: messages cannot be written; see the log, and the disk")
        return found
