"""The judge of the simulations: it finds each kind of broken promise, and lets true diaries pass."""

from __future__ import annotations

import pytest

from sealcast.client import Message, Resumed, SealFailure

from .record import Diary, Place, Wrong, judge


def message(user: str, text: str, offset: int, epoch: str = "e") -> Message:
    return Message(1, user, text.encode(), offset, epoch)


def diary(user: str, *events: Message | Resumed | SealFailure, acked: dict[str, int] | None = None) -> Diary:
    places = {text.encode(): Place("e", offset) for text, offset in (acked or {}).items()}
    return Diary(user, list(events), places, set(places))


ANN = diary("ann", message("bob", "b1", 2), acked={"a1": 1, "a2": 3})


def test_a_true_conversation_passes() -> None:
    judge([ANN, diary("bob", message("ann", "a1", 1), message("ann", "a2", 3), acked={"b1": 2})])


@pytest.mark.parametrize(
    ("events", "wrong"),
    [
        ([message("ann", "a1", 1), message("ann", "a2", 4)], "one message at"),
        ([message("ann", "a1", 1), message("eve", "x", 3)], "two messages at"),
        ([message("ann", "a2", 3), message("ann", "a1", 1)], "received offset 1 after 3"),
        ([message("ann", "a1", 1), message("ann", "a1", 1)], "received offset 1 after 1"),
        ([message("bob", "b1", 2)], "of its own"),
        ([message("ann", "a1", 1), message("eve", "x", 5)], "passed over"),
        ([message("ann", "a1", 1), Resumed(True, 0), message("eve", "x", 5)], "passed over"),
        ([message("ann", "a1", 1), Resumed(False, 1), message("eve", "x", 5)], "passed over"),
        ([message("ann", "a1", 1), message("eve", "x", 1, "f")], "without being told"),
        ([message("ann", "a1", 1), Resumed(True, 2)], "all was recovered"),
    ],
)
def test_a_broken_promise_is_found(events: list[Message | Resumed | SealFailure], wrong: str) -> None:
    bob = diary("bob", *events, acked={"b1": 2})
    with pytest.raises(Wrong, match=wrong):
        judge([ANN, bob])


@pytest.mark.parametrize(
    "events",
    [
        [message("ann", "a1", 1), Resumed(False, 2), message("eve", "x", 5)],
        [message("ann", "a1", 1), Resumed(False, None), message("eve", "x", 1, "f")],
        [message("ann", "a1", 1), SealFailure(1, "ann", "not_fresh", 1), message("eve", "x", 4)],
    ],
)
def test_a_gap_that_was_announced_passes(events: list[Message | Resumed | SealFailure]) -> None:
    judge([ANN, diary("bob", *events, acked={"b1": 2})])
