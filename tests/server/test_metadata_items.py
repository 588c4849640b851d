"""A channel's metadata as a model: revisions, compare-and-set, bounds and what they share."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sealcast.protocol.parts import VALUE_MAX
from sealcast.server.budget import Used
from sealcast.server.interfaces import Author, ItemBounds
from sealcast.server.metadata import Refused, Shelf, cost_of, is_name

ANN = Author(1, "ann", b"hello of ann")
BOB = Author(2, "bob", None)
BOUNDS = ItemBounds(items=64, bytes=65536, together=2**20)


def items() -> Shelf:
    return Shelf(Used())


def put(
    channel: Shelf, name: str, value: bytes | None, revision: int | None = None, bounds: ItemBounds = BOUNDS
) -> int:
    change = channel.plan(name, value, revision, ANN, bounds)
    channel.make(change)
    return change.revision


def refusal(
    channel: Shelf, name: str, value: bytes | None, revision: int | None = None, bounds: ItemBounds = BOUNDS
) -> str:
    before = (channel.items.items, channel.revision, channel.size)
    with pytest.raises(Refused) as caught:
        channel.plan(name, value, revision, ANN, bounds)
    assert (channel.items.items, channel.revision, channel.size) == before
    return caught.value.name


def test_changes_are_counted_from_one_and_over_all_items() -> None:
    channel = items()
    assert [put(channel, "a", b"1"), put(channel, "b", b"2"), put(channel, "a", b"3")] == [1, 2, 3]
    assert [(item.name, item.value, item.revision) for item in channel.items.items] == [
        ("b", b"2", 2),
        ("a", b"3", 3),
    ]


def test_a_change_that_is_planned_has_not_happened_yet() -> None:
    channel = items()
    change = channel.plan("a", b"1", None, ANN, BOUNDS)
    assert (len(channel), channel.revision) == (0, 0)
    channel.make(change)
    assert channel.items.items == ((*change[:3], ANN),)


def test_a_change_that_another_one_has_overtaken_is_not_made() -> None:
    channel = items()
    late = channel.plan("a", b"1", None, ANN, BOUNDS)
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
    assert channel.items.items == ()


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
    change = channel.plan("b", None, 0, ANN, BOUNDS)
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
    channel, two = items(), BOUNDS._replace(items=2)
    put(channel, "a", b"")
    put(channel, "b", b"")
    assert refusal(channel, "c", b"", bounds=two) == "too_many_items"
    put(channel, "a", b"more", bounds=two)
    put(channel, "b", None)
    put(channel, "c", b"", bounds=two)


def test_names_and_values_of_a_channel_share_its_bytes() -> None:
    channel, ten = items(), BOUNDS._replace(bytes=10)
    put(channel, "abc", b"1234", bounds=ten)
    assert refusal(channel, "d", b"123", bounds=ten) == "too_many_items"
    put(channel, "d", b"12", bounds=ten)
    assert channel.size == 10
    put(channel, "abc", b"1", bounds=ten)
    put(channel, "d", b"12345", bounds=ten)


def test_channels_share_a_bound_and_make_room_for_each_other() -> None:
    used, hundred = Used(), BOUNDS._replace(together=100)
    one, two = Shelf(used), Shelf(used)
    put(one, "a", bytes(70))
    assert used.amount == 1 + 70 + len("ann") + len(b"hello of ann")
    assert refusal(two, "a", bytes(20), bounds=hundred) == "too_many_items"
    one.clear()
    assert used.amount == 0
    put(two, "a", bytes(20), bounds=hundred)


@pytest.mark.parametrize("bounds", [ItemBounds(1, 10, 1000), ItemBounds(1, 1000, 10)])
def test_what_is_over_a_bound_that_has_shrunk_can_be_made_smaller(bounds: ItemBounds) -> None:
    channel = items()
    put(channel, "a", bytes(50))
    assert refusal(channel, "a", bytes(51), bounds=bounds) == "too_many_items"
    assert put(channel, "a", bytes(49), bounds=bounds) == 2


def test_what_was_stored_goes_on_where_it_was() -> None:
    channel = items()
    put(channel, "a", b"1")
    put(channel, "b", b"2")
    put(channel, "a", None)
    again = Shelf(Used(), channel.revision, channel.items.items)
    assert again.items.items == channel.items.items
    used = Used(1000)
    Shelf(used, channel.revision, channel.items.items, counted=True).clear()
    assert used.amount == 1000 - channel.cost
    assert (again.size, put(again, "c", b"3")) == (channel.size, 4)


def test_nothing_that_is_printed_shows_a_value() -> None:
    channel = items()
    change = channel.plan("a", b"secret", None, ANN, BOUNDS)
    channel.make(change)
    assert "secret" not in repr((channel, change, channel.items.items))


class Model(RuleBasedStateMachine):
    """Against a dictionary that is told the same."""

    def __init__(self) -> None:
        super().__init__()
        self.used = Used()
        self.shelf = Shelf(self.used)
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

    @rule()
    def everything_is_stored_and_read_again(self) -> None:
        before = self.shelf
        used = Used()
        self.shelf = Shelf(used, before.revision, before.items.items)
        before.clear()
        assert self.used.amount == 0
        self.used = used

    def change(self, name: str, value: bytes | None, revision: int | None, author: Author) -> None:
        try:
            change = self.shelf.plan(name, value, revision, author, ItemBounds(4, 60, 120))
        except Refused as refused:
            reason = refused.name
        else:
            reason = ""
        conflict = revision not in (None, self.known.get(name, (b"", 0))[1])
        assert (reason == "revision_conflict") == conflict
        if reason:
            assert conflict or (reason == "too_many_items" and value is not None)
            return
        self.shelf.make(change)
        if value is None:
            assert change.made == (name in self.known)
            self.known.pop(name, None)
        else:
            self.known[name] = (value, change.revision)
        self.count += change.made
        assert change.revision == self.count

    @invariant()
    def both_have_the_same(self) -> None:
        assert {item.name: (item.value, item.revision) for item in self.shelf.items.items} == self.known
        assert self.shelf.revision == self.count
        assert self.shelf.size == sum(len(name) + len(value) for name, (value, _) in self.known.items())
        assert self.used.amount == sum(cost_of(item) for item in self.shelf.items.items)
        assert len(self.shelf) <= 4
        assert self.shelf.size <= 60
        assert self.used.amount <= 120


TestModel = Model.TestCase
