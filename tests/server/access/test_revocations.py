"""Which tokens a revocation is about, and how long it is needed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sealcast.server.revocations import Revocation, RevocationBook, needed_until

APP = "0123456789abcdef0123456789abcdef"
channels, users = st.sampled_from(["standup", "lobby"]), st.sampled_from(["ann", "bob"])
token_ids = st.sampled_from(["a" * 32, "b" * 32])
ids = st.integers(0, 20).map(lambda number: f"{number:020x}")


def of_token(number: str, token_id: str, until: float) -> Revocation:
    return Revocation(number, APP, token_id, None, None, None, until, "", "me", 0.0)


def of_scope(number: str, channel: str | None, user: str | None, before: int, until: float) -> Revocation:
    return Revocation(number, APP, None, channel, user, float(before), until, "", "me", 0.0)


ends = st.integers(0, 20).map(float)
revocations = st.builds(of_token, ids, token_ids, ends) | st.builds(
    of_scope, ids, st.none() | channels, st.none() | users, st.integers(0, 20), ends
)


def plainly(each: Revocation, channel: str, user: str, token_id: str, issued_at: float) -> bool:
    if each.token_id is not None:
        return each.token_id == token_id
    assert each.issued_before is not None
    return each.channel in (None, channel) and each.user in (None, user) and issued_at < each.issued_before


@given(
    st.lists(st.tuples(revocations, st.booleans()), max_size=30),
    channels,
    users,
    token_ids,
    st.integers(0, 20),
    st.integers(0, 20),
)
def test_the_book_finds_what_going_through_all_of_them_finds(
    steps: list[tuple[Revocation, bool]], channel: str, user: str, token_id: str, issued_at: int, now: int
) -> None:
    book, there = RevocationBook(), dict[str, Revocation]()
    for each, put in steps:
        if put:
            book.put(each)
            there[each.revocation_id] = each
        else:
            assert book.take(each.revocation_id) == there.pop(each.revocation_id, None)
    asked = (channel, user, token_id, issued_at)
    assert book.revoked(*asked) == any(plainly(each, *asked) for each in there.values())
    assert len(book) == len(there)
    gone = {each.revocation_id for each in book.lapsed(now)}
    assert gone == {key for key, each in there.items() if each.until <= now}
    left = [each for each in there.values() if each.until > now]
    assert book.revoked(*asked) == any(plainly(each, *asked) for each in left)


def test_it_is_needed_for_as_long_as_a_token_may_live_and_clocks_may_differ() -> None:
    assert needed_until(1000.0, None, 60) == 1000 + 86_400 + 60
    assert needed_until(1000.0, 500.0, 0) == 1000 + 86_400, "a token that was dated back lives a day, too"
    assert needed_until(1000.0, 2000.0, 0) == 2000 + 86_400
