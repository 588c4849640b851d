"""Nothing that a newcomer was entitled to is lost because its sender, an epoch or a loop ends too soon."""

from __future__ import annotations

from typing import Any

import pytest

from sealcast.client.e2ee import Key
from sealcast.client.e2ee.alerts import Lost
from sealcast.client.errors import KeyMissing
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.names import Kind

AUDIO = Descriptor(Kind.AUDIO, stream=2)
MESSAGE = Descriptor(Kind.MESSAGE, stream=1)
SECRET, NEXT = bytes(range(32)), bytes(range(1, 33))


@pytest.fixture(params=["raw", "managed"])
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def keys(room: Any, how: str, user: str) -> Key:
    return room.managed(user) if how == "managed" else Key.raw(SECRET)


def with_a_newcomer(room: Any, how: str) -> tuple[Any, Any, Any]:
    """Alice, who has just sent a beacon and so is in no hurry with the next, Bob, and Carol, who is new."""
    alice, bob = (room.join(user, keys(room, how, user)) for user in ("alice", "bob"))
    room.send(alice, b"warm")
    return alice, bob, room.join("carol", keys(room, how, "carol"))


def test_a_frame_waits_for_the_next_beacon_and_a_message_brings_its_own(room: Any, how: str) -> None:
    alice, _, carol = with_a_newcomer(room, how)
    room.send(alice, b"sound")
    assert carol.heard == []
    alice.crypto.hasten()
    room.send(alice, b"text", MESSAGE)
    assert carol.heard == [b"sound", b"text"]


def test_there_is_no_beacon_for_those_who_were_answered(room: Any, how: str) -> None:
    alice, _, _ = with_a_newcomer(room, how)
    room.wait(0.3)
    before = len(room.tape)
    alice.crypto.hasten()
    room.flush()
    assert len(room.tape) == before


def test_who_has_said_nothing_parts_without_a_word(room: Any, how: str) -> None:
    alice = room.join("alice", keys(room, how, "alice"))
    room.join("bob", keys(room, how, "bob"))
    alice.crypto.hasten()
    room.flush()
    assert room.tape == []


def test_a_sender_that_leaves_lets_newcomers_have_its_last_frames(room: Any, how: str) -> None:
    alice, _, carol = with_a_newcomer(room, how)
    room.send(alice, b"the last sound")
    alice.crypto.hasten()
    room.flush()
    room.leave(alice)
    room.wait(3)
    assert carol.heard == [b"the last sound"]
    assert carol.notices(Lost) == []


def test_a_secret_that_is_replaced_lets_newcomers_have_what_came_under_the_old_one(room: Any) -> None:
    alice, bob, carol = with_a_newcomer(room, "raw")
    room.send(alice, b"the last under the old one")
    for seat in (bob, carol, alice):
        seat.crypto.rotate(NEXT, room.now)
    room.send(alice, b"the first under the new one")
    assert carol.heard == [b"the last under the old one", b"the first under the new one"]
    room.wait(3)
    assert carol.notices(Lost) == []


def test_a_leave_lets_newcomers_have_what_came_under_the_old_key(room: Any) -> None:
    alice, bob, carol = with_a_newcomer(room, "managed")
    room.leave(bob)
    room.wait(0.2)
    alice.crypto.hasten()  # carol is answered, and the next beacon is not due before the next key
    room.flush()
    dave = room.join("dave", room.managed("dave"))
    room.send(alice, b"the last under the old one")
    room.wait(0.1)
    room.send(alice, b"the first under the new one")
    assert alice.crypto.epoch == 1
    assert dave.heard == [b"the last under the old one", b"the first under the new one"]
    room.wait(3)
    assert dave.notices(Lost) == carol.notices(Lost) == []


def test_what_was_sealed_before_its_sender_heard_of_a_newcomer_does_not_hold_up_what_follows(
    room: Any,
) -> None:
    alice, bob = (room.join(user, room.managed(user)) for user in ("alice", "bob"))
    room.send(alice, b"warm")
    early = alice.crypto.seal(MESSAGE, b"sealed before carol was known")
    wraps: list[tuple[int, bytes]] = []

    def keep(number: int, direct: Any) -> list[bytes]:
        wraps.append((number, direct.data))
        return []

    room.meddle_direct = keep
    carol = room.join("carol", room.managed("carol"))
    room.carry(alice, early)
    alice.crypto.hasten()
    room.send(alice, b"after", MESSAGE)
    assert carol.heard == [], "the key is under way, so the order of the channel is kept"
    [wrap] = [data for number, data in wraps if number == alice.number]
    carol.crypto.receive_direct(alice.number, wrap, room.now)
    room.flush()
    assert carol.heard == [b"after"], "the earlier one never opens, so nothing waits for it"
    assert carol.notices(Lost) == [Lost(alice.number, KeyMissing, 1)]
    assert bob.heard == [b"warm", b"sealed before carol was known", b"after"]


def test_what_waits_for_the_key_of_one_who_left_holds_up_nothing(room: Any) -> None:
    alice, bob = (room.join(user, room.managed(user)) for user in ("alice", "bob"))
    room.meddle_direct = lambda number, direct: [] if number == alice.number else [direct.data]
    carol = room.join("carol", room.managed("carol"))
    room.send(alice, b"nobody has given carol this key", MESSAGE)
    room.send(bob, b"behind it", MESSAGE)
    assert carol.heard == []
    room.leave(alice)
    assert carol.heard == [b"behind it"]
    assert carol.notices(Lost)[0] == Lost(alice.number, KeyMissing, 1)
