"""The SDK and a process that was written from the documentation's vectors alone understand each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sealcast.client.e2ee import Key
from sealcast.client.errors import SealError
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.names import Kind

PROGRAM = Path(__file__).parents[2] / "vectors" / "stranger.py"
APP = "0123456789abcdef0123456789abcdef"
Ask = Callable[..., dict[str, Any]]

SENT = [(Kind.AUDIO, 2), (Kind.VIDEO, 3), (Kind.DATA, 7), (Kind.MESSAGE, 1)]


@pytest.fixture(params=[4, 5])
def suite(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def secret() -> bytes:
    return os.urandom(32)


@pytest.fixture
def ask(suite: int, secret: bytes) -> Iterator[Ask]:
    """Ask the stranger, in a process whose interpreter finds no sealcast."""
    process = subprocess.Popen(
        [sys.executable, "-E", str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def tell(**fields: Any) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps(fields) + "\n")
        process.stdin.flush()

    def ask(**fields: Any) -> dict[str, Any]:
        tell(**fields)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the stranger has given up"
        answer: dict[str, Any] = json.loads(line)
        return answer

    tell(suite=suite, app_id=APP, channel="standup", secret=secret.hex())
    yield ask
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


def test_both_open_what_the_other_seals(suite: int, secret: bytes, ask: Ask) -> None:
    name = {4: "AES_128_GCM", 5: "AES_256_GCM"}[suite]
    alice = Key.raw(secret, suite=name).bind(APP, "standup", "alice")
    assert alice.hello is not None
    met = ask(meet=alice.hello.hex())
    assert met["user"] == "alice"
    alice.add_member(9, "stranger", bytes.fromhex(met["hello"]), 0.0)
    for number in range(300):
        kind, stream = SENT[number % len(SENT)]
        payload = os.urandom(number)
        sealed = alice.seal(Descriptor(kind, stream=stream), payload)
        assert ask(open=sealed.hex()) == {"payload": payload.hex()}
        frame = bytes.fromhex(ask(seal=payload.hex(), kind=int(kind), stream=stream)["frame"])
        assert alice.open(9, frame).payload == payload


def test_a_stranger_with_another_secret_is_not_understood(suite: int, secret: bytes, ask: Ask) -> None:
    name = {4: "AES_128_GCM", 5: "AES_256_GCM"}[suite]
    alice = Key.raw(os.urandom(32), suite=name).bind(APP, "standup", "alice")
    assert alice.hello is not None
    alice.add_member(9, "stranger", bytes.fromhex(ask(meet=alice.hello.hex())["hello"]), 0.0)
    frame = bytes.fromhex(ask(seal=b"hello".hex(), kind=1, stream=2)["frame"])
    with pytest.raises(SealError):
        alice.open(9, frame)
