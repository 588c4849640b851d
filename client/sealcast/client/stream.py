"""A stream: one flow of frames from this member to all others."""

from __future__ import annotations

from typing import Final

from sealcast.protocol.descriptor import DISCARDABLE, END_OF_GROUP, KEYFRAME, Descriptor
from sealcast.protocol.names import Kind

from .errors import ChannelClosed
from .membership import Membership
from .payload import Payload, payload_bytes
from .sizes import FRAME_KINDS

__all__ = ["KINDS", "Stream"]

KINDS: Final = {kind.name.lower(): kind for kind in FRAME_KINDS}
"""What ``room.stream`` can be asked for."""

PRIORITIES: Final = {Kind.AUDIO: 6, Kind.DATA: 5, Kind.SCREEN: 4, Kind.VIDEO: 3, Kind.CUSTOM: 3}
"""The priority of a kind when none is asked for; under pressure the lowest goes first."""

_DEPENDENT: Final = frozenset({Kind.VIDEO, Kind.SCREEN})


class Stream:
    """One flow of frames; made by ``Channel.stream``.

    ::

        cam = room.stream("video")
        cam.send(packet, keyframe=True)
    """

    __slots__ = (
        "_broken",
        "_closed",
        "_descriptors",
        "_keyed",
        "_membership",
        "dropped",
        "id",
        "kind",
        "priority",
        "sent",
    )

    def __init__(self, membership: Membership, kind: Kind, number: int, priority: int | None) -> None:
        self.kind = kind.name.lower()
        """What it carries: ``audio``, ``video``, ``screen``, ``data`` or ``custom``."""
        self.id = number
        """Its number, 2-255; receivers see it as ``Frame.stream``."""
        self.priority = PRIORITIES[kind] if priority is None else priority
        """0-7; under pressure the lowest goes first."""
        self.sent = 0
        """Frames that were taken to be sent."""
        self.dropped = 0
        """Frames that were not."""
        self._membership = membership
        self._closed = False
        self._keyed = False
        self._broken = False
        self._descriptors: dict[tuple[int, int, int], Descriptor] = {}
        self._descriptor(0, 0, 0)

    def __repr__(self) -> str:
        return f"<Stream {self.id} {self.kind} sent={self.sent} dropped={self.dropped}>"

    def send(
        self,
        data: Payload,
        *,
        keyframe: bool = False,
        discardable: bool = False,
        end_of_group: bool = False,
        temporal: int = 0,
        spatial: int = 0,
    ) -> bool:
        """Send one frame now, or not at all; never waits.

        Returns False when the frame was dropped, because the connection is gone or does not keep up.
        After a dropped frame of a video or screen stream that marks its keyframes, everything up to the
        next keyframe is dropped too: nobody could decode it.

        Args:
            data: the payload; the largest one is ``room.frame_max`` bytes.
            keyframe: it can be decoded without earlier ones.
            discardable: no other frame depends on it.
            end_of_group: it is the last of its group.
            temporal: its temporal layer, 0-7.
            spatial: its spatial layer, 0-3.

        Raises:
            ChannelClosed: the membership has ended, or the stream was closed.
            NotPermitted: the grant does not include this kind, or no more.
            LimitExceeded: the payload is too large.
            SealError: it cannot be sealed: the counters under this key are used up, or the process forked.
            LocalProtocolError: a layer is out of range.

        """
        membership = self._membership
        kind = self._descriptors[0, 0, 0].kind
        membership.require(kind)
        if self._closed:
            raise ChannelClosed
        payload = payload_bytes(data)
        flags = (
            (KEYFRAME if keyframe else 0)
            | (DISCARDABLE if discardable else 0)
            | (END_OF_GROUP if end_of_group else 0)
        )
        descriptor = self._descriptors.get((flags, temporal, spatial)) or self._descriptor(
            flags, temporal, spatial
        )
        self._keyed |= keyframe
        broken = self._broken and not keyframe
        if broken or not membership.send_frame(descriptor, payload):
            self._broken |= self._keyed and kind in _DEPENDENT and not discardable
            self.dropped += 1
            membership.reception.stats.frames_dropped[self.kind] += 1
            return False
        self._broken = False
        self.sent += 1
        membership.reception.stats.frames_sent += 1
        return True

    def close(self) -> None:
        """Give the stream's number back; nothing can be sent on it any more. Receivers are not told."""
        if not self._closed:
            self._closed = True
            self._membership.streams.discard(self.id)

    def _descriptor(self, flags: int, temporal: int, spatial: int) -> Descriptor:
        descriptor = Descriptor(
            KINDS[self.kind],
            flags,
            temporal,
            spatial,
            self.priority,
            self.id,
            self._membership.crypto.version,
        )
        self._descriptors[flags, temporal, spatial] = descriptor
        return descriptor
