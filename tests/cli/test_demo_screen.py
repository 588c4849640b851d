"""What is shown fits its terminal, says what is true, and lets nobody else draw on it."""

from __future__ import annotations

import asyncio
import io
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from sealcast.cli.children import Children
from sealcast.cli.demo import screen, wav
from sealcast.cli.demo.checks import Check
from sealcast.cli.demo.conductor import NAMES, Conductor, Conversation, Phase, Plan
from sealcast.cli.demo.invitation import invitation
from sealcast.cli.demo.wire import WireFrame
from sealcast.client import Key
from sealcast.protocol import envelope
from sealcast.protocol.controls import Join, encode
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.names import Kind
from sealcast.protocol.tokens import verify

CLIP = Path(wav.__file__).with_name("clip.wav")


def conductor(members: int = 4, seconds: float = 12.0) -> Conductor:
    plan = Plan(NAMES[:members], CLIP, seconds)
    made = Conductor(plan, asyncio.Event())
    made.relay_port, made.relay_pid, made.url = 40_000, 1_234, "ws://127.0.0.1:40001"
    return made


def talking(members: int = 4, seconds: float = 12.0) -> Conductor:
    """A demo in which one frame and one line have just passed."""
    made = conductor(members, seconds)
    made.conversation = talk = Conversation(made.sealed, made.plan, Children(), made.url)
    made.phase, talk.began = Phase.TALKING, time.monotonic() - 2.4
    assert made.sealed.secret is not None
    crypto = Key.raw(made.sealed.secret).bind(made.sealed.app_id, "standup", "alice")
    sound = crypto.seal(Descriptor(Kind.AUDIO, stream=2), b"\x11" * 640)
    line = crypto.seal(Descriptor(Kind.MESSAGE, stream=1), b"\x22" * 60)
    for payload in (
        encode(Join(channel="standup", user="alice", hello=crypto.hello), 1),
        envelope.frame(7, 1, sound),
        envelope.message(7, 1, 2, line),
    ):
        talk.witness.frame(0, True, WireFrame(2, True, True, payload))
    talk.witness.frame(1, False, WireFrame(2, True, False, envelope.delivered(7, 1, 5, line)))
    talk.ledger.speaker.sent = 1
    report(
        made,
        "bob",
        heard=1,
        read=[[5, "alice", "Who else holds the key to this channel? [0 @1]", 900]],
        latencies=[1_234],
        latest={"number": 0, "level": -12.3, "peaks": [0.1, 0.9] * 32, "samples": [1, -200, 30_000]},
    )
    return made


def report(made: Conductor, user: str, **news: Any) -> None:
    assert made.conversation is not None
    empty: dict[str, Any] = {"sent": 0, "unsent": 0, "gaps": 0, "guests": 0, "troubles": {}}
    lists: dict[str, Any] = {"latencies": [], "acked": [], "read": [], "aside": []}
    values = {"event": "progress", "heard": 0, "latest": None, **empty, **lists, **news}
    made.conversation.ledger.members[user].take(values)


def drawn(what: RenderableType, width: int, *, terminal: bool = True) -> str:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, highlight=False
    )
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("members", [2, 4, 16])
def test_the_picture_fits_the_terminal(width: int, members: int) -> None:
    lines = drawn(screen.picture(talking(members), width), width).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= 24


def test_both_sides_show_the_same_frame_and_the_same_message() -> None:
    text = drawn(screen.picture(talking(), 80), 80)
    for shown in (
        *("frame 0, -12.3 dB", "samples 1 -200 30000", "message 5, alice says", "Who else holds the key"),
        *(
            "audio, stream 2, KID 512, CTR 0",
            "11000002 900200 ",
            "message, stream 1, KID 256, CTR 0",
            "663 B",
        ),
        *("what bob hears", "2.4 of 12 s", "process 1234", "4 members"),
    ):
        assert shown in text
    assert text.count("…") <= 3


