"""A member that does not read, through real sockets: the relay's side of its connection is backed up."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from sealcast.protocol import controls, envelope
from sealcast.protocol.controls import Dropped, Side
from sealcast.protocol.names import Kind

if TYPE_CHECKING:
    from sealcast.server.config import AppConfig
    from sealcast.server.relay import Relay

    from .conftest import Lab
    from .raw import Client, Room, Wire

HIGH_WATER = 64 * 1024
BIG = bytes(30_000)


async def crowd(
    lab: Lab, opened: list[asyncio.Transport], app: AppConfig | None = None, channel: str = "standup"
) -> tuple[Relay, Wire, asyncio.Transport, Client, Room]:
    """Let a member that never reads and one that speaks join a channel; the first is backed up."""
    relay = lab.relays[0] if lab.relays else await lab.serve(*([app] if app else []))
    stuck = await lab.wire(relay, room_for=4096)
    transport = opened[-1]
    ann = await lab.connect(relay)
    await stuck.join(channel, "stuck")
    room = await ann.join(channel, "ann")
    while transport.get_write_buffer_size() <= HIGH_WATER:
        await ann.frame(room, Kind.DATA, payload=BIG)
        await ann.settle()
    return relay, stuck, transport, ann, room


async def everything(wire: Wire, until: bytes) -> list[bytes]:
    """Read binary messages up to the one with these bytes in it."""
    messages: list[bytes] = []
    while not messages or until not in messages[-1]:
        opcode, payload = await wire.received()
        if opcode == 2:
            messages.append(payload)
    return messages


def frames_of(messages: list[bytes]) -> list[bytes]:
    """Return the frames among them, from their descriptors on."""
    return [data[envelope.FRAME_START :] for data in messages if data[0] == envelope.FRAME]


def bodies_of(messages: list[bytes]) -> list[bytes]:
    """Return the delivered messages among them, from their descriptors on."""
    return [data[envelope.DELIVERED_START :] for data in messages if data[0] == envelope.DELIVERED]


def kinds_of(frames: list[bytes]) -> Counter[str]:
    """Count frames by kind."""
    return Counter(Kind(frame[0] & 15).name.lower() for frame in frames)


def drops_in(messages: list[bytes]) -> tuple[Counter[str], Counter[str]]:
    """Return what the relay told of drops, by kind and by reason."""
    kinds: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for data in messages:
        if data[0] == envelope.CONTROL:
            control, _ = controls.decode(data, Side.SERVER)
            if isinstance(control, Dropped):
                kinds.update(control.counts)
                reasons.update(control.reasons or {})
    return kinds, reasons
