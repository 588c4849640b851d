"""What the demo's members say to each other, before it is sealed: frames of sound and lines of text.

::

    frame   u64 number | u64 when it was sent | samples as in the WAV file
    line    sentence [number @when]               UTF-8

The time is the machine's monotonic clock in nanoseconds, the same for all processes of one machine:
it travels inside the sealed part, so latency runs from before sealing to after opening.
"""

from __future__ import annotations

import re
import struct
from typing import Final, NamedTuple

__all__ = ["SENTENCES", "Line", "Sound", "pack_sound", "read_line", "unpack_sound", "write_line"]

_SOUND = struct.Struct(">QQ")
_LINE: Final = re.compile(r"(.{1,200}) \[([0-9]{1,9}) @([0-9]{1,19})\]")

SENTENCES: Final = (
    "Good morning, can everybody hear the music?",
    "Loud and clear, every single sample of it.",
    "The relay carries this line and cannot read it.",
    "Our meeting place is the harbour, an hour before sunset.",
    "Who else holds the key to this channel?",
    "Only the four walls of this conversation, I hope.",
    "The draft contract is in the second drawer on the left.",
    "Please keep the salary figures among ourselves.",
    "My door code changes on the first of every month.",
    "The operator of this server may count our lines, not read them.",
    "Results of the blood test come back on Thursday.",
    "We announce the merger only after the board has voted.",
    "Nobody outside needs to know who is moving to Lisbon.",
    "The password is not something I would say in clear text.",
    "That melody sounds better the second time around.",
    "If you can read this sentence, you were given the key.",
    "Let us take the early train and leave the car at home.",
    "The source of that story must stay anonymous.",
    "I would not say this on an ordinary telephone line.",
    "Write the minutes down, but seal the envelope.",
)
"""What is talked about. Each is long enough to be no accident when it is found somewhere."""


class Sound(NamedTuple):
    """A frame of sound; ``repr`` shows no samples."""

    number: int
    sent_ns: int
    pcm: bytes

    def __repr__(self) -> str:
        return f"Sound(number={self.number}, {len(self.pcm)} bytes)"


class Line(NamedTuple):
    """A line of text, read."""

    sentence: str
    number: int
    """Counts one sender's lines from 0."""
    sent_ns: int


def pack_sound(number: int, sent_ns: int, pcm: bytes) -> bytes:
    """Return the payload of frame *number*, counted from 0."""
    return _SOUND.pack(number, sent_ns) + pcm


def unpack_sound(payload: bytes) -> Sound:
    """Read the payload of a frame. Raises ValueError when it is cut short."""
    if len(payload) < _SOUND.size:
        raise ValueError("a frame of sound cut short")
    number, sent_ns = _SOUND.unpack_from(payload)
    return Sound(number, sent_ns, payload[_SOUND.size :])


def write_line(turn: int, number: int, sent_ns: int) -> str:
    """Return the line of this *turn* of the conversation, the sender's own *number*."""
    return f"{SENTENCES[turn % len(SENTENCES)]} [{number} @{sent_ns}]"


def read_line(text: str) -> Line | None:
    """Read a line; None when it is not one of ours, as what a guest types."""
    match = _LINE.fullmatch(text)
    return Line(match[1], int(match[2]), int(match[3])) if match else None
