"""Coming back: when, how often, with what, and what is said about the gap."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sealcast.client import (
    ChannelClosed,
    Disconnected,
    Draining,
    Frame,
    MemberJoined,
    MemberLeft,
    Message,
    RenewFailed,
    Resumed,
    State,
)
from sealcast.client.backoff import HINT_MAX
from sealcast.protocol import controls
from sealcast.protocol.names import Kind
from sealcast.protocol.parts import Place


async def test_a_lost_connection_is_made_again_and_the_channel_joined_with_the_same_hello(relay, lab):
    room = await lab.joined()
    first = relay.session
    first.cut()
    assert await lab.told(room, Disconnected) == Disconnected(4005, "connection_lost", True)
    assert await lab.told(room, Resumed) == Resumed(True, 0)
    assert len(relay.sessions) == 2
    again = relay.session.last(controls.Join)
    assert again.since == Place(epoch="epoch-one", offset=0)
    assert replace(again, since=None) == first.last(controls.Join)
    assert again.run is not None
    assert (await room.send(b"goes on")).offset == 1
    assert room.stats.disconnects == 1


async def test_frames_go_on_where_their_counters_were(relay, lab):
    room = await lab.joined()
    bob = relay.peer("standup", "bob", lab.key)
    relay.room("standup").peers.append(bob)
    mic = room.stream("audio")
    assert mic.send(b"one")
    await relay.until(lambda: relay.session.frames)
    hello = relay.session.last(controls.Join).hello
    bob.crypto.add_member(1, "alice", hello)
    assert bob.crypto.open(1, relay.session.frames[0]).ctr == 0
    relay.session.cut()
    await lab.until(room, Resumed)
    assert mic.send(b"two")
    await relay.until(lambda: relay.session.frames)
    bob.crypto.add_member(room.member, "alice", hello)
    assert bob.crypto.open(room.member, relay.session.frames[0]).ctr == 1


async def test_messages_missed_within_an_epoch_are_counted(relay, lab):
    room = await lab.joined()
    await room.send(b"one of mine")
    bob = relay.peer("standup", "bob", lab.key)
    await bob.join()
    await bob.message(b"seen")
    await lab.until(room, Message)
    relay.session.cut()
    await lab.told(room, Disconnected)
    relay.room("standup").offset += 3
    assert await lab.until(room, Resumed) == Resumed(False, 3)
    await bob.message(b"live again")
    assert (await lab.until(room, Message)).offset == 6


async def test_across_epochs_nothing_is_claimed(relay, lab):
    room = await lab.joined()
    await room.send(b"one")
    relay.room("standup").epoch = "epoch-two"
    relay.room("standup").offset = 1
    relay.session.cut()
    assert await lab.until(room, Resumed) == Resumed(False, None)
    assert room.epoch == "epoch-two"


async def test_an_own_message_without_an_ack_counts_as_missed(relay, lab):
    relay.features = ()
    room = await lab.joined()
    relay.hold_acks = True
    sending = asyncio.create_task(room.send(b"who knows"))
    await relay.until(lambda: relay.session.held)
    relay.room("standup").offset = 1
    relay.session.cut()
    await asyncio.gather(sending, return_exceptions=True)
    assert await lab.until(room, Resumed) == Resumed(False, 1)


async def test_members_who_came_and_went_during_the_gap_are_told(relay, lab):
    stays, goes = relay.peer("standup", "stays", lab.key), relay.peer("standup", "goes", lab.key)
    relay.room("standup").peers += [stays, goes]
    room = await lab.joined()
    comes = relay.peer("standup", "comes", lab.key)
    relay.room("standup").peers.remove(goes)
    relay.room("standup").peers.append(comes)
    relay.session.cut()
    await lab.until(room, Resumed)
    assert await lab.told(room, MemberLeft) == MemberLeft(goes.number, "goes", "unknown")
    assert await lab.told(room, MemberJoined) == MemberJoined(comes.number, "comes", True)
    assert set(room.members) == {stays.number, comes.number}
    await stays.frame(b"still heard")
    assert (await lab.told(room, Frame)).user == "stays"
    await comes.frame(b"heard")
    assert (await lab.told(room, Frame)).user == "comes"


async def test_old_frames_do_not_open_again_after_the_gap(relay, lab):
    bob = relay.peer("standup", "bob", lab.key)
    relay.room("standup").peers.append(bob)
    room = await lab.joined()
    old = await bob.frame(b"once")
    await lab.told(room, Frame)
    relay.session.cut()
    await lab.until(room, Resumed)
    await relay.session.raw(old)
    await bob.frame(b"twice")
    assert (await lab.until(room, Frame)).data == b"twice"
    assert room.stats.seal_failures == {"replayed": 1}


async def test_all_channels_come_back(relay, lab):
    client = await lab.client(token="t")
    rooms = [await client.join(f"room {n}", user="alice", key=lab.key) for n in range(5)]
    relay.session.cut()
    for room in rooms:
        await lab.until(room, Resumed)
        assert (await room.send(b"x")).offset == 1
    assert client.state is State.CONNECTED


async def test_waits_grow_with_each_attempt_that_fails(relay, lab):
    room = await lab.joined()
    relay.refusals += [(503, {}), (502, {}), (503, {"Retry-After": "30"}), (503, {"Retry-After": "99999"})]
    relay.session.cut()
    await lab.until(room, Resumed)
    assert lab.naps.taken == [1.0, 2.0, 4.0, 30.0 + 8.0, HINT_MAX + 8.0]


async def test_a_server_that_drops_us_again_and_again_is_left_in_peace(relay, lab):
    room = await lab.joined()
    for _ in range(3):
        relay.session.cut()
        await lab.until(room, Resumed)
    assert lab.naps.taken == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("name", ["internal_error", "draining", "slow_consumer", "heartbeat_timeout"])
async def test_codes_below_4500_come_back(relay, lab, name):
    room = await lab.joined()
    await relay.session.close(name)
    event = await lab.told(room, Disconnected)
    assert (event.name, event.will_retry) == (name, True)
    await lab.told(room, Resumed)


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012])
async def test_a_connection_that_was_closed_without_a_code_of_ours_comes_back(relay, lab, code):
    room = await lab.joined()
    await relay.session.ws.close(code)
    assert (await lab.told(room, Disconnected)).code == code
    await lab.told(room, Resumed)


@pytest.mark.parametrize(
    "name", ["protocol_error", "replaced", "kicked", "banned", "app_disabled", "too_big"]
)
async def test_codes_from_4500_stay_away(relay, lab, name):
    client = await lab.client(token="t")
    room = await client.join("standup", user="alice", key=lab.key)
    await relay.session.close(name)
    disconnected, left = await lab.rest(room)
    assert (disconnected.name, disconnected.will_retry) == (name, False)
    assert (left.name, left.code) == (name, disconnected.code)
    with pytest.raises(ChannelClosed, match=name):
        await room.send(b"x")
    assert lab.naps.taken == []
    assert len(relay.sessions) == 1


async def test_a_client_without_channels_stays_disconnected_until_the_next_join(relay, lab):
    client = await lab.client(token="t")
    await relay.session.close("unauthenticated")
    await relay.until(lambda: relay.gone)
    while client.state is State.CONNECTED:
        await asyncio.sleep(0)
    assert client.state is State.DISCONNECTED
    assert lab.naps.taken == []
    room = await client.join("standup", user="alice", key=lab.key)
    assert room.joined
    assert len(relay.sessions) == 2


async def test_the_last_membership_and_then_the_connection_end_without_a_retry(relay, lab):
    client = await lab.client(token="t")
    room = await client.join("standup", user="alice", key=lab.key)
    session = relay.session
    await session.end(relay.room("standup"), "kicked")
    await session.close("kicked")
    assert [event.name for event in await lab.rest(room)] == ["kicked"]
    while client.state is State.CONNECTED:
        await asyncio.sleep(0)
    assert client.state is State.DISCONNECTED
    assert len(relay.sessions) == 1


# --- rejoining ---


async def test_a_refusal_that_is_not_temporary_ends_the_channel(relay, lab):
    client = await lab.client(token="t")
    room, other = [await client.join(name, user="alice", key=lab.key) for name in ("one", "two")]
    relay.joins.append(relay.error("invalid_token"))
    relay.session.cut()
    *_, left = await lab.rest(room)
    assert (left.code, left.name) == (111, "invalid_token")
    await lab.until(other, Resumed)
    assert client.channels == {"two": other}


async def test_a_temporary_refusal_is_tried_again_after_the_time_that_the_server_names(relay, lab):
    room = await lab.joined()
    relay.joins += [relay.error("rate_limited", retry_after=20.0), relay.error("channel_full")]
    relay.session.cut()
    await lab.until(room, Resumed)
    reconnect, named, plain = lab.naps.taken
    assert reconnect == 1.0
    assert named == pytest.approx(21.0, abs=0.5)
    # The server's twenty seconds are not over by the real clock: they still count.
    assert plain >= 2.0
    assert len(relay.sessions) == 2


async def test_a_connection_that_ends_while_a_channel_waits_to_rejoin_is_made_again(relay, lab):
    room = await lab.joined()
    relay.joins.append(relay.error("channel_full", retry_after=60.0))
    relay.session.cut()
    await lab.told(room, Disconnected)
    await relay.until(lambda: len(relay.sessions) == 2 and not relay.joins)
    lab.naps.hold()
    await relay.session.close("unauthenticated")
    await relay.until(lambda: len(relay.gone) == 2)
    lab.naps.release()
    assert isinstance(await lab.next(room), Resumed), "one gap, told once"


async def test_an_unanswered_rejoin_is_asked_again(relay, lab):
    room = await lab.joined()
    relay.ignored.add(controls.Join)
    lab.hurry(room, 0.02)
    relay.session.cut()
    await relay.until(lambda: len(relay.sessions) == 2 and relay.session.count(controls.Join) >= 2)
    relay.ignored.clear()
    lab.hurry(room, 0.2)
    await lab.until(room, Resumed)


async def test_each_rejoin_asks_the_callback_for_a_fresh_token(relay, lab):
    tokens = iter(("one", "two", "three"))
    room = await lab.joined(token=lambda channel, user: next(tokens))
    for expected in ("two", "three"):
        relay.session.cut()
        await lab.until(room, Resumed)
        assert relay.session.last(controls.Join).token == expected


async def test_a_callback_that_fails_at_a_rejoin_is_told_and_asked_again(relay, lab):
    answers = iter(("one", None, "three"))

    async def callback(channel: str, user: str) -> str:
        answer = next(answers)
        if answer is None:
            raise OSError("the application's server is down")
        return answer

    room = await lab.joined(token=callback)
    relay.session.cut()
    await lab.told(room, Disconnected)
    failed = await lab.told(room, RenewFailed)
    assert isinstance(failed.error, OSError)
    assert failed.will_retry
    await lab.told(room, Resumed)
    assert relay.session.last(controls.Join).token == "three"


async def test_a_membership_that_ended_for_a_reason_to_come_back_is_joined_again_on_the_same_connection(
    relay, lab
):
    client = await lab.client(token="t")
    room, other = [await client.join(name, user="alice", key=lab.key) for name in ("one", "two")]
    await relay.session.end(relay.room("one"), "internal_error")
    assert await lab.told(room, Disconnected) == Disconnected(4000, "internal_error", True)
    assert await lab.told(room, Resumed) == Resumed(True, 0)
    assert len(relay.sessions) == 1
    assert (await other.send(b"untouched")).offset == 1


async def test_an_ended_token_ends_the_channel_unless_there_is_a_callback(relay, lab):
    plain = await lab.joined("plain", token="just one")
    fresh = await lab.joined("fresh", token=lambda channel, user: "another")
    await relay.sessions[0].end(relay.room("plain"), "token_expired")
    assert [event.name for event in await lab.rest(plain)] == ["token_expired"]
    await relay.sessions[1].end(relay.room("fresh"), "token_expired")
    assert (await lab.told(fresh, Disconnected)).name == "token_expired"
    await lab.told(fresh, Resumed)


async def test_leaving_while_disconnected_ends_at_once_and_stops_the_retries(relay, lab):
    client = await lab.client(token="t")
    room = await client.join("standup", user="alice", key=lab.key)
    lab.naps.hold()
    relay.session.cut()
    await lab.told(room, Disconnected)
    await room.leave()
    assert [event.name for event in await lab.rest(room)] == ["left"]
    lab.naps.release()
    while client.state is State.RECONNECTING:
        await asyncio.sleep(0)
    assert client.state is State.DISCONNECTED
    assert len(relay.sessions) == 1


async def test_a_join_while_reconnecting_waits_for_the_new_connection(relay, lab):
    client = await lab.client(token="t")
    room = await client.join("one", user="alice", key=lab.key)
    lab.naps.hold()
    relay.session.cut()
    await lab.told(room, Disconnected)
    assert client.state is State.RECONNECTING
    joining = asyncio.create_task(client.join("two", user="alice", key=lab.key))
    await asyncio.sleep(0)
    lab.naps.release()
    assert (await joining).joined
    assert len(relay.sessions) == 2


async def test_closing_while_reconnecting_ends_everything(relay, lab):
    client = await lab.client(token="t")
    room = await client.join("standup", user="alice", key=lab.key)
    lab.naps.hold()
    relay.session.cut()
    await lab.told(room, Disconnected)
    await client.close()
    assert [event.name for event in await lab.rest(room)] == ["left"]
    assert client.state is State.CLOSED


async def test_a_server_that_does_not_know_the_app_any_more_ends_the_channels(relay, lab):
    client = await lab.client(token="t")
    room = await client.join("standup", user="alice", key=lab.key)
    relay.refusals.append((404, {}))
    relay.session.cut()
    await lab.told(room, Disconnected)
    [left] = await lab.rest(room)
    assert (left.code, left.name) == (4005, "connection_lost")
    assert "404" in left.message
    while client.state is State.RECONNECTING:
        await asyncio.sleep(0)
    assert client.state is State.DISCONNECTED


# --- drain ---


async def test_a_draining_server_is_left_after_the_delay_that_it_names(relay, lab):
    room = await lab.joined()
    lab.naps.hold()
    await relay.session.send(controls.Drain(delay=7.0))
    assert await lab.told(room, Draining) == Draining(7.0, ())
    assert (await room.send(b"not yet")).offset == 1
    assert lab.naps.taken == [7.0]
    lab.naps.release()
    assert await lab.told(room, Disconnected) == Disconnected(4001, "draining", True)
    assert await lab.told(room, Resumed) == Resumed(True, 0)
    assert relay.sessions[0].ws.close_code == 1000


async def test_a_drain_does_not_cut_off_a_message_that_waits_for_its_ack(relay, lab):
    room = await lab.joined()
    relay.hold_acks = True
    sending = asyncio.create_task(room.send(b"almost"))
    await relay.until(lambda: relay.session.held)
    await relay.session.send(controls.Drain(delay=0.0))
    await lab.told(room, Draining)
    channel, ref = relay.session.held.pop()
    relay.room("standup").offset = 1
    await relay.session.send(controls.Ack(channel=channel, offset=1), ref)
    assert (await sending).offset == 1
    await lab.told(room, Disconnected)
    assert await lab.told(room, Resumed) == Resumed(True, 0)


async def test_an_alternative_is_used_if_it_is_a_server(relay, lab):
    elsewhere = type(relay)()
    await elsewhere.start()
    try:
        room = await lab.joined()
        named = ("https://no.example", "ws://user@no.example", "garbage", elsewhere.url)
        await relay.session.send(controls.Drain(delay=0.0, alternatives=named))
        assert await lab.told(room, Draining) == Draining(0.0, (elsewhere.url,))
        await lab.until(room, Resumed)
        assert len(elsewhere.sessions) == 1
        assert len(relay.sessions) == 1
        assert (await room.send(b"moved")).offset == 1
        # What it moved to is where it comes back to; when that is gone, it goes home.
        elsewhere.session.cut()
        await lab.until(room, Resumed)
        assert len(elsewhere.sessions) == 2
        elsewhere.refusals.append((503, {}))
        elsewhere.session.cut()
        await lab.until(room, Resumed)
        assert len(relay.sessions) == 2
    finally:
        await room.leave()
        await elsewhere.stop()


async def test_a_server_that_drains_and_closes_at_once_is_left_alone_for_the_rest_of_the_delay(relay, lab):
    room = await lab.joined()
    lab.naps.hold()
    await relay.session.send(controls.Drain(delay=50.0))
    await lab.told(room, Draining)
    await relay.session.close("draining")
    assert (await lab.told(room, Disconnected)).name == "draining"
    lab.naps.release()
    await lab.told(room, Resumed)
    assert lab.naps.taken[0] == 50.0
    assert lab.naps.taken[1] == pytest.approx(51.0, abs=1.0)


async def test_a_delay_beyond_reason_is_cut(relay, lab):
    room = await lab.joined()
    lab.naps.hold()
    await relay.session.send(controls.Drain(delay=4e9))
    assert (await lab.told(room, Draining)).delay == HINT_MAX


async def test_frames_of_a_member_whose_number_changed_are_opened_under_the_new_one(relay, lab):
    bob = relay.peer("standup", "bob", lab.key)
    relay.room("standup").peers.append(bob)
    room = await lab.joined()
    old = await bob.frame(b"before")
    await lab.told(room, Frame)
    relay.session.cut()
    await lab.told(room, Disconnected)
    bob.number = 99
    await lab.until(room, Resumed)
    assert (await lab.told(room, MemberLeft)).member != 99
    assert await lab.told(room, MemberJoined) == MemberJoined(99, "bob", True)
    await bob.frame(b"after", Kind.AUDIO)
    assert await lab.told(room, Frame) == Frame(99, "bob", "audio", 2, b"after")
    # The same session under another number: its old frames stay old.
    replayed = old[:8] + (99).to_bytes(4, "big") + old[12:]
    await relay.session.raw(replayed)
    await bob.frame(b"last")
    await lab.until(room, Frame)
    assert room.stats.seal_failures == {"replayed": 1}
