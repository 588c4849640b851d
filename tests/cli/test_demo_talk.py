"""What members say, what they report, and the figures that are made of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.cli.demo import figures
from sealcast.cli.demo.ledger import Heard, Ledger
from sealcast.cli.demo.part import Part
from sealcast.cli.demo.payload import SENTENCES, Line, pack_sound, read_line, unpack_sound, write_line
from sealcast.cli.demo.proof import NEEDLE_MIN

USERS = ("alice", "bob", "carol")
U64 = 2**64 - 1


@given(st.integers(0, U64), st.integers(0, U64), st.binary(max_size=100))
def test_sound_is_unpacked_as_it_was_packed(number: int, sent_ns: int, pcm: bytes) -> None:
    sound = unpack_sound(pack_sound(number, sent_ns, pcm))
    assert (sound.number, sound.sent_ns, sound.pcm) == (number, sent_ns, pcm)


def test_sound_cut_short_is_refused_and_shows_no_samples() -> None:
    with pytest.raises(ValueError, match="cut short"):
        unpack_sound(b"x" * 15)
    assert "secret" not in repr(unpack_sound(pack_sound(1, 2, b"secret")))


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 10**18))
def test_lines_are_read_as_they_were_written(turn: int, number: int, sent_ns: int) -> None:
    text = write_line(turn, number, sent_ns)
    assert read_line(text) == Line(SENTENCES[turn % len(SENTENCES)], number, sent_ns)
    assert len(text.encode()) >= NEEDLE_MIN


@pytest.mark.parametrize("text", ["", "hello", "a [1 @2] b", "[1 @2]", "a [x @2]", "a [1 @2]\n", "a" * 999])
def test_what_a_guest_types_is_no_line_of_ours(text: str) -> None:
    assert read_line(text) is None


def test_a_part_survives_its_journey_and_hides_its_secrets() -> None:
    part = Part(
        url="ws://127.0.0.1:1",
        app_id="0" * 32,
        channel="standup",
        user="bob",
        token="007secret",
        secret="5ec2e7",
        members=USERS,
        speaker="alice",
        audio="clip.wav",
        seconds=3.0,
    )
    import json

    assert Part.read(json.dumps(part.to_json())) == part
    assert part.place == 1
    assert "007secret" not in repr(part)
    assert "5ec2e7" not in repr(part)


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=60), st.integers(0, 100))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[int], percent: int
) -> None:
    found = figures.percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    smaller = [value for value in values if value < found]
    assert not smaller or len(smaller) * 100 < percent * len(values)


def test_percentiles_of_known_values() -> None:
    hundred = list(range(1, 101))
    assert [figures.percentile(hundred, p) for p in (0, 50, 99, 100)] == [1, 50, 99, 100]
    assert figures.percentile([], 50) is None


def test_figures_are_shown_with_the_digits_that_matter() -> None:
    assert [figures.milliseconds(v) for v in (None, 40, 1_234, 99_940, 1_234_567)] == [
        "–",
        "0.0",
        "1.2",
        "99.9",
        "1,235",
    ]
    assert [figures.size(v) for v in (0, 1_023, 1_024, 3 * 2**20)] == ["0 B", "1023 B", "1.0 KiB", "3.0 MiB"]


# --- the ledger ---


def progress(**changes: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {
        **dict.fromkeys(("sent", "unsent", "heard", "gaps", "guests"), 0),
        **{name: [] for name in ("latencies", "acked", "read", "aside")},
        "troubles": {},
        "latest": None,
    }
    return {"event": "progress", **empty, **changes}


def talked() -> Ledger:
    """Three members, one line each, two frames."""
    ledger = Ledger(USERS, "alice")
    lines = {"alice": (0, 1, "one"), "bob": (0, 2, "two"), "carol": (0, 3, "three")}
    for user, member in ledger.members.items():
        read = [[offset, who, text, 900] for who, (_, offset, text) in lines.items() if who != user]
        heard = 0 if user == "alice" else 2
        member.take(
            progress(
                acked=[list(lines[user])],
                read=read,
                heard=heard,
                sent=0 if heard else 2,
                latencies=[100] * heard,
            )
        )
    return ledger


def test_reports_add_up() -> None:
    ledger = talked()
    assert (ledger.frames_sent, ledger.frames_heard) == (2, 4)
    assert (ledger.lines_sent, ledger.lines_read) == (3, 6)
    assert sorted(ledger.latencies()) == [100] * 4 + [900] * 6
    assert len(ledger.latencies(1)) == 3
    assert ledger.complete
    assert ledger.order_broken_at() is None
    assert ledger.drops == 0
    assert sorted(ledger.texts()) == ["one", "three", "two"]


def test_later_reports_replace_counts_and_add_lines() -> None:
    ledger = talked()
    bob = ledger.members["bob"]
    bob.take(progress(heard=3, read=[[4, "alice", "four", 1]], troubles={"dropped": 2}))
    bob.take({"event": "ready"})
    bob.take({"event": "result", "sha256": "ab"})
    assert (bob.heard, len(bob.lines_read), bob.drops, bob.sha256) == (3, 3, 2, "ab")


def test_what_is_still_on_its_way_makes_it_incomplete() -> None:
    ledger = talked()
    ledger.speaker.take(progress(sent=3))
    assert not ledger.complete
    ledger = talked()
    ledger.members["bob"].take(progress(acked=[[1, 4, "four"]], heard=2))
    assert not ledger.complete


@pytest.mark.parametrize("fault", ["lost", "twice", "changed", "swapped", "misattributed", "renumbered"])
def test_a_line_that_is_lost_doubled_changed_or_out_of_order_is_noticed(fault: str) -> None:
    ledger = talked()
    lines = ledger.members["carol"].lines_read
    if fault == "lost":
        lines.pop()
    elif fault == "twice":
        lines.append(lines[-1])
    elif fault == "changed":
        lines[0] = lines[0]._replace(text="ome")
    elif fault == "swapped":
        lines.reverse()
    elif fault == "misattributed":
        lines[0] = lines[0]._replace(user="bob")
    else:
        lines[1] = lines[1]._replace(offset=7)
    assert ledger.order_broken_at() == "carol"


def test_a_conversation_in_which_nobody_said_anything_proves_nothing() -> None:
    assert Ledger(USERS, "alice").order_broken_at() == "alice"


def test_guests_are_noted_and_count_nowhere_else() -> None:
    ledger = talked()
    bob = ledger.members["bob"]
    bob.take(progress(heard=2, guests=5, aside=[["guest", "hi"], ["guest", "there"]]))
    assert (bob.guest_frames, bob.guest_lines, bob.aside) == (5, 2, ("guest", "there"))
    assert ledger.order_broken_at() is None


def test_the_newest_sound_stays_until_there_is_newer() -> None:
    bob = talked().members["bob"]
    bob.take(progress(latest={"number": 3, "level": -7.5, "peaks": [0.5], "samples": [1, -2]}))
    bob.take(progress())
    assert bob.latest == Heard(3, -7.5, (0.5,), (1, -2))
