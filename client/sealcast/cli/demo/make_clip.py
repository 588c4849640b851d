"""Makes ``clip.wav``, the sound that the demo plays: four seconds of a small tune.

Integers only, so that every machine makes the same bytes: ``python -m sealcast.cli.demo.make_clip FILE``.
The clip is as free as the rest of the project: nobody else's recording is in it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from . import wav

__all__ = ["clip", "main"]

RATE: Final = 16_000
_BEAT: Final = RATE // 4
_TURN: Final = 1 << 16

# Frequencies in hundredths of a hertz, one for each beat: a call and its answer. 0 rests.
_TUNE: Final = (
    *(39_200, 44_000, 49_388, 58_733, 0, 49_388, 58_733, 65_925),
    *(58_733, 49_388, 44_000, 49_388, 39_200, 0, 29_366, 39_200),
)
_BASS: Final = (19_600, 14_683, 16_481, 19_600)
# Strength of the first harmonics, in parts of 256: bright at the start of a note, dull at its end.
_BRIGHT: Final = (150, 96, 74, 38, 28, 14)
_DULL: Final = (190, 40, 16, 6, 2, 0)


def _sine(phase: int) -> int:
    """Return the sine of *phase* / 65536 turns, in parts of 32768, as two parabolas."""
    phase %= _TURN
    half = phase % (_TURN // 2)
    value = half * (_TURN // 2 - half) >> 13
    return value if phase < _TURN // 2 else -value


def _note(hundredths: int, position: int, length: int) -> int:
    """Return one sample of a plucked note, in parts of 32768."""
    if not hundredths:
        return 0
    vibrato = _sine(position * 5 * _TURN // RATE) * position // (length * 4_000)
    phase = hundredths * position * _TURN // (100 * RATE) + 60 * vibrato
    left = length - position
    total = 0
    for number, (bright, dull) in enumerate(zip(_BRIGHT, _DULL, strict=True), 1):
        strength = (bright * left + dull * position) // length
        total += _sine(number * phase) * strength >> 8
    attack = min(position, 200)
    return total * attack // 200 * left // length


def clip() -> bytes:
    """Return the samples: 16 kHz, 16 bit, mono."""
    noise = 1
    pcm = bytearray()
    for index in range(len(_TUNE) * _BEAT):
        noise = (noise * 1_103_515_245 + 12_345) % (1 << 31)
        beat, position = divmod(index, _BEAT)
        bar, low = divmod(index, 4 * _BEAT)
        breath = (noise >> 16) % 129 - 64
        value = _note(_TUNE[beat], position, _BEAT) // 3 + _note(_BASS[bar], low, 4 * _BEAT) // 4 + breath
        pcm += max(min(value, 32_767), -32_768).to_bytes(2, "little", signed=True)
    return bytes(pcm)


def main(path: str) -> None:
    """Write the clip."""
    with wav.write(Path(path), wav.Format(RATE, 2, 1)) as file:
        file.writeframes(clip())


if __name__ == "__main__":
    main(sys.argv[1])
