"""The judge of real conversations sees what it is to see."""

from __future__ import annotations

import pytest

from sealcast.client import Message

from ..simulator.record import Diary, Place, Wrong
from .crowd import check


def said(diary: Diary, offset: int, data: bytes) -> None:
    diary.tried.add(data)
    diary.acked[data] = Place("epoch", offset)


def heard(diary: Diary, offset: int, data: bytes) -> None:
    diary.events.append(Message(1, "alice", data, offset, "epoch"))


@pytest.fixture
def talk() -> tuple[Diary, Diary]:
    alice, bob = Diary("alice"), Diary("bob")
    for offset in (1, 2, 3):
        said(alice, offset, b"%d" % offset)
        heard(bob, offset, b"%d" % offset)
    return alice, bob


def test_a_whole_conversation_is_right(talk: tuple[Diary, Diary]) -> None:
    check(list(talk), complete=True)


def test_an_acknowledged_message_that_did_not_come_is_wrong(talk: tuple[Diary, Diary]) -> None:
    del talk[1].events[-1]
    with pytest.raises(Wrong, match="lacks 1 acknowledged"):
        check(list(talk), complete=True)


def test_a_gap_that_was_not_told_is_wrong(talk: tuple[Diary, Diary]) -> None:
    del talk[1].events[1]
    with pytest.raises(Wrong, match="passed over"):
        check(list(talk), complete=False)


def test_a_message_that_comes_twice_is_wrong(talk: tuple[Diary, Diary]) -> None:
    heard(talk[1], 4, b"3")
    with pytest.raises(Wrong):
        check(list(talk), complete=False)


def test_another_order_is_wrong(talk: tuple[Diary, Diary]) -> None:
    talk[1].events.reverse()
    with pytest.raises(Wrong):
        check(list(talk), complete=False)


def test_an_ack_of_another_place_is_wrong(talk: tuple[Diary, Diary]) -> None:
    talk[0].acked[b"3"] = Place("epoch", 4)
    with pytest.raises(Wrong):
        check(list(talk), complete=False)


def test_a_message_without_an_answer_is_wrong_in_the_end(talk: tuple[Diary, Diary]) -> None:
    talk[0].tried.add(b"never answered")
    with pytest.raises(Wrong, match="never heard of"):
        check(list(talk), complete=True)
