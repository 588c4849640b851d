"""QR codes in the terminal, read back by a decoder that knows nothing of the encoder."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealcast.cli.failure import Failure
from sealcast.cli.qr import print_qr, qr_lines

SIZE, QUIET = 25, 4  # version 2, which is what 60 digits need
NUMBER = "".join(str(n * 7 % 10) for n in range(60))

MASKS = [
    lambda r, c: (r + c) % 2 == 0,
    lambda r, c: r % 2 == 0,
    lambda r, c: c % 3 == 0,
    lambda r, c: (r + c) % 3 == 0,
    lambda r, c: (r // 2 + c // 3) % 2 == 0,
    lambda r, c: r * c % 2 + r * c % 3 == 0,
    lambda r, c: (r * c % 2 + r * c % 3) % 2 == 0,
    lambda r, c: ((r + c) % 2 + r * c % 3) % 2 == 0,
]


def modules(lines: list[str]) -> list[list[bool]]:
    """What is dark, from what is drawn; the quiet zone is checked and taken off."""
    light = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}
    rows = [[not light[char][half] for char in line] for line in lines for half in (0, 1)]
    assert all(len(row) == SIZE + 2 * QUIET for row in rows)
    code = rows[: SIZE + 2 * QUIET]
    assert not any(any(row) for row in (*code[:QUIET], *code[-QUIET:]))
    assert not any(any((*row[:QUIET], *row[-QUIET:])) for row in code)
    return [row[QUIET:-QUIET] for row in code[QUIET:-QUIET]]


def is_data(row: int, column: int) -> bool:
    """Whether a module of version 2 is data: not a finder, timing, alignment or format."""
    finder = (row < 9 and (column < 9 or column > 16)) or (row > 16 and column < 9)
    aligning = 16 <= row <= 20 and 16 <= column <= 20
    return not (finder or aligning or row == 6 or column == 6)


def decode(code: list[list[bool]]) -> str:
    """Read a version 2 code of digits (ISO/IEC 18004), trusting its modules."""
    places = [(8, c) for c in (0, 1, 2, 3, 4, 5, 7, 8)] + [(r, 8) for r in (7, 5, 4, 3, 2, 1, 0)]
    form = int("".join(str(int(code[r][c])) for r, c in places), 2) ^ 0b101010000010010
    assert form >> 13 == 0b00, "error correction M"
    mask = MASKS[form >> 10 & 7]
    bits, upwards = "", True
    for right in (24, 22, 20, 18, 16, 14, 12, 10, 8, 5, 3, 1):
        for row in range(SIZE - 1, -1, -1) if upwards else range(SIZE):
            for column in (right, right - 1):
                if is_data(row, column):
                    bits += str(int(code[row][column] ^ mask(row, column)))
        upwards = not upwards
    assert bits[:4] == "0001", "digits"
    left, at, text = int(bits[4:14], 2), 14, ""
    while left:
        taken = min(left, 3)
        width = (0, 4, 7, 10)[taken]
        text += f"{int(bits[at : at + width], 2):0{taken}}"
        left, at = left - taken, at + width
    return text


class Console(io.StringIO):
    """An output of a certain encoding that may be a terminal."""

    def __init__(self, encoding: str = "utf-8", terminal: bool = True) -> None:
        super().__init__()
        self.named, self.terminal = encoding, terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.named

    def isatty(self) -> bool:
        return self.terminal


@settings(max_examples=30)
@given(st.text("0123456789", min_size=60, max_size=60))
def test_what_a_scanner_reads_are_the_digits(number: str) -> None:
    assert decode(modules(qr_lines(number))) == number


def test_a_code_of_sixty_digits_fits_a_small_terminal() -> None:
    lines = qr_lines(NUMBER)
    assert len(lines) == 17
    assert {len(line) for line in lines} == {33}


def test_on_a_terminal_both_colours_are_set_and_set_back() -> None:
    screen = Console()
    print_qr(NUMBER, output=screen, environment={"TERM": "xterm"})
    rows = screen.getvalue().splitlines()
    assert all(row.startswith("\x1b[97;40m") and row.endswith("\x1b[0m") for row in rows)
    bare = [row.removeprefix("\x1b[97;40m").removesuffix("\x1b[0m") for row in rows]
    assert bare == qr_lines(NUMBER)


@pytest.mark.parametrize(
    ("terminal", "environment"),
    [(False, {"TERM": "xterm"}), (True, {"TERM": "dumb"}), (True, {"TERM": "xterm", "NO_COLOR": "1"})],
)
def test_elsewhere_there_are_no_colours(terminal: bool, environment: dict[str, str]) -> None:
    screen = Console(terminal=terminal)
    print_qr(NUMBER, output=screen, environment=environment)
    assert screen.getvalue().splitlines() == qr_lines(NUMBER)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_an_output_without_blocks_is_told_so_before_anything_is_printed(encoding: str) -> None:
    screen = Console(encoding)
    with pytest.raises(Failure, match="PYTHONUTF8=1"):
        print_qr(NUMBER, output=screen, environment={})
    assert screen.getvalue() == ""
