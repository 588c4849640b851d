"""WAV files: what is read, in which portions, and what is refused."""

from __future__ import annotations

import itertools
import math
import struct
import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.cli.demo import make_clip, wav
from sealcast.cli.demo.wav import Format, NotPlayable, WaveFile

CLIP = Path(wav.__file__).with_name("clip.wav")

formats = st.builds(Format, st.integers(1_000, 192_000), st.integers(1, 4), st.integers(1, 2))


def ramp(size: int) -> bytes:
    return bytes(i * 7 % 256 for i in range(size))


def file_with(path: Path, form: Format, pcm: bytes) -> Path:
    with wav.write(path, form) as file:
        file.writeframes(pcm)
    return path


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def plain_format(tag: int = 1, channels: int = 1, rate: int = 8_000, bits: int = 16) -> bytes:
    step = channels * bits // 8
    return struct.pack("<HHIIHH", tag, channels, rate, rate * step, step, bits)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100])
def test_the_frames_of_any_format_are_the_samples_of_the_file_round_and_round(
    tmp_path: Path, width: int, channels: int, rate: int
) -> None:
    form = Format(rate, width, channels)
    pcm = ramp(form.step * (rate // 16 + 3))
    with WaveFile(file_with(tmp_path / "a.wav", form, pcm)) as file:
        assert file.format == form
        assert file.size == len(pcm)
        heard = b"".join(itertools.islice(file.frames(), 50))
    assert heard == (pcm * 17)[: rate * form.step]


@given(formats, st.integers(0, 10_000))
def test_fifty_frames_have_the_samples_of_one_second_wherever_they_begin(form: Format, first: int) -> None:
    assert sum(form.size(i) for i in range(first, first + 50)) == form.rate * form.step
    sizes = {form.size(i) // form.step for i in range(first, first + 50)}
    assert max(sizes) - min(sizes) <= 1


def test_a_file_shorter_than_a_frame_is_played_several_times_in_one_frame(tmp_path: Path) -> None:
    form = Format(8_000, 2, 1)
    with WaveFile(file_with(tmp_path / "a.wav", form, b"abcdef")) as file:
        assert next(file.frames()) == (b"abcdef" * 54)[:320]


def test_the_extensible_header_is_read_if_the_samples_are_pcm(tmp_path: Path) -> None:
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    extension = struct.pack("<HHI", 22, 24, 4) + guid
    path = tmp_path / "a.wav"
    path.write_bytes(riff((b"fmt ", plain_format(0xFFFE, 1, 48_000, 24) + extension), (b"data", ramp(300))))
    with WaveFile(path) as file:
        assert file.format == Format(48_000, 3, 1)
        assert next(file.frames())[:300] == ramp(300)

    floats = struct.pack("<HHI", 22, 32, 4) + b"\x03" + guid[1:]
    path.write_bytes(riff((b"fmt ", plain_format(0xFFFE, 1, 48_000, 32) + floats), (b"data", ramp(300))))
    with pytest.raises(NotPlayable, match="compressed or has floating-point"):
        WaveFile(path)


def test_other_chunks_are_skipped_odd_ones_with_their_padding(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    chunks = (b"LIST", b"odd"), (b"fmt ", plain_format()), (b"junk", b"x" * 5), (b"data", ramp(320))
    path.write_bytes(riff(*chunks, (b"id3 ", b"after")))
    with WaveFile(path) as file:
        assert next(file.frames()) == ramp(320)


def test_a_file_that_was_written_to_a_pipe_has_the_samples_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    whole = riff((b"fmt ", plain_format()), (b"data", ramp(321)))
    path.write_bytes(whole.replace(struct.pack("<I", 321), b"\xff\xff\xff\xff"))
    with WaveFile(path) as file:
        assert file.size == 322  # with the padding byte: nothing says that it is none
        assert math.isclose(file.seconds, 161 / 8_000)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not a WAV file"),
        (b"RIFF\0\0\0\0AVI ", "not a WAV file"),
        (riff((b"data", ramp(320))), "before its format"),
        (riff((b"fmt ", plain_format())), "no samples"),
        (riff((b"fmt ", plain_format()), (b"data", b"")), "no samples"),
        (riff((b"fmt ", plain_format()), (b"data", b"x")), "no samples"),
        (riff((b"fmt ", plain_format()[:10]), (b"data", ramp(320))), "cut short"),
        (riff((b"fmt ", plain_format(tag=3, bits=32)), (b"data", ramp(320))), "floating-point"),
        (riff((b"fmt ", plain_format(tag=85)), (b"data", ramp(320))), "compressed"),
        (riff((b"fmt ", plain_format(bits=12)), (b"data", ramp(320))), "12 bits"),
        (riff((b"fmt ", plain_format(channels=6)), (b"data", ramp(320))), "6 channels"),
        (riff((b"fmt ", plain_format(rate=1)), (b"data", ramp(320))), "1 Hz"),
    ],
)
def test_what_cannot_be_played_is_refused_with_the_reason(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(NotPlayable, match=why):
        WaveFile(path)


@given(st.binary(max_size=200))
def test_no_bytes_after_the_head_break_the_reader(rest: bytes) -> None:
    import io
    from unittest.mock import patch

    # Files of hypothesis, without a disk.
    with patch.object(Path, "open", lambda *_: io.BytesIO(b"RIFF\0\0\0\0WAVE" + rest)):
        try:
            with WaveFile(Path("a.wav")) as file:
                frame = next(file.frames())
        except NotPlayable:
            return
        assert len(frame) == file.format.size(0)


def test_a_file_that_shrinks_while_it_is_played_ends_the_frames(tmp_path: Path) -> None:
    path = file_with(tmp_path / "a.wav", Format(8_000, 2, 1), ramp(64_000))
    with WaveFile(path) as file:
        frames = file.frames()
        next(frames)
        path.write_bytes(b"")
        with pytest.raises(NotPlayable, match="shorter"):
            list(itertools.islice(frames, 200))


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    form = Format(44_100, 3, 2)
    path = file_with(tmp_path / "a.wav", form, ramp(600))
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (44_100, 3, 2)
        assert file.readframes(1_000) == ramp(600)


@given(st.sampled_from([1, 2, 3, 4]), st.data())
def test_samples_are_signed_numbers_of_their_width(width: int, data: st.DataObject) -> None:
    half = 1 << (8 * width - 1)
    values = data.draw(st.lists(st.integers(-half, half - 1), max_size=20))
    if width == 1:
        pcm = bytes(value + 128 for value in values)
    else:
        pcm = b"".join(value.to_bytes(width, "little", signed=True) for value in values)
    assert wav.samples(pcm, width) == values
    peaks = wav.peaks(pcm, width, 8)
    assert len(peaks) == 8
    assert all(0 <= peak <= 1 for peak in peaks)
    assert wav.SILENCE <= wav.level(pcm, width) <= 0


def test_the_level_is_in_decibels_of_full_scale() -> None:
    loudest = (-32_768).to_bytes(2, "little", signed=True) * 100
    assert wav.level(loudest, 2) == 0
    assert wav.level((16_384).to_bytes(2, "little") * 100, 2) == pytest.approx(-6.02, abs=0.01)
    assert wav.level(bytes(200), 2) == wav.SILENCE
    assert wav.level(b"", 2) == wav.SILENCE


def test_the_clip_is_what_its_script_makes() -> None:
    with WaveFile(CLIP) as file:
        assert str(file.format) == "16 kHz, 16 bit, mono"
        assert file.seconds == 4
        assert b"".join(itertools.islice(file.frames(), 200)) == make_clip.clip()
    assert CLIP.stat().st_size < 200_000


def test_the_clip_can_be_made_again(tmp_path: Path) -> None:
    make_clip.main(str(tmp_path / "clip.wav"))
    assert (tmp_path / "clip.wav").read_bytes() == CLIP.read_bytes()
