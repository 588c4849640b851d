"""Messages that come late because this side was away: the live rules, but for proof of being here now."""

from __future__ import annotations

import time

import pytest

from sealcast.client.e2ee import Authority, Identity, Key
from sealcast.client.e2ee.receiving import Received
from sealcast.client.errors import (
    CertificateForged,
    ClearTextRefused,
    HelloRefused,
    IdentityChanged,
    KeyMissing,
    OpenFailed,
    Replayed,
    Unsigned,
)
from sealcast.protocol.descriptor import SIGNED, Descriptor
from sealcast.protocol.names import Kind

from .conftest import APP, AUDIO, MESSAGE, SECRET

CLEAR_MESSAGE = Descriptor(Kind.MESSAGE, stream=1, version=2)


def payloads(received: list[Received]) -> list[tuple[bytes, bool]]:
    return [(one.opened.payload, one.historical) for one in received]


@pytest.fixture
def gone(bind):
    """Alice, who has left, and Bob, who was told so: to him she was member 1."""
    alice, bob = bind("alice"), bind("bob")
    bob.joined([], 0.0)
    bob.recall([(1, "alice", alice.hello)])
    return alice, bob


def test_a_message_of_a_sender_that_has_left_is_delivered_and_says_that_it_is_historical(gone):
    alice, bob = gone
    data = alice.seal(MESSAGE, b"hello")
    assert payloads(bob.recover(1, data, 0.0, 5)) == [(b"hello", True)]


def test_it_is_delivered_once_and_its_counter_counts_for_all_that_comes_later(gone):
    alice, bob = gone
    first, second = alice.seal(MESSAGE, b"one"), alice.seal(MESSAGE, b"two")
    assert payloads(bob.recover(1, second, 0.0, 6)) == [(b"two", True)]
    for data in (first, second):
        with pytest.raises(Replayed):
            bob.recover(1, data, 0.0, 7)
    bob.joined([(9, "alice", alice.hello)], 1.0)
    with pytest.raises(Replayed):
        bob.receive(9, second, 1.0, 8)


def test_what_was_delivered_live_is_not_recovered_again(room):
    key = Key.raw(SECRET)
    alice, bob = room.join("alice", key), room.join("bob", key)
    data = room.send(alice, b"live", MESSAGE)
    assert bob.heard == [b"live"]
    bob.crypto.joined([], room.now)
    bob.crypto.recall([(alice.number, "alice", alice.crypto.hello)])
    with pytest.raises(Replayed):
        bob.crypto.recover(alice.number, data, room.now, 9)


def test_a_message_of_a_member_that_has_proved_to_be_here_is_an_ordinary_one(room):
    key = Key.raw(SECRET)
    alice, bob = room.join("alice", key), room.join("bob", key)
    room.send(alice, b"live", MESSAGE)
    missed = alice.crypto.seal(MESSAGE, b"missed")
    bob.crypto.joined([(7, "alice", alice.crypto.hello)], room.now)
    bob.crypto.recall([(alice.number, "alice", alice.crypto.hello)])
    recovered = bob.crypto.recover(alice.number, missed, room.now, 9)
    assert payloads(recovered) == [(b"missed", False)]
    assert (recovered[0].member, recovered[0].user) == (alice.number, "alice")


def test_a_member_under_its_own_number_is_recovered_without_being_listed_again(bind):
    alice, bob = bind("alice"), bind("bob")
    bob.joined([(4, "alice", alice.hello)], 0.0)
    assert payloads(bob.recover(4, alice.seal(MESSAGE, b"hello"), 0.0, 5)) == [(b"hello", True)]


def test_after_a_recovered_message_its_sender_still_has_to_prove_itself_for_what_is_live(bind):
    alice, bob = bind("alice"), bind("bob")
    bob.joined([(4, "alice", alice.hello)], 0.0)
    bob.recover(4, alice.seal(MESSAGE, b"late"), 0.0, 5)
    assert bob.receive(4, alice.seal(AUDIO, b"now"), 0.0) == []
    assert bob.receive(4, alice.seal(MESSAGE, b"now"), 0.0, 6) == []


def test_messages_keep_the_order_of_the_channel_over_the_gap(bind):
    alice, carol, bob = bind("alice"), bind("carol"), bind("bob")
    bob.joined([(1, "alice", alice.hello)], 0.0)
    assert bob.receive(1, alice.seal(MESSAGE, b"waits for its proof"), 0.0, 1) == []
    bob.joined([], 1.0)
    bob.recall([(2, "carol", carol.hello)])
    assert payloads(bob.recover(2, carol.seal(MESSAGE, b"behind it"), 1.0, 2)) == [(b"behind it", True)]
    assert payloads(bob.take_ready()) == [(b"waits for its proof", True)]


def test_an_author_is_no_member(bind):
    alice, bob = bind("alice"), bind("bob")
    bob.joined([], 0.0)
    code = bob.code
    bob.recall([(1, "alice", alice.hello)])
    bob.recover(1, alice.seal(MESSAGE, b"x"), 0.0, 1)
    assert bob.code == code
    with pytest.raises(KeyMissing):
        bob.receive(1, alice.seal(AUDIO, b"live"), 0.0)
    with pytest.raises(KeyMissing):
        bob.receive(1, alice.seal(MESSAGE, b"live"), 0.0, 2)


