"""Names: exactly the characters of the field, exactly the sizes, and one spelling for each."""

from __future__ import annotations

import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.protocol.errors import InvalidName, SealcastError
from sealcast.protocol.names import (
    CHANNEL_MAX,
    PRIVILEGE_OF_KIND,
    SUBPROTOCOL,
    USER_MAX,
    Kind,
    Privilege,
    app_id,
    certificate,
    channel_name,
    user_id,
)

CHANNEL_CHARACTERS = string.ascii_letters + string.digits + " !#$%&()+-:;<=.>?@[]^_{}|~,"
USER_CHARACTERS = "".join(chr(n) for n in range(0x20, 0x7F) if chr(n) != "*")

CHECKS: list[tuple[Callable[[str], str], str]] = [
    (app_id, "0123456789abcdefABCDEF0123456789"),
    (certificate, "fedcba9876543210FEDCBA9876543210"),
    (channel_name, "standup"),
    (user_id, "alice"),
]


def test_a_channel_name_has_89_characters_to_choose_from() -> None:
    allowed = {chr(n) for n in range(0x300) if _accepted(channel_name, chr(n))}
    assert allowed == set(CHANNEL_CHARACTERS)
    assert len(allowed) == 89


def test_a_user_name_is_printable_ascii_without_the_wildcard() -> None:
    assert {chr(n) for n in range(0x300) if _accepted(user_id, chr(n))} == set(USER_CHARACTERS)


def _accepted(check: Callable[[str], str], text: str) -> bool:
    try:
        return check(text) == text
    except InvalidName:
        return False


@given(st.text(CHANNEL_CHARACTERS, min_size=1, max_size=CHANNEL_MAX))
def test_an_allowed_channel_name_is_kept_as_it_is(text: str) -> None:
    assert channel_name(text) == text


@given(st.text(USER_CHARACTERS, min_size=1, max_size=USER_MAX))
def test_an_allowed_user_name_is_kept_as_it_is(text: str) -> None:
    assert user_id(text) == text


@given(st.text(min_size=1))
def test_names_are_accepted_or_refused_by_one_rule_and_never_changed(text: str) -> None:
    assert _accepted(channel_name, text) is (
        len(text) <= CHANNEL_MAX and set(text) <= set(CHANNEL_CHARACTERS)
    )
    assert _accepted(user_id, text) is (len(text) <= USER_MAX and set(text) <= set(USER_CHARACTERS))


@pytest.mark.parametrize(("check", "most"), [(channel_name, CHANNEL_MAX), (user_id, USER_MAX)])
def test_a_name_has_at_least_one_and_at_most_its_limit_of_characters(
    check: Callable[[str], str], most: int
) -> None:
    assert check("x" * most) == "x" * most
    for text in ("", "x" * (most + 1)):
        with pytest.raises(InvalidName):
            check(text)


@pytest.mark.parametrize("text", ["*", "a*", "ä", "a\n", "\n", "a\0", "ａ", "\x7f", "a\u200b"])
def test_what_could_be_spelled_two_ways_or_mean_everything_is_no_name(text: str) -> None:
    for check in (channel_name, user_id):
        with pytest.raises(InvalidName):
            check(text)


@pytest.mark.parametrize("check", [app_id, certificate])
def test_an_app_id_and_a_certificate_are_32_hexadecimal_characters(check: Callable[[str], str]) -> None:
    good = "0123456789abcdefABCDEF0123456789"
    assert check(good) == good, "case is kept"
    for bad in ("", good[:-1], good + "0", good[:-1] + "g", good + "\n", good[:-1] + "٣", " " + good[1:]):
        with pytest.raises(InvalidName):
            check(bad)


@pytest.mark.parametrize(("check", "good"), CHECKS)
def test_a_refused_name_is_never_repeated_by_the_error(check: Callable[[str], str], good: str) -> None:
    with pytest.raises(InvalidName) as caught:
        check(good + "*SECRET*" + "x" * 300)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, SealcastError)


def test_kinds_fit_in_four_bits_and_each_has_its_privilege() -> None:
    assert all(0 <= kind <= 15 for kind in Kind)
    assert set(PRIVILEGE_OF_KIND) == set(Kind)
    assert {int(kind): int(need) for kind, need in PRIVILEGE_OF_KIND.items()} == {
        0: 1,
        1: 2,
        2: 3,
        3: 4,
        4: 4,
        5: 3,
        15: 4,
    }
    assert [int(privilege) for privilege in Privilege] == [1, 2, 3, 4]


def test_the_subprotocol_is_the_name_of_the_protocol() -> None:
    assert SUBPROTOCOL == "sealcast.1"
