"""Coming back to a relay that keeps messages: nothing is lost, twice, or claimed without proof."""

from __future__ import annotations

import asyncio
from unittest.mock import ANY

from sealcast.client import (
    Disconnected,
    Frame,
    Left,
    MemberJoined,
    MemberLeft,
    Message,
    Resumed,
    SealFailure,
)
from sealcast.client.e2ee import Key
from sealcast.protocol import controls, envelope
from sealcast.protocol.names import Kind
from sealcast.protocol.parts import Place


async def interrupted(relay, lab, room) -> None:
    """Cut the connection and let it stay away."""
    lab.naps.hold()
    relay.session.cut()
    await lab.told(room, Disconnected)


async def messages(lab, room, count: int) -> list[tuple[bytes, int, bool]]:
    told = [await lab.told(room, Message) for _ in range(count)]
    return [(one.data, one.offset, one.historical) for one in told]


async def gap(relay, lab, *payloads: bytes):
    """A room that was away while Bob, who has been heard before, has sent these."""
    bob = relay.peer("standup", "bob", lab.key)
    relay.room("standup").peers.append(bob)
    room = await lab.joined()
    await bob.message(b"live")
    assert (await lab.told(room, Message)).data == b"live"
    await interrupted(relay, lab, room)
    for payload in payloads:
        await bob.message(payload)
    return room, bob


async def test_what_was_missed_is_delivered_behind_resumed(relay, lab):
    room, _ = await gap(relay, lab, b"one", b"two")
    lab.naps.release()
    assert await lab.told(room, Resumed) == Resumed(True, 0)
    assert await messages(lab, room, 2) == [(b"one", 2, False), (b"two", 3, False)]
    assert relay.session.last(controls.Join).since == Place(epoch="epoch-one", offset=1)
    assert room.position == Place(epoch="epoch-one", offset=3)


async def test_and_what_is_live_follows(relay, lab):
    room, bob = await gap(relay, lab, b"one")
    lab.naps.release()
    assert await lab.told(room, Resumed) == Resumed(True, 0)
    await relay.until(lambda: relay.room("standup").members)
    await bob.frame(b"a frame")
    await bob.message(b"live")
    assert await messages(lab, room, 1) == [(b"one", 2, False)]
    assert (await lab.told(room, Frame)).data == b"a frame"
    assert await messages(lab, room, 1) == [(b"live", 3, False)]


async def test_nothing_missed_is_told_at_once(relay, lab):
    room, _ = await gap(relay, lab)
    lab.naps.release()
    assert await lab.told(room, Resumed) == Resumed(True, 0)
    assert relay.session.count(controls.Ping) == 0


async def test_messages_of_a_sender_that_has_gone_are_historical(relay, lab):
    room, bob = await gap(relay, lab)
    stranger = relay.peer("standup", "carol", lab.key)
    await stranger.message(b"you missed me")
    relay.room("standup").peers.remove(bob)
    lab.naps.release()
    assert await lab.told(room, Resumed) == Resumed(True, 0)
    assert isinstance(await lab.next(room), MemberLeft)
    message = await lab.told(room, Message)
    assert message == Message(stranger.number, "carol", b"you missed me", 2, "epoch-one", True)
    assert "historical" in repr(message)
    assert stranger.number not in room.members


async def test_a_sender_that_is_back_under_another_number_is_one_and_the_same(relay, lab):
    room, bob = await gap(relay, lab, b"under the old number")
    old, bob.number = bob.number, 77
    await bob.message(b"under the new one")
    lab.naps.release()
    assert await lab.told(room, Resumed) == Resumed(True, 0)
    assert set(room.members) == {77}
    told = [event for event in [await lab.next(room) for _ in range(4)] if isinstance(event, Message)]
    assert [(one.member, one.user, one.historical) for one in told] == [
        (old, "bob", False),
        (77, "bob", False),
    ]


