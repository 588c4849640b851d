"""Which rules match whom, against the plain definition: all that a rule names has to match."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sealcast.protocol.names import Privilege
from sealcast.server.bans import FOREVER, PRIVILEGES, Ban, BanBook

APP = "0123456789abcdef0123456789abcdef"
NETWORKS = [
    "192.0.2.7",
    "192.0.2.0/24",
    "192.0.0.0/8",
    "0.0.0.0/0",
    "2001:db8:1:2::/64",
    "2001:db8::/32",
    "2001:db8:1:2::5",
]
ADDRESSES = [
    "192.0.2.7",
    "192.0.2.8",
    "198.51.100.1",
    "2001:db8:1:2::5",
    "2001:db8:1:3::5",
    "::ffff:192.0.2.7",
    "",
]
channels, users = st.sampled_from(["standup", "lobby"]), st.sampled_from(["ann", "bob"])
rules = st.builds(
    Ban,
    ban_id=st.integers(0, 30).map(lambda number: f"{number:020x}"),
    app_id=st.just(APP),
    address=st.none() | st.sampled_from(NETWORKS),
    channel=st.none() | channels,
    user=st.none() | users,
    privileges=st.sets(st.sampled_from(sorted(PRIVILEGES)), min_size=1).map(tuple),
    until=st.none() | st.integers(0, 20).map(float),
    reason=st.just(""),
    creator=st.just("me"),
    created=st.just(0.0),
)


def plainly(
    bans: Iterable[Ban], channel: str | None, user: str | None, address: str, now: float
) -> dict[Privilege, float]:
    denied: dict[Privilege, float] = {}
    for ban in bans:
        matches = (
            ban.channel in (None, channel)
            and ban.user in (None, user)
            and (ban.address is None or ban.covers(address))
        )
        if matches and ban.end > now:
            for name in ban.privileges:
                denied[PRIVILEGES[name]] = max(denied.get(PRIVILEGES[name], 0.0), ban.end)
    return denied


@given(
    st.lists(st.tuples(rules, st.booleans()), max_size=40),
    channels,
    users,
    st.sampled_from(ADDRESSES),
    st.integers(0, 20),
)
def test_the_book_finds_what_going_through_all_rules_finds(
    steps: list[tuple[Ban, bool]], channel: str, user: str, address: str, now: int
) -> None:
    book, there = BanBook(), dict[str, Ban]()
    for ban, put in steps:
        if put:
            book.put(ban)
            there[ban.ban_id] = ban
        else:
            assert book.take(ban.ban_id) == there.pop(ban.ban_id, None)
    assert {ban.ban_id: ban for ban in book} == there
    assert len(book) == len(there)
    assert book.denied(channel, user, address, now) == plainly(there.values(), channel, user, address, now)
    everywhere = plainly(there.values(), None, None, address, now)
    assert book.shut_out(address, now) == (Privilege.JOIN in everywhere)
    over = book.lapsed(now)
    assert {ban.ban_id for ban in over} == {key for key, ban in there.items() if ban.end <= now}
    assert book.denied(channel, user, address, now) == plainly(there.values(), channel, user, address, now)


def rule(number: int, **what: object) -> Ban:
    plain = Ban(f"{number:020x}", APP, None, None, None, ("join",), None, "", "me", 0.0)
    return replace(plain, **what)  # type: ignore[arg-type]


def test_of_several_rules_the_last_end_counts() -> None:
    book = BanBook()
    book.put(rule(1, user="ann", privileges=("audio",), until=10.0))
    book.put(rule(2, channel="standup", privileges=("audio", "video"), until=20.0))
    assert book.denied("standup", "ann", "", 0.0) == {Privilege.AUDIO: 20.0, Privilege.VIDEO: 20.0}
    assert book.denied("lobby", "ann", "", 0.0) == {Privilege.AUDIO: 10.0}
    book.put(rule(1, user="ann", privileges=("audio",)))
    assert book.denied("standup", "ann", "", 99.0) == {Privilege.AUDIO: FOREVER}


def test_an_address_of_one_family_is_not_in_a_network_of_the_other() -> None:
    book = BanBook()
    book.put(rule(1, address="0.0.0.0/0"))
    assert book.shut_out("192.0.2.1", 0.0)
    assert not book.shut_out("2001:db8::1", 0.0)


def test_ten_thousand_rules_cost_a_question_no_more_than_one_does() -> None:
    def spent(count: int) -> float:
        book = BanBook()
        for number in range(count):
            book.put(rule(number * 3, user=f"user-{number}"))
            book.put(rule(number * 3 + 1, address=f"10.{number >> 8 & 255}.{number & 255}.1"))
            book.put(rule(number * 3 + 2, channel=f"room-{number}", user="ann"))
        best = FOREVER
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(200):
                assert not book.denied("standup", "bob", "192.0.2.1", 0.0)
            best = min(best, time.perf_counter() - start)
        return best

    assert spent(3_400) < 20 * spent(1)
