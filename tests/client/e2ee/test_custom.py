"""An application's own cipher: ChaCha20-Poly1305 as the example, and ciphers that misbehave."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from sealcast.client.e2ee import ChannelCrypto, FrameCipher, FrameContext, Key
from sealcast.client.errors import CipherFailed, HelloRefused, OpenFailed, Replayed, SealError, SuiteRefused
from sealcast.protocol.descriptor import CUSTOM, PADDED, SIGNED, Descriptor
from sealcast.protocol.names import Kind

APP = "0123456789abcdef0123456789abcdef"
SECRET = bytes(range(32))
AUDIO = Descriptor(Kind.AUDIO, stream=2, priority=3)
MESSAGE = Descriptor(Kind.MESSAGE, stream=1)


class ChaCha:
    """RFC 8439 with the key, nonce and associated data that the library hands over."""

    suite = 0xF001
    overhead = 16

    def __init__(self) -> None:
        self.contexts: list[FrameContext] = []

    def seal(self, fc: FrameContext, plaintext: bytes) -> bytes:
        self.contexts.append(fc)
        return ChaCha20Poly1305(fc.key).encrypt(fc.nonce, plaintext, fc.aad)

    def open(self, fc: FrameContext, ciphertext: bytes) -> bytes:
        return ChaCha20Poly1305(fc.key).decrypt(fc.nonce, ciphertext, fc.aad)


def pair(cipher: FrameCipher, **choices: object) -> tuple[ChannelCrypto, ChannelCrypto]:
    key = Key.raw(SECRET, cipher=cipher, **choices)  # type: ignore[arg-type]
    alice, bob = key.bind(APP, "room", "alice"), key.bind(APP, "room", "bob")
    bob.add_member(1, "alice", alice.hello)
    return alice, bob


@pytest.mark.parametrize("padding", ["none", "buckets"])
def test_frames_and_signed_messages_come_through(padding: str) -> None:
    alice, bob = pair(ChaCha(), padding=padding)
    for number in range(300):
        frame = alice.seal(AUDIO, b"frame %d" % number)
        assert frame[1] & CUSTOM
        assert len(frame) <= alice.sealed_size(Kind.AUDIO, len(b"frame %d" % number))
        opened = bob.open(1, frame)
        assert (opened.payload, opened.ctr) == (b"frame %d" % number, number)
    message = alice.seal(MESSAGE, b"to all")
    assert message[1] & (CUSTOM | SIGNED) == CUSTOM | SIGNED
    assert bool(message[1] & PADDED) == (padding == "buckets")
    assert bob.open(1, message).payload == b"to all"


def test_the_cipher_is_told_which_frame_it_is() -> None:
    cipher = ChaCha()
    alice, _ = pair(cipher)
    frames = [alice.seal(AUDIO, b"x") for _ in range(12)]
    last = cipher.contexts[-1]
    assert (last.kind, last.stream, last.user, last.epoch, last.ctr) == (Kind.AUDIO, 2, "alice", 0, 11)
    assert last.descriptor.priority == 3
    assert last.aad == frames[-1][4:8] + last.aad[4:20] + frames[-1][:4]
    assert len({(fc.key, fc.nonce) for fc in cipher.contexts}) == 12
    assert len(last.key) == 32
    assert len(last.session) == 16
    assert last.key.hex() not in repr(last)
    assert repr(last.key) not in repr(last)


@pytest.mark.parametrize("where", [0, 1, 2, 3, 4, 5, 6, 7, 8, -1])
def test_what_was_changed_on_the_way_does_not_open(where: int) -> None:
    alice, bob = pair(ChaCha())
    frame = bytearray(alice.seal(AUDIO, b"payload"))
    frame[where] ^= 1
    with pytest.raises(SealError) as caught:
        bob.open(1, bytes(frame))
    assert type(caught.value).__name__ in {"OpenFailed", "KeyMissing", "ClearTextRefused"}


def test_an_old_frame_is_refused_before_the_cipher_is_asked() -> None:
    alice, bob = pair(ChaCha())
    frame = alice.seal(AUDIO, b"x")
    bob.open(1, frame)
    with pytest.raises(Replayed):
        bob.open(1, frame)


def test_members_with_another_cipher_or_none_refuse_each_other() -> None:
    alice, _ = pair(ChaCha())
    plain = Key.raw(SECRET).bind(APP, "room", "carol")
    with pytest.raises(HelloRefused, match="cipher suite"):
        plain.add_member(1, "alice", alice.hello)


def test_a_frame_without_the_flag_is_not_opened_with_the_cipher() -> None:
    alice, bob = pair(ChaCha())
    frame = bytearray(alice.seal(AUDIO, b"x"))
    frame[1] &= ~CUSTOM
    with pytest.raises(OpenFailed, match="another cipher"):
        bob.open(1, bytes(frame))


class Faulty(ChaCha):
    def __init__(self, seal: Callable[[bytes], object]) -> None:
        super().__init__()
        self._seal = seal

    def seal(self, fc: FrameContext, plaintext: bytes) -> bytes:
        return self._seal(plaintext)  # type: ignore[return-value]

    def open(self, fc: FrameContext, ciphertext: bytes) -> bytes:
        if ciphertext.startswith(b"text"):
            return "text"  # type: ignore[return-value]
        raise RuntimeError("the plaintext was: secret")


def test_a_cipher_that_raises_while_sealing_says_so_with_the_cause() -> None:
    alice, _ = pair(Faulty(lambda _: 1 / 0))
    with pytest.raises(CipherFailed) as caught:
        alice.seal(AUDIO, b"x")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("result", [None, "text", bytearray(3), bytes(100)])
def test_a_cipher_that_returns_what_it_must_not_is_refused(result: object) -> None:
    alice, _ = pair(Faulty(lambda _: result))
    with pytest.raises(CipherFailed, match="overhead"):
        alice.seal(AUDIO, b"x")


@pytest.mark.parametrize("sealed", [b"", b"text", b"anything"])
def test_whatever_opening_raises_becomes_one_error_without_its_cause(sealed: bytes) -> None:
    alice, bob = pair(Faulty(lambda _: sealed))
    with pytest.raises(OpenFailed) as caught:
        bob.open(1, alice.seal(AUDIO, b"x"))
    assert caught.value.__cause__ is None
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("number", [0, 4, 0xEFFF, 0x10000])
def test_a_suite_that_is_not_for_private_use_is_refused(number: int) -> None:
    cipher = ChaCha()
    cipher.suite = number
    with pytest.raises(SuiteRefused, match="0xF000"):
        Key.raw(SECRET, cipher=cipher)


def test_a_cipher_and_a_suite_do_not_go_together() -> None:
    with pytest.raises(ValueError, match="one or the other"):
        Key.raw(SECRET, cipher=ChaCha(), suite="AES_128_GCM")
    cipher = ChaCha()
    cipher.overhead = 5000
    with pytest.raises(ValueError, match="overhead"):
        Key.raw(SECRET, cipher=cipher)


def test_the_key_shows_its_suite() -> None:
    assert repr(Key.raw(SECRET, cipher=ChaCha())) == "Key.raw(suite=CUSTOM_F001, epoch=0)"
