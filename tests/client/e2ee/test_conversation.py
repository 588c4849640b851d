"""Whole contexts talking to each other: freshness, rotation, signatures, what has to wait."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from sealcast.client.e2ee import ChannelCrypto, Identity, Key, TrustStore
from sealcast.client.e2ee.alerts import (
    Authentic,
    Lost,
    Unauthentic,
)
from sealcast.client.e2ee.context import context_id
from sealcast.client.e2ee.hello import read_sent_hello
from sealcast.client.e2ee.notices import KeySwitched
from sealcast.client.e2ee.safety import channel_code
from sealcast.client.errors import (
    CertificateMissing,
    EpochRefused,
    HelloRefused,
    KeyMissing,
    NotFresh,
    SealError,
    WrapRefused,
)
from sealcast.protocol.descriptor import SIGNED, Descriptor
from sealcast.protocol.names import Kind

APP = "0123456789abcdef0123456789abcdef"
SECRET = bytes(range(32))
NEXT = bytes(range(1, 33))
AUDIO = Descriptor(Kind.AUDIO, stream=2)
VIDEO = Descriptor(Kind.VIDEO, stream=3)
MESSAGE = Descriptor(Kind.MESSAGE, stream=1)


def keys(room: Any, how: str, user: str, **choices: Any) -> Key:
    return room.managed(user, **choices) if how == "managed" else Key.raw(SECRET, **choices)


@pytest.fixture(params=["raw", "managed"])
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_all_that_is_secret_of_a_session_is_made_from_its_entropy(room: Any, how: str) -> None:
    def entropy(name: bytes) -> Callable[[int], bytes]:
        drawn = iter(range(100))
        return lambda size: hashlib.shake_256(name + bytes([next(drawn)])).digest(size)

    key = keys(room, how, "alice")
    one, same, other = (
        key.bind(APP, "standup", "alice", wall=room.wall, entropy=entropy(name))
        for name in (b"one", b"one", b"other")
    )
    assert one.hello == same.hello != other.hello
    assert one.seal(MESSAGE, b"x") == same.seal(MESSAGE, b"x") != other.seal(MESSAGE, b"x")


@pytest.mark.parametrize("suite", ["AES_128_GCM", "AES_256_GCM"])
def test_what_is_sent_arrives_once_and_in_order(room: Any, how: str, suite: str) -> None:
    alice, bob = (room.join(user, keys(room, how, user, suite=suite)) for user in ("alice", "bob"))
    for number in range(20):
        room.send(alice, b"m%d" % number, MESSAGE if number % 2 else AUDIO)
        room.send(bob, b"b%d" % number)
    assert bob.heard == [b"m%d" % n for n in range(20)]
    assert alice.heard == [b"b%d" % n for n in range(20)]
    assert bob.refused == alice.refused == []
    room.wait(60)
    assert not [told for told in alice.told + bob.told if not isinstance(told, KeySwitched)]


def test_who_joins_hears_what_comes_after_and_within_a_moment(room: Any, how: str) -> None:
    alice, bob = (room.join(user, keys(room, how, user)) for user in ("alice", "bob"))
    before = [room.send(alice, b"before %d" % n) for n in range(3)]
    carol = room.join("carol", keys(room, how, "carol"))
    room.send(alice, b"after")
    room.wait(0.3)
    assert carol.heard == [b"after"]
    assert bob.heard[-1] == b"after"
    if how == "managed":
        for frame in before:
            room.hand(carol, alice.number, frame)
        room.wait(3)
        assert carol.heard == [b"after"]


def test_sixteen_streams_of_five_members_and_nothing_is_lost(room: Any, how: str) -> None:
    seats = [room.join(user, keys(room, how, user)) for user in ("a", "b", "c", "d", "e")]
    for turn in range(3):
        for stream in range(2, 18):
            for seat in seats:
                descriptor = Descriptor(Kind.AUDIO, stream=stream)
                room.send(seat, b"%s %d %d" % (seat.user.encode(), stream, turn), descriptor)
    for seat in seats:
        assert len(seat.heard) == len(set(seat.heard)) == 3 * 16 * 4
    room.wait(30)
    assert not [told for seat in seats for told in seat.told if not isinstance(told, KeySwitched)]


# --- freshness --------------------------------------------------------------------------------------


def test_nothing_is_delivered_before_the_beacon_and_all_of_it_after(room: Any, how: str) -> None:
    alice = room.join("alice", keys(room, how, "alice"))
    bob = room.join("bob", keys(room, how, "bob"))
    held: list[bytes] = []

    def keep_beacons(sender: Any, receiver: Any, frame: bytes) -> list[bytes]:
        if frame[0] & 15 == Kind.CONTROL:
            held.append(frame)
            return []
        return [frame]

    room.meddle = keep_beacons
    for number in range(5):
        room.send(alice, b"%d" % number, AUDIO if number % 2 else MESSAGE)
    assert bob.heard == []
    [beacon] = held
    room.hand(bob, alice.number, beacon)
    assert bob.heard == [b"0", b"1", b"2", b"3", b"4"]


def test_a_beacon_that_was_lost_with_a_connection_is_sent_again_on_the_next_one(room: Any, how: str) -> None:
    alice, bob = (room.join(user, keys(room, how, user)) for user in ("alice", "bob"))
    room.meddle = lambda sender, receiver, frame: []
    room.send(alice, b"lost, and the beacon before it")
    room.meddle = lambda sender, receiver, frame: [frame]
    # Alice is back on another connection, and finds the same members.
    assert alice.crypto.joined([(bob.number, bob.user, bob.crypto.hello)], room.now) == []
    room.send(alice, b"heard")
    assert bob.heard == [b"heard"]


def test_a_message_that_waits_keeps_the_order_of_the_channel_for_all(room: Any) -> None:
    alice, bob, carol = (room.join(user, Key.raw(SECRET)) for user in ("alice", "bob", "carol"))
    room.send(bob, b"known")
    beacons: list[bytes] = []

    def keep(sender: Any, receiver: Any, frame: bytes) -> list[bytes]:
        if sender is alice and frame[0] & 15 == Kind.CONTROL:
            beacons.append(frame)
            return []
        return [frame]

    room.meddle = keep
    for number in range(6):
        room.send(bob if number % 3 else alice, b"%d" % number, MESSAGE)
    room.send(bob, b"sound")
    assert carol.heard == [b"known", b"sound"]
    room.hand(carol, alice.number, beacons[0])
    assert carol.heard[2:] == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert [received.offset for received in carol.got[2:]] == [1, 2, 3, 4, 5, 6]


def test_a_message_that_waits_in_vain_holds_the_others_up_for_ten_seconds(room: Any) -> None:
    alice, bob, carol = (room.join(user, Key.raw(SECRET)) for user in ("alice", "bob", "carol"))
    room.meddle = lambda sender, receiver, frame: (
        [] if sender is alice and frame[0] & 15 == Kind.CONTROL else [frame]
    )
    room.send(alice, b"never proved", MESSAGE)
    room.now += 1
    room.send(bob, b"behind it", MESSAGE)
    room.wait(8.9)
    assert carol.heard == []
    room.wait(0.2)
    assert carol.heard == [b"behind it"]


def test_what_is_not_proved_within_two_seconds_is_counted_and_gone(room: Any) -> None:
    alice, bob = (room.join(user, Key.raw(SECRET)) for user in ("alice", "bob"))
    room.meddle = lambda sender, receiver, frame: [] if frame[0] & 15 == Kind.CONTROL else [frame]
    for number in range(300):
        room.send(alice, b"%d" % number)
    assert bob.refused == ["NotFresh"] * 44, "256 wait, the rest is refused at once"
    room.wait(2.0)
    assert bob.notices(Lost) == [Lost(alice.number, NotFresh, 256)]
    assert bob.heard == []
    room.meddle = lambda sender, receiver, frame: [frame]
    room.wait(5)
    room.send(alice, b"late")
    assert bob.heard == [b"late"]


def test_yesterdays_session_under_a_reused_secret_delivers_nothing(room: Any) -> None:
    alice = room.join("alice", Key.raw(SECRET))
    bob = room.join("bob", Key.raw(SECRET))
    for number in range(10):
        room.send(alice, b"yesterday %d" % number, MESSAGE)
        room.wait(1)
    tape = [frame for number, frame in room.tape if number == alice.number]
    assert len(bob.heard) == 10

    today = Key.raw(SECRET).bind(APP, "standup", "bob", wall=room.wall)
    today.add_member(1, "alice", alice.crypto.hello, room.now)
    for frame in tape:
        assert today.open(1, frame).payload is not None, "the secret opens it: the cipher does not help"
    again = Key.raw(SECRET).bind(APP, "standup", "bob", wall=room.wall)
    again.add_member(1, "alice", alice.crypto.hello, room.now)
    for frame in tape:
        assert again.receive(1, frame, room.now) == []
    again.handle_timeout(room.now + 3)
    assert again.take_ready() == []
    [lost] = again.notices()
    assert lost == Lost(1, NotFresh, 10)


def test_an_audience_takes_the_time_of_a_beacon_for_proof(room: Any) -> None:
    alice = room.join("alice", Key.raw(SECRET))
    listener = room.join("listener", Key.raw(SECRET, audience=True))
    room.send(alice, b"now")
    assert listener.heard == [b"now"]
    tape, room.tape = room.tape, []
    for off, heard in ((10, [b"now"]), (31, []), (-31, [])):
        room.skew = off
        late = Key.raw(SECRET, audience=True).bind(APP, "standup", "late", wall=room.wall)
        late.add_member(1, "alice", alice.crypto.hello, room.now)
        got = [r.opened.payload for _, frame in tape for r in late.receive(1, frame, room.now)]
        assert got == heard


# --- rotation of shared secrets ---------------------------------------------------------------------


def test_frames_of_a_secret_that_has_not_arrived_wait_for_it(room: Any) -> None:
    alice, bob = (room.join(user, Key.raw(SECRET)) for user in ("alice", "bob"))
    room.send(alice, b"old")
    assert alice.crypto.rotate(NEXT, room.now) == 1
    for number in range(3):
        room.send(alice, b"new %d" % number, MESSAGE)
    assert bob.heard == [b"old"]
    room.now += 1
    bob.crypto.rotate(NEXT, room.now)
    room.flush()
    assert bob.heard == [b"old", b"new 0", b"new 1", b"new 2"]
    alice.crypto.rotate(SECRET, room.now)
    room.send(alice, b"lost")
    room.wait(2.5)
    assert [notice.reason for notice in bob.notices(Lost)] == [KeyMissing]


def test_old_epochs_of_a_sender_end_ten_seconds_after_its_first_good_frame_of_a_new_one(room: Any) -> None:
    alice, bob, carol = (room.join(user, Key.raw(SECRET)) for user in ("alice", "bob", "carol"))
    room.send(alice, b"warm")
    room.send(carol, b"warm")
    old = [alice.crypto.seal(AUDIO, b"old %d" % n) for n in range(3)]
    others = [carol.crypto.seal(AUDIO, b"of carol %d" % n) for n in range(2)]
    for seat in (alice, bob):
        seat.crypto.set_key(1, NEXT, room.now)
    room.hand(bob, alice.number, old[0])
    room.send(alice, b"new")
    room.wait(9.9)
    room.hand(bob, alice.number, old[1])
    assert bob.heard == [b"warm", b"warm", b"old 0", b"new", b"old 1"]
    room.wait(0.2)
    room.hand(bob, alice.number, old[2])
    room.hand(bob, carol.number, others[0])
    room.wait(2.5)
    assert bob.heard[5:] == [b"of carol 0"], "who has not moved on is still heard"
    assert bob.refused == ["KeyMissing"], "that key does not come back, so nothing waits for it"


def test_rotation_refuses_what_set_key_refuses(room: Any) -> None:
    alice = room.join("alice", Key.raw(SECRET, epoch=2**32 - 1))
    with pytest.raises(EpochRefused):
        alice.crypto.rotate(NEXT)
    with pytest.raises(KeyMissing):
        Key.none().bind(APP, "standup", "x").rotate(NEXT)
    with pytest.raises(SealError, match="managed keys"):
        room.join("bob", room.managed("bob")).crypto.rotate(NEXT)


# --- managed keys -----------------------------------------------------------------------------------


def test_who_was_kicked_opens_nothing_that_comes_after_a_second(room: Any) -> None:
    alice, bob, mallory = (room.join(user, room.managed(user)) for user in ("alice", "bob", "mallory"))
    room.send(alice, b"for all")
    assert mallory.heard == [b"for all"]
    room.leave(mallory)
    room.wait(1.3)
    assert alice.crypto.epoch == bob.crypto.epoch == 1
    frame = room.send(alice, b"not for mallory", MESSAGE)
    assert bob.heard == [b"for all", b"not for mallory"]
    with pytest.raises(SealError):
        mallory.crypto.open(alice.number, frame)


def test_frames_wait_for_a_wrap_that_is_late_and_keep_their_order(room: Any) -> None:
    alice, bob = (room.join(user, room.managed(user)) for user in ("alice", "bob"))
    late: list[tuple[int, bytes]] = []

    def keep(sender: int, direct: Any) -> list[bytes]:
        if direct.member == carol_number and direct.data[0] == 1:
            late.append((sender, direct.data))
            return []
        return [direct.data]

    carol_number = 3
    room.meddle_direct = keep
    carol = room.join("carol", room.managed("carol"))
    for number in range(4):
        room.send(alice, b"%d" % number, MESSAGE if number % 2 else AUDIO)
    assert carol.heard == []
    assert bob.heard == [b"0", b"1", b"2", b"3"]
    for sender, data in late:
        carol.crypto.receive_direct(sender, data, room.now)
    room.flush()
    assert carol.heard == [b"0", b"1", b"2", b"3"]


def test_a_ghost_whom_nobody_certified_gets_no_key_and_is_not_heard(room: Any) -> None:
    alice = room.join("alice", room.managed("alice"))
    ghost_key = Key.managed(Identity.generate(), trust="first_use", store=TrustStore())
    ghost = room.join("ghost", ghost_key)
    assert "no certificate" in alice.refused[0]
    room.send(alice, b"secret")
    room.send(ghost, b"boo")
    room.wait(3)
    assert ghost.heard == []
    assert alice.heard == []


def test_a_changed_identity_is_refused_until_it_is_accepted(room: Any) -> None:
    store = TrustStore()
    alice = room.join("alice", Key.managed(Identity.generate(), trust="first_use", store=store))
    first = room.join("bob", Key.managed(Identity.generate(), trust="first_use"))
    room.leave(first)
    identity = Identity.generate()
    bob = room.join("bob", Key.managed(identity, trust="first_use"))
    assert any("another identity key" in why for why in alice.refused)
    room.send(bob, b"before")
    assert alice.heard == []
    store.accept(APP, "bob", identity.public, room.wall())
    assert alice.crypto.reconsider([(bob.number, "bob", bob.crypto.hello)], room.now) == [bob.number]
    room.flush()
    room.wait(5.1)  # until bob's next beacon: it does not know that it was not heard
    room.send(bob, b"after")
    room.send(alice, b"to bob")
    assert alice.heard == [b"after"]
    assert bob.heard == [b"to bob"]


def test_a_key_without_a_certificate_for_the_channel_is_refused_before_the_join(room: Any) -> None:
    key = Key.managed(Identity.generate(), room.authority.public)
    with pytest.raises(CertificateMissing, match="carries no certificate"):
        key.bind(APP, "standup", "alice")


def test_the_rejoin_of_the_same_context_goes_on_with_a_new_key(room: Any) -> None:
    alice, bob = (room.join(user, room.managed(user)) for user in ("alice", "bob"))
    room.send(alice, b"one")
    room.send(bob, b"uno")
    room.leave(bob)
    room.wait(5)
    bob.number = 9
    room.seat(bob)
    room.wait(0.3)
    room.send(alice, b"two")
    room.send(bob, b"due")
    assert bob.heard == [b"one", b"two"]
    assert alice.heard == [b"uno", b"due"]
    assert bob.crypto.epoch == 1


def test_directs_are_refused_where_all_hold_one_secret(room: Any) -> None:
    alice = room.join("alice", Key.raw(SECRET))
    with pytest.raises(WrapRefused):
        alice.crypto.receive_direct(1, b"\x01", room.now)
    with pytest.raises(KeyMissing):
        Key.none().bind(APP, "standup", "x").receive_direct(1, b"\x01", room.now)


# --- signatures -------------------------------------------------------------------------------------


def test_messages_are_signed_and_unsigned_ones_refused(room: Any, how: str) -> None:
    alice, bob = (room.join(user, keys(room, how, user)) for user in ("alice", "bob"))
    frame = room.send(alice, b"signed", MESSAGE)
    assert frame[1] & SIGNED
    room.meddle = lambda sender, receiver, frame: [frame[:1] + bytes([frame[1] & ~SIGNED]) + frame[2:]]
    room.send(alice, b"flag taken away", MESSAGE)
    assert bob.refused == ["Unsigned"]
    assert bob.heard == [b"signed"]


@pytest.mark.parametrize("padding", ["none", "buckets"])
def test_signed_media_is_vouched_for_within_half_a_second(room: Any, how: str, padding: str) -> None:
    alice, bob = (
        room.join(user, keys(room, how, user, sign_media=True, padding=padding)) for user in ("alice", "bob")
    )
    for number in range(20):
        room.send(alice, b"%d" % number)
        room.send(alice, b"v%d" % number, VIDEO)
        room.wait(0.02)
    assert bob.notices(Authentic) == []
    room.wait(0.2)
    assert {notice.stream for notice in bob.notices(Authentic)} == {2, 3}
    room.wait(20)
    assert len(bob.notices(Authentic)) == 2
    assert bob.notices(Unauthentic) == []


def test_media_whose_batches_are_withheld_is_unauthentic(room: Any) -> None:
    alice, bob = (room.join(user, Key.raw(SECRET, sign_media=True)) for user in ("alice", "bob"))
    room.send(alice, b"first")
    room.meddle = lambda sender, receiver, frame: [] if frame[0] & 15 == Kind.CONTROL else [frame]
    room.send(alice, b"second")
    room.wait(2)
    assert bob.notices(Unauthentic) == [Unauthentic(alice.number, "alice", 2, 2)]


def test_contexts_without_a_key_have_nothing_to_do(room: Any) -> None:
    crypto: ChannelCrypto = Key.none().bind(APP, "standup", "alice")
    assert crypto.joined([(1, "bob", None)]) == []
    assert (crypto.stirred, crypto.outgoing(), crypto.take_ready(), crypto.notices()) == (False, [], [], [])
    assert crypto.next_timeout() is None
    assert crypto.reconsider([], 0.0) == []
    crypto.handle_timeout(0.0)
    clear = Descriptor(Kind.AUDIO, stream=2, version=2)
    [received] = crypto.receive(1, memoryview(crypto.seal(clear, b"payload")), 0.0, 7)
    assert (received.opened.payload, received.offset) == (b"payload", 7)
    assert crypto.sealed_size(Kind.AUDIO, 7) == 11


# --- the channel code -------------------------------------------------------------------------------


def test_all_who_see_the_same_sessions_have_the_same_code(room: Any, how: str) -> None:
    seats = [room.join(user, keys(room, how, user)) for user in ("alice", "bob", "carol")]
    [code] = {seat.crypto.code for seat in seats}
    ctx = context_id(APP, "standup")
    assert code == channel_code(ctx, [read_sent_hello(seat.crypto.hello, ctx).body for seat in seats])


def test_the_code_changes_with_who_is_there_and_with_nothing_else(room: Any, how: str) -> None:
    alice, bob = (room.join(user, keys(room, how, user)) for user in ("alice", "bob"))
    two = alice.crypto.code
    carol = room.join("carol", keys(room, how, "carol"))
    three = alice.crypto.code
    room.send(bob, b"hello")
    if how == "raw":
        for seat in (alice, bob, carol):
            seat.crypto.rotate(NEXT, room.now)
    room.wait(700)  # keys grow old and are changed
    assert alice.crypto.code == three != two
    room.leave(carol)
    assert alice.crypto.code == bob.crypto.code == two
    carol.number = 77  # the same session, back on another connection
    room.seat(carol)
    assert alice.crypto.code == bob.crypto.code == carol.crypto.code == three
    room.leave(carol)
    room.join("carol", keys(room, how, "carol"))
    assert alice.crypto.code == bob.crypto.code not in (two, three)


def test_who_is_shown_other_members_than_the_others_has_another_code(room: Any, how: str) -> None:
    alice, bob, carol = (room.join(user, keys(room, how, user)) for user in ("alice", "bob", "carol"))
    bob.crypto.remove_member(carol.number, room.now)
    assert bob.crypto.code != alice.crypto.code == carol.crypto.code


def test_a_ghost_has_a_place_in_the_code_or_no_keys_and_no_place(room: Any, how: str) -> None:
    alice, bob = (room.join(user, keys(room, how, user)) for user in ("alice", "bob"))
    ghost = (
        Key.managed(Identity.generate(), trust="callback", verify_member=lambda claim: True)
        if how == "managed"
        else Key.raw(NEXT)
    )
    hello = ghost.bind(APP, "standup", "ghost", wall=room.wall).hello
    if how == "managed":
        with pytest.raises(HelloRefused):
            bob.crypto.add_member(66, "ghost", hello, room.now)
        assert bob.crypto.code == alice.crypto.code
    else:
        bob.crypto.add_member(66, "ghost", hello, room.now)
        assert bob.crypto.code != alice.crypto.code


def test_without_a_key_there_is_no_code() -> None:
    assert Key.none().bind(APP, "standup", "alice").code is None
