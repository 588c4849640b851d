"""The SDK against tests/vectors/managed.json, which is made without the SDK and without a library's HPKE."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealcast.client import errors
from sealcast.client.e2ee.certificate import read_certificate, verify_certificate
from sealcast.client.e2ee.context import BaseKey, context_id
from sealcast.client.e2ee.direct import Ack, encode_ack, encode_wrap, read_direct
from sealcast.client.e2ee.hello import Role
from sealcast.client.e2ee.identity import Authority, Identity
from sealcast.client.e2ee.kem import PrivateKem, PublicKem
from sealcast.client.e2ee.ratchet import ReceiveChain, advance
from sealcast.client.e2ee.suites import suite_by_id
from sealcast.client.e2ee.wrap import Pair, Party, make_wrap, read_wrap

VECTORS = Path(__file__).parents[2] / "vectors"
MANAGED: dict[str, Any] = json.loads((VECTORS / "managed.json").read_text())
WRAPS: list[dict[str, Any]] = MANAGED["wraps"]
CERTIFICATES: list[dict[str, Any]] = MANAGED["certificates"]
AUTHORITY = bytes.fromhex(MANAGED["authority"])


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_managed", VECTORS / "make_managed.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def identity_of(vector: dict[str, str]) -> Identity:
    return Identity.from_bytes(bytes.fromhex(vector["identity_private"]))


def party_of(vector: dict[str, str]) -> Party:
    return Party(vector["user"], bytes.fromhex(vector["session"]), bytes.fromhex(vector["identity"]))


def pair_of(vector: dict[str, Any]) -> Pair:
    return Pair(
        bytes.fromhex(CERTIFICATES[0]["ctx"]),
        suite_by_id(vector["suite"]),
        party_of(vector["sender"]),
        party_of(vector["receiver"]),
        vector["kem"],
        bytes.fromhex(vector["kem_public"]),
    )


def key_of(party: Party) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(party.identity)


def name_of(vector: dict[str, Any]) -> str:
    return f"suite {vector['suite']} kem {vector['kem']:#06x}"


def test_the_file_is_what_its_generator_makes() -> None:
    assert (VECTORS / "managed.json").read_text() == generator().text()


def test_the_generator_uses_nothing_of_the_sdk_and_no_ready_made_hpke() -> None:
    text = (VECTORS / "make_managed.py").read_text()
    assert "sealcast." not in text
    assert "primitives.hpke" not in text
    assert "import hpke" not in text


@pytest.mark.parametrize("vector", CERTIFICATES, ids=lambda v: v["user"])
def test_a_certificate_is_issued_byte_for_byte(vector: dict[str, Any]) -> None:
    authority = Authority.from_bytes(bytes.fromhex(MANAGED["authority_private"]))
    assert authority.public == AUTHORITY
    issued = authority.certify(
        vector["app_id"],
        vector["channel"],
        vector["user"],
        bytes.fromhex(vector["identity"]),
        role=[role for role in Role if vector["roles"] >> role & 1],
        not_before=vector["not_before"],
        not_after=vector["not_after"],
    )
    assert issued.hex() == vector["certificate"]


@pytest.mark.parametrize("vector", CERTIFICATES, ids=lambda v: v["user"])
def test_a_certificate_is_read_and_verified_for_each_of_its_roles_and_no_other(
    vector: dict[str, Any],
) -> None:
    data = bytes.fromhex(vector["certificate"])
    read = read_certificate(data)
    fields = {"ctx": read.ctx.hex(), "identity": read.identity.hex()}
    assert fields == {"ctx": vector["ctx"], "identity": vector["identity"]}
    assert read.ctx == context_id(vector["app_id"], vector["channel"])
    assert (read.user, read.roles) == (vector["user"], vector["roles"])
    assert (read.not_before, read.not_after) == (vector["not_before"], vector["not_after"])
    for role in Role:
        claim: dict[str, Any] = {
            "ctx": read.ctx,
            "user": read.user,
            "identity": read.identity,
            "role": role,
            "wall": MANAGED["now"],
        }
        if vector["roles"] >> role & 1:
            assert verify_certificate(data, AUTHORITY, **claim) == read
        else:
            with pytest.raises(errors.CertificateOfRole):
                verify_certificate(data, AUTHORITY, **claim)


@pytest.mark.parametrize("vector", MANAGED["refused_certificates"], ids=lambda v: v["why"])
def test_a_certificate_is_refused_for_its_cause(vector: dict[str, str]) -> None:
    alice = CERTIFICATES[0]
    with pytest.raises(errors.CertificateRefused) as caught:
        verify_certificate(
            bytes.fromhex(vector["certificate"]),
            AUTHORITY,
            ctx=bytes.fromhex(alice["ctx"]),
            user=alice["user"],
            identity=bytes.fromhex(alice["identity"]),
            role=Role.MEMBER,
            wall=MANAGED["now"],
        )
    assert type(caught.value).__name__ == vector["error"]


@pytest.mark.parametrize("vector", WRAPS, ids=name_of)
def test_a_wrap_opens_to_its_base_key(vector: dict[str, Any]) -> None:
    pair = pair_of(vector)
    kem = PrivateKem(vector["kem"], bytes.fromhex(vector["kem_seed"]))
    assert kem.public.hex() == vector["kem_public"]
    assert pair.info(vector["epoch"], vector["step"]).hex() == vector["info"]

    data = read_direct(bytes.fromhex(vector["direct"]))
    assert data == bytes.fromhex(vector["wrap"])
    signed = read_wrap(data, pair.suite, pair.kem)
    assert (signed.epoch, signed.step, signed.box.hex()) == (vector["epoch"], vector["step"], vector["box"])
    opened = signed.verify(pair, key_of(pair.sender)).open(kem)
    assert opened == BaseKey(vector["epoch"], vector["step"], bytes.fromhex(vector["base_key"]))


@pytest.mark.parametrize("vector", WRAPS, ids=name_of)
def test_a_wrap_that_is_made_again_differs_only_in_what_is_random_and_opens(vector: dict[str, Any]) -> None:
    pair = pair_of(vector)
    base = BaseKey(vector["epoch"], vector["step"], bytes.fromhex(vector["base_key"]))
    kem = PrivateKem(vector["kem"], bytes.fromhex(vector["kem_seed"]))
    made = make_wrap(base, pair, PublicKem(kem.kem, kem.public), identity_of(vector["sender"]))
    golden = bytes.fromhex(vector["wrap"])
    assert (len(made), made[:6]) == (len(golden), golden[:6])
    assert made[6:] != golden[6:]
    assert encode_wrap(made)[:1] == b"\1"
    assert read_wrap(made, pair.suite, pair.kem).verify(pair, key_of(pair.sender)).open(kem) == base


@pytest.mark.parametrize("vector", MANAGED["refused_wraps"], ids=lambda v: v["why"])
def test_a_wrap_is_refused_for_its_cause(vector: dict[str, str]) -> None:
    pair = pair_of(WRAPS[0])
    kem = PrivateKem(pair.kem, bytes.fromhex(WRAPS[0]["kem_seed"]))
    with pytest.raises(errors.WrapRefused) as caught:
        read_wrap(bytes.fromhex(vector["wrap"]), pair.suite, pair.kem).verify(pair, key_of(pair.sender)).open(
            kem
        )
    assert type(caught.value).__name__ == vector["error"]


def test_the_sizes_of_wraps_are_the_documented_ones() -> None:
    sizes = {name_of(vector): len(vector["wrap"]) // 2 for vector in WRAPS}
    assert sizes == {
        "suite 4 kem 0x0020": 150,
        "suite 5 kem 0x0020": 182,
        "suite 4 kem 0x647a": 1238,
        "suite 5 kem 0x647a": 1270,
    }


@pytest.mark.parametrize("vector", MANAGED["acks"], ids=lambda v: str(v["epoch"]))
def test_acks(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["direct"])
    assert encode_ack(vector["epoch"], vector["step"]) == data
    assert read_direct(data) == Ack(vector["epoch"], vector["step"])


@pytest.mark.parametrize("vector", MANAGED["refused_directs"], ids=lambda v: v["why"])
def test_a_direct_payload_is_refused(vector: dict[str, str]) -> None:
    with pytest.raises(errors.WrapMalformed):
        read_direct(bytes.fromhex(vector["direct"]))


@pytest.mark.parametrize("vector", MANAGED["ratchets"], ids=lambda v: f"suite {v['suite']}")
def test_the_ratchet(vector: dict[str, Any]) -> None:
    suite, keys = suite_by_id(vector["suite"]), [bytes.fromhex(key) for key in vector["steps"]]
    first = BaseKey(5, 0, keys[0])
    chain = ReceiveChain(suite, first)
    for step, key in enumerate(keys):
        assert advance(suite, first, step) == BaseKey(5, step, key)
        assert chain.at(step) == BaseKey(5, step, key)
