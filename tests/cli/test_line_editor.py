"""The line that is being typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from sealcast.cli.line_editor import PROMPT, LineEditor


def typed(*pieces: bytes) -> LineEditor:
    editor = LineEditor()
    for piece in pieces:
        editor.feed(piece)
    return editor


def test_enter_finishes_a_line() -> None:
    editor = LineEditor()
    assert editor.feed(b"hel") == []
    assert editor.text == "hel"
    assert editor.feed(b"lo\nsecond\r\nth") == ["hello", "second", ""]
    assert editor.text == "th"


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (b"abc\x7f", "ab"),
        (b"abc\b", "ab"),
        (b"\x7f\x7fa", "a"),
        (b"one two  \x17", "one "),
        (b"one\x17", ""),
        (b"one two\x15x", "x"),
        (b"a\tb", "a b"),
        (b"a\x1b[Ab\x1b[1;5Cc\x1bOPd\x1bxe", "abcde"),
        (b"a\x1b\x1b[Db", "ab"),
        (b"a\x01\x02\x1fb", "ab"),
        ("päß\x7f".encode(), "pä"),
        (b"\xff", "�"),
    ],
)
def test_keys_edit_the_line(keys: bytes, text: str) -> None:
    assert typed(keys).text == text
    assert typed(*(keys[place : place + 1] for place in range(len(keys)))).text == text


def test_ctrl_d_ends_the_input_on_an_empty_line_only() -> None:
    assert not typed(b"a\x04").ended
    editor = typed(b"a\x7f\x04")
    assert editor.ended
    assert editor.feed(b"more\n") == []


def test_of_a_line_that_is_too_long_the_end_is_seen() -> None:
    editor = typed(b"0123456789")
    assert editor.view(80, cell_len) == f"{PROMPT}0123456789"
    assert editor.view(8, cell_len) == f"{PROMPT}56789"
    assert typed("你好你好".encode()).view(8, cell_len) == f"{PROMPT}你好"


@given(st.lists(st.binary(max_size=20), max_size=10), st.integers(4, 200))
def test_whatever_is_typed_the_row_fits_and_holds_nothing_that_acts(keys: list[bytes], columns: int) -> None:
    editor = typed(*keys)
    row = editor.view(columns, cell_len)
    assert cell_len(row) < columns
    assert not any(char < " " or "\x7f" <= char < "\xa0" for char in row)


def test_a_line_has_an_end_even_if_nobody_ends_it() -> None:
    assert len(typed(b"x" * 200_000).text) == 64 * 1024
