"""What events are in words."""

from __future__ import annotations

import pytest

from sealcast.cli.notices import ended, lost, notice
from sealcast.client import (
    Disconnected,
    Draining,
    Dropped,
    Event,
    Frame,
    Left,
    MemberJoined,
    MemberLeft,
    Message,
    Refused,
    RenewFailed,
    Resumed,
    SealFailure,
    TokenExpiring,
)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (MemberJoined(1, "bob"), "bob joined"),
        (MemberJoined(1, "bob", verified=False), "bob joined, but nothing of theirs will open"),
        (MemberLeft(1, "bob", "left"), "bob left"),
        (MemberLeft(1, "bob", "replaced"), "bob left (replaced)"),
        (
            Dropped({"audio": 3, "message": 1}, "server"),
            "dropped, because it was not taken in time: 3 audio, 1 message",
        ),
        (
            Disconnected(4005, "connection_lost", True),
            "the connection is interrupted (connection_lost); coming back",
        ),
        (Disconnected(4505, "too_many_errors", False), None),
        (Resumed(True, 0), "connected again"),
        (Resumed(False, 2), "connected again; 2 messages were missed"),
        (Resumed(False, None), "connected again; it is not known how many messages were missed"),
        (Draining(2.0), "the server is going away; moving in 2.0 s"),
        (
            SealFailure(1, "bob", "open_failed"),
            "something of bob did not open (open_failed); check that all members have the same key",
        ),
        (TokenExpiring(29.6), "the token ends in 30 s, and the membership with it"),
        (RenewFailed(ValueError("007secret"), True), "no new token could be had; it is tried again"),
        (Refused(131, "x", "the counter", 3), "the server refused 3 frames: the counter"),
        (Message(1, "bob", b"hi", 1, "e"), None),
        (Frame(1, "bob", "audio", 2, b""), None),
        (Left(4500, "left"), None),
    ],
)
def test_an_event_is_a_line_or_no_news(event: Event, text: str | None) -> None:
    assert notice(event) == text


def test_a_pipe_does_not_care_who_comes_and_goes() -> None:
    assert notice(MemberJoined(1, "bob"), members=False) is None
    assert notice(MemberLeft(1, "bob", "left"), members=False) is None


def test_where_there_is_no_key_nobody_is_blamed_for_having_none() -> None:
    assert notice(MemberJoined(1, "bob", verified=False), sealed=False) == "bob joined"


def test_only_missing_messages_are_a_loss() -> None:
    assert lost(Dropped({"message": 1}, "client"))
    assert lost(Resumed(False, 2))
    assert lost(Resumed(False, None))
    assert not lost(Resumed(True, 0))
    assert not lost(Dropped({"audio": 1}, "server"))
    assert not lost(MemberJoined(1, "bob"))


def test_a_membership_that_ended_by_itself_is_a_failure() -> None:
    assert str(ended(Left(4507, "kicked", "an operator removed this member"))) == (
        "the membership has ended (kicked): an operator removed this member"
    )
    assert ended(Left(4500, "left")) is None
    assert ended(MemberJoined(1, "bob")) is None
