"""ChannelCrypto, as the SDK uses it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealcast.client.e2ee import ChannelCrypto, Key
from sealcast.client.e2ee.context import context_id
from sealcast.client.e2ee.hello import (
    KEM_X25519,
    Hello,
    Role,
    public_bytes,
    read_hello,
    sign_hello,
)
from sealcast.client.errors import (
    ClearTextRefused,
    EpochRefused,
    HelloRefused,
    KeyMissing,
    OpenFailed,
    Replayed,
    SealError,
)
from sealcast.protocol import descriptor as d
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.errors import InvalidName, LocalProtocolError
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import read_header

APP = "0123456789abcdef0123456789abcdef"
AUDIO = Descriptor(Kind.AUDIO, stream=2)
CLEAR_AUDIO = Descriptor(Kind.AUDIO, stream=2, version=d.CLEAR)
NEW = b"\x77" * 32

Bind = Callable[..., ChannelCrypto]
Pair = tuple[ChannelCrypto, ChannelCrypto]


def resigned(crypto: ChannelCrypto, **changes: Any) -> bytes:
    """The hello of *crypto* with changed fields, signed correctly by a new identity."""
    assert crypto.hello is not None
    ctx = context_id(APP, "standup")
    identity = Ed25519PrivateKey.generate()
    hello: Hello = dataclasses.replace(
        read_hello(crypto.hello, ctx), identity=public_bytes(identity), **changes
    )
    return sign_hello(hello, ctx, identity)


def test_two_members_with_one_key_understand_each_other(pair: Pair) -> None:
    alice, bob = pair
    alice.add_member(2, "bob", bob.hello)
    for number in range(300):
        opened = bob.open(1, alice.seal(AUDIO, b"to bob"))
        assert (opened.descriptor, opened.payload, opened.ctr) == (AUDIO, b"to bob", number)
        assert alice.open(2, bob.seal(AUDIO, b"to alice")).payload == b"to alice"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=2000))
def test_any_payload_comes_back(pair: Pair, payload: bytes) -> None:
    alice, bob = pair
    frame = alice.seal(AUDIO, payload)
    assert payload not in frame or len(payload) < 8
    assert bob.open(1, frame).payload == payload


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 3), st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_seal_errors(pair: Pair, member: int, data: bytes) -> None:
    with pytest.raises(SealError):
        pair[1].open(member, data)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=300), st.binary(max_size=300))
def test_arbitrary_announcements_raise_nothing_but_hello_refused(pair: Pair, user: str, hello: bytes) -> None:
    alice, bob = pair
    assert alice.hello is not None
    for announced in (hello, alice.hello[:14] + hello, alice.hello):
        with pytest.raises(HelloRefused):
            bob.add_member(9, user if user != "alice" else "mallory", announced)


def test_the_hello_is_bounded_constant_and_fresh_in_every_context(bind: Bind) -> None:
    contexts = [bind("u" * 255) for _ in range(50)]
    hellos = {crypto.hello for crypto in contexts}
    assert len(hellos) == 50
    sessions = set()
    for crypto in contexts:
        first = crypto.hello
        crypto.seal(AUDIO, b"x")
        crypto.set_key(1, NEW)
        assert first is not None
        assert crypto.hello == first
        assert len(first) <= 2048
        sessions.add(read_hello(first, context_id(APP, "standup")).session)
    assert len(sessions) == 50


def test_the_hello_says_who_and_how(bind: Bind) -> None:
    crypto = bind("alice", suite="AES_256_GCM")
    assert crypto.hello is not None
    hello = read_hello(crypto.hello, context_id(APP, "standup"))
    assert (hello.role, hello.suite, hello.user, hello.kem, hello.kem_public) == (
        Role.MEMBER,
        5,
        "alice",
        0,
        b"",
    )


def test_the_identity_of_a_shared_secret_lives_for_one_session(bind: Bind) -> None:
    ctx = context_id(APP, "standup")
    identities = {read_hello(bind("alice").hello or b"", ctx).identity for _ in range(20)}
    assert len(identities) == 20


@pytest.mark.parametrize(
    "other",
    [
        {"app": APP[::-1]},
        {"channel": "standdown"},
        {"suite": "AES_256_GCM"},
    ],
    ids=["another app", "another channel", "another suite"],
)
def test_a_hello_from_elsewhere_is_refused(bind: Bind, other: dict[str, str]) -> None:
    bob = bind("bob")
    with pytest.raises(HelloRefused):
        bob.add_member(1, "alice", bind("alice", **other).hello)
    with pytest.raises(KeyMissing):
        bob.open(1, bind("alice", **other).seal(AUDIO, b"x"))


def test_a_hello_that_names_another_user_than_the_relay_is_refused(bind: Bind) -> None:
    with pytest.raises(HelloRefused, match="another user"):
        bind("bob").add_member(1, "carol", bind("alice").hello)


def test_a_hello_with_a_bad_signature_is_refused(bind: Bind) -> None:
    hello = bind("alice").hello
    assert hello is not None
    with pytest.raises(HelloRefused, match="signature"):
        bind("bob").add_member(1, "alice", hello[:-1] + bytes([hello[-1] ^ 1]))


def test_a_hello_that_shares_keys_in_another_way_is_refused(bind: Bind) -> None:
    hello = resigned(bind("alice"), kem=KEM_X25519, kem_public=bytes(32))
    with pytest.raises(HelloRefused, match="shares keys in another way"):
        bind("bob").add_member(1, "alice", hello)


def test_a_hello_for_a_suite_that_does_not_exist_is_refused(bind: Bind) -> None:
    with pytest.raises(HelloRefused, match="cipher suite"):
        bind("bob").add_member(1, "alice", resigned(bind("alice"), suite=1))


def test_our_own_hello_sent_back_is_refused(bind: Bind) -> None:
    alice = bind("alice")
    with pytest.raises(HelloRefused, match="own session"):
        alice.add_member(1, "alice", alice.hello)


def test_our_own_session_under_another_name_is_refused(bind: Bind) -> None:
    alice = bind("alice")
    with pytest.raises(HelloRefused, match="own session"):
        alice.add_member(1, "mallory", resigned(alice, user="mallory"))


def test_our_own_frames_sent_back_do_not_open(bind: Bind) -> None:
    alice = bind("alice")
    frame = alice.seal(AUDIO, b"x")
    with pytest.raises(KeyMissing):
        alice.open(1, frame)
    alice.add_member(1, "alice", bind("alice").hello)
    with pytest.raises(OpenFailed):
        alice.open(1, frame)


def test_a_member_without_a_hello_is_no_error_until_it_sends(bind: Bind) -> None:
    alice, bob = bind("alice"), bind("bob")
    bob.add_member(1, "alice", None)
    with pytest.raises(KeyMissing):
        bob.open(1, alice.seal(AUDIO, b"x"))


def test_a_refused_hello_takes_the_number_from_whoever_had_it(pair: Pair) -> None:
    alice, bob = pair
    with pytest.raises(HelloRefused):
        bob.add_member(1, "carol", b"not a hello")
    with pytest.raises(KeyMissing):
        bob.open(1, alice.seal(AUDIO, b"would be shown as carol's"))


def test_a_member_without_a_hello_takes_the_number_from_whoever_had_it(pair: Pair) -> None:
    alice, bob = pair
    bob.add_member(1, "carol", None)
    with pytest.raises(KeyMissing):
        bob.open(1, alice.seal(AUDIO, b"would be shown as carol's"))


def test_a_removed_member_is_not_opened_and_a_rejoin_keeps_its_window(pair: Pair) -> None:
    alice, bob = pair
    frames = [alice.seal(AUDIO, b"x") for _ in range(12)]
    for frame in frames[:11]:
        bob.open(1, frame)
    bob.remove_member(1)
    with pytest.raises(KeyMissing):
        bob.open(1, frames[11])
    bob.add_member(8, "alice", alice.hello)
    for frame in frames[:11]:
        with pytest.raises(Replayed):
            bob.open(8, frame)
    assert bob.open(8, frames[11]).payload == b"x"


def test_announcing_a_member_again_keeps_its_window(pair: Pair) -> None:
    alice, bob = pair
    frame = alice.seal(AUDIO, b"x")
    bob.open(1, frame)
    bob.add_member(1, "alice", alice.hello)
    with pytest.raises(Replayed):
        bob.open(1, frame)
    assert bob.open(1, alice.seal(AUDIO, b"y")).payload == b"y"


def test_another_secret_does_not_open(bind: Bind) -> None:
    alice, bob = bind("alice"), bind("bob", secret=NEW)
    bob.add_member(1, "alice", alice.hello)
    with pytest.raises(OpenFailed):
        bob.open(1, alice.seal(AUDIO, b"x"))


# --- rotation ---------------------------------------------------------------------------------------


def test_a_new_epoch_is_sealed_in_from_now_and_old_frames_still_open(pair: Pair) -> None:
    alice, bob = pair
    old = [alice.seal(AUDIO, b"old") for _ in range(12)]
    for frame in old[:10]:
        bob.open(1, frame)
    for crypto in pair:
        crypto.set_key(1, NEW)
        assert crypto.epoch == 1
    new = alice.seal(AUDIO, b"new")
    assert read_header(new, 4)[0] == 2 << 8 | 1 << 4
    assert [bob.open(1, frame).payload for frame in (old[10], new, old[11])] == [b"old", b"new", b"old"]


def test_a_member_that_has_not_rotated_is_missing_the_key_and_still_heard(pair: Pair) -> None:
    alice, bob = pair
    alice.set_key(1, NEW)
    alice.add_member(2, "bob", bob.hello)
    with pytest.raises(KeyMissing):
        bob.open(1, alice.seal(AUDIO, b"x"))
    assert alice.open(2, bob.seal(AUDIO, b"x")).payload == b"x"


def test_an_epoch_with_the_same_low_bits_replaces_the_old_one(pair: Pair) -> None:
    alice, bob = pair
    before = [alice.seal(AUDIO, b"old") for _ in range(12)]
    for frame in before[:10]:
        bob.open(1, frame)
    bob.set_key(16, NEW)
    with pytest.raises(OpenFailed):
        bob.open(1, before[10])
    alice.set_key(16, NEW)
    after = alice.seal(AUDIO, b"new")
    assert read_header(after, 4)[:2] == (2 << 8, 12)
    assert bob.open(1, after).payload == b"new"
    with pytest.raises(Replayed):
        bob.open(1, after)


def test_sixteen_epochs_open_side_by_side_and_the_seventeenth_drops_the_first(bind: Bind) -> None:
    bob = bind("bob", epoch=0)
    senders = [bind("alice", secret=bytes([n]) * 32, epoch=n) for n in range(1, 17)]
    for n in range(1, 17):
        bob.set_key(n, bytes([n]) * 32)
    for n, alice in enumerate(senders, start=1):
        bob.add_member(n, "alice", alice.hello)
        assert bob.open(n, alice.seal(AUDIO, b"x")).payload == b"x"
    bob.set_key(17, NEW)
    with pytest.raises(OpenFailed):
        bob.open(1, senders[0].seal(AUDIO, b"x"))
    assert bob.open(2, senders[1].seal(AUDIO, b"x")).payload == b"x"


def test_the_present_key_again_changes_nothing(pair: Pair, bind: Bind) -> None:
    alice, bob = pair
    alice.seal(AUDIO, b"x")
    alice.set_key(0, bytes(range(32)))
    frame = alice.seal(AUDIO, b"x")
    assert read_header(frame, 4)[1] == 1
    assert bob.open(1, frame).payload == b"x"


@pytest.mark.parametrize(
    ("epoch", "secret"), [(5, NEW), (4, NEW), (0, bytes(range(32))), (-1, NEW), (2**32, NEW)]
)
def test_an_epoch_that_does_not_come_later_is_refused_and_changes_nothing(
    bind: Bind, epoch: int, secret: bytes
) -> None:
    alice, bob = bind("alice", epoch=5), bind("bob", epoch=5)
    bob.add_member(1, "alice", alice.hello)
    with pytest.raises(EpochRefused):
        alice.set_key(epoch, secret)
    assert alice.epoch == 5
    assert bob.open(1, alice.seal(AUDIO, b"x")).payload == b"x"


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33), bytes(64)])
def test_a_secret_of_another_size_is_refused_and_changes_nothing(bind: Bind, secret: bytes) -> None:
    alice = bind("alice")
    with pytest.raises(ValueError, match="32 random bytes"):
        alice.set_key(1, secret)
    assert alice.epoch == 0
    with pytest.raises(ValueError, match="32 random bytes"):
        Key.raw(secret)


def test_a_secret_as_text_is_refused_without_repeating_it() -> None:
    with pytest.raises(TypeError, match="bytes, not text") as caught:
        Key.raw("hunter2" * 4 + "1234")  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("epoch", [-1, 2**32])
def test_a_key_for_an_epoch_that_is_no_u32_is_refused(epoch: int) -> None:
    with pytest.raises(EpochRefused):
        Key.raw(bytes(32), epoch=epoch)


def test_one_key_serves_many_channels_and_its_epoch_shows(bind: Bind) -> None:
    key = Key.raw(NEW, suite="AES_256_GCM", epoch=7)
    first, second = key.bind(APP, "one", "alice"), key.bind(APP, "two", "alice")
    first.set_key(8, bytes(32))
    assert (first.epoch, second.epoch) == (8, 7)
    assert repr(key) == "Key.raw(suite=AES_256_GCM, epoch=7)"
    assert repr(second) == "ChannelCrypto(suite=AES_256_GCM, epoch=7)"


def test_a_buffer_that_changes_after_the_key_was_made_does_not_change_the_key(bind: Bind) -> None:
    buffer = bytearray(range(32))
    key = Key.raw(buffer)
    buffer[:] = bytes(32)
    alice, bob = key.bind(APP, "standup", "alice"), bind("bob")
    bob.add_member(1, "alice", alice.hello)
    assert bob.open(1, alice.seal(AUDIO, b"x")).payload == b"x"


@pytest.mark.parametrize("key", [Key.raw(bytes(32)), Key.none()])
@pytest.mark.parametrize(
    ("app", "channel", "user"), [("x", "room", "u"), (APP, "", "u"), (APP, "room", "u*")]
)
def test_names_that_the_field_does_not_allow_are_refused(key: Key, app: str, channel: str, user: str) -> None:
    with pytest.raises(InvalidName):
        key.bind(app, channel, user)


# --- clear text -------------------------------------------------------------------------------------


def test_without_a_key_frames_travel_in_clear_and_say_so() -> None:
    alice, bob = Key.none().bind(APP, "standup", "alice"), Key.none().bind(APP, "standup", "bob")
    assert (alice.hello, alice.version, alice.epoch) == (None, d.CLEAR, None)
    bob.add_member(1, "alice", alice.hello)
    frame = alice.seal(CLEAR_AUDIO, memoryview(b"payload"))
    assert frame == b"\x21\x00\x00\x02payload"
    opened = bob.open(1, memoryview(frame))
    assert (opened.descriptor, opened.payload, opened.ctr) == (CLEAR_AUDIO, b"payload", None)
    bob.remove_member(1)
    assert repr(alice) == "ChannelCrypto(no key)"


def test_with_a_key_clear_text_is_refused_both_ways(pair: Pair) -> None:
    alice, bob = pair
    assert alice.version == d.SEALED
    with pytest.raises(ClearTextRefused):
        alice.seal(CLEAR_AUDIO, b"payload")
    with pytest.raises(ClearTextRefused):
        bob.open(1, b"\x21\x00\x00\x02payload")


def test_without_a_key_sealed_frames_are_missing_theirs_both_ways(bind: Bind) -> None:
    crypto = Key.none().bind(APP, "standup", "alice")
    with pytest.raises(KeyMissing):
        crypto.seal(AUDIO, b"never sent in clear as if it were sealed")
    crypto.add_member(1, "bob", bind("bob").hello)
    with pytest.raises(KeyMissing):
        crypto.open(1, bind("bob").seal(AUDIO, b"x"))


def test_a_context_without_a_key_cannot_be_given_one() -> None:
    with pytest.raises(KeyMissing):
        Key.none().bind(APP, "standup", "alice").set_key(1, NEW)


@pytest.mark.parametrize("flag", [d.PADDED, d.SIGNED, d.CUSTOM])
def test_clear_text_promises_nothing_that_is_not_built(flag: int) -> None:
    crypto = Key.none().bind(APP, "standup", "alice")
    with pytest.raises(LocalProtocolError):
        crypto.seal(dataclasses.replace(CLEAR_AUDIO, flags=flag), b"payload")
    with pytest.raises(OpenFailed):
        crypto.open(1, bytes([0x21, flag, 0, 2]) + b"payload")


@given(st.binary(max_size=40))
def test_arbitrary_bytes_in_clear_raise_seal_errors_or_are_the_payload(data: bytes) -> None:
    crypto = Key.none().bind(APP, "standup", "alice")
    try:
        opened = crypto.open(1, data)
    except SealError:
        return
    assert opened.descriptor.encode() + opened.payload == data
