"""The SDK against tests/vectors/layers.json, which is made without the SDK."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from sealcast.client.e2ee import FrameContext, Identity, Key
from sealcast.client.e2ee.batch import Run, encode_batch, frame_digest, read_batch
from sealcast.client.e2ee.beacon import Beacon, encode_beacon, read_beacon
from sealcast.client.e2ee.context import BaseKey, Sender, base_key, context_id, epoch_key
from sealcast.client.e2ee.custom import FrameCipher, custom_suite
from sealcast.client.e2ee.layers import SealLayers
from sealcast.client.e2ee.padding import BUCKETS, NONE
from sealcast.client.e2ee.passphrase import secret_of_passphrase
from sealcast.client.e2ee.roster_hash import roster_hash, roster_leaf
from sealcast.client.e2ee.sealer import Sealer
from sealcast.client.e2ee.suites import suite_by_id
from sealcast.protocol.descriptor import PADDED, Descriptor
from sealcast.protocol.names import Kind

VECTORS = Path(__file__).parents[2] / "vectors"
LAYERS: dict[str, Any] = json.loads((VECTORS / "layers.json").read_text())
SENDER: dict[str, Any] = LAYERS["sender"]
CTX = context_id(SENDER["app_id"], SENDER["channel"])


class ChaCha:
    suite, overhead = 0xF001, 16

    def seal(self, fc: FrameContext, plaintext: bytes) -> bytes:
        return ChaCha20Poly1305(fc.key).encrypt(fc.nonce, plaintext, fc.aad)

    def open(self, fc: FrameContext, ciphertext: bytes) -> bytes:
        return ChaCha20Poly1305(fc.key).decrypt(fc.nonce, ciphertext, fc.aad)


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_layers", VECTORS / "make_layers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_file_is_what_its_generator_makes() -> None:
    assert (VECTORS / "layers.json").read_text() == generator().text()


def test_the_generator_uses_nothing_of_the_sdk() -> None:
    assert "sealcast." not in (VECTORS / "make_layers.py").read_text()


@pytest.mark.parametrize("vector", LAYERS["passphrases"], ids=lambda v: ascii(v["passphrase"]))
def test_passphrases(vector: dict[str, str]) -> None:
    assert secret_of_passphrase(vector["passphrase"], bytes.fromhex(vector["salt"])).hex() == vector["secret"]


def names(vector: dict[str, Any]) -> str:
    return f"{vector['suite']}-{vector['epoch']}-{vector['kind']}-{vector['ctr']}"


@pytest.mark.parametrize("vector", LAYERS["frames"], ids=names)
def test_signed_padded_and_custom_frames_are_sealed(vector: dict[str, Any]) -> None:
    custom: FrameCipher | None = ChaCha() if vector["suite"] >= 0xF000 else None
    suite = suite_by_id(vector["suite"]) if custom is None else custom_suite(custom)
    sender = Sender(CTX, suite, SENDER["user"], bytes.fromhex(SENDER["session"]))
    secret = epoch_key(suite, CTX, bytes.fromhex(SENDER["secret"]))
    frame = bytes.fromhex(vector["frame"])
    layers = SealLayers(
        Identity.from_bytes(bytes.fromhex(SENDER["seed"])).sign,
        padding=BUCKETS if frame[1] & PADDED else NONE,
        cipher=custom,
    )
    base = BaseKey(vector["epoch"], 0, base_key(secret, sender, vector["epoch"]))
    sealing = Sealer(sender, base, first_counter=vector["ctr"], layers=layers)
    descriptor = Descriptor(Kind(vector["kind"]), stream=vector["stream"])
    assert sealing.seal(descriptor, bytes.fromhex(vector["body"])) == frame


@pytest.mark.parametrize("vector", LAYERS["frames"], ids=names)
def test_signed_padded_and_custom_frames_are_opened(vector: dict[str, Any]) -> None:
    custom = vector["suite"] >= 0xF000
    how: dict[str, Any] = {"cipher": ChaCha()} if custom else {"suite": suite_by_id(vector["suite"])}
    key = Key.raw(bytes.fromhex(SENDER["secret"]), epoch=vector["epoch"], **how)
    receiver = key.bind(SENDER["app_id"], SENDER["channel"], "receiver")
    receiver.add_member(1, SENDER["user"], bytes.fromhex(SENDER["hellos"][str(vector["suite"])]))
    opened = receiver.open(1, bytes.fromhex(vector["frame"]))
    assert (opened.payload.hex(), opened.ctr) == (vector["body"], vector["ctr"])


@pytest.mark.parametrize("vector", LAYERS["beacons"], ids=lambda v: str(v["epoch"]))
def test_beacons(vector: dict[str, Any]) -> None:
    beacon = Beacon(
        vector["time_ms"],
        vector["epoch"],
        tuple((stream, following) for stream, following in vector["streams"]),
        tuple(bytes.fromhex(challenge) for challenge in vector["challenges"]),
        bytes.fromhex(vector["roster"]),
    )
    assert encode_beacon(beacon).hex() == vector["body"]
    assert read_beacon(bytes.fromhex(vector["body"])) == beacon


@pytest.mark.parametrize("vector", LAYERS["rosters"], ids=lambda v: f"{len(v['members'])} members")
def test_rosters(vector: dict[str, Any]) -> None:
    leaves = []
    for member in vector["members"]:
        key = bytes.fromhex(member["base_key"])
        base = BaseKey(member["epoch"], member["step"], key) if key else None
        leaves.append(roster_leaf(bytes.fromhex(member["hello"]), base))
    assert roster_hash(CTX, leaves).hex() == vector["roster"]


@pytest.mark.parametrize("vector", LAYERS["batches"], ids=lambda v: f"{len(v['runs'])} runs")
def test_batches(vector: dict[str, Any]) -> None:
    runs = tuple(
        Run(
            run["kid"],
            tuple(
                (ctr, frame_digest(bytes.fromhex(frame)))
                for ctr, frame in zip(run["counters"], run["frames"], strict=True)
            ),
        )
        for run in vector["runs"]
    )
    assert encode_batch(runs).hex() == vector["body"]
    assert read_batch(bytes.fromhex(vector["body"])) == runs
