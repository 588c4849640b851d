"""The table of codes: stable numbers, stable names, and ranges that say whether to come back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sealcast.protocol import errors
from sealcast.protocol.codes import ENDS, REPLIES, Code, by_number, end, reply, returns

ALL = [*REPLIES.values(), *ENDS.values()]

# A number or a name that has been on the wire never changes its meaning: rows are added, none is edited.
WIRE_REPLIES = {
    100: "internal_error",
    101: "bad_request",
    102: "unknown_control",
    103: "not_joined",
    104: "already_joined",
    105: "invalid_name",
    106: "too_big",
    107: "rate_limited",
    108: "draining",
    110: "token_required",
    111: "invalid_token",
    112: "token_expired",
    113: "token_not_yet_valid",
    114: "app_mismatch",
    115: "channel_mismatch",
    116: "user_mismatch",
    117: "not_permitted",
    118: "token_version_refused",
    120: "channel_full",
    121: "too_many_channels",
    122: "app_full",
    130: "encryption_required",
    131: "counter_repeated",
    132: "bad_frame",
}
WIRE_ENDS = {
    4000: "internal_error",
    4001: "draining",
    4002: "slow_consumer",
    4003: "heartbeat_timeout",
    4004: "token_expired",
    4005: "connection_lost",
    4500: "left",
    4501: "protocol_error",
    4502: "unauthenticated",
    4503: "too_big",
    4504: "text_refused",
    4505: "too_many_errors",
    4506: "replaced",
    4507: "kicked",
    4508: "banned",
    4509: "app_disabled",
}


@pytest.mark.parametrize(("table", "wire"), [(REPLIES, WIRE_REPLIES), (ENDS, WIRE_ENDS)])
def test_numbers_and_names_on_the_wire_have_not_changed(table: dict[str, Code], wire: dict[int, str]) -> None:
    assert {code.number: code.name for code in table.values()}.items() >= wire.items()


def test_every_reply_is_below_the_close_codes_and_every_end_is_one() -> None:
    assert all(100 <= code.number <= 399 for code in REPLIES.values())
    assert all(4000 <= code.number <= 4999 for code in ENDS.values())


def test_tables_are_in_the_order_of_their_numbers() -> None:
    for table in (REPLIES, ENDS):
        numbers = [code.number for code in table.values()]
        assert numbers == sorted(numbers)


def test_no_number_stands_in_both_tables() -> None:
    assert len({code.number for code in ALL}) == len(ALL)


@pytest.mark.parametrize("code", ALL, ids=str)
def test_a_code_fits_what_carries_it(code: Code) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code.name)
    assert len(code.name.encode()) <= 64, "the fields `name` and `reason` take 64 characters"
    assert len(code.name.encode()) <= 123, "a WebSocket close reason takes 123 bytes"
    assert 0 < len(code.message) <= 256
    assert code.message.isascii()
    assert "\n" not in code.message


def test_only_replies_are_called_temporary() -> None:
    assert not any(code.temporary for code in ENDS.values())
    temporary = {code.name for code in REPLIES.values() if code.temporary}
    assert temporary == {
        "internal_error",
        "rate_limited",
        "draining",
        "channel_full",
        "app_full",
        "not_stored",
        "lock_held",
    }


def test_a_code_is_found_by_its_number_and_by_its_name() -> None:
    for name, code in REPLIES.items():
        assert reply(name) is code
        assert by_number(code.number) is code
    for name, code in ENDS.items():
        assert end(name) is code
        assert by_number(code.number) is code


def test_the_same_name_may_be_a_reply_and_an_end_with_different_numbers() -> None:
    assert reply("draining").number == 108
    assert end("draining").number == 4001


def test_an_unknown_number_is_nobody_s_error() -> None:
    assert by_number(399) is None
    assert by_number(-1) is None


def test_an_unknown_name_is_a_bug_of_the_caller() -> None:
    with pytest.raises(KeyError):
        reply("left")
    with pytest.raises(KeyError):
        end("bad_request")


def test_a_code_prints_as_number_and_name() -> None:
    assert str(end("kicked")) == "4507 kicked"


@pytest.mark.parametrize(("number", "comes_back"), [(4000, True), (4499, True), (4500, False), (4999, False)])
def test_the_range_of_an_end_is_the_advice_even_for_codes_of_a_newer_peer(
    number: int, comes_back: bool
) -> None:
    assert returns(number) is comes_back


@pytest.mark.parametrize("number", [1000, 1001, 1005, 1006, 1011, 1012, 1013, 1014, 1015, 3000])
def test_a_connection_that_ended_without_a_word_of_ours_comes_back(number: int) -> None:
    assert returns(number)


@pytest.mark.parametrize("number", [1002, 1003, 1007, 1008, 1009, 1010])
def test_peers_that_do_not_speak_the_same_protocol_stay_apart(number: int) -> None:
    assert not returns(number)


def test_every_token_error_says_a_reply_of_the_table_and_carries_its_message() -> None:
    kinds = [
        kind
        for name in errors.__all__
        if isinstance(kind := getattr(errors, name), type) and issubclass(kind, errors.TokenError)
    ]
    assert len(kinds) == 10
    for kind in kinds:
        assert REPLIES[kind.code.name] is kind.code
        assert str(kind()) == kind.code.message
    assert str(errors.TokenExpired("the join privilege has ended")) == "the join privilege has ended"


def test_a_remote_error_is_fatal_when_its_code_ends_connections() -> None:
    assert errors.RemoteProtocolError("nonsense").code is end("protocol_error")
    assert errors.RemoteProtocolError("nonsense").fatal
    refused = errors.RemoteProtocolError("no such channel", reply("not_joined"), 7)
    assert not refused.fatal
    assert refused.ref == 7


def test_the_error_tree_is_drawn_with_every_error_in_it() -> None:
    drawn = set(re.findall(r"\b[A-Z][A-Za-z]+\b", (errors.__doc__ or "").split("::", 1)[1]))
    assert set(errors.__all__) <= drawn
    source = Path(errors.__file__).read_text()
    assert set(re.findall(r"^class (\w+)", source, re.MULTILINE)) == set(errors.__all__)
