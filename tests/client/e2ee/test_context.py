"""The sealcast/1 key derivation: every fact that goes in changes what comes out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.e2ee.context import (
    BaseKey,
    Sender,
    base_key,
    bind16,
    context_id,
    epoch_key,
    pack_kid,
    unpack_kid,
)
from sealcast.client.e2ee.suites import AES_128_GCM, AES_256_GCM
from sealcast.protocol.errors import InvalidName

APP = "0123456789abcdef0123456789abcdef"
SENDER = Sender(context_id(APP, "standup"), AES_128_GCM, "alice", bytes(16))

OTHERS = {
    "app": SENDER._replace(ctx=context_id(APP[::-1], "standup")),
    "channel": SENDER._replace(ctx=context_id(APP, "standup2")),
    "user": SENDER._replace(user="alicf"),
    "session": SENDER._replace(session=bytes(15) + b"\1"),
    "suite": SENDER._replace(suite=AES_256_GCM),
}


def derived(sender: Sender, epoch: int, secret: bytes = bytes(32)) -> bytes:
    return base_key(epoch_key(sender.suite, sender.ctx, secret), sender, epoch)


@pytest.mark.parametrize("what", OTHERS)
def test_base_key_and_binding_change_with(what: str) -> None:
    other = OTHERS[what]
    assert derived(other, 0)[:32] != derived(SENDER, 0)
    assert bind16(other, 0) != bind16(SENDER, 0)


def test_base_key_and_binding_change_with_the_whole_epoch_and_not_only_its_low_bits() -> None:
    epochs = (0, 1, 16, 2**32 - 1)
    assert len({derived(SENDER, epoch) for epoch in epochs}) == len(epochs)
    assert len({bind16(SENDER, epoch) for epoch in epochs}) == len(epochs)


def test_the_base_key_changes_with_the_secret() -> None:
    assert derived(SENDER, 0, bytes(31) + b"\1") != derived(SENDER, 0)


def test_moving_a_character_from_one_name_to_the_next_is_another_context() -> None:
    assert len({context_id(APP, "ab"), context_id(APP, "a"), context_id(APP, "b")}) == 3
    assert bind16(SENDER._replace(user="ab"), 0) != bind16(SENDER._replace(user="a"), 0)


@pytest.mark.parametrize(
    ("app", "channel"), [("short", "room"), (APP, ""), (APP, "r*"), (APP, "rööm"), (APP, "r" * 65)]
)
def test_a_name_that_the_field_does_not_allow_has_no_context(app: str, channel: str) -> None:
    with pytest.raises(InvalidName):
        context_id(app, channel)


@pytest.mark.parametrize("user", ["", "ä", "a*", "a\n", "a" * 256])
def test_a_user_that_the_field_does_not_allow_has_no_key(user: str) -> None:
    with pytest.raises(InvalidName):
        bind16(SENDER._replace(user=user), 0)


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_session_of_another_size_has_no_key(size: int) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        bind16(SENDER._replace(session=bytes(size)), 0)


@given(st.integers(0, 255), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_key_id_gives_back_stream_and_low_bits(stream: int, epoch: int, step: int) -> None:
    kid = pack_kid(stream, epoch, step)
    assert kid <= 0xFFFF
    assert unpack_kid(kid) == (stream, epoch & 15, step & 15)


def test_the_repr_of_a_base_key_shows_no_key() -> None:
    assert repr(BaseKey(3, 1, b"secret-bytes")) == "BaseKey(epoch=3, step=1)"
