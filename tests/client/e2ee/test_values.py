"""Values: sealed for one place by one member, opened by all who have the key, and nothing else than that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.e2ee import ChannelCrypto, Key
from sealcast.client.e2ee.beacon import ZEROS
from sealcast.client.e2ee.padding import PaddingRule, constant
from sealcast.client.errors import KeyMissing, LimitExceeded, PaddingExceeded, SealError
from sealcast.client.failures import reason_of
from sealcast.protocol.descriptor import KEEP, Descriptor
from sealcast.protocol.names import Kind

from .conftest import APP, AUDIO, MESSAGE, SECRET

MOST = 4096
TITLE, AGENDA = b"metadata/title", b"metadata/agenda"


def opened(reader: ChannelCrypto, author: ChannelCrypto, value: bytes, label: bytes = TITLE) -> bytes | str:
    """What a value says, or why it does not."""
    try:
        return reader.open_value((1, "alice", author.hello), label, value)
    except SealError as error:
        return reason_of(error)


def test_a_value_opens_for_all_who_have_the_key_again_and_again_and_in_any_order(bind):
    alice, bob = bind("alice"), bind("bob")
    first, second = (alice.seal_value(TITLE, data, MOST) for data in (b"one", b"two"))
    assert [opened(bob, alice, value) for value in (second, first, second)] == [b"two", b"one", b"two"]
    assert opened(alice, alice, first) == b"one"


def test_a_value_says_nothing_to_who_does_not_have_the_key(bind):
    alice, eve = bind("alice"), bind("eve", secret=bytes(32))
    value = alice.seal_value(TITLE, b"the plan", MOST)
    assert b"the plan" not in value
    assert b"title" not in value
    assert opened(eve, alice, value) == "open_failed"


def test_a_value_is_of_one_place(bind):
    alice, bob = bind("alice"), bind("bob")
    value = alice.seal_value(TITLE, b"one", MOST)
    assert opened(bob, alice, value, AGENDA) == "open_failed"
    assert opened(bob, alice, value, TITLE + b"x") == "open_failed"


def test_a_value_is_of_one_channel(bind):
    alice = bind("alice", channel="backstage")
    assert opened(bind("bob"), alice, alice.seal_value(TITLE, b"one", MOST)) == "hello_refused"


def test_a_value_is_of_one_author(bind):
    alice, carol, bob = bind("alice"), bind("carol"), bind("bob")
    value = alice.seal_value(TITLE, b"one", MOST)
    with pytest.raises(SealError):
        bob.open_value((1, "carol", carol.hello), TITLE, value)
    with pytest.raises(SealError):
        bob.open_value((1, "carol", alice.hello), TITLE, value)
    with pytest.raises(KeyMissing):
        bob.open_value((1, "alice", None), TITLE, value)


def test_no_bit_of_a_value_can_be_changed(bind):
    alice, bob = bind("alice"), bind("bob")
    value = alice.seal_value(TITLE, b"one", MOST)
    for at in range(len(value)):
        for bit in range(8):
            changed = bytearray(value)
            changed[at] ^= 1 << bit
            assert type(opened(bob, alice, bytes(changed))) is str
    for size in range(len(value)):
        assert type(opened(bob, alice, value[:size])) is str
    assert type(opened(bob, alice, value + b"\0")) is str


@pytest.mark.parametrize("descriptor", [MESSAGE, AUDIO, Descriptor(Kind.CONTROL)])
def test_nothing_else_that_a_member_seals_is_a_value_whatever_it_says(bind, descriptor):
    alice, bob = bind("alice"), bind("bob")
    body = b"\x02" + len(TITLE).to_bytes(2, "big") + TITLE + b"\0\3one"
    assert opened(bob, alice, alice.seal(descriptor, body)) == "open_failed"
    assert opened(bob, alice, alice.seal(Descriptor(Kind.CONTROL, KEEP), body)) == b"one"


def test_a_beacon_is_no_value(bind):
    alice, bob = bind("alice"), bind("bob")
    assert opened(bob, alice, alice.seal(Descriptor(Kind.CONTROL, KEEP), ZEROS * 4)) == "open_failed"


@pytest.mark.parametrize("offset", [None, 7])
def test_a_value_that_is_shown_as_a_frame_or_a_message_is_delivered_to_nobody(room, offset):
    alice, bob = room.join("alice", Key.raw(SECRET)), room.join("bob", Key.raw(SECRET))
    value = alice.crypto.seal_value(TITLE, b"one", MOST)
    with pytest.raises(SealError):
        bob.crypto.receive(alice.number, value, room.now, offset)
    room.send(alice, b"now", MESSAGE)
    assert bob.heard == [b"now"]


def test_what_is_sealed_for_a_place_is_missed_by_nobody_who_counts_frames(room):
    alice, bob = room.join("alice", Key.raw(SECRET)), room.join("bob", Key.raw(SECRET))
    room.send(alice, b"one", MESSAGE)
    for _ in range(5):
        alice.crypto.seal_value(TITLE, b"x", MOST)
    room.send(alice, b"two", MESSAGE)
    room.wait(20.0)
    assert bob.heard == [b"one", b"two"]
    assert [notice for notice in bob.told if "Suppressed" in repr(notice)] == []


def test_with_managed_keys_a_value_opens_as_long_as_its_key_is_held_and_for_nobody_who_came_later(room):
    alice, bob = room.join("alice", room.managed("alice")), room.join("bob", room.managed("bob"))
    value = alice.crypto.seal_value(TITLE, b"one", MOST)
    room.flush()
    assert opened(bob.crypto, alice.crypto, value) == b"one"
    assert opened(alice.crypto, alice.crypto, value) == b"one"
    carol = room.join("carol", room.managed("carol"))
    room.wait(1.0)
    room.send(alice, b"now", MESSAGE)
    assert opened(carol.crypto, alice.crypto, value) == "key_missing"


def test_with_managed_keys_an_author_that_is_not_trusted_is_refused(room):
    bob = room.join("bob", room.managed("bob"))
    room.authority = type(room.authority).generate()
    eve = room.managed("alice").bind(APP, "standup", "alice", wall=room.wall)
    assert opened(bob.crypto, eve, eve.seal_value(TITLE, b"x", MOST)) == "certificate_forged"


# --- sizes ---


def padded(padding: PaddingRule) -> ChannelCrypto:
    return Key.raw(SECRET, padding=padding).bind(APP, "standup", "alice")


@pytest.mark.parametrize("padding", ["none", "buckets", constant(900)])
def test_every_value_that_is_sealed_fits_and_opens(bind, padding):
    alice, bob = padded(padding), bind("bob")

    @given(st.binary(max_size=1100))
    def check(data: bytes) -> None:
        try:
            value = alice.seal_value(TITLE, data, 1024)
        except (LimitExceeded, PaddingExceeded):
            assert len(data) > 750
        else:
            assert len(value) <= 1024
            assert opened(bob, alice, value) == data

    check()


def test_the_refusal_of_a_value_that_is_too_large_says_how_large_it_may_be():
    for alice in (padded("none"), padded("buckets"), Key.none().bind(APP, "standup", "alice")):
        with pytest.raises(LimitExceeded) as caught:
            alice.seal_value(TITLE, bytes(5000), MOST)
        assert MOST - 130 < caught.value.limit < MOST
        alice.seal_value(TITLE, bytes(caught.value.limit), MOST)
        with pytest.raises(LimitExceeded):
            alice.seal_value(TITLE, bytes(caught.value.limit + 1), MOST)


def test_padding_hides_the_size_of_a_value():
    for padding in ("buckets", constant(500)):
        alice = padded(padding)
        for _ in range(8):  # the header grows with the counter
            alice.seal_value(TITLE, b"", MOST)
        sizes = {len(alice.seal_value(TITLE, bytes(length), MOST)) for length in range(200, 230)}
        assert len(sizes) == 1


# --- clear text ---


def test_without_a_key_values_are_readable_and_sealed_ones_are_not(bind):
    alice, bob = (Key.none().bind(APP, "standup", user) for user in ("alice", "bob"))
    value = alice.seal_value(TITLE, b"one", MOST)
    assert opened(bob, alice, value) == b"one"
    assert opened(bob, alice, value, AGENDA) == "open_failed"
    assert opened(bob, alice, b"anything") == "open_failed"
    sealed = bind("alice")
    assert opened(bob, alice, sealed.seal_value(TITLE, b"one", MOST)) == "key_missing"
    assert opened(sealed, sealed, value) == "clear_text_refused"
