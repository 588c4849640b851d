"""Sessions, codes and figures by themselves: what is bounded, what ends, what is drawn."""

from __future__ import annotations

import pytest

from sealcast.server.http.console.figures import KEPT, Counts, Row, Rows, Series
from sealcast.server.http.console.onetime import CODE_LIFE, OneTime
from sealcast.server.http.console.rendering import shown
from sealcast.server.http.console.sessions import IDLE, LIFE, Sessions
from sealcast.server.http.console.visit import scopes_of
from sealcast.server.http.console.watching import lasted


def test_sessions_of_one_account_are_bounded_the_idlest_ends() -> None:
    sessions = Sessions()
    ids = [sessions.begin("ada", "ada@example.org", "admin", "", float(n)) for n in range(20)]
    assert sessions.find(ids[0], 20.0) is not None
    newest = sessions.begin("ada", "ada@example.org", "admin", "", 21.0)
    assert len(sessions) == 20
    assert [n for n, each in enumerate(ids) if sessions.find(each, 22.0) is None] == [1]
    assert sessions.find(newest, 22.0) is not None


def test_sessions_are_bounded_over_all_accounts_and_those_that_are_over_are_forgotten() -> None:
    sessions = Sessions()
    for number in range(1_100):
        sessions.begin(f"{number}", "somebody", "viewer", "", 0.0)
    assert len(sessions) == 1_000
    sessions.begin("last", "somebody", "viewer", "", IDLE)
    assert len(sessions) == 1


def test_a_session_lives_no_longer_than_it_may_however_busy() -> None:
    sessions = Sessions()
    session_id = sessions.begin("ada", "ada@example.org", "admin", "", 0.0)
    now = 0.0
    while now + 1000 < LIFE:
        now += 1000
        assert sessions.find(session_id, now) is not None
    assert sessions.find(session_id, LIFE) is None
    assert len(sessions) == 0


def test_nothing_of_a_session_shows_its_id_or_hash() -> None:
    sessions = Sessions()
    session_id = sessions.begin("ada", "ada@example.org", "admin", "$argon2id$secret", 0.0)
    shown_of_it = repr(sessions.find(session_id, 0.0))
    assert session_id not in shown_of_it
    assert "argon2id" not in shown_of_it


def test_csrf_tokens_differ_by_cookie_and_by_process() -> None:
    one, two = Sessions(), Sessions()
    assert one.csrf_good("cookie", one.csrf("cookie"))
    assert not one.csrf_good("another", one.csrf("cookie"))
    assert not two.csrf_good("cookie", one.csrf("cookie"))
    assert not one.csrf_good("", one.csrf(""))


def test_codes_are_good_once_for_a_while_and_bounded() -> None:
    codes = OneTime()
    first = codes.make("viewer", 0.0)
    assert codes.take(first, 1.0) == "viewer"
    assert codes.take(first, 1.0) is None
    late = codes.make("admin", 0.0)
    assert codes.take(late, CODE_LIFE) is None
    many = [codes.make("viewer", 0.0) for _ in range(17)]
    assert [codes.take(each, 1.0) for each in many] == [None] + ["viewer"] * 16


def test_a_series_has_rates_levels_and_shares() -> None:
    series = Series()
    series.add(Counts(10.0, {"members": 1}, {"frames": 100}, {"encrypted": (90, 100)}))
    series.add(Counts(12.0, {"members": 2}, {"frames": 150}, {"encrypted": (130, 150)}))
    series.add(Counts(13.0, {"members": 2}, {"frames": 150}, {"encrypted": (130, 150)}))
    assert series.values == {"members": [1, 2, 2], "frames": [0.0, 25.0, 0.0], "encrypted": [None, 0.8, None]}
    series.add(Counts(13.0, {"members": 9}, {"frames": 999}, {}))
    assert series.latest["members"] == 2, "the same moment is looked at once"
    series.add(Counts(14.0, {"members": 0}, {"frames": 10}, {"encrypted": (10, 10)}))
    assert series.latest == {"members": 0, "frames": 0.0, "encrypted": None}, "who left takes sums along"


def test_a_series_is_bounded() -> None:
    series = Series()
    for now in range(KEPT * 2):
        series.add(Counts(float(now), {"members": now}))
    assert series.values["members"] == list(range(KEPT, KEPT * 2))


def test_rows_have_rates_from_the_second_look_on() -> None:
    rows = Rows()
    rows.put([Row("a", {"user": "ada"}, {"bytes": 100})], 10.0)
    rows.put([Row("a", {"user": "ada"}, {"bytes": 300}), Row("b", {"user": "bob"}, {"bytes": 7})], 12.0)
    assert rows.values == [
        {"key": "a", "user": "ada", "bytes": 100.0},
        {"key": "b", "user": "bob", "bytes": None},
    ]
    rows.keep({"b"})
    assert [row["user"] for row in rows.values] == ["bob"]
    rows.put([], 13.0)
    assert rows.values == []


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "n", "–"),
        ("", "text", "–"),
        ("away", "text", "away"),
        (1234.4, "n", "1,234"),
        (1, "%", "100 %"),
        (0.98765, "%", "98.77 %"),
        (0.123, "ms", "0.12 ms"),
        (999, "B/s", "999 B/s"),
        (12_345, "B/s", "12.3 kB/s"),
        (123_456, "B/s", "123 kB/s"),
    ],
)
def test_figures_are_written_for_people(value: object, unit: str, text: str) -> None:
    assert shown(value, unit) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3_661, "1 h 1 min"),
        (90_000, "1 d 1 h"),
        (86_405, "1 d 5 s"),
    ],
)
def test_how_long_is_said_in_two_units(seconds: float, text: str) -> None:
    assert lasted(seconds) == text


def test_a_viewer_may_change_nothing_and_an_operator_makes_no_keys() -> None:
    assert not [scope for scope in scopes_of("viewer") if scope.endswith(":write")]
    assert scopes_of("admin") - scopes_of("operator") == {"keys:write"}
