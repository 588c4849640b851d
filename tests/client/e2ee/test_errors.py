"""The SDK's errors: one root, a sentence that says what to do, nothing private."""

from __future__ import annotations

import pytest

from sealcast.client import errors
from sealcast.client.errors import (
    ChannelClosed,
    ConnectFailed,
    CopyRefused,
    Disconnected,
    EpochRefused,
    JoinRefused,
    LimitExceeded,
    NotConnected,
    RequestRefused,
    RequestTimeout,
    SealcastError,
    SealError,
    SuiteRefused,
)
from sealcast.protocol.codes import end, reply

NAMES = [name for name in errors.__all__ if name != "SealcastError"]
SEALS = [getattr(errors, name) for name in NAMES if issubclass(getattr(errors, name), SealError)]


@pytest.mark.parametrize("name", NAMES)
def test_every_error_stands_under_the_root_and_in_the_drawn_tree(name: str) -> None:
    assert issubclass(getattr(errors, name), SealcastError)
    assert f"── {name} " in (errors.__doc__ or "")


@pytest.mark.parametrize("kind", SEALS)
def test_a_seal_error_has_a_sentence_of_its_own(kind: type[SealError]) -> None:
    assert str(kind()) == kind.summary
    assert sum(other.summary == kind.summary for other in SEALS) == 1
    assert str(kind("in detail")) == "in detail"


def test_errors_that_are_also_builtin_ones() -> None:
    assert issubclass(CopyRefused, TypeError)
    assert issubclass(SuiteRefused, ValueError)
    assert issubclass(EpochRefused, ValueError)
    assert issubclass(RequestTimeout, TimeoutError)
    assert issubclass(LimitExceeded, ValueError)


def test_a_refused_request_carries_its_code_and_when_to_try_again() -> None:
    error = RequestRefused(reply("rate_limited"), 2.5)
    assert (error.code.name, error.retry_after, error.temporary) == ("rate_limited", 2.5, True)
    assert str(error).endswith("(retry after 2.5 s)")
    plain = JoinRefused(reply("not_permitted"))
    assert isinstance(plain, RequestRefused)
    assert (plain.retry_after, plain.temporary) == (None, False)
    assert str(plain) == f"117 not_permitted: {reply('not_permitted').message}"


def test_a_disconnection_says_why_and_whether_to_come_back() -> None:
    back = Disconnected(end("draining"), True)
    assert (back.code, back.returns) == (end("draining"), True)
    assert "4001 draining" in str(back)
    lost = Disconnected(None, False)
    assert lost.code is None
    assert "will fail again" in str(lost)


def test_a_failed_connection_tells_a_silent_server_from_one_that_refused() -> None:
    assert ConnectFailed().status is None
    assert "could not be reached" in str(ConnectFailed())
    refused = ConnectFailed(status=404)
    assert (refused.status, "HTTP 404" in str(refused)) == (404, True)
    assert str(ConnectFailed("no route", status=502)) == "no route"


def test_the_other_errors_say_what_to_do() -> None:
    assert "connect first" in str(NotConnected())
    assert "try again" in str(RequestTimeout())
    limit = LimitExceeded("the message", 1024)
    assert (limit.limit, str(limit)) == (1024, "the message exceeds the limit of 1024 bytes; send less")
    assert ChannelClosed().code is None
    closed = ChannelClosed(end("kicked"))
    assert closed.code is end("kicked")
    assert "4507 kicked" in str(closed)
