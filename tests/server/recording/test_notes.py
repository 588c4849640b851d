"""What a witness notes of sessions, and how little of it: pure, without a database."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sealcast.server.interfaces import ChannelKey
from sealcast.server.recording.addresses import kept_address, ways_kept
from sealcast.server.recording.agents import system_of
from sealcast.server.recording.ledger import Ledger
from sealcast.server.visitor import Visitor

APP = "a" * 32
KEY = ChannelKey(APP, "standup")


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def member(number: int, user: str = "ann", channel: int = 1, address: str = "192.0.2.7") -> Any:
    visitor = Visitor(number, APP, address, "Mozilla/5.0 (X11; Linux x86_64)", 99.0)
    return SimpleNamespace(
        channel=SimpleNamespace(key=KEY, number=channel),
        number=number,
        user=user,
        visitor=visitor,
        frames_in=3,
        bytes_in=900,
    )


def test_a_life_is_one_record_of_each_however_often_it_changes(time: Time) -> None:
    ledger = Ledger("run", "node", time)
    ledger.channel_opened(KEY, 1)
    ann, bob = member(1), member(2, "bob")
    ledger.member_joined(ann)
    time.now = 110.0
    ledger.member_joined(bob)
    ledger.member_left(ann, "left")
    time.now = 120.0
    ledger.member_left(bob, "kicked")
    ledger.channel_closed(KEY, 1)
    batch = ledger.take(100)
    (call,) = batch.calls
    assert (call.opened, call.closed, call.reason, call.memberships, call.peak) == (100, 120, "over", 2, 2)
    first, second = batch.members
    assert (first.user_id, first.joined, first.ended, first.reason) == ("ann", 100.0, 110.0, "left")
    assert (second.user_id, second.reason, second.frames_in, second.bytes_in) == ("bob", "kicked", 3, 900)
    assert (first.address, first.system) == ("192.0.2.7", "Linux")
    assert first.call is call
    assert not ledger.take(100)


def test_what_could_not_be_written_waits_in_front_and_gets_newer(time: Time) -> None:
    ledger = Ledger("run", "node", time)
    ledger.channel_opened(KEY, 1)
    ann = member(1)
    ledger.member_joined(ann)
    batch = ledger.take(1)
    ledger.member_left(ann, "left")
    ledger.give_back(batch)
    again = ledger.take(100)
    assert next(iter(again.records)) == next(iter(batch.records))
    assert [each.reason for each in again.members] == ["left"]


def test_what_waits_is_bounded_and_the_loss_is_counted(time: Time) -> None:
    ledger = Ledger("run", "node", time, most=2)
    ledger.channel_opened(KEY, 1)
    members = [member(number) for number in range(1, 5)]
    for each in members:
        ledger.member_joined(each)
    assert (ledger.waiting, ledger.lost) == (2, 3)
    ledger.member_left(members[0], "left")  # it has its place already
    assert (ledger.waiting, ledger.lost) == (2, 3)
    ledger.take(2)
    ledger.member_left(members[3], "left")
    (record,) = ledger.take(2).members
    assert (record.member, record.joined, record.reason) == (4, 100.0, "left")


def test_an_end_without_a_begin_is_nothing(time: Time) -> None:
    ledger = Ledger("run", "node", time)
    ledger.member_joined(member(1))
    ledger.member_left(member(1), "left")
    ledger.channel_closed(KEY, 1)
    assert ledger.waiting == 0


@pytest.mark.parametrize(
    ("address", "kept", "text"),
    [
        ("192.0.2.77", "whole", "192.0.2.77"),
        ("192.0.2.77", "cut", "192.0.2.0/24"),
        ("192.0.2.77", "none", ""),
        ("2001:db8:1:2::5", "whole", "2001:db8:1:2::5"),
        ("2001:db8:1:2::5", "cut", "2001:db8:1::/48"),
        ("::ffff:192.0.2.77", "cut", "192.0.2.0/24"),
        ("fe80::1%eth0", "whole", "fe80::1"),
        ("no address", "whole", ""),
        ("", "cut", ""),
    ],
)
def test_an_address_is_kept_as_the_options_say(address: str, kept: Any, text: str) -> None:
    assert kept_address(address, kept) == text


def test_an_address_is_looked_for_in_each_way_that_it_may_have_been_kept() -> None:
    assert ways_kept("192.0.2.77") == ("192.0.2.77", "192.0.2.0/24")
    assert ways_kept("192.0.2.9/24") == ("192.0.2.0/24",)
    assert ways_kept("nonsense") == ways_kept("1/2/3") == ()


@pytest.mark.parametrize(
    ("agent", "system"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/130", "Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari", "iOS"),
        ("Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/130 Mobile", "Android"),
        ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) Chrome/130", "ChromeOS"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari", "macOS"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Firefox/130.0", "Linux"),
        ("Python/3.11 websockets/15.0", ""),
        ("", ""),
    ],
)
def test_the_operating_system_is_what_the_user_agent_says(agent: str, system: str) -> None:
    assert system_of(agent) == system
