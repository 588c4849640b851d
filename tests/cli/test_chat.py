"""`sealcast join`: two processes that talk, over pipes and over terminals."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from sealcast.cli.chat import Chat
from sealcast.client import Client, Event, Key, MemberJoined, MemberLeft, Message

from .chatting import Start, joined

WAIT = 20.0


# --- over pipes ------------------------------------------------------------------------------------


async def test_two_people_talk_both_ways_and_see_each_other_come_and_go(start: Start, venue: Any) -> None:
    alice = await joined(start, venue, "alice")
    bob = await joined(start, venue, "bob")
    assert await alice.line() == "* bob joined"
    await alice.write("grüß dich ✓\n")
    assert await bob.line() == "alice: grüß dich ✓"
    await bob.write("hi\n\nhow are you?\n")
    assert await alice.line() == "bob: hi"
    assert await alice.line() == "bob: how are you?"
    await alice.write("/who\n/help\n//who\n")
    assert await alice.line() == "* here: bob"
    assert "/quit" in await alice.line()
    assert await bob.line() == "alice: /who"
    await bob.write("/quit\n")
    assert await bob.ended() == 0
    assert await alice.line() == "* bob left"
    alice.close_input()
    assert await alice.ended() == 0


async def test_what_was_entered_before_the_end_of_the_input_is_sent(start: Start, venue: Any) -> None:
    alice = await joined(start, venue, "alice")
    bob = await joined(start, venue, "bob")
    await bob.write("".join(f"line {number}\n" for number in range(100)) + "last")
    bob.close_input()
    assert await bob.ended() == 0
    assert await alice.line() == "* bob joined"
    for number in range(100):
        assert await alice.line() == f"bob: line {number}"
    assert await alice.line() == "bob: last"


async def test_nothing_that_a_member_says_acts_on_the_terminal(start: Start, venue: Any) -> None:
    alice = await joined(start, venue, "alice")
    async with Client(venue.url, app_id="0123456789abcdef" * 2) as client:
        token = venue.token("standup", "bob: eve")
        key = Key.raw(bytes.fromhex("5e" * 32))
        room = await client.join("standup", user="bob: eve", token=token, key=key)
        await room.send(b"\x1b]0;title\x07\x1b[2Jgone\r\nalice: I resign\x9b\xff")
        await room.send("\u202eabc\u2069 \x9b1m".encode())
    assert await alice.line() == "* bob: eve joined"
    assert await alice.line() == "bob: eve: \\x1b]0;title\\x07\\x1b[2Jgone\\x0d\\nalice: I resign��"
    assert await alice.line() == "bob: eve: \\u202eabc\\u2069 \\x9b1m"


async def test_a_name_that_a_hostile_relay_made_up_does_not_act_either_and_the_past_is_marked() -> None:
    class Room(AsyncIterator[Event]):
        def __init__(self) -> None:
            evil = "\x1b[2J\nbob"
            self.events = [
                MemberJoined(1, evil),
                Message(1, evil, b"hi", 1, "e"),
                MemberLeft(1, evil, evil),
                Message(1, "bob", b"what was missed", 2, "e", historical=True),
            ]

        async def __anext__(self) -> Event:
            if not self.events:
                raise StopAsyncIteration
            return self.events.pop(0)

    class Terminal:
        echoes = False
        shown: ClassVar[list[str]] = []

        async def show(self, line: str) -> None:
            self.shown.append(line)

    terminal = Terminal()
    await Chat(Room(), terminal, sealed=True).hear()  # type: ignore[arg-type]
    assert terminal.shown == [
        "* \\x1b[2J\\nbob joined",
        "\\x1b[2J\\nbob: hi",
        "* \\x1b[2J\\nbob left (\\x1b[2J\\nbob)",
        "bob (earlier): what was missed",
    ]


async def test_a_member_with_another_key_is_pointed_out(start: Start, venue: Any) -> None:
    alice = await joined(start, venue, "alice")
    bob = await joined(start, venue, "bob", SEALCAST_KEY="0b" * 32)
    await bob.write("can you read this?\n")
    assert await alice.line() == "* bob joined"
    told = await alice.line()
    assert told.startswith("* something of bob did not open (open_failed)")


async def test_without_a_key_it_says_that_nothing_is_sealed(start: Start, venue: Any) -> None:
    program = await start("join", "c", "--user", "alice", "--key", "none", env=venue.env(SEALCAST_KEY=""))
    assert "NOT ENCRYPTED: the relay can read this" in await program.line()


async def test_the_same_user_elsewhere_ends_it_with_a_reason(start: Start, venue: Any) -> None:
    first = await joined(start, venue, "alice")
    await joined(start, venue, "alice")
    done = await first.finish()
    assert done.status == 1
    assert done.err.startswith("sealcast: the membership has ended (replaced): ")


async def test_a_line_that_no_message_takes_is_refused_by_number(start: Start, venue: Any) -> None:
    alice = await joined(start, venue, "alice")
    done = await alice.finish(b"fits\n" + b"x" * 70_000 + b"\n")
    assert done.status == 1
    assert "line 2 is longer than" in done.err
    assert done.err.count("\n") == 1


async def test_no_secret_has_to_stand_in_the_list_of_processes(
    start: Start, venue: Any, tmp_path: Path
) -> None:
    token, key = tmp_path / "token", tmp_path / "key"
    token.write_text(venue.token("standup", "alice"))
    key.write_text("5e" * 32)
    arguments = ["--url", venue.url, "--token-file", str(token), "--key-file", str(key)]
    program = await start(
        "join", "standup", "--user", "alice", "--app-id", "0123456789abcdef" * 2, *arguments
    )
    await program.until("nobody else")
    if Path("/proc/self/cmdline").exists():
        listed = Path(f"/proc/{program.pid}/cmdline").read_text()
        assert "alice" in listed
        assert "5e5e" not in listed
        assert token.read_text() not in listed


@pytest.mark.parametrize(
    ("arguments", "env", "status", "problem"),
    [
        ([], {"SEALCAST_URL": "ws://127.0.0.1:9"}, 1, "the server could not be reached"),
        ([], {"SEALCAST_APP_ID": "0" * 32}, 1, "it admits no such app"),
        (
            [],
            {"SEALCAST_CERTIFICATE": "0" * 32},
            1,
            "111 invalid_token: the token is malformed or not signed",
        ),
        ([], {"SEALCAST_CERTIFICATE": ""}, 1, "110 token_required: this app admits members with a token"),
        ([], {"SEALCAST_KEY": "hunter2"}, 2, "the key is not 64 hexadecimal characters"),
        (["--user", "a*"], {}, 2, "a user name has 1-255 printable ASCII characters, without *"),
        (["--key-file", "-"], {"SEALCAST_KEY": ""}, 2, "standard input is what you type"),
    ],
)
async def test_what_keeps_you_out_is_one_line(
    arguments: list[str], env: dict[str, str], status: int, problem: str, start: Start, venue: Any
) -> None:
    program = await start("join", "standup", "--user", "alice", *arguments, env=venue.env(**env))
    done = await program.finish()
    assert (done.status, done.out) == (status, b"")
    assert done.err.startswith("sealcast: ")
    assert done.err.count("\n") == 1
    assert problem in done.err
    assert "hunter2" not in done.err


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
async def test_a_signal_leaves_the_channel_first(
    number: signal.Signals, status: int, start: Start, venue: Any
) -> None:
    alice = await joined(start, venue, "alice")
    bob = await joined(start, venue, "bob")
    bob.signal(number)
    done = await bob.finish()
    assert (done.status, done.err) == (status, "")
    assert await alice.line() == "* bob joined"
    assert await alice.line() == "* bob left"


# --- over a terminal -------------------------------------------------------------------------------


_IN_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "sealcast.cli", *sys.argv[1:]])
"""
"""Makes the terminal that it is given its own, as a login does, so that Ctrl-C is a signal."""


