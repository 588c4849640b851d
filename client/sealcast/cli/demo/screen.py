"""What is shown: the conversation while it runs, and the checks at its end.

On a terminal a picture that is drawn again several times a second, elsewhere a few lines each second.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sealcast.protocol.errors import RemoteProtocolError

from ..output import printable
from . import wav
from .checks import Check
from .conductor import Conductor, Conversation, Phase
from .figures import milliseconds, percentile
from .payload import read_line
from .seen import Sealed, read_sealed

__all__ = ["bars", "checks_table", "picture", "plain_checks", "plain_lines"]

_BLOCKS = " ▁▂▃▄▅▆▇█"
_BARS = 64
_ROWS_MAX = 6
_NEWEST = 1_000
_PANEL_ROWS = 7
_MEASURE = Console(width=1_000)
_WIDE = 110


def bars(peaks: Sequence[float], width: int) -> str:
    """Draw shares of full scale as at most *width* bars.

    The scale is that of a square root, so that quiet sound shows.
    """
    count = min(width, len(peaks))
    bounds = itertools.pairwise(i * len(peaks) // count for i in range(count + 1))
    heights = [math.sqrt(max(peaks[first:end])) for first, end in bounds]
    return "".join(_BLOCKS[min(round(height * 8), 8)] for height in heights)


# --- the picture ---


def picture(conductor: Conductor, width: int) -> RenderableType:
    """Return what a terminal of *width* columns shows now."""
    parts: list[RenderableType] = [_title(conductor), _progress(conductor)]
    talk = conductor.conversation
    if talk is not None and talk.began is not None:
        sides = Table.grid(expand=True, padding=(0, 0))
        sides.add_column(ratio=1)
        sides.add_column(ratio=1)
        half = width // 2 - 4
        sides.add_row(_heard(talk, half), _saw(talk, half))
        parts += [sides, _members(talk)]
        if len(talk.ledger.members) > _ROWS_MAX:
            parts.append(Text(f"and {len(talk.ledger.members) - _ROWS_MAX} more", "dim"))
        aside = talk.ledger.listeners[0].aside
        if aside is not None:
            user, said = aside
            parts.append(Text(f"{printable(user)}, a guest: {printable(said)}", "yellow", no_wrap=True))
    return Group(*parts)


def _title(conductor: Conductor) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append("sealcast demo", "bold")
    if conductor.relay_port:
        text.append(f"   relay: process {conductor.relay_pid} on 127.0.0.1:{conductor.relay_port}", "dim")
    text.append(f"   {len(conductor.plan.members)} members", "dim")
    return text


def _progress(conductor: Conductor) -> RenderableType:
    talk = conductor.conversation
    if conductor.phase is not Phase.TALKING or talk is None or talk.began is None:
        end = ":" if conductor.phase is Phase.OVER else " …"
        return Text(conductor.phase.value + end, "cyan", no_wrap=True, overflow="ellipsis")
    gone = time.monotonic() - talk.began
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    if not talk.plan.seconds:
        grid.add_row(Text(f"{gone:.0f} s, until Ctrl-C", "cyan"), "")
    else:
        gone = min(gone, talk.plan.seconds)
        bar = ProgressBar(total=talk.plan.seconds, completed=gone)
        grid.add_row(Text(f"{gone:4.1f} of {talk.plan.seconds:g} s", "cyan"), bar)
    return grid


def _heard(talk: Conversation, width: int) -> Panel:
    listener = talk.ledger.listeners[0]
    rows = [Text()] * 3
    if (heard := listener.latest) is not None:
        rows = [
            Text(f"frame {heard.number}, {heard.level:.1f} dB"),
            Text(bars(heard.peaks, width), "green"),
            Text("samples " + " ".join(map(str, heard.samples)), "dim"),
        ]
    rows.append(Text())
    if listener.lines_read:
        line = listener.lines_read[-1]
        read = read_line(line.text)
        sentence = Text(printable(read.sentence if read is not None else line.text), "green")
        rows += [Text(f"message {line.offset}, {line.user} says"), *sentence.wrap(_MEASURE, width)[:2]]
    return _panel(f"what {listener.user} hears and reads", rows, width)


def _saw(talk: Conversation, width: int) -> Panel:
    listener = talk.ledger.listeners[0]
    rows = [Text()] * 3
    sealed = _same_sound(talk)
    if sealed is not None:
        rows = [
            Text(_header(sealed)),
            Text(bars(wav.peaks(sealed.body, 2, _BARS), width), "red"),
            _bytes(sealed, width),
        ]
    rows.append(Text())
    offset = listener.lines_read[-1].offset if listener.lines_read else 0
    message = _read(talk.witness.lines.get(offset))
    if message is not None:
        rows += [Text(_header(message)), _bytes(message, width)]
    return _panel("what the relay saw of the same", rows, width)


def _panel(title: str, rows: list[Text], width: int) -> Panel:
    rows += [Text()] * (_PANEL_ROWS - len(rows))
    for row in rows:
        row.no_wrap = True
        row.truncate(width, overflow="ellipsis")
    return Panel(Group(*rows), title=title, title_align="left", box=box.ROUNDED, padding=(0, 1))


def _same_sound(talk: Conversation) -> Sealed | None:
    """Return the frame that the first listener heard last, as it went to the relay.

    A stream's counter starts at 0 and grows by one for each frame, as the speaker's own numbers do, as
    long as none was dropped before it was sealed.
    """
    heard = talk.ledger.listeners[0].latest
    if heard is None or talk.ledger.speaker.unsent:
        return None
    return _read(talk.witness.sounds.get(heard.number))


def _read(data: bytes | None) -> Sealed | None:
    try:
        return read_sealed(data) if data is not None else None
    except RemoteProtocolError:
        return None


def _header(sealed: Sealed) -> str:
    kind = sealed.descriptor.kind.name.lower()
    return f"{kind}, stream {sealed.descriptor.stream}, KID {sealed.kid}, CTR {sealed.ctr}"


def _bytes(sealed: Sealed, width: int) -> Text:
    """Show the bytes from the descriptor on, each part in its colour, as far as there is room."""
    text = Text()
    text.append(sealed.descriptor.wire.hex(), "cyan")
    text.append(" " + sealed.header.hex() + " ", "yellow")
    end = f"… {sealed.size} B"
    room = max(width - len(text) - len(end), 0)
    text.append(sealed.body.hex()[:room], "red")
    return text.append(end, "dim")


def _members(talk: Conversation) -> Table:
    table = Table(box=box.SIMPLE_HEAD, expand=True, padding=0, show_edge=False)
    table.add_column("\nmember", no_wrap=True)
    for heading in (
        *("frames\nsent", "\ndelivered", "\nopened", "messages\nsent", "\ndelivered", "\nopened"),
        *("\nlost", "ms\np50", "\np99"),
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    members = list(talk.ledger.members.values())
    for member in members[:_ROWS_MAX]:
        party = talk.witness.named(member.user)
        newest = member.latencies[-_NEWEST:]
        table.add_row(
            member.user,
            _count(member.sent),
            _count(party.sound_down if party else 0),
            _count(member.heard + member.guest_frames),
            _count(len(member.lines_sent)),
            _count(party.messages_down if party else 0),
            _count(len(member.lines_read) + member.guest_lines),
            Text(str(member.drops), "red" if member.drops else "green"),
            milliseconds(percentile(newest, 50)),
            milliseconds(percentile(newest, 99)),
        )
    return table


def _count(value: int) -> str:
    return f"{value:,}" if value else "–"


# --- without a terminal ---


def plain_lines(conductor: Conductor) -> str:
    """Return a few lines on how the conversation goes."""
    talk = conductor.conversation
    assert talk is not None, "there is a conversation"
    assert talk.began is not None, "it has begun"
    ledger = talk.ledger
    parties = talk.witness.parties.values()
    newest = ledger.latencies(_NEWEST)
    lines = [
        f"{time.monotonic() - talk.began:6.1f} s  {len(ledger.members)} members"
        f"  frames {ledger.frames_sent} sent {sum(p.sound_down for p in parties)} delivered"
        f" {ledger.frames_heard} opened"
        f"  messages {ledger.lines_sent} sent {sum(p.messages_down for p in parties)} delivered"
        f" {ledger.lines_read} opened"
        f"  {ledger.drops} lost"
        f"  p50 {milliseconds(percentile(newest, 50))} ms p99 {milliseconds(percentile(newest, 99))} ms"
    ]
    listener = ledger.listeners[0]
    sealed = _same_sound(talk)
    if sealed is not None and listener.latest is not None:
        shown = f"{sealed.descriptor.wire.hex()} {sealed.header.hex()} {sealed.body[:16].hex()}"
        lines.append(
            f"          {listener.user} hears frame {listener.latest.number}, {listener.latest.level:.1f} dB"
        )
        lines.append(f"          the relay saw {_header(sealed)}: {shown}…")
    return "\n".join(lines)


# --- the end ---


def checks_table(checks: Sequence[Check], width: int) -> RenderableType:
    """Return the table of all checks; in a narrow terminal the numbers stand below the claims."""
    table = Table(box=None, padding=(0, 1), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    wide = width >= _WIDE
    if wide:
        table.add_column()
    for check in checks:
        mark = Text("✓", "green") if check.holds else Text("✗", "bold red")
        claim = Text(check.claim, "" if check.holds else "bold red")
        detail = Text(check.detail, "dim")
        if wide:
            table.add_row(mark, claim, detail)
        else:
            table.add_row(mark, Group(claim, detail))
    return table


def plain_checks(checks: Sequence[Check]) -> str:
    """Return all checks, one a line."""
    return "\n".join(f"{'✓' if check.holds else '✗'} {check.claim}: {check.detail}" for check in checks)
