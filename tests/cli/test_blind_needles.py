"""The search: a needle is found wherever it stands, however it is written, and nothing else is."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.cli.blind.needles import HITS_KEPT, NEEDLE_MIN, Hit, Needle, Text, forms, search

DATA = bytes.fromhex("fbefbe5e00d1a7c3ff9910fffe3e7f80aa55")
WRITTEN: dict[str, Callable[[bytes], bytes]] = {
    "raw": bytes,
    "hex": lambda data: data.hex().encode(),
    "HEX": lambda data: data.hex().upper().encode(),
    "base64": base64.b64encode,
    "base64url": base64.urlsafe_b64encode,
    "UTF-16 LE": lambda data: data.hex().encode("utf-16-le"),
    "UTF-16 BE": lambda data: data.hex().upper().encode("utf-16-be"),
}
FORM_NAMES = {"HEX": "hex", "base64url": "base64", "UTF-16 LE": "UTF-16", "UTF-16 BE": "UTF-16"}


def found(data: bytes, text: bytes, address: int = 0) -> list[Hit]:
    return search([Text("here", text, address)], [Needle("the key", data)]).hits


@pytest.mark.parametrize("written", WRITTEN)
@given(data=st.binary(min_size=NEEDLE_MIN, max_size=70), before=st.binary(max_size=40), after=st.binary())
def test_a_needle_is_found_at_every_place_in_every_encoding(
    written: str, data: bytes, before: bytes, after: bytes
) -> None:
    if written.startswith("UTF-16") and data.isascii():
        data = b"\xff" + data  # a text is looked for as the text itself
    name = FORM_NAMES.get(written, written)
    hits = found(data, before + WRITTEN[written](data) + after, 0x1000)
    places = {hit.address for hit in hits if hit.form == name}
    # Before the first character that is wholly the needle's, base64 may keep up to one.
    assert places & {0x1000 + len(before), 0x1000 + len(before) + 1}


@given(data=st.binary(min_size=NEEDLE_MIN, max_size=70), before=st.binary(max_size=9), after=st.binary())
def test_within_a_longer_base64_text_it_is_found_at_all_three_alignments(
    data: bytes, before: bytes, after: bytes
) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert any(hit.form == "base64" for hit in found(data, encode(before + data + after)))


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
def test_a_text_is_looked_for_as_utf_16_of_itself(order: str) -> None:
    assert [hit.form for hit in found(b"canary in the mine", b"abc" + "canary in the mine".encode(order))]


def test_a_hit_says_what_how_where_and_at_which_address() -> None:
    assert found(DATA, bytes(1003) + DATA + bytes(5), 0x7F0000) == [
        Hit("the key", "raw", "here", 0x7F0000 + 1003)
    ]


def test_every_occurrence_counts_and_the_first_hundred_places_are_kept() -> None:
    text = (DATA + b"-") * (HITS_KEPT + 7)
    sweep = search([Text("here", text)], [Needle("the key", DATA), Needle("other", secrets.token_bytes(16))])
    assert sweep.count == sweep.found["the key"] == HITS_KEPT + 7
    assert len(sweep.hits) == HITS_KEPT
    assert sweep.needles == 2
    assert sweep.searched == len(text)
    assert "other" not in sweep.found


def test_all_but_its_last_byte_is_no_hit() -> None:
    for form in forms(DATA):
        assert not [hit for hit in found(DATA, form.data[:-1] + b"\0") if hit.form == form.name == "raw"]
    assert found(DATA, DATA[:-1]) == []
    assert found(DATA, DATA[1:]) == []


def test_it_is_found_across_the_blocks_in_which_a_long_text_is_read() -> None:
    block = 8 << 16
    for at in (block - 9, block - 8, block - 1, block, 3 * block - 5):
        text = bytearray(4 * block)
        text[at : at + len(DATA)] = DATA
        assert [hit.address for hit in found(DATA, bytes(text))] == [at]


def test_nothing_is_found_in_noise() -> None:
    assert found(DATA, secrets.token_bytes(1 << 20)) == []
    assert found(DATA, b"") == found(DATA, b"short") == []


def test_a_needle_that_could_slip_through_is_refused() -> None:
    with pytest.raises(ValueError, match="at least"):
        search([], [Needle("short", bytes(NEEDLE_MIN - 1))])


def test_no_repr_shows_what_is_looked_for() -> None:
    shown = repr((Needle("the key", DATA), Text("here", DATA), forms(DATA)))
    assert not any(repr(form.data)[2:-1] in shown for form in forms(DATA))