def test_authors_are_forgotten_with_the_next_join(gone):
    alice, bob = gone
    bob.recover(1, alice.seal(MESSAGE, b"x"), 0.0, 1)
    bob.joined([], 1.0)
    with pytest.raises(KeyMissing):
        bob.recover(1, alice.seal(MESSAGE, b"y"), 1.0, 2)


def test_a_number_that_nobody_introduced_opens_nothing(gone):
    alice, bob = gone
    with pytest.raises(KeyMissing):
        bob.recover(2, alice.seal(MESSAGE, b"x"), 0.0, 1)


def test_an_altered_message_is_refused_and_changes_nothing(gone):
    alice, bob = gone
    data = alice.seal(MESSAGE, b"hello")
    for at in range(len(data)):
        with pytest.raises((OpenFailed, KeyMissing, Unsigned, ClearTextRefused)):
            bob.recover(1, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], 0.0, 1)
    assert payloads(bob.recover(1, data, 0.0, 1)) == [(b"hello", True)]


def test_a_message_under_another_authors_number_is_refused(bind):
    alice, carol, bob = bind("alice"), bind("carol"), bind("bob")
    bob.joined([], 0.0)
    bob.recall([(1, "alice", alice.hello), (2, "carol", carol.hello)])
    with pytest.raises(OpenFailed):
        bob.recover(2, alice.seal(MESSAGE, b"x"), 0.0, 1)


def test_a_hello_under_another_name_is_refused(bind):
    alice, bob = bind("alice"), bind("bob")
    bob.joined([], 0.0)
    bob.recall([(1, "carol", alice.hello)])
    for offset in (1, 2):
        with pytest.raises(HelloRefused):
            bob.recover(1, alice.seal(MESSAGE, b"x"), 0.0, offset)


def test_a_message_of_another_channel_is_refused(bind):
    alice, bob = bind("alice", channel="elsewhere"), bind("bob")
    here = bind("alice")
    bob.joined([], 0.0)
    bob.recall([(1, "alice", alice.hello), (2, "alice", here.hello)])
    data = alice.seal(MESSAGE, b"x")
    with pytest.raises(HelloRefused):
        bob.recover(1, data, 0.0, 1)
    with pytest.raises(OpenFailed):
        bob.recover(2, data, 0.0, 1)


def test_frames_beacons_and_clear_text_are_not_recovered(gone):
    alice, bob = gone
    for data in (alice.seal(AUDIO, b"x"), alice.seal(Descriptor(Kind.CONTROL), b"x" * 90)):
        with pytest.raises(OpenFailed):
            bob.recover(1, data, 0.0, 1)
    with pytest.raises(ClearTextRefused):
        bob.recover(1, CLEAR_MESSAGE.wire + b"hello world", 0.0, 1)
    unsigned = bytearray(alice.seal(MESSAGE, b"x"))
    unsigned[1] &= ~SIGNED
    with pytest.raises(Unsigned):
        bob.recover(1, unsigned, 0.0, 1)


def test_with_managed_keys_what_was_sealed_under_a_key_that_is_held_is_recovered(room):
    alice, bob = room.join("alice", room.managed("alice")), room.join("bob", room.managed("bob"))
    room.send(alice, b"live", MESSAGE)
    room.wait(1.0)
    missed = alice.crypto.seal(MESSAGE, b"missed")
    bob.crypto.joined([], room.now)
    bob.crypto.recall([(alice.number, "alice", alice.crypto.hello)])
    assert payloads(bob.crypto.recover(alice.number, missed, room.now, 9)) == [(b"missed", False)]


def test_with_managed_keys_an_author_must_be_trusted_today(room):
    other, identity = Authority.generate(), Identity.generate()
    span = {"not_before": int(time.time()) - 60, "not_after": 2_000_000_000}
    identity.hold(other.certify(APP, "standup", "mallory", identity.public, **span))
    bob = room.join("bob", room.managed("bob"))
    mallory = Key.managed(identity, other.public).bind(APP, "standup", "mallory")
    bob.crypto.joined([], room.now)
    bob.crypto.recall([(9, "mallory", mallory.hello)])
    with pytest.raises(CertificateForged):
        bob.crypto.recover(9, mallory.seal(MESSAGE, b"x"), room.now, 1)


def test_with_first_use_an_author_is_compared_and_never_remembered(room):
    def key() -> Key:
        return Key.managed(Identity.generate(), trust="first_use")

    bob = room.join("bob", key())
    ghost, real = (key().bind(APP, "standup", "alice", wall=room.wall) for _ in range(2))
    bob.crypto.joined([], room.now)
    bob.crypto.recall([(9, "alice", ghost.hello)])
    with pytest.raises(KeyMissing):
        bob.crypto.recover(9, ghost.seal(MESSAGE, b"x"), room.now, 1)
    bob.crypto.add_member(10, "alice", real.hello, room.now)
    bob.crypto.joined([], room.now)
    bob.crypto.recall([(9, "alice", ghost.hello)])
    with pytest.raises(IdentityChanged):
        bob.crypto.recover(9, ghost.seal(MESSAGE, b"y"), room.now, 2)


def test_clear_text_is_taken_at_the_relays_word():
    bob = Key.none().bind(APP, "standup", "bob")
    bob.recall([(1, "alice", None)])
    assert payloads(bob.recover(1, CLEAR_MESSAGE.wire + b"hello", 0.0, 1)) == [(b"hello", False)]
