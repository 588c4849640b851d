"""Durations and sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.protocol.quantities import seconds, show_seconds, show_size, size


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("30", 30), ("0.5", 0.5), ("30s", 30), ("500ms", 0.5), ("1.5h", 5400), ("5m", 300), ("1d", 86400)),
        *(("1h30m", 5400), ("1m500ms", 60.5), (" 30s ", 30), ("0", 0)),
    ],
)
def test_durations_are_read_in_seconds(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    ["", "s", "-1s", "1 s", "1e3", "inf", "nan", "1h30", "30S", "1w", "１s", "1" * 33, "1_0", "+1s", ".5s"],
)
def test_what_is_no_duration_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a duration: write seconds, or 500ms, 30s, 5m, 1h30m$"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("65536", 65536), ("64KiB", 65536), ("64 kib", 65536), ("1MiB", 1 << 20), ("2GiB", 2 << 30)),
        *(("64kB", 64000), ("1MB", 10**6), ("100B", 100), ("1.5KiB", 1536), ("1GB", 10**9)),
    ],
)
def test_sizes_are_read_in_bytes(text: str, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize(
    "text", ["", "64K", "64M", "KiB", "-1B", "1.5", "1.3B", "1e3", "1iB", "0x10", "64  KiB", "1" * 33]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a size: write whole bytes, or 64KiB, 1MiB, 64kB, 1MB$"):
        size(text)


@pytest.mark.parametrize(
    ("value", "text"), [(25, "25s"), (300, "5m"), (86400, "1d"), (5400, "90m"), (0.5, "500ms"), (0, "0s")]
)
def test_durations_are_shown_in_the_largest_unit_that_fits(value: float, text: str) -> None:
    assert show_seconds(value) == text


@given(st.integers(0, 10**7) | st.floats(0.001, 1e5).map(lambda value: round(value, 3)))
def test_a_shown_duration_is_read_back(value: float) -> None:
    assert seconds(show_seconds(value)) == pytest.approx(value, rel=1e-5)


@given(st.integers(0, 2**50))
def test_a_shown_size_is_read_back(value: int) -> None:
    assert size(show_size(value)) == value


@given(st.text())
def test_any_text_is_a_quantity_or_a_value_error(text: str) -> None:
    for read in (seconds, size):
        try:
            value = read(text)
        except ValueError:
            continue
        assert value >= 0
