"""`sealcast genkey`, and how a key is written."""

from __future__ import annotations

import base64

import pytest

from sealcast.cli.failure import Failure, Status
from sealcast.cli.keys import parse_key
from sealcast.cli.main import main
from sealcast.client import Key
from sealcast.protocol.descriptor import MESSAGE_STREAM, Descriptor
from sealcast.protocol.names import Kind

SECRET = bytes(range(224, 256))


def test_a_new_key_stands_alone_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    made = set()
    for _ in range(3):
        assert main(["genkey"]) == 0
        told = capsys.readouterr()
        assert told.err == ""
        assert len(bytes.fromhex(told.out.removesuffix("\n"))) == 32
        made.add(told.out)
    assert len(made) == 3


def test_a_new_key_can_be_base64(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["genkey", "--base64"]) == 0
    assert len(base64.b64decode(capsys.readouterr().out.strip(), validate=True)) == 32


@pytest.mark.parametrize(
    "text",
    [
        SECRET.hex(),
        SECRET.hex().upper(),
        f"  {SECRET.hex()}\n",
        base64.b64encode(SECRET).decode(),
        base64.b64encode(SECRET).decode().rstrip("="),
        base64.urlsafe_b64encode(SECRET).decode(),
    ],
)
def test_all_spellings_of_a_key_are_the_same_key(text: str) -> None:
    alice = parse_key(text).bind("0" * 32, "c", "alice")
    bob = Key.raw(SECRET).bind("0" * 32, "c", "bob")
    bob.add_member(1, "alice", alice.hello)
    descriptor = Descriptor(Kind.MESSAGE, stream=MESSAGE_STREAM, version=alice.version)
    assert bob.open(1, alice.seal(descriptor, b"hello")).payload == b"hello"


def test_none_is_the_absence_of_a_key() -> None:
    assert repr(parse_key("none")) == "Key.none()"


@pytest.mark.parametrize(
    "text", ["", "5e" * 31, "5e" * 33, "hunter2", "zz" * 32, "A" * 42, "A" * 45, "None", "A" * 43 + "=="]
)
def test_what_is_no_key_is_a_usage_error_that_does_not_repeat_it(text: str) -> None:
    with pytest.raises(Failure) as refused:
        parse_key(text)
    assert refused.value.status == Status.USAGE
    assert not text or text not in str(refused.value)
