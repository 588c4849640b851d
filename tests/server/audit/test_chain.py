"""The audit log's chain: nothing in it can be changed, taken out, put in or put elsewhere unseen."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.server.audit import GENESIS, Entry, Head, detail_of, follow, verify, verify_list


def chain(length: int, begin: Head | None = None) -> list[Entry]:
    entries: list[Entry] = []
    head = begin
    for number in range(length):
        entry = follow(head, 1000 + number, "ops@example.com", "127.0.0.1", "app.create", f"app-{number}")
        entries.append(entry)
        head = Head(entry.seq, entry.hash)
    return entries


def test_a_chain_as_it_was_written_holds() -> None:
    entries = chain(20)
    assert [entry.seq for entry in entries] == list(range(1, 21))
    assert entries[0].previous == GENESIS
    verdict = verify_list(entries)
    assert (verdict.entries, verdict.head, verdict.broken) == (20, Head(20, entries[-1].hash), None)


def test_an_empty_log_holds() -> None:
    assert verify_list([]).broken is None


def test_the_hash_is_what_the_docs_say() -> None:
    (entry,) = chain(1)
    parts = [b"sealcast audit 1", bytes(32), b"1", b"1000", b"ops@example.com", b"127.0.0.1", b"app.create"]
    parts += [b"app-0", b"{}"]
    said = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    assert entry.hash == hashlib.sha256(said).digest()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("at_ms", 7),
        ("actor", "somebody else"),
        ("address", "192.0.2.1"),
        ("action", "app.delete"),
        ("target", "another"),
        ("detail", '{"a":1}'),
        ("hash", bytes(32)),
        ("previous", bytes(32)),
    ],
)
@given(place=st.integers(1, 9))
def test_a_changed_entry_is_found(field: str, value: Any, place: int) -> None:
    entries = chain(10)
    entries[place] = dataclasses.replace(entries[place], **{field: value})
    verdict = verify_list(entries)
    assert verdict.broken is not None
    assert verdict.broken.seq == place + 1
    assert verdict.entries == place


@given(st.data())
def test_an_entry_that_is_missing_added_or_elsewhere_is_found(data: st.DataObject) -> None:
    entries = chain(10)
    what = data.draw(st.sampled_from(["missing", "added", "elsewhere"]))
    place = data.draw(st.integers(0, 8))
    if what == "missing":
        del entries[place]
    elif what == "added":
        entries.insert(place, entries[data.draw(st.integers(0, 9))])
    else:
        entries[place], entries[place + 1] = entries[place + 1], entries[place]
    assert verify_list(entries).broken is not None


def test_fields_cannot_be_moved_into_one_another() -> None:
    one = follow(None, 1, "ab", "c", "x", "y")
    other = follow(None, 1, "a", "bc", "x", "y")
    assert one.hash != other.hash


def test_an_end_that_was_cut_off_is_found_by_a_head_that_was_kept() -> None:
    entries = chain(10)
    kept = Head(10, entries[-1].hash)
    assert verify_list(entries, until=kept).broken is None
    assert verify_list(entries[:7]).broken is None
    verdict = verify_list(entries[:7], until=kept)
    assert "cut off" in str(verdict.broken)


def test_a_log_that_was_written_anew_is_found_by_a_head_that_was_kept() -> None:
    kept = Head(5, chain(10)[4].hash)
    other = [follow(None, 5, "x", "", "y", "z")]
    while len(other) < 10:
        other.append(follow(Head(other[-1].seq, other[-1].hash), 5, "x", "", "y", "z"))
    assert verify_list(other).broken is None
    assert verify_list(other, until=kept).broken is not None


def test_after_a_purge_the_rest_is_checked_from_the_last_purged_entry_on() -> None:
    entries = chain(10)
    begin = Head(4, entries[3].hash)
    assert verify_list(entries[4:], begin=begin).broken is None
    assert verify_list(entries[5:], begin=begin).broken is not None
    assert verify_list(entries[4:]).broken is not None


async def test_entries_may_come_one_by_one() -> None:
    async def read() -> Any:
        for entry in chain(5):
            yield entry

    assert (await verify(read())).entries == 5


@pytest.mark.parametrize(
    "name", ["certificate", "primary_certificate", "secret", "api_key", "password", "token", "password_hash"]
)
def test_what_could_be_a_secret_never_gets_into_a_detail(name: str) -> None:
    assert "abc" not in detail_of({name: "abc", "more": [{name: "abc"}]})


def test_the_id_of_a_secret_is_none_and_neither_is_nothing() -> None:
    assert detail_of({"token_id": "abc", "token": None}) == '{"token":null,"token_id":"abc"}'


def test_a_detail_is_json_with_sorted_names_and_cut_text() -> None:
    assert detail_of({"b": 1, "a": (True, None)}) == '{"a":[true,null],"b":1}'
    assert len(detail_of({"a": "x" * 10_000})) < 600