async def test_own_messages_without_an_ack_are_no_gap(relay, lab):
    room, bob = await gap(relay, lab)
    lab.naps.release()
    await lab.told(room, Resumed)
    relay.hold_acks = True
    session, channel = relay.session, relay.room("standup")
    sending = asyncio.create_task(room.send(b"mine"))
    await relay.until(lambda: session.held)
    lab.naps.hold()
    [(_, ref)] = session.held
    await session.place(channel, session.rooms[channel.number][1], ref, session.messages[0][1], ack=False)
    session.cut()
    await lab.told(room, Disconnected)
    await bob.message(b"his")
    relay.hold_acks = False
    lab.naps.release()
    assert await lab.told(room, Resumed) == Resumed(True, 0)
    assert await messages(lab, room, 1) == [(b"his", 3, False)]
    receipt = await sending
    assert (receipt.offset, receipt.repeated) == (2, True)
    assert room.position == Place(epoch="epoch-one", offset=3)


async def test_an_own_message_that_nobody_waits_for_any_more_makes_it_uncertain(relay, lab):
    room, _ = await gap(relay, lab)
    lab.naps.release()
    await lab.told(room, Resumed)
    relay.hold_acks = True
    session, channel = relay.session, relay.room("standup")
    sending = asyncio.create_task(room.send(b"mine"))
    await relay.until(lambda: session.held)
    [(_, ref)] = session.held
    await session.place(channel, session.rooms[channel.number][1], ref, session.messages[0][1], ack=False)
    lab.naps.hold()
    session.cut()
    await lab.told(room, Disconnected)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    lab.naps.release()
    assert await lab.told(room, Resumed) == Resumed(False, 1)
    assert room.position == Place(epoch="epoch-one", offset=2)


async def test_a_relay_that_claims_all_and_sends_less_is_not_believed(relay, lab):
    room, bob = await gap(relay, lab, b"one", b"two", b"three")
    relay.replays = lambda room, join: [kept for kept in room.kept if kept.offset in (2, 4)]
    lab.naps.release()
    assert await lab.told(room, Resumed) == Resumed(False, 1)
    assert await messages(lab, room, 2) == [(b"one", 2, False), (b"three", 4, False)]
    await bob.message(b"live")
    assert await messages(lab, room, 1) == [(b"live", 5, False)]
    assert room.position == Place(epoch="epoch-one", offset=5)


async def test_a_relay_that_claims_all_and_sends_nothing_is_not_believed(relay, lab):
    room, _ = await gap(relay, lab, b"one")
    relay.replays = lambda room, join: []
    lab.naps.release()
    assert await lab.told(room, Resumed) == Resumed(False, 1)


async def test_a_live_message_shows_too_that_nothing_more_is_recovered(relay, lab):
    room, bob = await gap(relay, lab, b"one", b"two")
    relay.replays = lambda room, join: room.since(join)[1:]
    relay.ignored.add(controls.Ping)
    lab.naps.release()
    await relay.until(lambda: relay.session.count(controls.Ping) == 1)
    await bob.message(b"live")
    assert await lab.told(room, Resumed) == Resumed(False, 1)
    assert await messages(lab, room, 2) == [(b"two", 3, False), (b"live", 4, False)]


async def test_a_relay_that_does_not_answer_whether_that_was_all_is_not_waited_for(relay, lab):
    room, _ = await gap(relay, lab, b"one")
    relay.replays = lambda room, join: []
    relay.ignored.add(controls.Ping)
    lab.hurry(room, 0.1)
    lab.naps.release()
    assert await lab.told(room, Resumed) == Resumed(False, 1)


async def test_own_messages_that_get_no_answer_do_not_hold_up_what_has_come(relay, lab, monkeypatch):
    monkeypatch.setattr("sealcast.client.comeback.OWN_WAIT", 0.1)
    room, bob = await gap(relay, lab)
    lab.naps.release()
    await lab.told(room, Resumed)
    relay.hold_acks = True
    session, channel = relay.session, relay.room("standup")
    sending = asyncio.create_task(room.send(b"mine"))
    await relay.until(lambda: session.held)
    [(_, ref)] = session.held
    await session.place(channel, session.rooms[channel.number][1], ref, session.messages[0][1], ack=False)
    lab.naps.hold()
    session.cut()
    await lab.told(room, Disconnected)
    await bob.message(b"his")
    lab.naps.release()
    assert await lab.told(room, Resumed) == Resumed(False, 1)
    assert await messages(lab, room, 1) == [(b"his", 3, False)]
    [(_, ref)] = relay.session.held
    await relay.session.send(controls.Ack(channel=channel.number, offset=2, repeated=True), ref)
    assert (await sending).repeated


