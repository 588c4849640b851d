"""Which frames go when they cannot all be sent: the policies for slow members, pure.

All that is known of a frame is its clear descriptor: kind, flags, layers, priority and stream. In a
``realtime`` channel frames go in this order: the rest before audio, audio before the members' own
controls (which carry keys); in each of these discardable frames first, upper layers before lower ones,
low priority before high, and the oldest first. A dropped video frame takes with it what cannot be decoded
without it: the frames of its stream and layers up to the next keyframe, which waits or is still to come.
In a ``latest`` channel a frame takes the place of the one before it in its stream. Messages, the relay's
controls, and everything in a ``reliable`` channel, are kept.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

from sealcast.protocol.descriptor import DISCARDABLE, KEYFRAME
from sealcast.protocol.envelope import FRAME_START
from sealcast.protocol.names import Kind

from .config import DeliveryPolicy
from .interfaces import NOTICE

__all__ = ["OVERHEAD", "REASONS", "TIERS", "Gates", "Verdict", "Waiting", "broken", "overdue", "surplus"]

OVERHEAD: Final = 512
"""Bytes that something waiting costs beside its own: a flood of tiny frames is not to break a bound."""

REASONS: Final = ("age", "room", "layer", "keyframe", "replaced", "left", "ended")
"""Why a frame was dropped: it was too old; it made room, or as an upper layer did; it could not be decoded
without one that was dropped; a newer one took its place; the membership, or the connection, ended."""

_CONTROL, _AUDIO = int(Kind.CONTROL), int(Kind.AUDIO)
_VIDEO: Final = frozenset({int(Kind.VIDEO), int(Kind.SCREEN)})
"""The kinds whose frames depend on one another."""
_LATER: Final = {_AUDIO: 1, _CONTROL: 2}
"""The tiers of the kinds that go later than the others."""
TIERS: Final = 3
"""Tiers: nothing of a later one goes while there is enough in those before it."""

_GATES_MAX: Final = 4096
_SILENT: Final = 5.0
"""Seconds after which a stream that nothing came from does not count as waiting for a keyframe."""
_SETTLE_EVERY: Final = 1.0


def _above(layer: int) -> int:
    """Return a bit mask of the layers that may depend on this one, itself included."""
    temporal, spatial = layer >> 2, layer & 3
    return sum(1 << (t << 2 | s) for t in range(temporal, 8) for s in range(spatial, 4))


_ABOVE: Final = tuple(map(_above, range(32)))
"""By layer, as the descriptor has it: temporal (3 bits), spatial (2 bits)."""


class Waiting:
    """One frame, message or notice that waits, ready to be written. All slow members share one object.

    Args:
        kind: a ``Kind``, or ``NOTICE``.
        wire: the complete WebSocket frame.
        channel: the channel's number.
        since: when it began to wait, in monotonic seconds.

    """

    __slots__ = (
        "channel",
        "discardable",
        "flow",
        "gated",
        "keyframe",
        "kind",
        "lasting",
        "latest",
        "layer",
        "owed",
        "rank",
        "since",
        "tier",
        "weight",
        "wire",
    )

    def __init__(self, kind: int, wire: bytes, channel: int, since: float) -> None:
        self.kind = kind
        self.wire = wire
        self.channel = channel
        self.since = since
        self.weight = len(wire) + OVERHEAD
        self.owed = 0
        """Its bytes if the member has asked for it: they are not counted with the rest."""
        self.tier: int | None = None
        """0 to ``TIERS`` - 1, lower ones go first; None: it may not be dropped."""
        self.rank = 0
        """Within the tier, lower ones go first."""
        self.lasting = True
        """Whether it is worth as much when it comes late."""
        self.latest = False
        """Whether a newer frame of its flow takes its place."""
        self.gated = False
        """Whether it needs what its flow carried before, back to a keyframe."""
        self.keyframe = False
        self.discardable = False
        self.flow = 0
        """Channel, sender and stream in one number; 0 for what may not be dropped."""
        self.layer = 0

    @classmethod
    def answer(cls, wire: bytes, since: float) -> Waiting:
        """Make it from an answer, which may be larger than what a queue has room for."""
        self = cls(NOTICE, wire, 0, since)
        self.weight, self.owed = OVERHEAD, len(wire)
        return self

    @classmethod
    def frame(
        cls, data: bytes, wire: bytes, channel: int, since: float, policy: DeliveryPolicy, *, keyed: bool
    ) -> Waiting:
        """Make it from a frame.

        *data* is the frame from its envelope on; *keyed* says whether its stream marks its keyframes, without
        which nobody can tell what depends on what.
        """
        head, flags, layers, stream = data[FRAME_START : FRAME_START + 4]
        kind = head & 15
        self = cls(kind, wire, channel, since)
        if policy == "reliable":
            return self
        self.flow = (channel << 32 | int.from_bytes(data[FRAME_START - 4 : FRAME_START], "big")) << 8 | stream
        self.tier = _LATER.get(kind, 0)
        if kind == _CONTROL:
            return self
        self.layer = layers >> 3
        self.discardable = bool(flags & DISCARDABLE)
        self.keyframe = bool(flags & KEYFRAME)
        self.rank = (((not self.discardable) << 5 | 31 - self.layer) << 3 | layers & 7) << 1 | self.keyframe
        self.latest = self.lasting = policy == "latest"
        self.gated = keyed and kind in _VIDEO and not self.latest
        return self


class Gates:
    """The streams of which nothing but a keyframe is wanted, because something of theirs was dropped."""

    __slots__ = ("_settled", "_shut")

    def __init__(self) -> None:
        self._shut: dict[int, tuple[int, float]] = {}
        """By flow: the layers that are shut, and when that last mattered."""
        self._settled = 0.0

    def __len__(self) -> int:
        return len(self._shut)

    def shut(self, layers: dict[int, int], now: float) -> None:
        """Shut these layers of flows until their next keyframe."""
        for flow, mask in layers.items():
            if mask:
                self._shut[flow] = (self._shut.get(flow, (0, 0.0))[0] | mask, now)
        while len(self._shut) > _GATES_MAX:
            del self._shut[next(iter(self._shut))]

    def admits(self, item: Waiting) -> bool:
        """Say whether the next frame of its flow can be decoded; a keyframe opens its layers again."""
        mask = self._shut.get(item.flow, (0, 0.0))[0]
        if not mask or not item.gated:
            return True
        if not item.keyframe:
            shut = bool(mask >> item.layer & 1)
            if shut:
                self._shut[item.flow] = (mask, item.since)
            return not shut
        mask &= ~_ABOVE[item.layer]
        if mask:
            self._shut[item.flow] = (mask, item.since)
        else:
            del self._shut[item.flow]
        return True

    def settle(self, now: float) -> bool:
        """Forget the flows that have fallen silent; return whether none is shut any more."""
        if self._shut and now >= self._settled + _SETTLE_EVERY:
            self._settled = now
            self._shut = {flow: gate for flow, gate in self._shut.items() if gate[1] > now - _SILENT}
        return not self._shut

    def forget(self, channel: int) -> None:
        """Forget the flows of a channel."""
        self._shut = {flow: gate for flow, gate in self._shut.items() if flow >> 40 != channel}


def broken(item: Waiting) -> dict[int, int]:
    """Return what to shut because *item* is dropped before it could wait."""
    return {item.flow: _ABOVE[item.layer]} if item.gated and not item.discardable else {}


class Verdict(NamedTuple):
    """Which of the waiting go, and what that leaves undecodable."""

    going: dict[int, str]
    """By place in the queue, the reason."""
    shut: dict[int, int]
    """By flow, a mask of the layers that are shut behind the queue; see ``Gates.shut``."""


def overdue(items: Sequence[Waiting], oldest: float) -> Verdict:
    """Say what has to go because it began to wait before *oldest*."""
    going = {place: "age" for place, item in enumerate(items) if item.since < oldest and not item.lasting}
    return Verdict(going, _dependents(items, going))


def surplus(items: Sequence[Waiting], must: int, want: int) -> Verdict:
    """Say what has to go so that the rest is lighter by *must*, if that is possible.

    When something goes, *want* goes, so that the queue is not gone through for every frame; but audio
    and controls go only if everything before them has gone and it was less than *must*.
    """
    going: dict[int, str] = {}
    flows: dict[int, list[int]] = {}
    for place, item in enumerate(items):
        if item.gated:
            flows.setdefault(item.flow, []).append(place)
    freed = last = 0
    order = ((item.tier, item.rank, place) for place, item in enumerate(items) if item.tier is not None)
    for tier, _, place in sorted(order):
        if freed >= want or (freed >= must and tier > last):
            break
        last = tier
        if place in going:
            continue
        item = items[place]
        going[place] = "layer" if item.layer else "room"
        freed += item.weight
        if item.gated and not item.discardable:
            freed += _chain(items, flows[item.flow], place, going)
    return Verdict(going, _dependents(items, going))


def _chain(items: Sequence[Waiting], flow: list[int], start: int, going: dict[int, str]) -> int:
    """Add what of a flow cannot be decoded without the frame at *start*; return the weight of it."""
    mask = _ABOVE[items[start].layer]
    freed = 0
    for place in flow[bisect_right(flow, start) :]:
        item = items[place]
        if place in going:
            continue
        if item.keyframe:
            mask &= ~_ABOVE[item.layer]
            if not mask:
                break
        elif mask >> item.layer & 1:
            going[place] = "keyframe"
            freed += item.weight
    return freed


def _dependents(items: Sequence[Waiting], going: dict[int, str]) -> dict[int, int]:
    """Add what cannot be decoded without those going; return what is shut behind the last one."""
    shut: dict[int, int] = {}
    for place, item in enumerate(items):
        if not item.gated:
            continue
        mask = shut.get(item.flow, 0)
        if place in going:
            if not item.discardable:
                shut[item.flow] = mask | _ABOVE[item.layer]
        elif mask and item.keyframe:
            shut[item.flow] = mask & ~_ABOVE[item.layer]
        elif mask >> item.layer & 1:
            going[place] = "keyframe"
    return shut
