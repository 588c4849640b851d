"""What the relay checks of a frame: kind, rights, the SFrame header's form and its counter. Nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.protocol.codes import Code
from sealcast.protocol.controls import Control
from sealcast.protocol.names import Kind, Privilege
from sealcast.protocol.sframe import encode_header
from sealcast.server.auth import Rights
from sealcast.server.channel import Channel, Member
from sealcast.server.clock import TimingWheel
from sealcast.server.engine.memory import MemoryBroker
from sealcast.server.interfaces import ChannelKey, Keep
from sealcast.server.metrics import Metrics
from sealcast.server.presence import PresencePolicy
from sealcast.server.shedding import Waiting
from sealcast.server.turns import Turns

NOW = 1000.0
ALL = Rights(NOW + 100, dict.fromkeys(Privilege, NOW + 100))


class Nowhere:
    """An outlet for members that only listen to who joins."""

    def write(self, data: bytes) -> None:
        pass

    def queue(self, items: Sequence[Waiting]) -> None:
        raise AssertionError

    def tell(self, control: Control, ref: int = 0) -> None:
        raise AssertionError

    def leave(self, channel: int, code: Code) -> None:
        raise AssertionError

    def drops(self, channel: int) -> Mapping[tuple[str, str], int]:
        return {}

    def hold(self) -> None:
        raise AssertionError

    def release(self) -> None:
        raise AssertionError


class House:
    """A channel in which nothing is sent."""

    def __init__(self, *, required: bool = True) -> None:
        self.metrics = Metrics()
        self.channel = Channel(
            ChannelKey("0" * 32, "room"),
            7,
            encryption_required=required,
            delivery="realtime",
            keep=Keep(100, 2**20, 60.0),
            presence=PresencePolicy(64, 1.0, 0.0),
            wheel=TimingWheel(NOW),
            broker=MemoryBroker(),
            metrics=self.metrics,
            now=lambda: NOW,
            turns=Turns(lambda call: None, lambda: NOW, self.metrics),
        )

    def add(self, user: str, rights: Rights = ALL) -> Member:
        return self.channel.add(user, None, rights, Nowhere(), NOW)


@pytest.fixture
def house() -> House:
    return House()


def check(member: Member, data: bytes) -> str | None:
    return member.check(data, 0)


def sealed(kind: int, counter: int, key_id: int = 0, version: int = 1, flags: int = 0) -> bytes:
    return bytes((version << 4 | kind, flags, 0, 2)) + encode_header(key_id, counter) + b"ciphertext"


def test_counters_grow_for_each_key_and_a_refused_one_does_not_move_them(house: House) -> None:
    member = house.add("ann")
    assert check(member, sealed(1, 5)) is None
    for counter in (5, 4, 0):
        assert check(member, sealed(1, counter)) == "counter_repeated"
    assert check(member, sealed(1, 1000, flags=0x80)) == "bad_frame"
    assert check(member, sealed(1, 6)) is None, "the refused 1000 moved nothing"
    assert check(member, sealed(1, 0, key_id=1)) is None
    assert check(member, sealed(1, 2**64 - 1)) is None
    assert check(member, sealed(1, 2**64 - 1)) == "counter_repeated"


def test_counters_of_two_members_are_their_own(house: House) -> None:
    ann, bob = house.add("ann"), house.add("bob")
    assert check(ann, sealed(1, 9)) is None
    assert check(bob, sealed(1, 0)) is None


def test_the_relay_remembers_a_bounded_number_of_keys(house: House) -> None:
    member = house.add("ann")
    for key_id in range(300):
        assert check(member, sealed(1, 9, key_id)) is None
    assert check(member, sealed(1, 9, 299)) == "counter_repeated"
    assert check(member, sealed(1, 9, 0)) is None, "the oldest of them was forgotten"


@pytest.mark.parametrize("kind", sorted(set(range(16)) - set(map(int, Kind))))
def test_a_kind_that_does_not_exist_is_a_bad_frame(house: House, kind: int) -> None:
    member = house.add("ann")
    assert check(member, sealed(kind, 0)) == "bad_frame"


@pytest.mark.parametrize("version", [0, *range(2, 16)])
def test_anything_but_a_sealed_frame_is_refused_where_encryption_is_required(
    house: House, version: int
) -> None:
    member = house.add("ann")
    assert check(member, sealed(1, 0, version=version)) == "encryption_required"
    assert house.metrics.clear_frames == 0


@pytest.mark.parametrize("version", [0, *range(3, 16)])
def test_where_encryption_is_optional_unknown_versions_are_refused_all_the_same(version: int) -> None:
    house = House(required=False)
    member = house.add("ann")
    assert check(member, sealed(1, 0, version=version)) == "encryption_required"


def test_where_encryption_is_optional_clear_frames_pass_and_are_counted() -> None:
    house = House(required=False)
    member = house.add("ann")
    assert check(member, bytes((0x21, 0, 0, 2)) + b"hello") is None
    assert check(member, bytes((0x21, 0, 0, 2))) is None
    assert house.metrics.clear_frames == 2
    assert check(member, sealed(1, 0)) is None


LONG_FORMS: Sequence[bytes] = (
    b"\x88\x00\x00",  # key id and counter of 0, each in a byte of its own
    b"\x80\x07",  # a key id of 7 in a byte
    b"\x08\x07",  # a counter of 7 in a byte
    b"\x90\x00\x08",  # a key id of 8 in two bytes
    b"\x09\x00\xff",  # a counter of 255 in two bytes
    b"\x0f" + bytes(7) + b"\xff",  # a counter in eight
)
CUT_SHORT: Sequence[bytes] = (b"", b"\x80", b"\x08", b"\xff" + bytes(15), b"\x0f" + bytes(7))


@pytest.mark.parametrize("header", [*LONG_FORMS, *CUT_SHORT], ids=bytes.hex)
def test_a_header_that_is_cut_short_or_too_long_counts_as_not_encrypted(house: House, header: bytes) -> None:
    member = house.add("ann")
    assert check(member, bytes((0x11, 0, 0, 2)) + header) == "encryption_required"


@given(data=st.binary(min_size=4, max_size=40), required=st.booleans())
def test_no_bytes_make_the_check_fail(data: bytes, required: bool) -> None:
    house = House(required=required)
    member = house.add("ann")
    assert check(member, data) in (
        None,
        "bad_frame",
        "not_permitted",
        "encryption_required",
        "counter_repeated",
    )


def test_rights_count_per_kind_and_until_their_own_end(house: House) -> None:
    rights = Rights(NOW + 100, {Privilege.JOIN: NOW + 100, Privilege.AUDIO: NOW + 10})
    member = house.add("ann", rights)
    assert check(member, sealed(Kind.AUDIO, 0)) is None
    assert check(member, sealed(Kind.VIDEO, 1)) == "not_permitted"
    assert check(member, sealed(Kind.CONTROL, 1)) is None
    assert member.changes == NOW + 10
    member.refresh(rights, NOW + 10)
    assert check(member, sealed(Kind.AUDIO, 2)) == "not_permitted"
    assert member.changes is None
    member.refresh(ALL, NOW + 10)
    assert check(member, sealed(Kind.AUDIO, 2)) is None


FRAMES = st.builds(
    sealed,
    st.sampled_from([1, 2, 3, 9]),
    st.sampled_from([0, 7, 8, 9, 255, 256, 257, 65_535, 65_536, 2**24, 2**32, 2**64 - 1]),
    st.sampled_from([0, 7, 0x100, 0x201, 0x3FF, 0x10000]),
    flags=st.sampled_from([0, 1, 0x80]),
)
# Headers cut short and integers that are not in their shortest form, behind a head that may be known.
BENT = st.tuples(FRAMES, st.integers(4, 16), st.booleans()).map(
    lambda bent: bent[0][: bent[1]] if bent[2] else bent[0][:4] + b"\x9b\x02\x01\0\0\0" + bent[0][4:]
)


@given(st.lists(st.one_of(FRAMES, BENT), max_size=30), st.booleans())
def test_what_the_relay_remembers_of_a_stream_changes_no_verdict(frames: list[bytes], required: bool) -> None:
    house = House(required=required)
    ann, bob = house.add("ann"), house.add("bob")
    for data in frames:
        bob.refresh(ALL, NOW)  # forgets everything but the counters
        assert check(ann, data) == check(bob, data)


def test_a_right_that_ends_counts_for_a_stream_that_was_let_through(house: House) -> None:
    ann = house.add("ann")
    assert check(ann, sealed(1, 300, 0x201)) is None
    ann.refresh(Rights(NOW + 100, {Privilege.JOIN: NOW + 100}), NOW)
    assert check(ann, sealed(1, 301, 0x201)) == "not_permitted"
