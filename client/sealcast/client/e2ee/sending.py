"""The sending half of a channel: frames, and the beacons and batches of signatures that belong to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.names import Kind

from .batch import BatchWriter
from .beacon import Beacon, encode_beacon
from .beaconing import Beaconing
from .company import Company
from .context import BaseKey, Payload, Sender
from .identity import Signer
from .layers import ALWAYS_SIGNED, SealLayers
from .lifetime import Uncopyable
from .protection import Protection
from .sealer import Sealer

__all__ = ["ControlFrame", "Sending"]

_CONTROL: Final = Descriptor(Kind.CONTROL, priority=7)


class ControlFrame(NamedTuple):
    """A sealed control frame for all members: ``D | SFrame``."""

    data: bytes

    def __repr__(self) -> str:
        return f"ControlFrame({len(self.data)} bytes)"


class Sending(Uncopyable):
    """Seals. ``seal`` may be called from several threads, the rest from one.

    *on_use* is told which key something is being sealed under, before it is.
    """

    __slots__ = ("_batches", "_on_use", "_parting", "beaconing", "layers", "seal", "sealer")

    seal: Callable[[Descriptor, Payload], bytes]
    """Seals one frame. After it, when ``stirred``, take ``control_frames`` and send them first."""

    def __init__(
        self,
        sender: Sender,
        base: BaseKey,
        signer: Signer,
        protection: Protection,
        on_use: Callable[[BaseKey], None],
    ) -> None:
        self._on_use = on_use
        self.layers = SealLayers(signer.sign, padding=protection.padding, cipher=protection.cipher)
        self.sealer = Sealer(sender, base, layers=self.layers, on_use=self._using)
        self.beaconing = Beaconing()
        self._parting: list[ControlFrame] = []
        self._batches = BatchWriter() if protection.sign_media else None
        self.seal = self.sealer.seal if self._batches is None else self._seal_noted

    def _using(self, base: BaseKey, stream: int) -> None:
        self._on_use(base)
        if stream:
            self.beaconing.spoke()

    def _seal_noted(self, descriptor: Descriptor, payload: Payload) -> bytes:
        frame = self.sealer.seal(descriptor, payload)
        if self._batches is not None and descriptor.kind not in ALWAYS_SIGNED:
            self._batches.add(frame)
        return frame

    @property
    def stirred(self) -> bool:
        """Whether ``control_frames`` has something, or a time has to be set."""
        return (
            self.beaconing.urgent
            or bool(self._parting)
            or (self._batches is not None and self._batches.waits_for_start)
        )

    def rekey(self, base: BaseKey, company: Company, now: float, wall_ms: int) -> None:
        """Seal under *base* from the next call on; raises EpochRefused unless it comes later."""
        changes = base.epoch != self.sealer.epoch
        if changes and self.beaconing.owes:
            # No beacon of the next epoch opens what was sealed in this one.
            self._parting.append(self._sealed(self._beacon(company, now, wall_ms)))
        self.sealer.rekey(base)
        if changes:
            self.beaconing.rekeyed(now)

    def control_frames(self, company: Company, now: float, wall_ms: int) -> list[ControlFrame]:
        """Return what is to be sent before any frame that is sealed from now on."""
        self.beaconing.handle_timeout(now)
        bodies = []
        if self._batches is not None:
            self._batches.start(now)
            bodies += self._batches.take(now)
        if self.beaconing.urgent:
            bodies.insert(0, self._beacon(company, now, wall_ms))
        parting, self._parting = self._parting, []
        return [*parting, *map(self._sealed, bodies)]

    def _sealed(self, body: bytes) -> ControlFrame:
        return ControlFrame(self.sealer.seal(_CONTROL, body))

    def _beacon(self, company: Company, now: float, wall_ms: int) -> bytes:
        epoch = self.sealer.epoch
        streams = tuple((stream, following) for stream, following in self.sealer.progress() if stream)
        beacon = Beacon(wall_ms, epoch, streams, self.beaconing.echo(now), company.roster(epoch))
        return encode_beacon(beacon)

    def next_timeout(self) -> float | None:
        """Return when to take ``control_frames`` again."""
        times = (self.beaconing.next_timeout(), self._batches.next_timeout() if self._batches else None)
        return min((time for time in times if time is not None), default=None)
