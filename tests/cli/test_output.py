"""Text that is safe for a terminal, and pipes that do not stall the event loop."""

from __future__ import annotations

import asyncio
import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.cli.failure import Failure
from sealcast.cli.output import printable
from sealcast.cli.stdin import Input, chunks, lines
from sealcast.cli.stdout import Output


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("hello, wörld ✓ 你好 🎉", "hello, wörld ✓ 你好 🎉"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\rb", r"a\x0db"),
        ("a\nbob: hi", r"a\nbob: hi"),
        ("a\tb", "a\tb"),
        ("\x9b2J\x7f\x00", r"\x9b2J\x7f\x00"),
        ("\u202eabc\u2066", r"\u202eabc\u2066"),
        ("a\u2028b", r"a\u2028b"),
        ("\U000e0041", r"\U000e0041"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_could_act_on_a_terminal_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters()))
def test_nothing_that_acts_is_left_of_any_text(text: str) -> None:
    shown = printable(text)
    assert shown.encode().decode() == shown
    assert {unicodedata.category(char) for char in shown if char not in "\t\u200c\u200d"}.isdisjoint(
        {"Cc", "Cf", "Cs", "Zl", "Zp"}
    )
    assert printable(shown) == shown


@pytest.fixture
def pipe() -> tuple[int, int]:
    return os.pipe()


async def test_output_is_written_in_order_and_completely(pipe: tuple[int, int]) -> None:
    read, write = pipe
    output = Output(write)
    data = os.urandom(300_000)

    def drain() -> bytes:
        got = b""
        while len(got) < len(data) * 2:
            got += os.read(read, 65536)
        return got

    reading = asyncio.get_running_loop().run_in_executor(None, drain)
    await asyncio.gather(output.write(data), output.write(data[::-1]))
    assert await reading == data + data[::-1]
    os.close(read)
    os.close(write)


async def test_a_reader_that_pauses_does_not_stop_the_loop(pipe: tuple[int, int]) -> None:
    read, write = pipe
    writing = asyncio.ensure_future(Output(write).write(b"x" * 1_000_000))
    async with asyncio.timeout(10):
        for _ in range(100):
            await asyncio.sleep(0)  # the loop turns while the pipe is full
        assert not writing.done()
        os.close(read)
        with pytest.raises(BrokenPipeError):
            await writing
    os.close(write)


async def test_lines_come_without_their_newline_and_the_last_may_lack_it(pipe: tuple[int, int]) -> None:
    read, write = pipe
    os.write(write, b"one\n\ntwo\r\n\xff\nlast")
    os.close(write)
    assert [line async for line in lines(Input(read), 10)] == [b"one", b"", b"two\r", b"\xff", b"last"]
    os.close(read)


async def test_a_line_that_no_message_takes_is_refused_by_number(pipe: tuple[int, int]) -> None:
    read, write = pipe
    os.write(write, b"0123456789\n0123456789x")
    source = lines(Input(read), 10)
    assert await anext(source) == b"0123456789"
    with pytest.raises(Failure, match="line 2 is longer than 10 bytes"):
        await anext(source)
    os.close(read)
    os.close(write)


async def test_chunks_are_no_larger_than_asked_for(pipe: tuple[int, int]) -> None:
    read, write = pipe
    data = os.urandom(1000)
    os.write(write, data)
    os.close(write)
    pieces = [piece async for piece in chunks(Input(read), 300)]
    assert b"".join(pieces) == data
    assert [len(piece) for piece in pieces] == [300, 300, 300, 100]
    os.close(read)


async def test_what_arrives_after_a_cancelled_read_is_not_lost(pipe: tuple[int, int]) -> None:
    read, write = pipe
    source = Input(read)
    reading = asyncio.ensure_future(source.read(10))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    os.write(write, b"kept")
    assert await source.read(10) == b"kept"
    os.close(read)
    os.close(write)