def test_large_numbers_are_not_cut_in_a_narrow_terminal() -> None:
    made = talking()
    report(made, "bob", heard=98_765, latencies=[1_234_000] * 50, troubles={"dropped": 1_234})
    text = drawn(screen.picture(made, 80), 80)
    row = next(line.split() for line in text.splitlines() if line.split()[:1] == ["bob"])
    assert row == ["bob", "–", "–", "98,765", "–", "–", "1", "1234", "1,234", "1,234"]
    assert "delivered" in text


def test_a_frame_that_cannot_be_paired_is_not_shown_as_the_same() -> None:
    made = talking()
    assert made.conversation is not None
    made.conversation.ledger.speaker.unsent = 1
    assert "CTR 0, " not in drawn(screen.picture(made, 80), 80)
    assert "audio, stream" not in drawn(screen.picture(made, 80), 80)


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_is_named_even_before_anybody_talks(phase: Phase) -> None:
    made = conductor()
    made.phase = phase
    text = drawn(screen.picture(made, 80), 80)
    assert phase.value in text


def test_a_demo_without_an_end_says_how_it_ends() -> None:
    assert "until Ctrl-C" in drawn(screen.picture(talking(seconds=0.0), 80), 80)


def test_guests_cannot_draw_on_the_screen() -> None:
    made = talking()
    report(made, "bob", aside=[["guest\x1b[2J", "[bold]hi\x1b]0;title\x07\u202eback"]])
    text = drawn(screen.picture(made, 80), 80)
    assert "\x1b[2J" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "[bold]hi" in text


def test_plain_lines_have_the_numbers_and_what_the_relay_saw() -> None:
    text = screen.plain_lines(talking())
    assert "frames 1 sent 0 delivered 1 opened" in text
    assert "messages 0 sent 1 delivered 1 opened" in text
    assert "p99 1.2 ms" in text
    assert "the relay saw audio, stream 2, KID 512, CTR 0: 11000002 900200 " in text


CHECKS = [Check("a", "the claim", True, "7 of 7"), Check("b", "[red]another", False, "0 of 7")]


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_marks_what_holds_and_what_does_not(width: int) -> None:
    text = drawn(screen.checks_table(CHECKS, width), width)
    assert "✓  the claim" in text
    assert "✗  [red]another" in text
    assert "0 of 7" in text
    assert max(map(len, text.splitlines())) <= width


def test_without_a_terminal_there_is_one_line_for_each_check() -> None:
    assert screen.plain_checks(CHECKS) == "✓ the claim: 7 of 7\n✗ [red]another: 0 of 7"


def test_bars_grow_with_the_sound_and_fit_the_room() -> None:
    assert screen.bars([0.0, 0.01, 0.25, 1.0], 4) == " ▁▄█"
    assert screen.bars([0.0, 1.0] * 32, 32) == "█" * 32
    assert len(screen.bars([0.5] * 64, 36)) == 36


def test_the_invitation_is_a_command_whose_token_admits_the_guest() -> None:
    made = talking()
    venue = made.sealed
    words = invitation(made).plain.split()
    assert venue.secret is not None
    assert f"SEALCAST_KEY={venue.secret.hex()}" in words
    start = words.index("join")
    arguments = ["standup", f"--url={made.url}", f"--app-id={venue.app_id}", "--user=guest"]
    assert words[start + 1 : start + 5] == arguments
    token = next(word for word in words if word.startswith("SEALCAST_TOKEN=")).partition("=")[2].strip("'")
    grant = verify(
        token,
        app_id=venue.app_id,
        certificates=(venue.certificate,),
        channel="standup",
        user="guest",
        now=int(time.time()),
    )
    assert grant


def test_the_invitation_ends_with_the_link_to_the_console_and_says_how_long_it_is_there() -> None:
    made = talking()
    made.console_link = "http://127.0.0.1:1/console/once#code"
    text = invitation(made).plain
    assert text.splitlines()[-1] == made.console_link
    assert "--keep" in text
