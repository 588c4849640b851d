"""A channel's metadata as a model: revisions, compare-and-set, bounds and what they share."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sealcast.protocol.parts import VALUE_MAX
from sealcast.server.budget import Budget
from sealcast.server.interfaces import Author
from sealcast.server.metadata import ItemBounds, Items, Refused, is_name

ANN = Author(1, "ann", b"hello of ann")
BOB = Author(2, "bob", None)
BOUNDS = ItemBounds(items=64, bytes=65536)


def items(bounds: ItemBounds = BOUNDS, most: int = 2**20) -> Items:
    return Items(bounds, Budget(most))


def put(channel: Items, name: str, value: bytes | None, revision: int | None = None) -> int:
    change = channel.plan(name, value, revision, ANN)
    channel.make(change)
    return change.revision


def refusal(channel: Items, name: str, value: bytes | None, revision: int | None = None) -> str:
    before = (channel.all(), channel.revision, channel.size)
    with pytest.raises(Refused) as caught:
        channel.plan(name, value, revision, ANN)
    assert (channel.all(), channel.revision, channel.size) == before
    return caught.value.name


def test_changes_are_counted_from_one_and_over_all_items() -> None:
    channel = items()
    assert [put(channel, "a", b"1"), put(channel, "b", b"2"), put(channel, "a", b"3")] == [1, 2, 3]
    assert [(item.name, item.value, item.revision) for item in channel.all()] == [
        ("a", b"3", 3),
        ("b", b"2", 2),
    ]


def test_a_change_that_is_planned_has_not_happened_yet() -> None:
    channel = items()
    change = channel.plan("a", b"1", None, ANN)
    assert (len(channel), channel.revision) == (0, 0)
    channel.make(change)
    assert channel.all() == ((*change[:3], ANN),)


def test_a_change_that_another_one_has_overtaken_is_not_made() -> None:
    channel = items()
    late = channel.plan("a", b"1", None, ANN)
    put(channel, "b", b"2")
    with pytest.raises(ValueError, match="before another"):
        channel.make(late)


def test_a_revision_lets_only_those_change_an_item_who_know_what_it_is() -> None:
    channel = items()
    assert refusal(channel, "a", b"1", revision=1) == "revision_conflict"
    first = put(channel, "a", b"1", revision=0)
    assert refusal(channel, "a", b"2", revision=0) == "revision_conflict"
    second = put(channel, "a", b"2", revision=first)
    assert refusal(channel, "a", None, revision=first) == "revision_conflict"
    put(channel, "a", None, revision=second)
    assert channel.all() == ()


def test_an_item_that_comes_back_has_a_revision_that_it_never_had() -> None:
    channel = items()
    first = put(channel, "a", b"1")
    put(channel, "a", None)
    again = put(channel, "a", b"1", revision=0)
    assert again > first
    assert refusal(channel, "a", b"2", revision=first) == "revision_conflict"


def test_to_take_away_what_is_not_there_changes_nothing() -> None:
    channel = items()
    put(channel, "a", b"1")
    change = channel.plan("b", None, 0, ANN)
    channel.make(change)
    assert (change.made, change.revision, channel.revision) == (False, 1, 1)


@pytest.mark.parametrize("name", ["", "x" * 65, "tab\t", "line\n", "del\x7f", "é", "\x00", "a\u2028"])
def test_a_name_is_short_and_printable(name: str) -> None:
    assert not is_name(name)
    assert refusal(items(), name, b"1") == "invalid_name"


@pytest.mark.parametrize("name", ["a", " ", "x" * 64, "~", "cue point/1:now?"])
def test_a_name_may_hold_any_printable_ascii(name: str) -> None:
    assert is_name(name)


def test_a_value_has_a_largest_size() -> None:
    channel = items()
    put(channel, "a", bytes(VALUE_MAX))
    assert refusal(channel, "b", bytes(VALUE_MAX + 1)) == "too_big"


def test_a_channel_has_so_many_items_and_no_more() -> None:
    channel = items(ItemBounds(items=2, bytes=1000))
    put(channel, "a", b"")
    put(channel, "b", b"")
    assert refusal(channel, "c", b"") == "too_many_items"
    put(channel, "a", b"more")
    put(channel, "b", None)
    put(channel, "c", b"")


def test_names_and_values_of_a_channel_share_its_bytes() -> None:
    channel = items(ItemBounds(items=9, bytes=10))
    put(channel, "abc", b"1234")
    assert refusal(channel, "d", b"123") == "too_many_items"
    put(channel, "d", b"12")
    assert channel.size == 10
    put(channel, "abc", b"1")
    put(channel, "d", b"12345")


def test_channels_share_a_budget_and_give_it_back() -> None:
    budget = Budget(100)
    one, two = Items(BOUNDS, budget), Items(BOUNDS, budget)
    put(one, "a", bytes(70))
    assert budget.used == 1 + 70 + len("ann") + len(b"hello of ann")
    assert refusal(two, "a", bytes(10)) == "too_many_items"
    one.clear()
    assert budget.used == 0
    put(two, "a", bytes(10))


def test_what_is_over_a_bound_that_has_shrunk_can_be_made_smaller() -> None:
    channel = items()
    put(channel, "a", bytes(50))
    stored = Items(ItemBounds(items=1, bytes=10), Budget(5), channel.revision, channel.all())
    assert refusal(stored, "a", bytes(51)) == "too_many_items"
    assert put(stored, "a", bytes(49)) == 2


def test_what_was_stored_goes_on_where_it_was() -> None:
    channel = items()
    put(channel, "a", b"1")
    put(channel, "b", b"2")
    put(channel, "a", None)
    budget = Budget(2**20)
    again = Items(BOUNDS, budget, channel.revision, channel.all())
    assert again.all() == channel.all()
    assert (again.size, put(again, "c", b"3")) == (channel.size, 4)


def test_nothing_that_is_printed_shows_a_value() -> None:
    channel = items()
    change = channel.plan("a", b"secret", None, ANN)
    channel.make(change)
    assert "secret" not in repr((channel, change, channel.all()))


class Model(RuleBasedStateMachine):
    """Against a dictionary that is told the same."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(120)
        self.items = Items(ItemBounds(items=4, bytes=60), self.budget)
        self.known: dict[str, tuple[bytes, int]] = {}
        self.count = 0

    names = st.sampled_from(["a", "bb", "ccc", "d", "e", "f"])

    @rule(name=names, value=st.none() | st.binary(max_size=30), author=st.sampled_from([ANN, BOB]))
    def anybody_changes(self, name: str, value: bytes | None, author: Author) -> None:
        self.change(name, value, None, author)

    @rule(name=names, value=st.none() | st.binary(max_size=30), off=st.integers(-1, 1))
    def somebody_compares(self, name: str, value: bytes | None, off: int) -> None:
        present = self.known.get(name, (b"", 0))[1]
        self.change(name, value, max(present + off, 0), ANN)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def everything_is_stored_and_read_again(self, data: st.DataObject) -> None:
        before = self.items
        budget = Budget(120)
        self.items = Items(before.bounds, budget, before.revision, before.all())
        before.clear()
        assert self.budget.used == 0
        self.budget = budget

    def change(self, name: str, value: bytes | None, revision: int | None, author: Author) -> None:
        try:
            change = self.items.plan(name, value, revision, author)
        except Refused as refused:
            reason = refused.name
        else:
            reason = ""
        conflict = revision not in (None, self.known.get(name, (b"", 0))[1])
        assert (reason == "revision_conflict") == conflict
        if reason:
            assert conflict or (reason == "too_many_items" and value is not None)
            return
        self.items.make(change)
        if value is None:
            assert change.made == (name in self.known)
            self.known.pop(name, None)
        else:
            self.known[name] = (value, change.revision)
        self.count += change.made
        assert change.revision == self.count

    @invariant()
    def both_have_the_same(self) -> None:
        assert {item.name: (item.value, item.revision) for item in self.items.all()} == self.known
        assert self.items.revision == self.count
        assert self.items.size == sum(len(name) + len(value) for name, (value, _) in self.known.items())
        assert self.budget.used == sum(item.cost for item in self.items.all())
        assert len(self.items) <= 4
        assert self.items.size <= 60
        assert self.budget.used <= 120


TestModel = Model.TestCase
