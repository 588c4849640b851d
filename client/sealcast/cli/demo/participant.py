"""One member of the conversation, in a process of its own: ``python -m sealcast.cli.demo.participant``.

Reads its part as one line of JSON from standard input, then the words ``go``, ``hush`` and ``finish``,
one a line; the end of the input ends it. Writes one JSON object a line: ``ready`` when everybody is
there, ``progress`` several times a second, ``spoken`` when it has nothing more to say, ``result``.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import sys
import time
import wave
from collections import Counter
from pathlib import Path
from typing import Any, Final

from sealcast.client import Channel, Client, Key
from sealcast.client.events import (
    Disconnected,
    Dropped,
    Event,
    Frame,
    Left,
    MemberJoined,
    Message,
    Refused,
    SealFailure,
)

from . import wav
from .part import LINE_INTERVAL, Part
from .payload import Sound, pack_sound, read_line, unpack_sound, write_line

__all__ = ["Participant", "main"]

_REPORT_EVERY: Final = 0.125
_LAST_LINE: Final = 0.25
"""Seconds before the end after which no new line is begun."""
_BARS: Final = 64
_GO, _HUSH, _FINISH = "go", "hush", "finish"


class Participant:
    """Plays its part and keeps count of what it sent, heard and read."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._others = set(part.members) - {part.user}
        self._present: set[str] = set()
        self._everybody = asyncio.Event()
        self._hush = asyncio.Event()
        self._sent = 0
        self._unsent = 0
        self._heard = 0
        self._next = 0
        self._gaps = 0
        self._guests = 0
        self._troubles: Counter[str] = Counter()
        self._digest = hashlib.sha256()
        self._latest: Sound | None = None
        self._latencies: list[int] = []
        self._acked: list[tuple[int, int, str]] = []
        self._read: list[tuple[int, str, str, int]] = []
        self._aside: list[tuple[str, str]] = []
        self._recording: wave.Wave_write | None = None
        with wav.WaveFile(Path(part.audio)) as file:
            self._format = file.format

    async def run(self, words: asyncio.Queue[str | None]) -> None:
        """Join, play and talk, leave; *words* are what the conductor says, None when it is gone."""
        part = self._part
        key = Key.none() if part.secret is None else Key.raw(bytes.fromhex(part.secret))
        async with Client(part.url, app_id=part.app_id, proxy=None) as client:
            room = await client.join(part.channel, user=part.user, token=part.token, key=key)
            for member in room.members.values():
                self._meet(member.user)
            async with asyncio.TaskGroup() as tasks:
                listening = tasks.create_task(self._listen(room))
                reporting = tasks.create_task(self._report())
                await self._everybody.wait()
                _say("ready")
                await _word(words, _GO)
                stopper = tasks.create_task(self._wait_for_hush(words))
                speaking = [self._talk(room)]
                if part.user == part.speaker:
                    speaking.append(self._play(room))
                await asyncio.gather(*speaking)
                self._progress()
                _say("spoken")
                self._hush.set()
                await stopper
                await _word(words, _FINISH)
                reporting.cancel()
                await room.leave()
                await listening
        self._progress()
        if self._recording is not None:
            self._recording.close()
        _say("result", sha256=self._digest.hexdigest())

    # --- sending ---

    async def _wait_for_hush(self, words: asyncio.Queue[str | None]) -> None:
        await _word(words, _HUSH)
        self._hush.set()

    async def _play(self, room: Channel) -> None:
        """Send the sound, a frame every 20 ms."""
        stream = room.stream("audio")
        seconds = self._part.seconds
        total = round(seconds * wav.FRAMES_PER_SECOND) if seconds else None
        start = asyncio.get_running_loop().time()
        with wav.WaveFile(Path(self._part.audio)) as file:
            for index, pcm in enumerate(itertools.islice(file.frames(), total)):
                if await self._hushed_until(start + index / wav.FRAMES_PER_SECOND):
                    return
                self._digest.update(pcm)
                stream.send(pack_sound(index, time.monotonic_ns(), pcm))
                self._sent, self._unsent = stream.sent, stream.dropped

    async def _talk(self, room: Channel) -> None:
        """Send a line every second, each acknowledged before the next."""
        part = self._part
        count = len(part.members)
        start = asyncio.get_running_loop().time()
        for number in itertools.count():
            begin = LINE_INTERVAL * (number + (0.5 + part.place) / count)
            if number and part.seconds and begin > part.seconds - _LAST_LINE:
                return
            if await self._hushed_until(start + begin):
                return
            text = write_line(number * count + part.place, number, time.monotonic_ns())
            receipt = await room.send(text.encode())
            self._acked.append((number, receipt.offset, text))

    async def _hushed_until(self, when: float) -> bool:
        """Wait until *when*; return whether there is an end to it before."""
        wait = when - asyncio.get_running_loop().time()
        if wait > 0 and not self._hush.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hush.wait(), wait)
        return self._hush.is_set()

    # --- receiving ---

    async def _listen(self, room: Channel) -> None:
        async for event in room:
            if isinstance(event, Frame):
                self._hear(event)
            elif isinstance(event, Message):
                self._take_line(event)
            elif isinstance(event, MemberJoined):
                self._meet(event.user)
            else:
                self._note(event)

    def _hear(self, frame: Frame) -> None:
        now = time.monotonic_ns()
        if frame.user != self._part.speaker or frame.kind != "audio":
            self._guests += 1
            return
        sound = unpack_sound(frame.data)
        self._gaps += sound.number != self._next
        self._next = sound.number + 1
        self._heard += 1
        self._latencies.append((now - sound.sent_ns) // 1000)
        self._digest.update(sound.pcm)
        self._latest = sound
        if self._part.out is not None:
            if self._recording is None:
                self._recording = wav.write(Path(self._part.out), self._format)
            self._recording.writeframesraw(sound.pcm)

    def _take_line(self, message: Message) -> None:
        now = time.monotonic_ns()
        text = message.data.decode("utf-8", "replace")
        line = read_line(text)
        if message.user in self._others and line is not None:
            self._read.append((message.offset, message.user, text, (now - line.sent_ns) // 1000))
        else:
            self._aside.append((message.user, text[:200]))

    def _meet(self, user: str) -> None:
        self._present.add(user)
        if self._present >= self._others:
            self._everybody.set()

    def _note(self, event: Event) -> None:
        if isinstance(event, Dropped):
            self._troubles["dropped"] += sum(event.counts.values())
        elif isinstance(event, SealFailure) and event.user in self._others:
            self._troubles["unopened"] += event.count
        elif isinstance(event, Refused):
            self._troubles["refused"] += event.count
        elif isinstance(event, Disconnected) or (isinstance(event, Left) and event.name != "left"):
            self._troubles["disconnected"] += 1

    # --- reporting ---

    async def _report(self) -> None:
        while True:
            self._progress()
            await asyncio.sleep(_REPORT_EVERY)

    def _progress(self) -> None:
        """Report the present counts, and what is new since the last report."""
        latencies, self._latencies = self._latencies, []
        acked, self._acked = self._acked, []
        read, self._read = self._read, []
        aside, self._aside = self._aside, []
        _say(
            "progress",
            sent=self._sent,
            unsent=self._unsent,
            heard=self._heard,
            gaps=self._gaps,
            guests=self._guests,
            troubles=dict(self._troubles),
            latencies=latencies,
            acked=acked,
            read=read,
            aside=aside,
            latest=self._describe(),
        )

    def _describe(self) -> dict[str, Any] | None:
        """Say what the newest frame sounds like; once for each."""
        sound, self._latest = self._latest, None
        if sound is None:
            return None
        width = self._format.width
        return {
            "number": sound.number,
            "level": round(wav.level(sound.pcm, width), 1),
            "peaks": [round(peak, 3) for peak in wav.peaks(sound.pcm, width, _BARS)],
            "samples": wav.samples(sound.pcm[: 8 * width], width),
        }


def _say(event: str, **values: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


async def _word(words: asyncio.Queue[str | None], expected: str) -> None:
    word = await words.get()
    if word is None:
        raise EOFError("the conductor is gone")
    if word != expected:
        raise ValueError(f"expected {expected!r}")


async def _run() -> None:
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    part = Part.read(await reader.readline())
    words: asyncio.Queue[str | None] = asyncio.Queue()
    playing = asyncio.create_task(Participant(part).run(words))
    obeying = asyncio.create_task(_obey(reader, words))
    done, rest = await asyncio.wait({playing, obeying}, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    for task in done:
        task.result()


async def _obey(reader: asyncio.StreamReader, words: asyncio.Queue[str | None]) -> None:
    """Pass on what the conductor says; return when it is gone."""
    while line := await reader.readline():
        words.put_nowait(line.decode().strip())


def main() -> int:
    """Play the part on standard input; return the exit status."""
    with contextlib.suppress(BrokenPipeError):
        asyncio.run(_run())
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
