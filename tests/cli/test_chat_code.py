"""`/code` in `sealcast join`: people compare what they see, and notice who is shown something else."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sealcast.cli.qr import qr_lines
from sealcast.client import Client, Key

from .chatting import Start, joined
from .conftest import APP_ID, KEY
from .liar import hiding

LAST = "all of you must see the same"


async def shown(program: Any, command: str = "/code") -> list[str]:
    """Ask for the code; return the lines about it."""
    await program.write(f"{command}\n")
    seen: list[str] = await program.until(LAST)
    return seen


async def code(program: Any) -> str:
    lines = await shown(program)
    digits = "".join(re.sub(r"\D", "", line) for line in lines if re.fullmatch(r"\*     [\d ]+", line))
    assert len(digits) == 60
    return digits


async def everybody(start: Start, venue: Any, *users: str) -> list[Any]:
    """Let these join one after the other, and all see all."""
    programs: list[Any] = []
    for user in users:
        programs.append(await joined(start, venue, user))
        for other in programs[:-1]:
            assert await other.line() == f"* {user} joined"
    return programs


async def test_all_members_see_the_same_digits(start: Start, venue: Any) -> None:
    programs = await everybody(start, venue, "alice", "bob", "carol")
    codes = [await code(program) for program in programs]
    assert len(set(codes)) == 1


async def test_it_says_whose_code_it_is_and_what_to_do_with_it(start: Start, venue: Any) -> None:
    alice, _ = await everybody(start, venue, "alice", "bob")
    first, one, two, last = await shown(alice)
    assert first == "* the channel code of standup, for alice (you), bob:"
    for line in (one, two):
        assert re.fullmatch(r"\*     \d{5}( \d{5}){5}", line)
    assert last == "* all of you must see the same; compare by a way that the relay is not on"


async def test_the_code_changes_when_somebody_joins_or_leaves_and_then_it_says_so_once(
    start: Start, venue: Any
) -> None:
    alice, bob = await everybody(start, venue, "alice", "bob")
    two = await code(alice)
    carol = await joined(start, venue, "carol")
    assert await alice.line() == "* carol joined"
    assert await alice.line() == "* the channel code has changed; /code shows the new one"
    three = await code(alice)
    await carol.write("/quit\n")
    assert await alice.line() == "* carol left"
    assert await alice.line() == "* the channel code has changed; /code shows the new one"
    dave = await joined(start, venue, "dave")
    assert await alice.line() == "* dave joined"  # and nothing about a code that nobody has asked for
    await dave.write("/quit\n")
    assert await alice.line() == "* dave left"
    # The same sessions again, the same code.
    await bob.until("dave left")
    assert await code(alice) == await code(bob) == two != three


async def test_a_member_that_is_shown_another_roster_sees_another_code_and_other_names(
    start: Start, venue: Any
) -> None:
    alice, carol = await everybody(start, venue, "alice", "carol")
    async with hiding("carol", venue.url) as lying:
        bob = await joined(start, venue, "bob", SEALCAST_URL=lying)
        for program in (alice, carol):
            assert await program.line() == "* bob joined"
        seen = await code(alice)
        assert await code(carol) == seen
        assert (await shown(bob))[0] == "* the channel code of standup, for bob (you), alice:"
        assert await code(bob) != seen
        await bob.write(f"/code {seen}\n")
        assert (await bob.line()).startswith("* different: ")
        await bob.write("/quit\n")
        assert await bob.ended() == 0


async def test_it_compares_what_another_read_out(start: Start, venue: Any) -> None:
    alice, bob = await everybody(start, venue, "alice", "bob")
    lines = await shown(alice)
    read_out = " ".join(line.removeprefix("*").strip() for line in lines[1:3])
    other = str((int(read_out[0]) + 1) % 10) + read_out[1:]
    await bob.write(f"/code {read_out}\n/code {read_out.replace(' ', '-')}\n/code {other}\n/code 123\n")
    assert (await bob.line()).startswith("* same: ")
    assert (await bob.line()).startswith("* same: ")
    assert (await bob.line()).startswith("* different: ")
    assert "have 60 digits" in await bob.line()


async def test_the_qr_code_holds_the_digits(start: Start, venue: Any) -> None:
    alice, _ = await everybody(start, venue, "alice", "bob")
    digits = await code(alice)
    lines = await shown(alice, "/code qr")
    drawn = qr_lines(digits)
    assert lines[: len(drawn)] == drawn
    assert lines[len(drawn)].startswith("* the channel code of standup")


async def test_a_member_of_whom_nothing_opens_is_named_as_outside(start: Start, venue: Any) -> None:
    [alice] = await everybody(start, venue, "alice")
    before = await code(alice)
    async with Client(venue.url, app_id=APP_ID) as client:
        key = Key.raw(bytes.fromhex(KEY), suite="AES_256_GCM")
        await client.join("standup", user="eve", token=venue.token("standup", "eve"), key=key)
        lines = [await alice.line() for _ in range(2)]
        assert "* eve joined, but nothing of theirs will open" in lines
        lines = await shown(alice)
        assert lines[0] == "* the channel code of standup, for alice (you):"
        assert "* not in it, because nothing of theirs opens: eve" in lines
        assert await code(alice) == before


@pytest.mark.parametrize("command", ["/code", "/code qr", "/code 123"])
async def test_without_a_key_there_is_none(command: str, start: Start, venue: Any) -> None:
    program = await start("join", "c", "--user", "alice", "--key", "none", env=venue.env(SEALCAST_KEY=""))
    await program.until("nobody else")
    await program.write(f"{command}\n")
    assert "there is no channel code" in await program.line()
