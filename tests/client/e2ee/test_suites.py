"""The cipher suites against the working group's vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sealcast.client.e2ee import Key
from sealcast.client.e2ee.suites import AES_128_GCM, AES_256_GCM, Suite, suite_by_id, suite_by_name
from sealcast.client.errors import SealError, SuiteRefused
from sealcast.protocol.sframe import encode_header, read_header

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "sframe.json").read_text())
GCM: list[dict[str, Any]] = [v for v in VECTORS["sframe"] if v["cipher_suite"] in (4, 5)]
REFUSED = {
    v["cipher_suite"]
    for group in VECTORS.values()
    if isinstance(group, list)
    for v in group
    if "cipher_suite" in v
} - {4, 5}


def test_both_offered_suites_have_an_official_vector() -> None:
    assert {v["cipher_suite"] for v in GCM} == {4, 5}


@pytest.mark.parametrize("vector", GCM, ids=lambda v: suite_by_id(v["cipher_suite"]).name)
def test_the_official_gcm_vectors_hold_at_every_step(vector: dict[str, Any]) -> None:
    def octets(name: str) -> bytes:
        return bytes.fromhex(vector[name])

    suite = suite_by_id(vector["cipher_suite"])
    suffix = vector["kid"].to_bytes(8, "big") + suite.id.to_bytes(2, "big")
    assert octets("sframe_key_label") == b"SFrame 1.0 Secret key " + suffix
    assert octets("sframe_salt_label") == b"SFrame 1.0 Secret salt " + suffix

    secret = suite.extract(b"", octets("base_key"))
    assert secret == octets("sframe_secret")
    assert suite.expand(secret, octets("sframe_key_label"), suite.key_size) == octets("sframe_key")
    key, salt = suite.schedule(octets("base_key"), vector["kid"])
    assert (key, salt) == (octets("sframe_key"), octets("sframe_salt"))

    nonce = (int.from_bytes(salt, "big") ^ vector["ctr"]).to_bytes(12, "big")
    assert nonce == octets("nonce")
    header = encode_header(vector["kid"], vector["ctr"])
    assert header + octets("metadata") == octets("aad")

    cipher = suite.cipher(key)
    assert header + cipher.encrypt(nonce, octets("pt"), octets("aad")) == octets("ct")
    kid, ctr, end = read_header(octets("ct"))
    assert (kid, ctr) == (vector["kid"], vector["ctr"])
    assert cipher.decrypt(nonce, octets("ct")[end:], octets("aad")) == octets("pt")


def test_the_suites_have_the_sizes_of_the_registry() -> None:
    assert (AES_128_GCM.id, AES_128_GCM.hash_size, AES_128_GCM.key_size) == (4, 32, 16)
    assert (AES_256_GCM.id, AES_256_GCM.hash_size, AES_256_GCM.key_size) == (5, 64, 32)


@pytest.mark.parametrize(
    ("name", "suite"),
    [
        ("AES_128_GCM", AES_128_GCM),
        ("AES_128_GCM2", AES_128_GCM),
        ("AES_128_GCM_SHA256_128", AES_128_GCM),
        ("AES_256_GCM", AES_256_GCM),
        ("AES_256_GCM2", AES_256_GCM),
        ("AES_256_GCM_SHA512_128", AES_256_GCM),
    ],
)
def test_a_suite_answers_to_our_name_the_registrys_and_the_fields(name: str, suite: Suite) -> None:
    assert suite_by_name(name) is suite
    assert str(suite) in repr(Key.raw(bytes(32), suite=name))


def test_the_short_tag_suites_have_vectors_and_are_refused_by_name() -> None:
    assert {1, 2, 3, 6, 7, 8} == REFUSED
    for number in REFUSED:
        with pytest.raises(SuiteRefused, match=r"AES_\d+_CTR_HMAC_SHA\d+_\d+ is not offered") as caught:
            suite_by_id(number)
        name = str(caught.value).split()[0]
        with pytest.raises(SuiteRefused, match=name):
            suite_by_name(name)
        with pytest.raises(SuiteRefused, match=name):
            Key.raw(bytes(32), suite=name)


@pytest.mark.parametrize("number", [0, 9, 0xF000, 0xFFFF, -1])
def test_an_unknown_suite_is_refused(number: int) -> None:
    with pytest.raises(SealError, match="not offered"):
        suite_by_id(number)


@pytest.mark.parametrize("name", ["", "aes_128_gcm", "AES_128_XTS", "none"])
def test_an_unknown_name_is_refused_without_repeating_it(name: str) -> None:
    with pytest.raises(SuiteRefused) as caught:
        suite_by_name(name)
    assert str(caught.value) == SuiteRefused.summary


def test_a_suite_that_somebody_made_up_is_no_way_around_the_refusal() -> None:
    made_up = Suite(1, "MINE", "MINE", "sha256", 32, 16)
    with pytest.raises(SuiteRefused):
        Key.raw(bytes(32), suite=made_up)


@pytest.mark.parametrize("suite", [AES_128_GCM, AES_256_GCM])
@pytest.mark.parametrize("size", [0, 15, 24, 33])
def test_a_key_of_another_size_is_refused(suite: Suite, size: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        suite.cipher(bytes(size))