async def test_a_roster_that_breaks_the_protocol_in_a_recovery_leaves_nothing_held(relay, lab):
    room, bob = await gap(relay, lab, b"one")
    relay.room("standup").peers.append(bob)
    lab.naps.release()
    await relay.until(lambda: len(relay.gone) == 2)
    relay.room("standup").peers.remove(bob)
    assert isinstance(await lab.next(room), Left), "the server is not asked again"


async def test_a_relay_that_cannot_send_all_says_so_and_the_loss_is_counted(relay, lab):
    room, bob = await gap(relay, lab, b"one", b"two")
    relay.replays = lambda room, join: None
    lab.naps.release()
    assert await lab.told(room, Resumed) == Resumed(False, 2)
    await bob.message(b"live")
    assert await messages(lab, room, 1) == [(b"live", 4, False)]


async def test_in_another_epoch_nothing_is_claimed_whatever_the_relay_says(relay, lab):
    room, _ = await gap(relay, lab, b"one")
    relay.room("standup").epoch = "epoch-two"
    relay.replays = lambda room, join: []
    lab.naps.release()
    assert await lab.told(room, Resumed) == Resumed(False, None)
    assert room.position == Place(epoch="epoch-two", offset=2)


async def test_a_second_interruption_in_between_loses_nothing_either(relay, lab):
    room, bob = await gap(relay, lab, b"one", b"two", b"three")
    relay.ignored.add(controls.Ping)
    relay.replays = lambda room, join: room.since(join)[:2]
    lab.naps.release()
    await relay.until(lambda: relay.session.count(controls.Ping) == 1)
    relay.replays = type(relay.room("standup")).since
    lab.naps.hold()
    relay.session.cut()
    await relay.until(lambda: len(relay.gone) == 2)
    await bob.message(b"four")
    lab.naps.release()
    assert await messages(lab, room, 2) == [(b"one", 2, False), (b"two", 3, False)]
    assert await lab.told(room, Resumed) == Resumed(True, 0), "once: the first time it was not over"
    assert await messages(lab, room, 2) == [(b"three", 4, False), (b"four", 5, False)]
    assert room.stats.disconnects == 2


async def test_what_cannot_be_opened_is_told(relay, lab):
    room, _ = await gap(relay, lab)
    stranger = relay.peer("standup", "carol", Key.raw(b"x" * 32))
    await stranger.message(b"under another secret")
    lab.naps.release()
    assert await lab.told(room, Resumed) == Resumed(True, 0)
    assert await lab.told(room, SealFailure) == SealFailure(stranger.number, "carol", "open_failed")


async def test_a_replayed_message_of_before_is_not_delivered_again(relay, lab):
    room, bob = await gap(relay, lab, b"one")
    live = relay.room("standup").kept[0]
    relay.replays = lambda room, join: [live._replace(offset=2)]
    lab.naps.release()
    assert await lab.told(room, Resumed) == Resumed(True, 0)
    assert await lab.told(room, SealFailure) == SealFailure(bob.number, "bob", "replayed")


