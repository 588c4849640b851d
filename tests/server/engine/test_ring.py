"""A bounded log of messages, against a list without bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sealcast.server.engine.ring import COST, Ring
from sealcast.server.interfaces import Keep, Kept

SIZES = st.lists(st.integers(0, 50), max_size=40)


def filled(sizes: list[int], keep: Keep, start: int = 0) -> tuple[Ring, list[Kept]]:
    ring, everything = Ring(keep), []
    for offset, size in enumerate(sizes, start + 1):
        message = Kept(offset, 1, float(offset), bytes(size))
        ring.append(message)
        everything.append(message)
    return ring, everything


@given(SIZES, st.integers(0, 20), st.integers(1, 2000))
def test_it_holds_the_longest_end_that_fits(sizes: list[int], messages: int, most: int) -> None:
    ring, everything = filled(sizes, Keep(messages, most, 1e9))
    held = list(ring.page(after=0, before=None, limit=10**6, most_bytes=10**9).messages)
    assert held == everything[len(everything) - len(held) :]
    assert len(held) <= messages
    assert ring.size == sum(len(message.data) + COST for message in held) <= max(most, 0)
    longer = everything[len(everything) - len(held) - 1 :] if len(held) < len(everything) else []
    if longer:
        assert len(longer) > messages or sum(len(m.data) + COST for m in longer) > most


@given(SIZES, st.integers(0, 20), st.integers(0, 45), st.integers(0, 30), st.integers(0, 500))
def test_what_came_after_a_place_is_whole_or_nothing(
    sizes: list[int], messages: int, offset: int, most: int, most_bytes: int
) -> None:
    ring, everything = filled(sizes, Keep(messages, 10**6, 1e9))
    missed = everything[offset:]
    found = ring.since(offset, len(everything), most, most_bytes)
    size = sum(len(message.data) for message in missed)
    whole = offset <= len(everything) and len(missed) <= min(messages, most) and size <= most_bytes
    assert (None if found is None else list(found)) == (missed if whole or not missed else None) or (
        offset > len(everything) and found is None
    )


@given(SIZES, st.integers(0, 45), st.integers(1, 10), st.integers(0, 200), st.booleans())
def test_pages_walk_through_everything_once(
    sizes: list[int], start: int, limit: int, most_bytes: int, down: bool
) -> None:
    ring, everything = filled(sizes, Keep(1000, 10**6, 1e9))
    place, walked, more = start, [], True
    while more:
        page = ring.page(
            after=0 if down else place, before=place if down else None, limit=limit, most_bytes=most_bytes
        )
        assert len(page.messages) <= limit
        walked += list(reversed(page.messages)) if down else list(page.messages)
        more = page.more
        if page.messages:
            place = page.messages[0].offset if down else page.messages[-1].offset
    assert walked == (everything[: max(start - 1, 0)][::-1] if down else everything[start:])


@given(SIZES, st.floats(0, 60), st.floats(0, 60))
def test_what_is_too_old_goes_and_nothing_else(sizes: list[int], now: float, ttl: float) -> None:
    ring, everything = filled(sizes, Keep(1000, 10**6, ttl))
    gone = ring.expire(now)
    assert gone == [message for message in everything if message.at <= now - ttl]
    assert len(ring) == len(everything) - len(gone)


@given(SIZES, st.integers(0, 50))
def test_erasing_up_to_a_place_leaves_what_is_behind_it(sizes: list[int], upto: int) -> None:
    ring, everything = filled(sizes, Keep(1000, 10**6, 1e9))
    assert ring.erase(upto) == everything[:upto]
    left = ring.page(after=0, before=None, limit=10**6, most_bytes=10**9).messages
    assert list(left) == everything[upto:]
    if upto < len(everything):
        assert list(ring.since(upto, len(everything), 1000, 10**6) or ()) == everything[upto:]


def test_smaller_bounds_let_the_oldest_go() -> None:
    ring, everything = filled([1, 1, 1], Keep(10, 10**6, 1e9))
    assert ring.allow(Keep(1, 10**6, 1e9)) == everything[:2]
    assert ring.first == everything[2]
