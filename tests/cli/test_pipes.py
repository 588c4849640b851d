"""`sealcast send` and `sealcast listen` as the two ends of a pipe."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sealcast.client import Client, Key

Start = Callable[..., Awaitable[Any]]

APP_ID = "0123456789abcdef" * 2


async def listening(start: Start, venue: Any, *arguments: str, user: str = "lis", **env: str) -> Any:
    program = await start("listen", "wire", "--user", user, *arguments, env=venue.env(**env))
    assert await program.error_line() == f"sealcast: listening on wire as {user}; Ctrl-C ends it"
    return program


async def sent(start: Start, venue: Any, *arguments: str, data: bytes = b"", **env: str) -> Any:
    program = await start("send", "wire", "--user", "sen", *arguments, env=venue.env(**env))
    return await program.finish(data)


# --- through ---------------------------------------------------------------------------------------


async def test_lines_go_through_in_order(start: Start, venue: Any) -> None:
    lines = [f"line {number} ✓".encode() for number in range(500)] + [
        b"",
        b" spaces ",
        b"\xff\xfe raw",
        b"last",
    ]
    listener = await listening(start, venue, "--count", str(len(lines)))
    done = await sent(start, venue, data=b"\n".join(lines))
    assert (done.status, done.out, done.err) == (0, b"", "")
    heard = await listener.finish()
    assert (heard.status, heard.err) == (0, "")
    assert heard.out.split(b"\n") == [*lines, b""]


async def test_random_bytes_go_through_unchanged(start: Start, venue: Any) -> None:
    data = random.Random(7).randbytes(400_000)
    listener = await listening(start, venue, "--binary", "--timeout", "60s")
    reading = asyncio.ensure_future(_read(listener, len(data)))
    done = await sent(start, venue, "--binary", data=data)
    assert (done.status, done.err) == (0, "")
    assert await asyncio.wait_for(reading, 20) == data
    listener.signal(signal.SIGINT)
    assert (await listener.finish()).status == 130


async def _read(program: Any, size: int) -> bytes:
    return bytes(await program._process.stdout.readexactly(size))


async def test_a_message_on_the_command_line_needs_no_input(start: Start, venue: Any) -> None:
    listener = await listening(start, venue, "--count", "2")
    done = await sent(start, venue, "-m", "one ✓", "--message", "two")
    assert (done.status, done.err) == (0, "")
    assert (await listener.finish()).out.decode() == "one ✓\ntwo\n"


async def test_each_line_is_sent_and_printed_when_it_is_there(start: Start, venue: Any) -> None:
    listener = await listening(start, venue)
    sender = await start("send", "wire", "--user", "sen", env=venue.env())
    for text in ("first", "second"):
        await sender.write(f"{text}\n")
        assert await listener.line() == text
    sender.close_input()
    assert await sender.ended() == 0


async def test_nothing_to_send_is_a_success(start: Start, venue: Any) -> None:
    assert (await sent(start, venue)).status == 0


async def test_clear_text_goes_through_where_the_app_allows_it(start: Start, venue: Any) -> None:
    listener = await listening(start, venue, "--count", "1", SEALCAST_KEY="none")
    assert (await sent(start, venue, "-m", "open", SEALCAST_KEY="none")).status == 0
    assert (await listener.finish()).out == b"open\n"


# --- ends ------------------------------------------------------------------------------------------


async def test_a_count_that_is_not_reached_in_time_is_a_failure(start: Start, venue: Any) -> None:
    # The sender stands ready before the time begins to run: starting a process can take longer than that.
    key = Key.raw(bytes.fromhex(venue.env()["SEALCAST_KEY"]))
    async with Client(venue.url, app_id=APP_ID, token=venue.token("wire", "sen")) as client:
        room = await client.join("wire", user="sen", key=key)
        listener = await listening(start, venue, "--count", "2", "--timeout", "2500ms")
        await room.send(b"only one")
        done = await listener.finish()
    assert (done.status, done.out) == (1, b"only one\n")
    assert done.err == "sealcast: 1 of 2 messages came within 2.5 s\n"


async def test_without_a_count_the_time_is_how_long_it_listens(start: Start, venue: Any) -> None:
    done = await (await listening(start, venue, "--timeout", "50ms")).finish()
    assert (done.status, done.out, done.err) == (0, b"", "")


async def test_a_reader_that_has_gone_ends_it_quietly_with_141(start: Start, venue: Any) -> None:
    listener = await listening(start, venue)
    listener.close_output()
    await sent(start, venue, "-m", "to nobody")
    done = await listener.finish()
    assert (done.status, done.err) == (141, "")


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
async def test_a_signal_ends_either_end_without_a_traceback(
    number: signal.Signals, status: int, start: Start, venue: Any
) -> None:
    listener = await listening(start, venue)
    sender = await start("send", "wire", "--user", "sen", env=venue.env())
    await sender.write("ready\n")
    await listener.line()
    for program in (sender, listener):
        program.signal(number)
        done = await program.finish()
        assert (done.status, done.err) == (status, "")


async def test_a_full_pipe_does_not_keep_it_from_being_interrupted(start: Start, venue: Any) -> None:
    listener = await listening(start, venue)
    done = await sent(start, venue, data=(b"x" * 60_000 + b"\n") * 8)
    assert done.status == 0
    listener.signal(signal.SIGINT)  # nobody has read a byte: the pipe holds 64 KiB
    assert await listener.ended() == 130


async def test_quiet_says_nothing_but_failures(start: Start, venue: Any) -> None:
    program = await start("listen", "wire", "--user", "l", "--quiet", "--timeout", "10ms", env=venue.env())
    done = await program.finish()
    assert (done.status, done.err) == (0, "")


async def test_the_membership_that_ends_is_a_failure_on_either_end(start: Start, venue: Any) -> None:
    listener = await listening(start, venue)
    sender = await start("send", "wire", "--user", "sen", env=venue.env())
    await sender.write("ready\n")
    await listener.line()
    for user, program in (("lis", listener), ("sen", sender)):
        env = venue.env()
        await (await start("listen", "wire", "--user", user, "--timeout", "10ms", env=env)).finish()
        assert await program.ended() == 1
        assert (await program.error_line()).startswith("sealcast: the membership has ended (replaced): ")


# --- refusals --------------------------------------------------------------------------------------


async def test_a_line_too_long_is_refused_and_the_ones_before_are_sent(start: Start, venue: Any) -> None:
    listener = await listening(start, venue, "--count", "1")
    done = await sent(start, venue, data=b"fits\n" + b"x" * 66_000 + b"\n")
    assert await listener.line() == "fits"
    assert done.status == 1
    assert re.fullmatch(
        r"sealcast: line 2 is longer than 65[45]\d\d bytes, the most that a message takes;"
        r" try `send --binary`\n",
        done.err,
    )


async def test_a_subscriber_may_not_send(start: Start, venue: Any) -> None:
    env = {"SEALCAST_CERTIFICATE": "", "SEALCAST_TOKEN": venue.token("wire", "sen", role="subscriber")}
    done = await sent(start, venue, "-m", "no", **env)
    assert done.status == 1
    assert done.err.startswith("sealcast: ")
    assert done.err.count("\n") == 1


async def test_clear_text_is_refused_where_the_app_wants_it_sealed(
    start: Start, environment: dict[str, str]
) -> None:
    from sealcast.server.config import Config
    from sealcast.server.relay import Relay

    app = {"app_id": APP_ID, "certificate": "fedcba9876543210" * 2}
    async with Relay(Config.model_validate({"server": {"port": 0}, "apps": [app]})).running() as relay:
        assert relay.address is not None
        env = {
            "SEALCAST_URL": "ws://{}:{}".format(*relay.address),
            "SEALCAST_APP_ID": APP_ID,
            "SEALCAST_CERTIFICATE": "fedcba9876543210" * 2,
            "SEALCAST_KEY": "none",
        }
        done = await (await start("send", "wire", "--user", "s", "-m", "x", env=env)).finish()
    assert done.status == 1
    assert "encryption_required" in done.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["send", "-m", "x", "--binary"], "--message and --binary exclude each other"),
        (["send", "--key-file", "-"], "standard input is what will be sent; try a file for the secret"),
        (["send", "--in-flight", "0"], "invalid value for '--in-flight'"),
        (["listen", "--count", "0"], "invalid value for '--count'"),
        (["listen", "--timeout", "soon"], "--timeout is not a duration: write seconds, or 500ms, 30s"),
    ],
)
async def test_a_usage_error_is_found_before_anything_is_connected(
    arguments: list[str], problem: str, start: Start
) -> None:
    command, *options = arguments
    env = {"SEALCAST_APP_ID": APP_ID, "SEALCAST_KEY": "5e" * 32}
    if "--key-file" in options:
        del env["SEALCAST_KEY"]
    done = await (await start(command, "wire", "--user", "u", *options, env=env)).finish()
    assert done.status == 2
    assert problem in done.err
    assert done.err.count("\n") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
async def test_output_that_cannot_be_written_is_a_failure(start: Start, venue: Any) -> None:
    env = {**os.environ, **venue.env()}
    import sys

    with open("/dev/full", "wb") as full:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sealcast.cli", "listen", "wire", "--user", "l"),
            stdout=full,
            stderr=asyncio.subprocess.PIPE,
            env=env,
        )
    assert process.stderr is not None
    await process.stderr.readline()
    await sent(start, venue, "-m", "x")
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert err == b"sealcast: No space left on device\n"
