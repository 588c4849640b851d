"""Tokens made to hurt: bombs, tails, flipped bits, lying counts, and anything that is no token at all."""

import base64
import hmac
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sealcast.protocol import token_007
from sealcast.protocol.errors import TokenBadSignature, TokenError, TokenMalformed, TokenNotForChannel
from sealcast.protocol.names import Privilege
from sealcast.protocol.tokens import PAYLOAD_MAX, AccessToken, parse, verify, verify_login

APP = "0123456789abcdef0123456789abcdef"
CERTIFICATE = "fedcba9876543210fedcba9876543210"
THEN = 1_767_225_600
SALT = 7

RTC = bytes.fromhex("0100 0100 0100 00000000 0400") + b"room" + bytes.fromhex("0500") + b"alice"


def text_of(stream: bytes) -> str:
    return "007" + base64.b64encode(stream).decode()


def signed(
    services: bytes, count: int, *, app: bytes = APP.encode(), expire: int = 3600, tail: bytes = b""
) -> bytes:
    """Return a payload with a true signature, written without the code under test."""
    body = struct.pack("<H", len(app)) + app + struct.pack("<IIIH", THEN, expire, SALT, count)
    body += services + tail
    key = hmac.digest(struct.pack("<I", THEN), CERTIFICATE.encode(), "sha256")
    key = hmac.digest(struct.pack("<I", SALT), key, "sha256")
    return struct.pack("<H", 32) + hmac.digest(key, body, "sha256") + body


def check(token: Any) -> object:
    return verify(
        token, app_id=APP, certificates=[CERTIFICATE], channel="room", user="alice", now=THEN, accept_006=True
    )


def test_the_payload_that_the_others_here_are_made_from_is_valid() -> None:
    assert check(text_of(zlib.compress(signed(RTC, 1))))


@pytest.mark.parametrize(
    "mangle",
    [
        lambda token: "",
        lambda token: "007",
        lambda token: "006",
        lambda token: "00",
        lambda token: token[3:],
        lambda token: "008" + token[3:],
        lambda token: "٠٠٧" + token[3:],
        lambda token: " " + token,
        lambda token: token + "\n",
        lambda token: token + " ",
        lambda token: token + "=",
        lambda token: token + "AAAA",
        lambda token: token[:20] + "\n" + token[20:],
        lambda token: token[:20] + "-_" + token[22:],
        lambda token: token[:20] + "é" + token[21:],
        lambda token: token[:20] + "\ud800" + token[21:],
        lambda token: token[:20] + "\x00" + token[21:],
        lambda token: token[:-4] + "====",
        lambda token: token + token[3:],
        lambda token: token.encode(),
        lambda token: None,
        lambda token: 7,
    ],
)
def test_a_text_that_is_not_quite_a_token_is_malformed(mangle: Callable[[str], Any]) -> None:
    token = text_of(zlib.compress(signed(RTC, 1)))
    with pytest.raises(TokenMalformed):
        check(mangle(token))
    with pytest.raises(TokenMalformed):
        parse(mangle(token))


def test_stray_bits_in_the_last_base64_character_are_refused() -> None:
    logins = (b"\x02\0\0\0" + struct.pack("<H", size) + b"bcdfghj"[:size] for size in range(8))
    streams = (zlib.compress(signed(RTC + login, 2)) for login in logins)
    token = next(text_of(stream) for stream in streams if len(stream) % 3 == 1)
    assert token.endswith("==")
    assert check(token)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    sibling = alphabet[alphabet.index(token[-3]) + 1]
    assert base64.b64decode(token[3:-3] + sibling + "==") == base64.b64decode(token[3:])
    with pytest.raises(TokenMalformed):
        check(token[:-3] + sibling + "==")


def test_a_text_over_the_cap_is_refused_before_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_007, "decode", pytest.fail)
    for prefix in ("006", "007"):
        with pytest.raises(TokenMalformed, match="longer than 2047"):
            check(prefix + "A" * 2045)


# --- the compressed stream -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stream",
    [
        zlib.compress(signed(RTC, 1)) + b"\0",
        zlib.compress(signed(RTC, 1)) + zlib.compress(b"more"),
        zlib.compress(signed(RTC, 1)) * 2,
        zlib.compress(b"") + zlib.compress(signed(RTC, 1)),
        zlib.compress(signed(RTC, 1))[:-1],
        zlib.compress(signed(RTC, 1))[:-4],
        zlib.compress(signed(RTC, 1))[:-4] + b"\0\0\0\0",
        zlib.compress(signed(RTC, 1), wbits=-15),
        zlib.compress(signed(RTC, 1), wbits=31),
        zlib.compress(b""),
        signed(RTC, 1),
    ],
)
def test_only_one_whole_zlib_stream_is_accepted(stream: bytes) -> None:
    with pytest.raises(TokenMalformed):
        check(text_of(stream))


def test_a_bomb_inflates_to_one_byte_past_the_cap_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    megabytes = zlib.compress(b"\0" * 1_500_000, 9)
    assert len(text_of(megabytes)) <= 2047
    inflated: list[int] = []
    open_stream = zlib.decompressobj

    class Watched:
        def __init__(self) -> None:
            self.stream = open_stream()

        def decompress(self, data: bytes, limit: int = 0) -> bytes:
            piece = self.stream.decompress(data, limit)
            inflated.append(len(piece))
            return piece

    monkeypatch.setattr(zlib, "decompressobj", Watched)
    with pytest.raises(TokenMalformed, match="inflates to more than"):
        check(text_of(megabytes))
    assert inflated == [PAYLOAD_MAX + 1]


