"""Safety numbers and channel codes: the same for those who see the same, and for nobody else."""

from __future__ import annotations

import importlib.util
import json
import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.e2ee import Key
from sealcast.client.e2ee.context import context_id
from sealcast.client.e2ee.hello import read_sent_hello
from sealcast.client.e2ee.safety import (
    DIGITS,
    Holder,
    channel_code,
    grouped,
    key_fingerprint,
    member_fingerprint,
    read_digits,
    safety_number,
    same_digits,
)
from sealcast.protocol.errors import InvalidName

APP = "0123456789abcdef0123456789abcdef"
VECTORS = Path(__file__).parents[2] / "vectors"
GOLDEN: dict[str, list[dict[str, Any]]] = json.loads((VECTORS / "safety.json").read_text())

ALICE = Holder("alice", bytes(range(32)))
BOB = Holder("bob", bytes(range(32, 64)))
MALLORY = bytes(range(64, 96))
CTX = context_id(APP, "standup")

users = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=20)
holders = st.builds(Holder, users, st.binary(min_size=32, max_size=32))
numbers = st.text("0123456789", min_size=DIGITS, max_size=DIGITS)


# --- golden values ---


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_safety", VECTORS / "make_safety.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_golden_values_are_what_their_generator_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = load_generator()
    monkeypatch.setattr(generator, "FILE", tmp_path / "safety.json")
    generator.main()
    assert (tmp_path / "safety.json").read_bytes() == (VECTORS / "safety.json").read_bytes()


def test_the_generator_does_not_use_what_it_checks() -> None:
    text = (VECTORS / "make_safety.py").read_text()
    assert "from sealcast" not in text
    assert "import sealcast" not in text


@pytest.mark.parametrize("case", GOLDEN["fingerprints"])
def test_a_fingerprint_is_the_golden_one(case: dict[str, Any]) -> None:
    user, identity = case["user"], bytes.fromhex(case["identity"])
    digits = member_fingerprint(Holder(user, identity)) if user else key_fingerprint(identity)
    assert digits == case["digits"]
    assert len(digits) == DIGITS // 2


def test_the_golden_fingerprints_have_one_that_begins_with_zeros() -> None:
    assert any(case["digits"].startswith("000") for case in GOLDEN["fingerprints"])


@pytest.mark.parametrize("case", GOLDEN["safety_numbers"])
def test_a_safety_number_is_the_golden_one_from_both_sides(case: dict[str, Any]) -> None:
    one, other = (Holder(side["user"], bytes.fromhex(side["identity"])) for side in case["members"])
    assert safety_number(one, other) == safety_number(other, one) == case["digits"]


@pytest.mark.parametrize("case", GOLDEN["channel_codes"])
def test_a_channel_code_is_the_golden_one(case: dict[str, Any]) -> None:
    hellos = [bytes.fromhex(text) for text in case["hellos"]]
    ctx = context_id(case["app"], case["channel"])
    assert channel_code(ctx, hellos) == channel_code(ctx, reversed(hellos)) == case["digits"]


# --- safety numbers ---


@given(holders, holders)
def test_both_sides_see_one_number_made_of_their_halves(one: Holder, other: Holder) -> None:
    if one == other:
        return
    number = safety_number(one, other)
    assert number == safety_number(other, one)
    assert len(number) == DIGITS
    assert number.isdigit()
    assert sorted((number[:30], number[30:])) == [number[:30], number[30:]]
    assert {number[:30], number[30:]} == {member_fingerprint(one), member_fingerprint(other)}


def test_a_key_in_the_middle_shows_on_both_sides() -> None:
    seen_by_alice = safety_number(ALICE, Holder("bob", MALLORY))
    seen_by_bob = safety_number(BOB, Holder("alice", MALLORY))
    assert len({seen_by_alice, seen_by_bob, safety_number(ALICE, BOB)}) == 3


def test_the_key_of_another_user_is_another_half() -> None:
    assert member_fingerprint(ALICE) != member_fingerprint(Holder("alicia", ALICE.identity))
    assert member_fingerprint(ALICE) != key_fingerprint(ALICE.identity)
    # Without the length in front of it, the name would flow into the key.
    shifted = Holder("alicea", ALICE.identity)
    assert member_fingerprint(shifted) != member_fingerprint(Holder("alice", b"a" + ALICE.identity[:-1]))


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_what_is_no_key_has_no_fingerprint(size: int) -> None:
    for ask in (key_fingerprint, lambda key: member_fingerprint(Holder("alice", key))):
        with pytest.raises(ValueError, match="32 bytes"):
            ask(bytes(size))
    with pytest.raises(ValueError, match="32 bytes"):
        safety_number(ALICE, Holder("bob", bytes(size)))


