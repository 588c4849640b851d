"""Reading back what a channel has kept."""

from __future__ import annotations

import asyncio

import pytest

from sealcast.client import ChannelClosed, Message, NotConnected, RequestRefused, Resumed, SealFailure
from sealcast.client.e2ee import Key
from sealcast.protocol import controls
from sealcast.protocol.errors import RemoteProtocolError


async def spoken(relay, lab, count: int):
    """A room in which Bob has said the numbers from 1, before this side came."""
    bob = relay.peer("standup", "bob", lab.key)
    relay.room("standup").peers.append(bob)
    for number in range(1, count + 1):
        await bob.message(b"%d" % number)
    return await lab.joined(), bob


async def said(history) -> list[int]:
    return [int(message.data) async for message in history]


async def test_the_newest_messages_come_oldest_first(relay, lab):
    room, bob = await spoken(relay, lab, 5)
    history = room.history(limit=3)
    messages = [message async for message in history]
    assert messages[0] == Message(bob.number, "bob", b"3", 3, "epoch-one", True, 1003.0)
    assert [message.data for message in messages] == [b"3", b"4", b"5"]
    assert (history.first, history.last, history.more, history.unopened) == (3, 5, True, 0)


async def test_older_ones_are_before_an_offset_and_newer_ones_after_it(relay, lab):
    room, _ = await spoken(relay, lab, 9)
    assert await said(room.history(limit=3, before=7)) == [4, 5, 6]
    assert await said(room.history(limit=3, before=2)) == [1]
    assert await said(room.history(limit=3, after=4)) == [5, 6, 7]
    assert await said(room.history(after=7)) == [8, 9]
    assert await said(room.history(after=0)) == list(range(1, 10))
    assert await said(room.history(after=9)) == []
    assert await said(room.history(limit=0)) == []
    with pytest.raises(ValueError, match="not both"):
        room.history(before=1, after=1)
    with pytest.raises(ValueError, match="from 0"):
        room.history(limit=-1)


@pytest.mark.parametrize("size", [1, 2, 7])
async def test_it_takes_as_many_pages_as_the_relay_makes_of_it(relay, lab, size):
    room, _ = await spoken(relay, lab, 9)
    relay.room("standup").page_size = size
    assert await said(room.history(limit=100)) == list(range(1, 10))
    assert await said(room.history(limit=5)) == [5, 6, 7, 8, 9]
    assert await said(room.history(limit=5, before=8)) == [3, 4, 5, 6, 7]
    forward = room.history(limit=5, after=2)
    assert await said(forward) == [3, 4, 5, 6, 7]
    assert forward.more


async def test_own_messages_are_among_them(relay, lab):
    room = await lab.joined()
    await room.send(b"1")
    [message] = [message async for message in room.history()]
    assert (message.user, message.data, message.historical) == ("alice", b"1", True)


async def test_it_changes_nothing_for_what_is_live(relay, lab):
    room, bob = await spoken(relay, lab, 2)
    assert await said(room.history()) == [1, 2]
    await bob.message(b"3")
    assert (await lab.told(room, Message)).historical is False
    assert await said(room.history()) == [1, 2, 3]
    assert room.stats.seal_failures == {}
    assert room.stats.messages_received == 1


async def test_what_cannot_be_opened_is_counted_and_told(relay, lab):
    room, _ = await spoken(relay, lab, 1)
    stranger = relay.peer("standup", "mallory", Key.raw(b"x" * 32))
    await stranger.message(b"2")
    history = room.history()
    assert await said(history) == [1]
    assert history.unopened == 1
    assert (history.first, history.last) == (1, 2)
    assert await lab.told(room, SealFailure) == SealFailure(stranger.number, "mallory", "open_failed")


