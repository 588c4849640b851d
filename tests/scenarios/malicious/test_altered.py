"""Frames that were changed on the way, and what was moved to where it does not belong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from sealcast.protocol import envelope
from sealcast.protocol.descriptor import BYTES, SIGNED, Descriptor
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import encode_header

from ..middle import Passing
from .keys import APP, OTHER_APP
from .meeting import INVENTED, Meeting
from .tamper import direct, flips, growing, instead, offering_clear_text, once_each, weaker_hellos, wraps

every_kind = pytest.mark.parametrize("kind", ["raw", "passphrase", "managed"])


@every_kind
async def test_flip(trial: Any, kind: str) -> None:
    forged = 0

    async def begin(meeting: Meeting) -> None:
        def bend(passing: Passing) -> list[bytes]:
            nonlocal forged
            bent = [passing.holding(sealed) for sealed in flips(passing.sealed)]
            forged += len(bent)
            return [*bent, passing.data]

        nonlocal forged
        bob = meeting.bob
        bob.rule = once_each(bob, "alice", bend)
        # Each makes a member; that all bits of a hello count is tested where hellos are read.
        for at, hello in enumerate(flips(bob.hello("alice"), every=7)):
            await meeting.announce("alice", hello, INVENTED + at, to="bob")
            forged += 1
        for wrap in wraps(bob.of("alice")):
            bent = [direct(bob, "alice", data) for data in flips(wrap)]
            await bob.put(*bent)
            forged += len(bent)

    minutes = await trial.attack("flip", kind, begin)
    assert minutes.failures.total() == forged


@every_kind
async def test_cut(trial: Any, kind: str) -> None:
    forged = 0

    async def begin(meeting: Meeting) -> None:
        def cut(passing: Passing) -> list[bytes]:
            nonlocal forged
            ends = range(BYTES, len(passing.sealed))
            bent = [passing.sealed + b"\0", *(passing.sealed[:end] for end in ends)]
            forged += len(bent)
            return [*map(passing.holding, bent), passing.data]

        meeting.bob.rule = once_each(meeting.bob, "alice", cut)

    minutes = await trial.attack("cut", kind, begin)
    assert minutes.failures == {"open_failed": forged}


@every_kind
async def test_cross_stream(trial: Any, kind: str) -> None:
    forged = 0

    async def begin(meeting: Meeting) -> None:
        def move(passing: Passing) -> list[bytes]:
            nonlocal forged
            kid, ctr, end = passing.header
            own, body = passing.sealed[:BYTES], passing.sealed[end:]
            header, beside = encode_header(kid, ctr), encode_header(kid + 0x100, ctr)
            to_beside = Descriptor(Kind.AUDIO, stream=(kid >> 8) + 1, priority=own[2] & 7).wire
            moved = [to_beside + header + body, own + beside + body, to_beside + beside + body]
            for kind in (Kind.VIDEO, Kind.DATA, Kind.SCREEN, Kind.CUSTOM):
                moved.append(bytes([0x10 | kind]) + passing.sealed[1:])
            for byte, bits in ((1, 0x27), (2, 0xFF)):
                changed = bytearray(passing.sealed)
                changed[byte] ^= bits
                moved.append(bytes(changed))
            message = Descriptor(Kind.MESSAGE, SIGNED, stream=1).wire
            said = message + encode_header(0x100 | kid & 0xFF, ctr) + body
            assert passing.head is not None
            forged += len(moved) + 1
            return [
                *map(passing.holding, moved),
                envelope.delivered(passing.head.channel, passing.head.member, 10_000, said),
                passing.data,
            ]

        bob = meeting.bob
        bob.rule = instead(bob, "alice", move, Kind.AUDIO)
        message = next(passing for passing in bob.of("alice") if passing.kind is Kind.MESSAGE)
        await bob.put(envelope.frame(bob.channel, bob.number("alice"), message.sealed))

    minutes = await trial.attack("cross-stream", kind, begin)
    assert minutes.failures == {"open_failed": forged, "wrong_envelope": 1}


@pytest.mark.parametrize(
    ("name", "app", "channel"), [("cross-channel", APP, "den"), ("cross-app", OTHER_APP, "room")]
)
@every_kind
async def test_cross_channel_and_cross_app(trial: Any, name: str, app: str, channel: str, kind: str) -> None:
    tape: list[Passing] = []
    hello: list[bytes] = []

    async def before(meeting: Meeting) -> None:
        for user in ("alice", "bob"):
            await meeting.join(user, app, channel)
        await meeting.talk(6)
        tape.extend(meeting.bob.of("alice"))
        hello.append(meeting.bob.hello("alice"))

    async def begin(meeting: Meeting) -> None:
        bob = meeting.bob
        fitting = growing(tape, bob.of("alice"))
        assert {passing.kind for passing in fitting} == {*Kind} - {Kind.VIDEO, Kind.SCREEN, Kind.CUSTOM}
        assert bool(wraps(tape)) is (kind == "managed")
        await meeting.announce("alice", hello[0])
        for wrap in wraps(tape):
            await bob.put(direct(bob, "alice", wrap))
        for member in (bob.number("alice"), INVENTED):
            await bob.put(*(passing.under(member, channel=bob.channel) for passing in fitting))

    minutes = await trial.attack(name, kind, begin, before=before)
    assert minutes.failures["hello_refused"] == 1


@every_kind
async def test_re_attribute(trial: Any, kind: str) -> None:
    async def begin(meeting: Meeting) -> None:
        bob = meeting.bob
        carol = bob.number("carol")

        def as_carol(passing: Passing) -> Iterable[bytes]:
            return [passing.under(carol), passing.data]

        bob.rule = instead(bob, "alice", as_carol)
        await meeting.announce("mallory", bob.hello("alice"))
        await meeting.announce("bob", meeting.middle.wire("alice").hello("bob"), INVENTED + 1)
        for wrap in wraps(meeting.middle.wire("carol").of("alice")):
            await bob.put(direct(bob, "alice", wrap))
        for wrap in wraps(bob.of("alice")):
            await bob.put(direct(bob, "carol", wrap))

    async def end(meeting: Meeting) -> None:
        meeting.bob.rule = None

    accused = {"bob", "carol", "mallory"} | ({"alice"} if kind == "managed" else set())
    await trial.attack("re-attribute", kind, begin, end=end, accused=accused)


@every_kind
async def test_downgraded(trial: Any, kind: str) -> None:
    async def start(meeting: Meeting) -> None:
        meeting.middle.rules["bob"] = offering_clear_text

    async def begin(meeting: Meeting) -> None:
        bob = meeting.bob

        def in_clear(passing: Passing) -> Iterable[bytes]:
            sealed = passing.sealed
            clear = bytes([0x20 | sealed[0] & 15, sealed[1] & ~SIGNED]) + sealed[2:BYTES]
            unsigned = [sealed[:1] + bytes([sealed[1] & ~SIGNED]) + sealed[2:]] if sealed[1] & SIGNED else []
            forged = [clear + b"false", clear + sealed[BYTES:], *unsigned]
            return [*map(passing.holding, forged), passing.data]

        bob.rule = once_each(bob, "alice", in_clear)
        await meeting.announce("erin", None, INVENTED)
        await bob.put(next(passing for passing in bob.of("alice") if passing.head).under(INVENTED))
        for number, hello in enumerate(weaker_hellos("alice", managed=kind == "managed"), INVENTED + 1):
            await meeting.announce("alice", hello, number)

    minutes = await trial.attack("downgraded", kind, begin, start=start, accused={"alice", "erin"})
    assert minutes.members["erin"] is False
    assert not any("IN CLEAR" in sent.what for sent in minutes.sent)
