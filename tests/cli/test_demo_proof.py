"""The search finds what was planted, in every form and at every place, and nothing else."""

from __future__ import annotations

import base64
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.cli.demo import proof
from sealcast.cli.demo.proof import NEEDLE_MIN, WINDOW, Needle, forms, search, windows

SECRET = b"The source of that story must stay anonymous. [7 @123456789]"


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def written(data: bytes) -> dict[str, bytes]:
    return {
        "raw": data,
        "hex": data.hex().encode(),
        "HEX": data.hex().upper().encode(),
        "spaced off": b"0" + data.hex().encode(),
        "base64": base64.b64encode(data),
        "base64 after one byte": base64.b64encode(b"<" + data + b">"),
        "base64 after two bytes": base64.b64encode(b"<<" + data + b">>>"),
        "base64 for URLs": base64.urlsafe_b64encode(b"<" + data),
        "base64 without padding": base64.b64encode(data).rstrip(b"="),
    }


@pytest.mark.parametrize("form", written(SECRET))
@pytest.mark.parametrize("place", range(9))
def test_a_leak_is_found_in_every_form_and_at_every_place(form: str, place: int) -> None:
    text = noise(1_000 + place) + written(SECRET)[form] + noise(77, 2)
    result = search([noise(500), text], [Needle("messages", SECRET)])
    assert result.hits == {"messages": 1}
    assert result.found == {"messages": 1}


@given(
    st.binary(min_size=NEEDLE_MIN, max_size=80),
    st.binary(max_size=40),
    st.binary(max_size=40),
    st.sampled_from(sorted(written(b""))),
)
def test_any_needle_is_found_between_any_neighbours(
    needle: bytes, before: bytes, after: bytes, form: str
) -> None:
    text = before + written(needle)[form] + after
    result = search([text], [Needle("it", needle)])
    assert result.found["it"] == 1
    count = sum(text.startswith(part, start) for part in forms(needle) for start in range(len(text)))
    assert result.hits["it"] == count


@given(st.lists(st.sampled_from([b"\0" * 9, b"ab" * 8, SECRET, SECRET[:20], b"x"]), max_size=30))
def test_hits_are_counted_as_by_the_simplest_search(parts: list[bytes]) -> None:
    text = b"".join(parts)
    needles = [Needle("pattern", b"ab" * 8), Needle("zeros", b"\0" * 20), Needle("messages", SECRET)]
    result = search([text], needles)
    for needle in needles:
        expected = sum(
            text.startswith(form, start) for form in forms(needle.data) for start in range(len(text))
        )
        assert result.hits[needle.name] == expected


def test_nothing_is_found_where_nothing_is() -> None:
    needles = [Needle("messages", SECRET), Needle("key", noise(32, 3))]
    result = search([noise(300_000), SECRET[:-1], SECRET[1:], b""], needles)
    assert result.total == 0
    assert result.found == {}
    assert result.needles == {"messages": 1, "key": 1}
    assert result.searched == 300_000 + 2 * len(SECRET) - 2


def test_a_leak_that_is_spread_over_two_texts_is_none() -> None:
    assert search([SECRET[:30], SECRET[30:]], [Needle("messages", SECRET)]).total == 0


def test_equal_needles_count_once_and_several_hits_all() -> None:
    result = search([SECRET * 3], [Needle("messages", SECRET), Needle("messages", SECRET)])
    assert (result.needles["messages"], result.found["messages"], result.hits["messages"]) == (1, 1, 3)


def test_needles_that_are_too_short_to_be_looked_for_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 15 bytes"):
        search([b""], [Needle("short", b"x" * (NEEDLE_MIN - 1))])


def test_a_needle_does_not_show_itself() -> None:
    assert "story" not in repr(Needle("messages", SECRET))


def test_silence_and_near_silence_have_no_windows() -> None:
    assert windows([bytes(640)], 2) == []
    assert windows([bytes([0, 0, 1, 0, 255, 255, 2, 0]) * 80], 2) == []
    assert windows([], 2) == []


@given(st.lists(st.binary(max_size=400), max_size=8), st.sampled_from([1, 2, 3, 4, 6, 8]))
def test_windows_are_different_parts_of_the_frames_that_begin_at_a_sample(
    frames: list[bytes], step: int
) -> None:
    found = windows(frames, step)
    assert len(found) == len(set(found))
    for window in found:
        assert NEEDLE_MIN <= len(window) <= WINDOW
        assert len(set(window)) >= proof.DIFFERENT
        assert any(
            frame[i : i + len(window)] == window for frame in frames for i in range(0, len(frame), step)
        )


def test_a_frame_gives_as_many_windows_as_fit() -> None:
    assert len(windows([noise(640)], 2)) == 640 // WINDOW
    assert len(windows([noise(640), noise(640)], 2)) == 640 // WINDOW


def test_of_many_windows_evenly_spread_ones_are_taken() -> None:
    frames = [noise(640, seed) for seed in range(200)]
    found = windows(frames, 2)
    assert len(found) == proof.WINDOWS_MAX
    assert found[0] == frames[0][:WINDOW]
    assert any(found[-1] in frame for frame in frames[-1:])
