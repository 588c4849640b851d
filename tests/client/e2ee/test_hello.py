"""The hello: one layout, one signature, nothing left over."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.e2ee.hello import (
    HELLO_MAX,
    KEM_X25519,
    KEM_X_WING,
    Hello,
    Role,
    public_bytes,
    read_hello,
    sign_hello,
)
from sealcast.client.errors import HelloRefused, SealError

CTX = bytes(range(32))
IDENTITY = Ed25519PrivateKey.from_private_bytes(bytes(32))
HELLO = Hello(Role.MEMBER, 4, "alice", bytes(16), public_bytes(IDENTITY), 0, b"", 1_790_000_000_000, bytes(8))
SENT = sign_hello(HELLO, CTX, IDENTITY)

USERS = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="*"), min_size=1, max_size=255
)


@given(
    role=st.sampled_from(Role),
    suite=st.integers(0, 0xFFFF),
    user=USERS,
    session=st.binary(min_size=16, max_size=16),
    kem=st.sampled_from([(0, 0), (KEM_X25519, 32), (KEM_X_WING, 1216)]),
    time_ms=st.integers(0, 2**64 - 1),
    challenge=st.binary(min_size=8, max_size=8),
)
def test_a_hello_reads_as_what_was_signed(
    role: Role, suite: int, user: str, session: bytes, kem: tuple[int, int], time_ms: int, challenge: bytes
) -> None:
    identity = Ed25519PrivateKey.generate()
    hello = Hello(
        role, suite, user, session, public_bytes(identity), kem[0], bytes(kem[1]), time_ms, challenge
    )
    sent = sign_hello(hello, CTX, identity)
    assert len(sent) <= HELLO_MAX
    assert read_hello(sent, CTX) == hello


@given(st.integers(0, len(SENT) * 8 - 1))
def test_any_changed_bit_is_refused(bit: int) -> None:
    data = bytearray(SENT)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(HelloRefused):
        read_hello(bytes(data), CTX)


@pytest.mark.parametrize("size", range(len(SENT)))
def test_every_shorter_part_is_refused(size: int) -> None:
    with pytest.raises(HelloRefused):
        read_hello(SENT[:size], CTX)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    for candidate in (data, b"SCH1" + data, SENT + data[:1] + b"\0", SENT[:14] + data):
        with pytest.raises(SealError):
            read_hello(candidate, CTX)


def test_a_hello_for_another_channel_is_refused() -> None:
    with pytest.raises(HelloRefused, match="another channel"):
        read_hello(SENT, bytes(32))


def test_a_hello_signed_by_another_key_than_it_names_is_refused() -> None:
    stranger = Ed25519PrivateKey.generate()
    with pytest.raises(HelloRefused, match="signature"):
        read_hello(sign_hello(HELLO, CTX, stranger), CTX)


def test_a_hello_over_the_size_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(HelloRefused, match="longer than 3072"):
        read_hello(SENT + bytes(HELLO_MAX), CTX)


@pytest.mark.parametrize(
    ("kem", "size"), [(0, 1), (1, 0), (KEM_X25519, 0), (KEM_X25519, 31), (KEM_X_WING, 32), (0xFFFF, 32)]
)
def test_a_key_encapsulation_that_is_unknown_or_of_the_wrong_size_is_refused(kem: int, size: int) -> None:
    hello = dataclasses.replace(HELLO, kem=kem, kem_public=bytes(size))
    with pytest.raises(HelloRefused, match="encapsulation"):
        read_hello(sign_hello(hello, CTX, IDENTITY), CTX)


@pytest.mark.parametrize("user", [b"", b"a*b", b"\xff\xfe", b"a\n", b"u" * 256])
def test_a_correctly_signed_hello_with_a_user_name_that_is_none_is_refused(user: bytes) -> None:
    body = HELLO.encode()
    forged = body[:7] + len(user).to_bytes(2, "big") + user + body[14:]
    sent = forged + IDENTITY.sign(b"sealcast/1 hello" + CTX + forged)
    with pytest.raises(HelloRefused, match="user name"):
        read_hello(sent, CTX)


def test_a_correctly_signed_hello_with_bytes_left_over_is_refused() -> None:
    longer = HELLO.encode() + b"x"
    with pytest.raises(HelloRefused, match="left over"):
        read_hello(longer + IDENTITY.sign(b"sealcast/1 hello" + CTX + longer), CTX)


def test_no_refusal_repeats_what_the_hello_said() -> None:
    for data in (SENT[:-1], SENT + b"x", b"SCH2" + SENT[4:]):
        with pytest.raises(HelloRefused) as caught:
            read_hello(data, CTX)
        assert "alice" not in str(caught.value)
