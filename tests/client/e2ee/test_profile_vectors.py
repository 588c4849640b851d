"""The SDK against tests/vectors/profile.json, which is made without the SDK."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealcast.client.e2ee import ChannelCrypto, Key
from sealcast.client.e2ee.context import (
    BaseKey,
    Sender,
    base_key,
    bind16,
    context_id,
    epoch_key,
    pack_kid,
)
from sealcast.client.e2ee.hello import Hello, Role, public_bytes, read_hello, sign_hello
from sealcast.client.e2ee.sealer import Sealer
from sealcast.client.e2ee.suites import suite_by_id
from sealcast.client.errors import HelloRefused, SealError
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.sframe import encode_header

VECTORS = Path(__file__).parents[2] / "vectors"
PROFILE: dict[str, Any] = json.loads((VECTORS / "profile.json").read_text())
SENDERS: list[dict[str, Any]] = PROFILE["senders"]
FRAMES = [(sender, frame) for sender in SENDERS for frame in sender["frames"]]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_profile", VECTORS / "make_profile.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sender_of(vector: dict[str, Any]) -> Sender:
    return Sender(
        context_id(vector["app_id"], vector["channel"]),
        suite_by_id(vector["suite"]),
        vector["user"],
        bytes.fromhex(vector["session"]),
    )


def receiver_of(vector: dict[str, Any]) -> ChannelCrypto:
    key = Key.raw(bytes.fromhex(vector["secret"]), suite=suite_by_id(vector["suite"]), epoch=vector["epoch"])
    return key.bind(vector["app_id"], vector["channel"], "receiver")


def descriptor_of(vector: dict[str, Any]) -> Descriptor:
    return Descriptor(**{name: value for name, value in vector.items() if name != "encoded"})


def test_the_file_is_what_its_generator_makes() -> None:
    assert (VECTORS / "profile.json").read_text() == generator().text()


def test_the_generator_uses_nothing_of_the_sdk() -> None:
    assert "sealcast." not in (VECTORS / "make_profile.py").read_text().replace("sealcast.1", "")


def test_both_suites_and_every_size_of_counter_are_covered() -> None:
    assert {sender["suite"] for sender in SENDERS} == {4, 5}
    for suite in (4, 5):
        headers = {len(f["header"]) // 2 for s, f in FRAMES if s["suite"] == suite}
        assert headers >= {1, 3, 4, 5, 6, 7}


@pytest.mark.parametrize("vector", PROFILE["kids"], ids=lambda v: str(v["kid"]))
def test_key_ids(vector: dict[str, int]) -> None:
    assert pack_kid(vector["stream"], vector["epoch"], vector["step"]) == vector["kid"]


@pytest.mark.parametrize("vector", SENDERS, ids=lambda v: v["name"])
def test_derivations(vector: dict[str, Any]) -> None:
    sender = sender_of(vector)
    extracted = epoch_key(sender.suite, sender.ctx, bytes.fromhex(vector["secret"]))
    assert sender.ctx.hex() == vector["ctx"]
    assert extracted.hex() == vector["extracted"]
    assert base_key(extracted, sender, vector["epoch"]).hex() == vector["base_key"]
    assert bind16(sender, vector["epoch"]).hex() == vector["bind16"]


@pytest.mark.parametrize("vector", SENDERS, ids=lambda v: v["name"])
def test_hellos(vector: dict[str, Any]) -> None:
    golden, sender = vector["hello"], sender_of(vector)
    identity = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(golden["seed"]))
    hello = Hello(
        Role(golden["role"]),
        vector["suite"],
        vector["user"],
        sender.session,
        public_bytes(identity),
        golden["kem"],
        bytes.fromhex(golden["kem_public"]),
        golden["time_ms"],
        bytes.fromhex(golden["challenge"]),
    )
    assert hello.identity.hex() == golden["identity"]
    assert (b"sealcast/1 hello" + sender.ctx + hello.encode()).hex() == golden["signed"]
    assert sign_hello(hello, sender.ctx, identity).hex() == golden["sent"]
    assert read_hello(bytes.fromhex(golden["sent"]), sender.ctx) == hello


@pytest.mark.parametrize(("sender", "frame"), FRAMES, ids=[f"{s['name']}-{f['header']}" for s, f in FRAMES])
def test_frames_step_by_step(sender: dict[str, Any], frame: dict[str, Any]) -> None:
    suite, descriptor = suite_by_id(sender["suite"]), descriptor_of(frame["descriptor"])
    assert pack_kid(descriptor.stream, sender["epoch"]) == frame["kid"]
    key, salt = suite.schedule(bytes.fromhex(sender["base_key"]), frame["kid"])
    assert (key.hex(), salt.hex()) == (frame["key"], frame["salt"])
    assert f"{int(frame['salt'], 16) ^ frame['ctr']:024x}" == frame["nonce"]
    assert encode_header(frame["kid"], frame["ctr"]).hex() == frame["header"]
    assert frame["header"] + sender["bind16"] + descriptor.encode().hex() == frame["aad"]

    base = BaseKey(sender["epoch"], 0, bytes.fromhex(sender["base_key"]))
    sealing = Sealer(sender_of(sender), base, first_counter=frame["ctr"])
    assert sealing.seal(descriptor, bytes.fromhex(frame["payload"])).hex() == frame["frame"]


@pytest.mark.parametrize("vector", SENDERS, ids=lambda v: v["name"])
def test_a_receiver_that_knows_the_hello_opens_the_frames(vector: dict[str, Any]) -> None:
    receiver = receiver_of(vector)
    receiver.add_member(1, vector["user"], bytes.fromhex(vector["hello"]["sent"]))
    for frame in vector["frames"]:
        opened = receiver.open(1, bytes.fromhex(frame["frame"]))
        assert opened.descriptor == descriptor_of(frame["descriptor"])
        assert (opened.payload.hex(), opened.ctr) == (frame["payload"], frame["ctr"])


@pytest.mark.parametrize("vector", PROFILE["sequences"], ids=lambda v: str(v["sender"]))
def test_a_receiver_refuses_what_it_must_and_goes_on(vector: dict[str, Any]) -> None:
    sender = SENDERS[vector["sender"]]
    receiver = receiver_of(sender)
    receiver.add_member(1, sender["user"], bytes.fromhex(sender["hello"]["sent"]))
    for step in vector["steps"]:
        try:
            receiver.open(1, bytes.fromhex(step["frame"]))
            came = "opened"
        except SealError as error:
            came = type(error).__name__
        assert came == step["expect"], step["why"]


@pytest.mark.parametrize("vector", PROFILE["refused_hellos"], ids=lambda v: v["why"])
def test_hellos_that_are_refused(vector: dict[str, Any]) -> None:
    sender = SENDERS[vector["sender"]]
    with pytest.raises(HelloRefused):
        receiver_of(sender).add_member(1, sender["user"], bytes.fromhex(vector["sent"]))


@pytest.mark.parametrize("vector", PROFILE["clear"], ids=lambda v: v["frame"])
def test_clear_frames(vector: dict[str, Any]) -> None:
    crypto = Key.none().bind(SENDERS[0]["app_id"], "standup", "alice")
    frame, payload = bytes.fromhex(vector["frame"]), bytes.fromhex(vector["payload"])
    assert crypto.seal(descriptor_of(vector["descriptor"]), payload) == frame
    assert crypto.open(1, frame).payload == payload
