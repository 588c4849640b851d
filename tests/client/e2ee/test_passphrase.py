"""Passphrases: one derivation, exact, and nothing that anybody could guess."""

from __future__ import annotations

import hashlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.e2ee import Key, passphrase
from sealcast.client.e2ee.passphrase import PASSPHRASE_MAX, ROUNDS, secret_of_passphrase
from sealcast.client.errors import PassphraseRefused
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.names import Kind

APP = "0123456789abcdef0123456789abcdef"
SALT = bytes(range(32))
WORDS = "correct horse battery staple"


def test_the_secret_is_pbkdf2_over_the_label_and_the_salt() -> None:
    expected = hashlib.pbkdf2_hmac("sha256", WORDS.encode(), b"sealcast/1 pbkdf2" + SALT, 600_000, 32)
    assert secret_of_passphrase(WORDS, SALT) == expected
    assert ROUNDS == 600_000


def test_members_with_the_same_words_understand_each_other_and_others_do_not() -> None:
    alice = Key.passphrase(WORDS, SALT).bind(APP, "room", "alice")
    bob = Key.raw(secret_of_passphrase(WORDS, SALT)).bind(APP, "room", "bob")
    bob.add_member(1, "alice", alice.hello)
    assert bob.open(1, alice.seal(Descriptor(Kind.AUDIO, stream=2), b"hello")).payload == b"hello"
    assert secret_of_passphrase(WORDS, SALT[::-1]) != secret_of_passphrase(WORDS, SALT)


@given(st.text(min_size=12, max_size=40, alphabet=st.characters(exclude_categories=["Cs"])))
def test_two_spellings_of_the_same_characters_are_one_passphrase(text: str) -> None:
    fast = pytest.MonkeyPatch()
    fast.setattr(passphrase, "ROUNDS", 1)
    try:
        forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
        secrets = set()
        for form in forms:
            try:
                secrets.add(secret_of_passphrase(form, SALT))
            except PassphraseRefused:
                secrets.add(b"refused")
        assert len(secrets) == 1
    finally:
        fast.undo()


@pytest.mark.parametrize(
    "text", ["", "short", "eleven char", " " * 40, "x" * (PASSPHRASE_MAX + 1), "half a character \ud800"]
)
def test_what_is_too_short_too_long_or_no_text_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(PassphraseRefused) as caught:
        secret_of_passphrase(text, SALT)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("salt", [b"", bytes(16), bytes(33)])
def test_a_salt_of_another_size_is_refused(salt: bytes) -> None:
    with pytest.raises(PassphraseRefused, match="32 random bytes"):
        Key.passphrase(WORDS, salt)


def test_bytes_are_no_passphrase_and_text_is_no_salt() -> None:
    with pytest.raises(TypeError, match=r"Key\.raw"):
        secret_of_passphrase(bytes(32), SALT)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="salt"):
        secret_of_passphrase(WORDS, "x" * 32)  # type: ignore[arg-type]


def test_the_key_does_not_show_its_words() -> None:
    assert repr(Key.passphrase(WORDS, SALT, epoch=3)) == "Key.passphrase(suite=AES_128_GCM, epoch=3)"