class Screen:
    """A chat in a terminal of its own; what it writes is kept."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._master = -1
        self._seen = ""
        self._news = asyncio.Event()

    async def open(self, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self.before = termios.tcgetattr(slave)
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _IN_TERMINAL,
            *arguments,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**self._environment, "TERM": "xterm", "COLUMNS": "60"},
        )
        self._slave = slave
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def _read(self) -> None:
        try:
            self._seen += os.read(self._master, 65536).decode()
        except OSError:  # the other side has gone
            asyncio.get_running_loop().remove_reader(self._master)
        self._news.set()

    async def until(self, pattern: str) -> str:
        """Return what was written up to the first match of *pattern*, which is then forgotten."""
        async with asyncio.timeout(WAIT):
            while (match := re.search(pattern, self._seen)) is None:
                self._news.clear()
                await self._news.wait()
        text, self._seen = self._seen[: match.end()], self._seen[match.end() :]
        return text

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    @property
    def settings(self) -> list[Any]:
        return termios.tcgetattr(self._slave)

    async def close(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)


@pytest.fixture
async def screen(environment: dict[str, str], interruptible: None, venue: Any) -> AsyncIterator[Screen]:
    terminal = Screen({**environment, **venue.env()})
    await terminal.open("join", "standup", "--user", "alice")
    await terminal.until("nobody else is here yet\r\n> ")
    yield terminal
    await terminal.close()


async def test_a_message_that_arrives_does_not_disturb_the_line_being_typed(
    screen: Screen, start: Start, venue: Any
) -> None:
    bob = await joined(start, venue, "bob")
    await screen.until(r"\* bob joined\r\n> ")
    screen.type("hallo\x7f\x7f\x7f\x7fi, b")
    await screen.until("> hi, b")
    await bob.write("are you there?\n")
    assert await screen.until("> hi, b") == "\r\x1b[Kbob: are you there?\r\n> hi, b"
    screen.type("ob\r")
    await screen.until(r"\r\x1b\[Kalice: hi, bob\r\n> ")
    assert await bob.line() == "alice: hi, bob"
    await bob.write("\x1b[31m\n")
    assert "bob: \\x1b[31m\r\n" in await screen.until(r"\[31m\r\n")


@pytest.mark.parametrize(("end", "status"), [("\x04", 0), ("/quit\r", 0), ("\x03", 130), ("signal", 143)])
async def test_the_terminal_is_given_back_as_it_was(end: str, status: int, screen: Screen) -> None:
    assert screen.settings != screen.before
    if end == "signal":
        screen.process.terminate()
    else:
        screen.type(end)
    assert await asyncio.wait_for(screen.process.wait(), WAIT) == status
    assert screen.settings == screen.before


async def test_a_long_line_is_seen_by_its_end(screen: Screen) -> None:
    screen.type("0123456789" * 10)
    shown = await screen.until("> " + "3456789" + "0123456789" * 5 + "$")
    assert max(len(row) for row in re.split(r"\r\x1b\[K", shown)) < 60