async def test_a_message_that_the_relay_shows_at_two_places_is_refused(relay, lab):
    room, _ = await spoken(relay, lab, 2)
    channel = relay.room("standup")
    assert await said(room.history()) == [1, 2]
    channel.kept.append(channel.kept[0]._replace(offset=3))
    history = room.history(after=2)
    assert await said(history) == []
    assert await lab.told(room, SealFailure) == SealFailure(channel.kept[0].member, "bob", "replayed")


async def test_it_goes_on_over_an_interruption(relay, lab):
    room, _ = await spoken(relay, lab, 6)
    relay.room("standup").page_size = 2
    history = room.history(after=0)
    assert int((await anext(history)).data) == 1
    relay.session.cut()
    assert await said(history) == [2, 3, 4, 5, 6]
    await lab.until(room, Resumed)


async def test_a_question_that_a_connection_took_along_is_asked_again(relay, lab):
    room, _ = await spoken(relay, lab, 2)
    relay.ignored.add(controls.History)
    asking = asyncio.create_task(said(room.history()))
    await relay.until(lambda: relay.session.count(controls.History))
    relay.ignored.clear()
    relay.session.cut()
    assert await asking == [1, 2]


async def test_it_ends_with_the_membership(relay, lab):
    room, _ = await spoken(relay, lab, 2)
    relay.ignored.add(controls.History)
    asking = asyncio.create_task(said(room.history()))
    await relay.until(lambda: relay.session.count(controls.History))
    await room.leave()
    with pytest.raises(ChannelClosed):
        await asking


async def test_without_a_connection_it_waits_for_its_time(relay, lab):
    room, _ = await spoken(relay, lab, 2)
    lab.naps.hold()
    relay.session.cut()
    with pytest.raises(NotConnected):
        await said(room.history(timeout=0.05))
    lab.naps.release()
    assert await said(room.history()) == [1, 2]


async def test_a_relay_that_keeps_none_says_so(relay, lab):
    room = await lab.joined()
    relay.pasts.append(relay.error("history_off"))
    with pytest.raises(RequestRefused, match="history_off"):
        await said(room.history())


@pytest.mark.parametrize("offsets", [(2, 1), (1, 1), (9,), (1, 2, 3, 4)])
async def test_a_page_with_other_messages_than_were_asked_for_is_not_taken(relay, lab, offsets):
    room, _ = await spoken(relay, lab, 2)
    kept = [controls.KeptMessage(offset=offset, member=1, at=0.0, data=b"") for offset in offsets]
    relay.pasts.append(
        controls.Past(
            channel=relay.room("standup").number,
            epoch="epoch-one",
            offset=9,
            messages=tuple(kept),
            authors=(),
            more=True,
        )
    )
    with pytest.raises(RemoteProtocolError, match="other messages"):
        await said(room.history(limit=3, before=9))


async def test_a_new_epoch_in_between_ends_it(relay, lab):
    room, _ = await spoken(relay, lab, 4)
    relay.room("standup").page_size = 2
    history = room.history(after=0)
    await anext(history)
    relay.room("standup").epoch = "epoch-two"
    assert await said(history) == [2]
    assert history.more


async def test_what_is_fetched_before_it_is_yielded_is_bounded(relay, lab):
    room, _ = await spoken(relay, lab, 9)
    relay.room("standup").page_size = 2
    object.__setattr__(room._membership.options, "inbox_bytes", 3)
    history = room.history()
    assert await said(history) == [6, 7, 8, 9]
    assert history.more


async def test_in_clear_text_all_of_it_is_the_relays_word(relay, lab):
    relay.policy = {"encryption": "optional"}
    bob = relay.peer("standup", "bob", Key.none())
    await bob.message(b"1")
    client = await lab.client(token="t")
    room = await client.join("standup", user="alice", key=Key.none())
    [message] = [message async for message in room.history()]
    assert (message.user, message.data) == ("bob", b"1")


async def test_repr_shows_no_payload(relay, lab):
    room, _ = await spoken(relay, lab, 1)
    assert repr(room.history()) == "<History of 'standup': 0 ready, 100 to come>"
