"""WAV files: samples in 20 ms frames, byte for byte as the file has them.

Reads uncompressed PCM of 8, 16, 24 or 32 bits with one or two channels. The standard library's reader
refuses the extensible header, which most programs write for 24 bits, before Python 3.12; so the two
chunks that matter are read here.
"""

from __future__ import annotations

import itertools
import math
import struct
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

__all__ = [
    "FRAMES_PER_SECOND",
    "Format",
    "NotPlayable",
    "WaveFile",
    "level",
    "peaks",
    "samples",
    "write",
]

FRAMES_PER_SECOND: Final = 50
"""A frame is 20 ms of sound."""

SILENCE: Final = -96.0
"""The level, in dB of full scale, that stands for silence."""

_RATES: Final = range(1_000, 384_001)
_PCM, _EXTENSIBLE = 1, 0xFFFE
_FMT = struct.Struct("<HHIIHH")
_PCM_GUID: Final = bytes.fromhex("0100000000001000800000aa00389b71")
_CHUNKS_MAX: Final = 1_000
_FMT_MAX: Final = 1_024


class NotPlayable(ValueError):
    """A file that is not the kind of WAV this demo takes; the text says what it is instead."""


@dataclass(frozen=True, slots=True)
class Format:
    """What the samples of a file are."""

    rate: int
    """Samples per second and channel."""
    width: int
    """Bytes of one sample, 1 to 4."""
    channels: int

    @property
    def step(self) -> int:
        """Bytes of one sample of all channels."""
        return self.width * self.channels

    def size(self, index: int) -> int:
        """Return the bytes of frame *index*.

        Frames of rates that 50 does not divide differ by one sample, so that no time is lost or won.
        """
        first = index * self.rate // FRAMES_PER_SECOND
        return ((index + 1) * self.rate // FRAMES_PER_SECOND - first) * self.step

    def __str__(self) -> str:
        kind = "mono" if self.channels == 1 else "stereo"
        return f"{self.rate / 1000:g} kHz, {8 * self.width} bit, {kind}"


class WaveFile:
    """An open WAV file, read in 20 ms frames, round and round.

    Use it in a ``with`` block.

    Raises:
        NotPlayable: not a WAV file, compressed, of another shape, or without any samples.
        OSError: it cannot be read.

    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        try:
            self.format, self._start, self.size = _read_headers(self._file)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> WaveFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def seconds(self) -> float:
        """How long it plays once."""
        return self.size / self.format.step / self.format.rate

    def frames(self) -> Iterator[bytes]:
        """Yield the sample bytes of one frame after the other; the file starts again where it ends."""
        position = 0
        index = 0
        while True:
            wanted = self.format.size(index)
            parts = []
            while wanted:
                self._file.seek(self._start + position)
                part = self._file.read(min(wanted, self.size - position))
                if not part:
                    raise NotPlayable("the file became shorter while it was read")
                parts.append(part)
                wanted -= len(part)
                position = (position + len(part)) % self.size
            yield b"".join(parts)
            index += 1


def _read_headers(file: BinaryIO) -> tuple[Format, int, int]:
    """Return the format, where the samples start, and how many bytes they have."""
    head = file.read(12)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise NotPlayable("this is not a WAV file")
    found: Format | None = None
    for _ in range(_CHUNKS_MAX):
        chunk = file.read(8)
        if len(chunk) < 8:
            break
        name, size = chunk[:4], int.from_bytes(chunk[4:], "little")
        if name == b"fmt ":
            found = _read_format(file.read(min(size, _FMT_MAX)))
            file.seek(max(size - _FMT_MAX, 0) + size % 2, 1)
        elif name == b"data":
            return _with_samples(file, found, size)
        else:
            file.seek(size + size % 2, 1)
    raise NotPlayable("this WAV file has no samples")


def _read_format(data: bytes) -> Format:
    if len(data) < _FMT.size:
        raise NotPlayable("the header of this WAV file is cut short")
    tag, channels, rate, _, _, bits = _FMT.unpack_from(data)
    if tag == _EXTENSIBLE and data[24:40] == _PCM_GUID:
        tag = _PCM
    if tag != _PCM:
        raise NotPlayable(f"this WAV file is compressed or has floating-point samples (format {tag})")
    if bits not in (8, 16, 24, 32) or channels not in (1, 2) or rate not in _RATES:
        raise NotPlayable(f"{bits} bits, {channels} channels, {rate} Hz: not 8-32 bits, mono or stereo")
    return Format(rate, bits // 8, channels)


def _with_samples(file: BinaryIO, found: Format | None, size: int) -> tuple[Format, int, int]:
    if found is None:
        raise NotPlayable("the samples of this WAV file come before its format")
    start = file.tell()
    # A program that wrote to a pipe could not know the size: what is there counts.
    there = file.seek(0, 2) - start
    size = min(size, there)
    size -= size % found.step
    if size < found.step:
        raise NotPlayable("this WAV file has no samples")
    return found, start, size


def write(path: Path, form: Format) -> wave.Wave_write:
    """Open a new WAV file of this format; ``writeframesraw`` adds samples. Raises OSError."""
    file = wave.open(str(path), "wb")  # noqa: SIM115 - the caller closes it
    file.setnchannels(form.channels)
    file.setsampwidth(form.width)
    file.setframerate(form.rate)
    return file


def samples(pcm: bytes, width: int) -> list[int]:
    """Return the samples of all channels as signed numbers of *width* bytes."""
    if width == 1:
        return [byte - 128 for byte in pcm]
    whole = len(pcm) - len(pcm) % width
    return [int.from_bytes(pcm[i : i + width], "little", signed=True) for i in range(0, whole, width)]


def level(pcm: bytes, width: int) -> float:
    """Return how loud the samples are, in dB of full scale: 0 is the loudest square wave."""
    values = samples(pcm, width)
    if not values:
        return SILENCE
    mean = math.sqrt(sum(value * value for value in values) / len(values))
    full = 1 << (8 * width - 1)
    return max(20 * math.log10(mean / full), SILENCE) if mean else SILENCE


def peaks(pcm: bytes, width: int, count: int) -> list[float]:
    """Return the loudest sample in each of *count* equal parts of the frame, as shares of full scale."""
    values = samples(pcm, width)
    full = 1 << (8 * width - 1)
    bounds = [i * len(values) // count for i in range(count + 1)]
    parts = itertools.pairwise(bounds)
    return [max((abs(value) for value in values[first:end]), default=0) / full for first, end in parts]
