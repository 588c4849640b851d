"""docs/sdk.md says what the code says."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

import sealcast.client
from sealcast.client import Backoff, Options, State, events
from sealcast.client.backoff import HINT_MAX, STABLE
from sealcast.client.stream import PRIORITIES

DOCS = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text()
ROWS = {
    name: cells
    for line in DOCS.splitlines()
    if line.startswith("| `")
    for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    for name in re.findall(r"`(\w+)`", cells[0])
}


@pytest.mark.parametrize("name", sorted(set(events.__all__) - {"Event"}))
def test_every_event_is_in_the_table_with_all_its_fields(name):
    fields = [field.name for field in dataclasses.fields(getattr(events, name))]
    assert re.findall(r"`(\w+)`", ROWS[name][1]) == fields


def test_every_option_is_in_the_table():
    for field in dataclasses.fields(Options):
        assert field.name in ROWS, field.name


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ("timeout", "10 s"),
        ("connect_timeout", "10 s"),
        ("heartbeat", "15 s"),
        ("queue_bytes", "1 MiB"),
        ("inbox_events", "4096"),
        ("inbox_bytes", "16 MiB"),
    ],
)
def test_the_tables_defaults_are_the_codes(option, shown):
    units = {"MiB": 2**20, "s": 1}
    number, _, unit = shown.partition(" ")
    assert ROWS[option][1] == shown
    assert getattr(Options(), option) == int(number) * units.get(unit, 1)


def test_the_waits_are_those_of_the_code():
    backoff = Backoff()
    assert f"Backoff(base={backoff.base:g}, factor={backoff.factor:g}, cap={backoff.cap:g})" in DOCS
    assert f"min({backoff.cap:g}, {backoff.base:g} × {backoff.factor:g}^n)" in DOCS
    assert f"at most {HINT_MAX:g} s of it" in DOCS
    assert f"lasted {STABLE:g} seconds" in DOCS


def test_all_states_and_priorities_are_named():
    for state in State:
        assert f"`{state}`" in DOCS
    shown = ", ".join(f"{kind.name.lower()} {priority}" for kind, priority in PRIORITIES.items())
    assert shown in DOCS


def test_every_error_of_the_connection_is_in_the_table():
    seal_error = sealcast.client.SealError
    for name in sealcast.client.__all__:
        thing = getattr(sealcast.client, name)
        if isinstance(thing, type) and issubclass(thing, Exception) and not issubclass(thing, seal_error):
            assert name in ROWS or name == "SealcastError", name
    assert "SealError" in ROWS
