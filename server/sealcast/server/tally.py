"""What members have sent and were not sent, as sums. Pure.

It is counted once, at the member; a channel sums it up when somebody asks, and an app has what its channels
have handed on. So a frame costs the same however many there are who want to know.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from sealcast.protocol.names import Kind

__all__ = ["EVERY", "Counted", "History", "Tally", "Traffic", "Window"]

EVERY: Final = 10.0
"""Seconds between two looks at everything."""
_SPANS: Final = {300.0: EVERY, 3600.0: 120.0}
"""For each window how far apart its marks are, in seconds."""
_MESSAGE: Final = int(Kind.MESSAGE)


class Counted(Protocol):
    """Something that is counted at: a member."""

    @property
    def kinds(self) -> Mapping[int, Collection[int]]:
        """By kind: how many frames or messages it has sent, and their bytes."""
        ...

    @property
    def clear(self) -> int:
        """How many of them were in clear."""
        ...

    @property
    def dropped(self) -> Mapping[tuple[str, str], int]:
        """What it was not sent, by kind and reason."""
        ...


class Tally:
    """Sums."""

    __slots__ = ("clear", "dropped", "kinds", "refused", "seconds")

    def __init__(self) -> None:
        self.kinds: dict[int, list[int]] = {}
        """By kind: how many frames or messages, and their bytes, envelope included."""
        self.clear = 0
        """How many of them were in clear."""
        self.dropped: Counter[tuple[str, str]] = Counter()
        """Frames that members did not get, by kind and reason."""
        self.refused: Counter[str] = Counter()
        """Refused requests, frames and messages, by the code's name."""
        self.seconds = 0.0
        """How long members were there, all together."""

    def count(self, member: Counted) -> None:
        """Add what was counted at a member."""
        self._add_kinds(member.kinds)
        self.clear += member.clear
        if dropped := member.dropped:
            self.dropped.update(dropped)

    def add(self, other: Tally) -> None:
        """Add what another one has."""
        self._add_kinds(other.kinds)
        self.clear += other.clear
        self.dropped.update(other.dropped)
        self.refused.update(other.refused)
        self.seconds += other.seconds

    def _add_kinds(self, kinds: Mapping[int, Collection[int]]) -> None:
        for kind, (count, size) in kinds.items():
            mine = self.kinds.setdefault(kind, [0, 0])
            mine[0] += count
            mine[1] += size

    def since(self, before: Tally) -> Tally:
        """Return what has come since this was *before*."""
        more = Tally()
        for kind, (count, size) in self.kinds.items():
            old_count, old_size = before.kinds.get(kind, (0, 0))
            if count != old_count:
                more.kinds[kind] = [count - old_count, size - old_size]
        more.clear = self.clear - before.clear
        # Subtraction leaves out what did not grow.
        more.dropped = self.dropped - before.dropped
        more.refused = self.refused - before.refused
        more.seconds = self.seconds - before.seconds
        return more

    def copy(self) -> Tally:
        """Return another one with the same sums."""
        same = Tally()
        same.add(self)
        return same

    @property
    def messages(self) -> int:
        """How many messages were sent."""
        return self.kinds.get(_MESSAGE, (0, 0))[0]

    @property
    def frames(self) -> int:
        """How many frames were sent that are no messages."""
        return sum(count for count, _ in self.kinds.values()) - self.messages

    @property
    def bytes(self) -> int:
        """Bytes of both."""
        return sum(size for _, size in self.kinds.values())

    @property
    def sealed(self) -> float | None:
        """The part of frames and messages that was sealed; None when there were none."""
        total = sum(count for count, _ in self.kinds.values())
        return 1 - self.clear / total if total else None


class Window(NamedTuple):
    """What came in a while that ends now."""

    seconds: float
    """How long it is: as long as was asked for, up to a mark more, or since the start."""
    tally: Tally


class Traffic:
    """What is known of the traffic of one channel: of those who have left, and up to when it was handed on.

    Args:
        now: the present, in monotonic seconds.

    """

    __slots__ = ("_at", "_gone", "_marks", "_present", "_seconds", "_taken", "since")

    def __init__(self, now: float) -> None:
        self._gone = Tally()
        self._taken = Tally()
        self._marks: deque[tuple[float, Tally]] = deque([(now, self._taken)], maxlen=2)
        self._present = 0
        self._seconds = 0.0
        self._at = now
        self.since = 0.0
        """When the channel was opened, in Unix seconds."""

    def came(self, now: float) -> None:
        """Note that somebody is there."""
        self._pass(now)
        self._present += 1

    def went(self, member: Counted, now: float) -> None:
        """Note that a member is not there any more, and what was counted at it."""
        self._pass(now)
        self._present -= 1
        self._gone.count(member)

    def _pass(self, now: float) -> None:
        self._seconds += self._present * (now - self._at)
        self._at = now

    def total(self, members: Iterable[Counted], now: float) -> Tally:
        """Return the sums since the channel was opened; *members* are those who are there."""
        self._pass(now)
        total = self._gone.copy()
        for member in members:
            total.count(member)
        total.seconds = self._seconds
        return total

    def take(self, members: Iterable[Counted], now: float) -> Tally:
        """Return what has come since the last time, to be added up elsewhere."""
        total = self.total(members, now)
        more, self._taken = total.since(self._taken), total
        if now >= self._marks[-1][0] + EVERY:
            self._marks.append((now, total))
        return more

    def lately(self, total: Tally, now: float) -> Window:
        """Return what came in the last 10 to 20 seconds, with a look every 10; *total* is that of now."""
        then, before = self._marks[0]
        return Window(now - then, total.since(before))


class History:
    """Sums of earlier, so that those of the last minutes and of the last hour are known. It is bounded.

    Args:
        now: the present, in monotonic seconds.

    """

    __slots__ = ("_marks",)

    def __init__(self, now: float) -> None:
        start = Tally()
        self._marks = {span: deque([(now, start)]) for span in _SPANS}

    def note(self, total: Tally, now: float) -> None:
        """Mark what the sums are now, where it is time."""
        kept: Tally | None = None
        for span, step in _SPANS.items():
            marks = self._marks[span]
            if now < marks[-1][0] + step:
                continue
            kept = kept or total.copy()
            marks.append((now, kept))
            while marks[1][0] <= now - span:
                marks.popleft()

    def window(self, span: float, total: Tally, now: float) -> Window:
        """Return what came in the last 300 or 3600 seconds; *total* is that of now."""
        then, before = self._marks[span][0]
        return Window(now - then, total.since(before))
