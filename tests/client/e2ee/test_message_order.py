"""Messages leave in the order of the channel, and nothing stays behind."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.e2ee.message_order import BEHIND_BYTES, BEHIND_MAX, MessageOrder


class Item(NamedTuple):
    offset: int | None
    size: int = 10


def test_what_waits_holds_back_what_is_behind_it_and_nothing_else() -> None:
    order: MessageOrder[Item] = MessageOrder()
    order.wait(2)
    assert order
    assert order.let([Item(1), Item(3), Item(None)]) == [Item(1), Item(None)]
    order.wait(4)
    assert order.settle(2, [Item(5)]) == [Item(3)]
    assert order.let([Item(4)]) == [Item(4), Item(5)]
    assert not order


def test_more_than_may_wait_goes_all_the_same() -> None:
    for count, size in ((BEHIND_MAX + 1, 1), (9, BEHIND_BYTES // 8)):
        order: MessageOrder[Item] = MessageOrder()
        order.wait(0)
        out: list[Item] = []
        for offset in range(1, count + 1):
            out += order.let([Item(offset, size)])
        assert [item.offset for item in out] == list(range(1, count + 1))


@given(st.lists(st.sampled_from(["now", "wait", "lost"]), max_size=40), st.randoms())
def test_whatever_waits_and_for_however_long_all_come_once_in_order(fates: list[str], random: object) -> None:
    order: MessageOrder[Item] = MessageOrder()
    out: list[Item] = []
    waiting: list[int] = []
    for offset, fate in enumerate(fates):
        if fate == "now":
            out += order.let([Item(offset)])
        else:
            order.wait(offset)
            waiting.append(offset)
        if waiting and random.random() < 0.4:  # type: ignore[attr-defined]
            at = waiting.pop(random.randrange(len(waiting)))  # type: ignore[attr-defined]
            out += order.let([Item(at)]) if fates[at] == "wait" else order.settle(at, [])
    for at in waiting:
        out += order.let([Item(at)]) if fates[at] == "wait" else order.settle(at, [])
    assert [item.offset for item in out] == [at for at, fate in enumerate(fates) if fate != "lost"]
    assert not order