async def test_what_waited_before_the_gap_keeps_its_place_before_what_is_recovered(relay, lab):
    room, bob = await gap(relay, lab)
    lab.naps.release()
    await lab.told(room, Resumed)
    carol, channel = relay.peer("standup", "carol", lab.key), relay.room("standup")
    await carol.join()
    await lab.told(room, MemberJoined)
    channel.offset = 2
    unproved = carol.seal(Kind.MESSAGE, b"waits for its proof")
    channel.keep(carol.number, "carol", carol.crypto.hello, unproved, None)
    await channel.broadcast(envelope.delivered(channel.number, carol.number, 2, unproved))
    await bob.frame(b"a mark")
    await lab.told(room, Frame)
    await interrupted(relay, lab, room)
    await bob.message(b"behind it")
    lab.naps.release()
    assert await lab.told(room, Resumed) == Resumed(True, 0)
    assert relay.session.last(controls.Join).since == Place(epoch="epoch-one", offset=2)
    assert room.position == Place(epoch="epoch-one", offset=1), "the application has not got it yet"
    for proof in carol.proofs():
        await channel.broadcast(proof)
    assert await messages(lab, room, 2) == [
        (b"waits for its proof", 2, False),
        (b"behind it", 3, False),
    ]
    assert room.position == Place(epoch="epoch-one", offset=3)


async def test_an_author_with_a_name_that_no_user_can_have_ends_the_connection(relay, lab):
    room, bob = await gap(relay, lab, b"one")
    relay.room("standup").peers.remove(bob)
    relay.room("standup").introduced[bob.number] = controls.MemberInfo(member=bob.number, user="\n")
    lab.naps.release()
    assert (await lab.rest(room))[-1] == Left(4501, "protocol_error", ANY)


async def test_what_the_relay_sends_back_of_this_side_is_not_taken_for_anothers(relay, lab):
    room, _ = await gap(relay, lab)
    channel = relay.room("standup")
    own = relay.sessions[0].last(controls.Join).hello
    other = relay.peer("standup", "alice", lab.key)
    await other.message(b"by alice, it says")
    channel.introduced[other.number] = controls.MemberInfo(member=other.number, user="alice", hello=own)
    lab.naps.release()
    assert await lab.told(room, Resumed) == Resumed(True, 0)
    assert await lab.told(room, SealFailure) == SealFailure(other.number, "alice", "hello_refused")


# --- a new process that has kept its place ---


async def test_a_new_process_goes_on_where_the_last_one_was(relay, lab):
    bob = relay.peer("standup", "bob", lab.key)
    relay.room("standup").peers.append(bob)
    for payload in (b"one", b"two", b"three"):
        await bob.message(payload)
    client = await lab.client(token="t")
    since = Place(epoch="epoch-one", offset=1)
    room = await client.join("standup", user="alice", key=lab.key, since=since)
    assert relay.session.last(controls.Join).since == since
    assert await lab.told(room, Resumed) == Resumed(True, 0)
    assert await messages(lab, room, 2) == [(b"two", 2, True), (b"three", 3, True)]


async def test_its_own_messages_of_before_come_too(relay, lab):
    client = await lab.client(token="t")
    before = await client.join("standup", user="alice", key=lab.key)
    place = before.position
    await before.send(b"mine")
    await before.leave()
    room = await client.join("standup", user="alice", key=lab.key, since=place)
    assert await lab.told(room, Resumed) == Resumed(True, 0)
    message = await lab.told(room, Message)
    assert (message.user, message.data, message.historical) == ("alice", b"mine", True)


async def test_a_place_of_another_epoch_or_ahead_of_the_channel_is_no_place(relay, lab):
    client = await lab.client(token="t")
    for name, place in (("a", Place(epoch="gone", offset=1)), ("b", Place(epoch="epoch-one", offset=9))):
        room = await client.join(name, user="alice", key=lab.key, since=place)
        assert await lab.told(room, Resumed) == Resumed(False, None)
        assert room.position == Place(epoch="epoch-one", offset=0)


async def test_the_position_is_behind_what_the_application_has_not_taken(relay, lab):
    room = await lab.joined()
    bob = relay.peer("standup", "bob", lab.key)
    await bob.join()
    for payload in (b"one", b"two"):
        await bob.message(payload)
    await room.send(b"three")
    assert room.position == Place(epoch="epoch-one", offset=0)
    assert (await lab.until(room, Message)).data == b"one"
    assert room.position == Place(epoch="epoch-one", offset=1)
    assert (await lab.until(room, Message)).data == b"two"
    assert room.position == Place(epoch="epoch-one", offset=3)
