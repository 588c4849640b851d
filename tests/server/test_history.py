"""Reading back what a channel has kept, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sealcast.protocol.controls import Done, History, MemberInfo, Past
from sealcast.protocol.keeping import HISTORY_MAX, PAGE_BYTES
from sealcast.protocol.parts import HELLO_MAX

if TYPE_CHECKING:
    from .conftest import Lab
    from .raw import Client, Room


async def kept(lab: Lab, count: int = 10, **history: float) -> tuple[Client, Room, list[bytes]]:
    """Return a late joiner of a channel in which ann has said so much."""
    relay = await lab.serve(lab.app(history=history))
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    room = await ann.join("standup", "ann", hello=b"I am ann")
    said = [(await ann.message(room))[0] for _ in range(count)]
    return bob, await bob.join("standup", "bob"), said


async def page(client: Client, room: Room, limit: int = HISTORY_MAX, **where: int) -> Past:
    answer = await client.ask(History(channel=room.number, limit=limit, **where))
    assert isinstance(answer, Past)
    return answer


def offsets(past: Past) -> list[int]:
    return [message.offset for message in past.messages]


async def test_a_late_joiner_reads_what_was_said_before(lab: Lab) -> None:
    bob, room, said = await kept(lab)
    past = await page(bob, room)
    assert [message.data for message in past.messages] == said
    assert offsets(past) == list(range(1, 11))
    assert (past.epoch, past.offset, past.more) == (room.joined.epoch, 10, False)
    assert past.authors == (MemberInfo(member=past.messages[0].member, user="ann", hello=b"I am ann"),)
    assert all(message.at == lab.clock.wall() for message in past.messages)


@pytest.mark.parametrize(
    ("where", "found", "more"),
    [
        ({}, [1, 2, 3], True),
        ({"after": 4}, [5, 6, 7], True),
        ({"after": 8}, [9, 10], False),
        ({"before": 11}, [8, 9, 10], True),
        ({"before": 3}, [1, 2], False),
        ({"before": 2**64 - 1}, [8, 9, 10], True),
        ({"after": 2**64 - 1}, [], False),
        ({"before": 1}, [], False),
    ],
)
async def test_pages_go_up_from_a_place_and_down_from_one(
    lab: Lab, where: dict[str, int], found: list[int], more: bool
) -> None:
    bob, room, _ = await kept(lab)
    past = await page(bob, room, 3, **where)
    assert (offsets(past), past.more) == (found, more)


async def test_a_page_has_a_bound_in_bytes(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann")
    for _ in range(6):
        await ann.message(room, payload=bytes(60_000))
    past = await page(ann, room)
    assert sum(len(message.data) for message in past.messages) <= PAGE_BYTES
    assert past.more
    rest = await page(ann, room, after=offsets(past)[-1])
    assert offsets(past) + offsets(rest) == list(range(1, 7))


async def test_the_largest_message_that_an_app_may_allow_fits_into_a_page(lab: Lab) -> None:
    limits = {"message": 4 * 2**20}
    with pytest.raises(ValueError, match="less than or equal"):
        lab.app(limits={"message": limits["message"] + 1})
    relay = await lab.serve(lab.app(limits=limits, history={"bytes": 16 * 2**20}))
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann", hello=bytes(HELLO_MAX))
    said, _ = await ann.message(room, payload=bytes(4 * 2**20 - 32))
    assert [message.data for message in (await page(ann, room)).messages] == [said]


async def test_what_is_live_comes_before_the_page_that_has_it_too(lab: Lab) -> None:
    bob, room, _ = await kept(lab, 1)
    ann = await lab.connect(lab.relays[0])
    other = await ann.join("standup", "carol")
    for number in range(20):
        await ann.ws.send(other.message(900 + number))
        past = await page(bob, room)
        live = [item.offset for item in bob.aside if isinstance(item, lab.Message)]
        assert live == list(range(2, past.offset + 1))


async def test_a_channel_that_keeps_nothing_says_so(lab: Lab) -> None:
    bob, room, _ = await kept(lab, messages=0)
    assert (await bob.refused(History(channel=room.number, limit=1))).name == "history_off"


async def test_only_so_many_are_kept(lab: Lab) -> None:
    bob, room, _ = await kept(lab, messages=4)
    assert offsets(await page(bob, room)) == [7, 8, 9, 10]


async def test_what_is_too_old_is_gone(lab: Lab) -> None:
    bob, room, _ = await kept(lab, ttl=60)
    lab.clock.now += 61
    assert offsets(await page(bob, room)) == []


async def test_some_channels_keep_more_than_others(lab: Lab) -> None:
    app = lab.app(history={"messages": 2}, channels=[{"pattern": "log-*", "history_messages": 5}])
    relay = await lab.serve(app)
    ann = await lab.connect(relay)
    for name, count in (("log-1", 5), ("standup", 2)):
        room = await ann.join(name, "ann")
        for _ in range(8):
            await ann.message(room)
        assert len((await page(ann, room)).messages) == count


async def test_one_app_cannot_read_what_another_has_kept(lab: Lab) -> None:
    relay = await lab.serve(lab.app(), lab.app(lab.OTHER_APP))
    ann, stranger = await lab.connect(relay), await lab.connect(relay, lab.OTHER_APP)
    await ann.message(await ann.join("standup", "ann"))
    assert offsets(await page(stranger, await stranger.join("standup", "ann"))) == []


async def test_nobody_reads_without_being_a_member(lab: Lab) -> None:
    bob, room, _ = await kept(lab)
    stranger = await lab.connect(lab.relays[0])
    assert (await stranger.refused(History(channel=room.number, limit=1))).name == "not_joined"
    assert not isinstance(await bob.ask(History(channel=room.number, limit=1)), Done)


async def test_a_page_of_nothing_is_no_request(lab: Lab) -> None:
    bob, room, _ = await kept(lab)
    assert (await bob.refused(History(channel=room.number, limit=0))).name == "bad_request"


async def test_who_asks_too_often_is_told_to_wait(lab: Lab) -> None:
    relay = await lab.serve(lab.app(limits={"requests_per_minute": 3}))
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann")
    for _ in range(3):
        await page(ann, room)
    error = await ann.refused(History(channel=room.number, limit=1))
    assert error.name == "rate_limited"
    assert error.retry_after == pytest.approx(20, abs=1)