def test_a_bomb_costs_next_to_no_memory_and_time() -> None:
    bomb = text_of(zlib.compress(b"\0" * 1_500_000, 9))
    tracemalloc.start()
    try:
        with pytest.raises(TokenMalformed):
            check(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200_000
    started = time.process_time()
    for _ in range(200):
        with pytest.raises(TokenMalformed):
            check(bomb)
    assert time.process_time() - started < 2


def test_the_largest_payload_is_read_and_one_byte_more_is_not() -> None:
    room = PAYLOAD_MAX - len(signed(b"\x02\0\0\0\0\0", 1))
    for extra, accepted in ((0, True), (1, False)):
        user = b"x" * (room + extra)
        token = text_of(zlib.compress(signed(b"\x02\0\0\0" + struct.pack("<H", len(user)) + user, 1)))
        if accepted:
            with pytest.raises(TokenNotForChannel):  # read to the end: it is a login, not a channel
                check(token)
        else:
            with pytest.raises(TokenMalformed, match="inflates"):
                check(token)


# --- the fields ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        signed(RTC, 1, tail=b"\0"),
        signed(RTC + RTC, 1),
        signed(RTC, 0),
        signed(RTC, 2),
        signed(RTC[:-1], 1),
        signed(b"", 1),
        signed(b"\x04\0\0\0" * 33, 33),
        signed(b"", 0xFFFF),
        signed(b"\x4d\0" + b"\0" * 100, 0xFFFF),
        signed(bytes.fromhex("0400 ffff"), 1),
        signed(bytes.fromhex("0800 0000 0000 ffff"), 1),
        signed(bytes.fromhex("0800 0000 0000 0100 0000 0100 0000 ffff"), 1),
        signed(RTC.replace(b"alice", b"al\xffce"), 1),
        signed(RTC, 1, app=b""),
        signed(RTC, 1, app=APP.encode()[:-1]),
        signed(RTC, 1, app=b"g" * 32),
        signed(RTC, 1, app=b"\xff" * 32),
        b"",
        b"\0",
        b"\xff\xff",
        b"\x20\0" + b"\0" * 32,
    ],
)
def test_fields_that_do_not_add_up_are_malformed_even_when_signed(payload: bytes) -> None:
    with pytest.raises(TokenMalformed):
        check(text_of(zlib.compress(payload)))


@pytest.mark.parametrize("size", [0, 1, 16, 31, 33, 64])
def test_a_signature_is_32_bytes_or_none(size: int) -> None:
    payload = signed(RTC, 1)
    signature = (payload[2:34] * 2)[:size]
    token = text_of(zlib.compress(struct.pack("<H", size) + signature + payload[34:]))
    assert parse(token).signature_size == size
    assert not parse(token).has_signature
    with pytest.raises(TokenBadSignature, match="wrong length"):
        check(token)


def test_every_single_bit_of_the_payload_matters() -> None:
    payload = signed(RTC, 1)
    for position in range(len(payload) * 8):
        flipped = bytearray(payload)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(TokenError):
            check(text_of(zlib.compress(bytes(flipped))))


def test_a_printed_token_does_not_show_its_signature() -> None:
    token = text_of(zlib.compress(signed(RTC, 1)))
    envelope = token_007.decode(token)
    for shown in (repr(parse(token)), repr(envelope)):
        assert "room" in shown
        assert repr(envelope.signature) not in shown
        assert repr(envelope.signed) not in shown
        assert token[3:20] not in shown


# --- anything at all -------------------------------------------------------------------------------


def refused_or_read(token: Any) -> None:
    for attempt in (
        parse,
        check,
        lambda text: verify_login(text, app_id=APP, certificates=[CERTIFICATE], user="alice", now=THEN),
    ):
        refusal: TokenError | None = None
        try:
            attempt(token)
        except TokenError as error:
            refusal = error
        assert refusal is None or (len(str(refusal)) < 120 and refusal.__cause__ is None)


@given(st.text() | st.binary() | st.text("0123456789ABCDEFabcdef+/=", max_size=80).map("007".__add__))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_token_or_a_refusal(token: str | bytes) -> None:
    refused_or_read(token)


@given(st.sampled_from(["006", "006" + APP, "007"]), st.binary(max_size=300))
@settings(max_examples=500, deadline=None)
def test_any_bytes_in_base64_are_a_token_or_a_refusal(prefix: str, data: bytes) -> None:
    refused_or_read(prefix + base64.b64encode(data).decode())


@given(st.binary(max_size=300))
@example(b"\x20\0")
@settings(max_examples=500, deadline=None)
def test_any_payload_is_a_token_or_a_refusal(payload: bytes) -> None:
    refused_or_read(text_of(zlib.compress(payload)))


@given(st.binary(max_size=120), st.integers(0, 40))
@settings(max_examples=500, deadline=None)
def test_any_services_are_read_or_refused_behind_a_true_signature(services: bytes, count: int) -> None:
    refused_or_read(text_of(zlib.compress(signed(services, count))))


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_valid_token_with_bytes_overwritten_is_never_granted(data: st.DataObject) -> None:
    builder = AccessToken(APP, CERTIFICATE, issued_at=THEN, salt=SALT, expire=3600)
    token = builder.add_rtc("room", "alice", {Privilege.JOIN: 0}).build()
    payload = bytearray(zlib.decompress(base64.b64decode(token[3:])))
    original = bytes(payload)
    start = data.draw(st.integers(0, len(payload) - 1))
    patch = data.draw(st.binary(min_size=1, max_size=8))
    payload[start : start + len(patch)] = patch
    if bytes(payload) != original:
        with pytest.raises(TokenError):
            check(text_of(zlib.compress(bytes(payload))))