@pytest.mark.parametrize("user", ["", "*", "ä", "x" * 256])
def test_who_is_no_user_has_no_safety_number(user: str) -> None:
    with pytest.raises(InvalidName):
        safety_number(ALICE, Holder(user, BOB.identity))


def test_nobody_has_a_safety_number_with_themselves() -> None:
    with pytest.raises(ValueError, match="same one"):
        safety_number(ALICE, ALICE)
    # Two devices of one user, or two users with one key, are two.
    assert safety_number(ALICE, Holder("alice", BOB.identity))
    assert safety_number(ALICE, Holder("bob", ALICE.identity))


# --- channel codes ---


def test_members_who_see_the_same_sessions_have_the_same_code() -> None:
    sent = [Key.raw(bytes(32)).bind(APP, "standup", user).hello for user in ("alice", "bob", "carol")]
    bodies = [read_sent_hello(hello, CTX).body for hello in sent if hello is not None]
    assert len(bodies) == 3
    code = channel_code(CTX, bodies)
    for _ in range(5):
        random.shuffle(bodies)
        assert channel_code(CTX, iter(bodies)) == code
    assert channel_code(CTX, [*bodies, bodies[0]]) == code, "one session under two member numbers"


def test_another_member_another_session_or_another_channel_is_another_code() -> None:
    bodies = [b"hello of alice", b"hello of bob"]
    codes = [
        channel_code(CTX, bodies),
        channel_code(CTX, bodies[:1]),
        channel_code(CTX, [*bodies, b"hello of a ghost"]),
        channel_code(CTX, [bodies[0], b"hello of bob again"]),
        channel_code(CTX, [b"".join(bodies)]),
        channel_code(context_id(APP, "retro"), bodies),
        channel_code(context_id("f" * 32, "standup"), bodies),
    ]
    assert len(set(codes)) == len(codes)


def test_an_empty_channel_has_no_code() -> None:
    with pytest.raises(ValueError, match="somebody in it"):
        channel_code(CTX, [])
    with pytest.raises(ValueError, match="32 bytes"):
        channel_code(CTX[:31], [b"hello"])


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=6))
def test_a_code_always_has_sixty_digits(hellos: list[bytes]) -> None:
    code = channel_code(CTX, hellos)
    assert read_digits(code) == code


# --- showing, reading, comparing ---


def test_digits_are_shown_in_groups_with_a_half_to_a_line() -> None:
    number = safety_number(ALICE, BOB)
    lines = grouped(number)
    assert [line.replace(" ", "") for line in lines] == [number[:30], number[30:]]
    assert [[len(group) for group in line.split(" ")] for line in lines] == [[5] * 6] * 2
    assert grouped("000001234599999") == ["00000 12345 99999"]


@given(numbers, st.lists(st.sampled_from([" ", "\n", "\t", "-", "  ", "\r\n", "\xa0"]), max_size=30))
def test_digits_are_read_however_they_were_grouped(number: str, gaps: list[str]) -> None:
    text = number
    for at, gap in enumerate(gaps):
        text = text[: at * 2] + gap + text[at * 2 :]
    assert read_digits(text) == number
    assert read_digits("\n".join(grouped(number))) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1" * 59,
        "1" * 61,
        "1" * 59 + "x",
        "1" * 30,
        "٣" * 60,
        "²" * 60,
        "+" + "1" * 59,
        " " * 2000 + "1" * 60,
    ],
)
def test_what_is_no_number_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="60 digits") as refused:
        read_digits(text)
    assert not text or text not in str(refused.value)


@given(st.text(max_size=100))
def test_whatever_is_typed_is_read_or_refused(text: str) -> None:
    try:
        digits = read_digits(text)
    except ValueError:
        return
    assert len(digits) == DIGITS


@given(numbers, st.integers(0, DIGITS - 1), st.integers(1, 9))
def test_one_wrong_digit_is_a_difference(number: str, at: int, by: int) -> None:
    wrong = number[:at] + str((int(number[at]) + by) % 10) + number[at + 1 :]
    assert same_digits(number, str(number))
    assert not same_digits(number, wrong)
    assert not same_digits(number, number[:-1])
