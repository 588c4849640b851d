"""The golden bytes of sealcast.1: what any client in any language has to read and write."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from sealcast.protocol import envelope
from sealcast.protocol.controls import (
    CLIENT_CONTROLS,
    SERVER_CONTROLS,
    Control,
    Departure,
    Item,
    KeptMessage,
    LockInfo,
    MemberInfo,
    Place,
    Side,
    decode,
    encode,
)
from sealcast.protocol.errors import RemoteProtocolError

VECTORS = Path(__file__).parents[1] / "vectors"
WIRE: dict[str, Any] = json.loads((VECTORS / "wire.json").read_text("utf-8"))
TABLES = {"client": CLIENT_CONTROLS, "server": SERVER_CONTROLS}
TYPES = {"frame": envelope.FRAME, "message": envelope.MESSAGE, "delivered": envelope.DELIVERED}


PARTS: dict[Any, set[str]] = {
    LockInfo: {"name", "fence"},
    Item: {"name", "value"},
    KeptMessage: {"offset", "data"},
    Place: {"epoch", "offset"},
    Departure: {"member", "reason"},
    MemberInfo: {"member", "user"},
}


def value(shown: Any) -> Any:
    """What a JSON value of the file stands for."""
    if isinstance(shown, list):
        return tuple(map(value, shown))
    if not isinstance(shown, dict):
        return shown
    if set(shown) == {"hex"}:
        return bytes.fromhex(shown["hex"])
    if set(shown) == {"u64"}:
        return int(shown["u64"])
    fields = {key: value(item) for key, item in shown.items()}
    for part, needed in PARTS.items():
        if set(shown) >= needed:
            return part(**fields)
    return fields


def control(row: dict[str, Any]) -> Control:
    fields = {key: value(item) for key, item in row["body"].items()}
    return TABLES[row["from"]][row["name"]](**fields)


def named(row: dict[str, Any]) -> str:
    return str(row.get("why") or row.get("name") or row.get("type"))


@pytest.mark.parametrize("row", WIRE["controls"], ids=named)
def test_a_golden_control_is_written_and_read(row: dict[str, Any]) -> None:
    data = bytes.fromhex(row["hex"])
    assert encode(control(row), row["ref"]) == data
    assert decode(data, Side(row["from"])) == (control(row), row["ref"])


@pytest.mark.parametrize("row", WIRE["accepted"], ids=named)
def test_another_encoding_of_the_same_control_is_read_alike(row: dict[str, Any]) -> None:
    assert decode(bytes.fromhex(row["hex"]), Side(row["from"])) == (control(row), row["ref"])


@pytest.mark.parametrize("row", WIRE["refused"], ids=named)
def test_a_control_that_must_be_refused_is_refused_with_its_code(row: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(bytes.fromhex(row["hex"]), Side(row["from"]))
    assert (caught.value.code.name, caught.value.ref) == (row["code"], row["ref"])


@pytest.mark.parametrize("row", WIRE["envelopes"], ids=named)
def test_a_golden_envelope_is_written_and_read(row: dict[str, Any]) -> None:
    data, sealed, number = bytes.fromhex(row["hex"]), bytes.fromhex(row["sealed"]), value(row["number"])
    channel, member = row["channel"], row["member"]
    assert envelope.decode(data) == (TYPES[row["type"]], channel, member, number, row["start"])
    assert data[row["start"] :] == sealed
    write = {
        "frame": lambda: envelope.frame(channel, member, sealed),
        "message": lambda: envelope.message(channel, member, number, sealed),
        "delivered": lambda: envelope.delivered(channel, member, number, sealed),
    }
    assert write[row["type"]]() == data


@pytest.mark.parametrize("row", WIRE["refused_envelopes"], ids=named)
def test_an_envelope_that_must_be_refused_is_refused_with_its_code(row: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        envelope.decode(bytes.fromhex(row["hex"]))
    assert caught.value.code.name == row["code"]


@pytest.mark.parametrize("row", WIRE["route_keys"], ids=lambda row: row["hex"])
def test_a_golden_route_key_is_written(row: dict[str, Any]) -> None:
    assert envelope.route_key(row["channel"], row["member"]).hex() == row["hex"]


def test_every_control_has_its_golden_bytes() -> None:
    for side, table in TABLES.items():
        assert {row["name"] for row in WIRE["controls"] if row["from"] == side} == set(table)


def test_every_field_stands_in_some_golden_control() -> None:
    for side, table in TABLES.items():
        for name, cls in table.items():
            shown = {key for row in WIRE["controls"] if row["name"] == name for key in row["body"]}
            assert shown == {field.name for field in dataclasses.fields(cls)}, (side, name)


def test_the_file_is_what_its_generator_writes() -> None:
    spec = importlib.util.spec_from_file_location("make_wire", VECTORS / "make_wire.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (VECTORS / "wire.json").read_text("utf-8") == module.written()
