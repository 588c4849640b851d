"""Webhooks over a real socket: at least once, in order for each member, tried again, given up in sight."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from sealcast.server.hooks import courier as module
from sealcast.server.hooks import sender as sending
from sealcast.server.hooks.courier import Courier
from sealcast.server.hooks.event import Event, Kind
from sealcast.server.hooks.outbox import MemoryOutbox
from sealcast.server.hooks.schedule import DELAYS
from sealcast.server.hooks.sender import HttpSender, check_url

from .conftest import Receiver, happened


class Time:
    """Unix time that passes when somebody sleeps and nothing else is to be done."""

    def __init__(self) -> None:
        self.now = 1_800_001_000.0
        self.slept: list[float] = []

    def wall(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        for _ in range(20):  # what is under way goes first
            await asyncio.sleep(0)
        self.now += seconds


@contextlib.asynccontextmanager
async def working(outbox: MemoryOutbox, time: Time | None = None) -> AsyncIterator[Courier]:
    time = time or Time()
    sender = HttpSender(private=True)
    courier = Courier(outbox, sender, time.wall, time.sleep)
    courier.start()
    try:
        yield courier
    finally:
        await courier.close()
        await sender.close()


async def test_an_event_arrives_signed_and_says_what_happened(receiver: Receiver) -> None:
    async with working(MemoryOutbox([receiver.endpoint()])) as courier:
        courier.tell(
            happened(1, kind=Kind.MEMBER_LEFT, member=7, reason="kicked", seconds=12.5, node="node-1")
        )
        await receiver.requested(1)
    (told,) = receiver.told
    assert told["id"].startswith("evt_")
    assert {**told, "id": ""} == {
        "id": "",
        "type": "member.left",
        "app_id": "0123456789abcdef0123456789abcdef",
        "timestamp_ms": 1_800_000_001_000,
        "node": "node-1",
        "data": {
            "sequence": 1,
            "channel": "room",
            "user": "alice",
            "member": 7,
            "reason": "kicked",
            "seconds": 12.5,
        },
    }


async def test_what_happens_to_one_member_arrives_in_order(receiver: Receiver) -> None:
    users = [f"user-{number}" for number in range(5)]
    async with working(MemoryOutbox([receiver.endpoint()])) as courier:
        for sequence in range(20):
            for user in users:
                courier.tell(happened(sequence, user))
        await receiver.requested(100)
    for user in users:
        sequences = [told["data"]["sequence"] for told in receiver.told if told["data"]["user"] == user]
        assert sequences == list(range(20))


async def test_a_failure_is_tried_again_and_what_comes_later_waits(receiver: Receiver) -> None:
    failing = iter([500, 503, 204])
    receiver.answer = lambda event: (next(failing), {}) if event["data"]["sequence"] == 1 else (204, {})
    async with working(MemoryOutbox([receiver.endpoint()])) as courier:
        courier.tell(happened(1))
        courier.tell(happened(2))
        await receiver.requested(4)
        assert courier.failed == 2
    assert [told["data"]["sequence"] for told in receiver.told] == [1, 2]


async def test_a_receiver_that_fails_for_a_day_is_given_up_in_sight(receiver: Receiver) -> None:
    receiver.answer = lambda event: (500, {})
    outbox, time = MemoryOutbox([receiver.endpoint()]), Time()
    began = time.now
    async with working(outbox, time) as courier:
        courier.tell(happened(1))
        await receiver.requested(len(DELAYS) + 1)
        async with asyncio.timeout(10):
            while not await outbox.dead(1):
                await asyncio.sleep(0)
        assert courier.given_up == 1
    (dead,) = await outbox.dead(1)
    assert dead.answer == "500"
    assert time.now - began > 0.8 * 86_400


async def test_a_receiver_that_is_gone_is_given_up_at_once(receiver: Receiver) -> None:
    receiver.answer = lambda event: (410, {})
    outbox = MemoryOutbox([receiver.endpoint()])
    async with working(outbox) as courier:
        courier.tell(happened(1))
        await receiver.requested(1)
        async with asyncio.timeout(10):
            while not courier.given_up:
                await asyncio.sleep(0)


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.answer = lambda event: (302, {"location": receiver.url})
    async with working(MemoryOutbox([receiver.endpoint()])) as courier:
        courier.tell(happened(1))
        await receiver.requested(2)
        assert courier.failed >= 1
        assert not courier.delivered


async def test_a_receiver_that_never_answers_does_not_hold_up_another(
    receiver: Receiver,
) -> None:
    with socket.socket() as silent:  # the system accepts, nobody answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        stuck = dataclasses.replace(receiver.endpoint("2"), url=url)
        async with working(MemoryOutbox([stuck, receiver.endpoint("1")])) as courier:
            courier.tell(happened(1))
            courier.tell(happened(2))
            await receiver.requested(2)


async def test_events_outlive_an_outbox_that_is_away_for_a_while(receiver: Receiver) -> None:
    class Away(MemoryOutbox):
        failures = 3

        async def add(self, events: Sequence[Event]) -> int:
            if self.failures:
                self.failures -= 1
                raise OSError("no database")
            return await super().add(events)

    async with working(Away([receiver.endpoint()])) as courier:
        for sequence in range(3):
            courier.tell(happened(sequence))
        await receiver.requested(3)
        assert courier.lost == 0
    assert [told["data"]["sequence"] for told in receiver.told] == [0, 1, 2]


async def test_events_that_find_no_room_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVENTS_MOST", 2)
    courier = Courier(MemoryOutbox(), HttpSender(), lambda: 0.0)
    for sequence in range(5):
        courier.tell(happened(sequence))
    assert courier.lost == 3
    await courier.close()


async def test_a_private_address_is_not_reached_unless_that_is_allowed(receiver: Receiver) -> None:
    outbox = MemoryOutbox([receiver.endpoint()])
    await outbox.add([happened(1)])
    (delivery,) = await outbox.turn(float("inf"), 1, {})
    sender = HttpSender()
    try:
        answer = await sender.send(delivery)
    finally:
        await sender.close()
    assert not answer.good
    assert "private address" in answer.said
    assert receiver.requests == 0


async def test_a_name_that_does_not_exist_and_a_port_that_is_closed_are_failures() -> None:
    sender = HttpSender(private=True)
    outbox = MemoryOutbox([Receiver().endpoint()])  # port 0
    await outbox.add([happened(1)])
    (delivery,) = await outbox.turn(float("inf"), 1, {})
    try:
        assert not (await sender.send(delivery)).good
    finally:
        await sender.close()


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("https://backend.example/hook", None),
        ("https://backend.example:8443/hook?a=b", None),
        ("http://backend.example/hook", "must begin with https"),
        ("https://user:word@backend.example/", "user name or password"),
        ("https:///hook", "name a host"),
        ("ftp://backend.example/", "must begin with https"),
        ("https://backend.example/#x", "fragment"),
        ("https://backend.example:99999/", "no URL"),
        ("", "must begin"),
    ],
)
def test_an_address_is_checked_when_it_is_configured(url: str, wrong: str | None) -> None:
    said = check_url(url, insecure=False)
    assert said is None if wrong is None else wrong in str(said)
    assert check_url("http://127.0.0.1/", insecure=True) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120.0), ("", None), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: Any) -> None:
    assert sending.retry_after(text) == seconds
