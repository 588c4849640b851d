"""Messages and frames: what is sealed, what is acknowledged, what is dropped, what is refused."""

from __future__ import annotations

import asyncio

import pytest

from sealcast.client import (
    ChannelClosed,
    DeliveryUnknown,
    Disconnected,
    DisconnectedError,
    Dropped,
    Frame,
    Left,
    LimitExceeded,
    MemberJoined,
    Message,
    NotConnected,
    NotPermitted,
    Receipt,
    Refused,
    RequestRefused,
    RequestTimeout,
    SealFailure,
)
from sealcast.protocol import controls
from sealcast.protocol.codes import reply
from sealcast.protocol.descriptor import decode
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import read_header


async def pair(lab):
    """Two users in one channel, each with a connection of their own."""
    alice = await lab.joined(user="alice")
    bob = await lab.joined(user="bob")
    await lab.told(alice, MemberJoined)
    return alice, bob


# --- messages ---


async def test_a_message_is_sealed_acknowledged_and_delivered(relay, lab):
    alice, bob = await pair(lab)
    receipt = await alice.send(b"hello")
    assert receipt == Receipt(1, "epoch-one")
    assert receipt.offset == 1
    assert await lab.told(bob, Message) == Message(1, "alice", b"hello", 1, "epoch-one")
    [(_, sealed)] = relay.sessions[0].messages
    descriptor = decode(sealed)
    assert (descriptor.kind, descriptor.stream, descriptor.keep) == (Kind.MESSAGE, 1, False)
    assert b"hello" not in sealed


async def test_a_message_may_be_marked_to_be_kept(relay, lab):
    alice = await lab.joined()
    await alice.send(b"for later", keep=True)
    assert decode(relay.session.messages[-1][1]).keep


async def test_messages_sent_at_once_keep_their_order_and_get_their_own_receipts(relay, lab):
    alice, bob = await pair(lab)
    receipts = await asyncio.gather(*(alice.send(f"{n}".encode()) for n in range(50)))
    assert [receipt.offset for receipt in receipts] == list(range(1, 51))
    for n in range(50):
        assert (await lab.told(bob, Message)).data == f"{n}".encode()
    counters = [read_header(sealed, 4)[1] for _, sealed in relay.sessions[0].messages]
    assert counters == list(range(50)), "the order of sealing is the order on the wire"


async def test_a_refused_message_raises_the_servers_reason(relay, lab):
    alice = await lab.joined()
    relay.hold_acks = True
    sending = asyncio.create_task(alice.send(b"hello"))
    await relay.until(lambda: relay.session.held)
    _, ref = relay.session.held.pop()
    await relay.session.send(relay.error("not_permitted"), ref)
    with pytest.raises(RequestRefused, match="not_permitted"):
        await sending


async def test_a_refusal_for_longer_than_the_message_has_time_is_raised_at_once(relay, lab):
    alice = await lab.joined()
    relay.message_refusals.append(relay.error("rate_limited", retry_after=60.0))
    with pytest.raises(RequestRefused, match="rate_limited") as caught:
        await alice.send(b"hello", timeout=9.0)
    assert caught.value.retry_after == 60.0
    assert lab.naps.taken == []


async def test_a_message_without_an_ack_times_out_and_a_late_ack_does_no_harm(relay, lab):
    alice = await lab.joined()
    relay.hold_acks = True
    with pytest.raises(RequestTimeout):
        await alice.send(b"hello", timeout=0.05)
    await relay.until(lambda: relay.session.held)
    channel, ref = relay.session.held.pop()
    await relay.session.send(controls.Ack(channel=channel, offset=1), ref)
    relay.room("standup").offset = 1
    relay.hold_acks = False
    assert (await alice.send(b"again")).offset == 2


async def test_a_cancelled_send_leaves_the_connection_as_it_was(relay, lab):
    alice = await lab.joined()
    relay.hold_acks = True
    sending = asyncio.create_task(alice.send(b"hello"))
    await relay.until(lambda: relay.session.held)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    channel, ref = relay.session.held.pop()
    await relay.session.send(controls.Ack(channel=channel, offset=1), ref)
    relay.room("standup").offset = 1
    relay.hold_acks = False
    assert (await alice.send(b"again")).offset == 2


async def test_a_relay_that_would_not_know_them_again_leaves_messages_without_an_ack_unknown(relay, lab):
    relay.features = ()
    alice = await lab.joined()
    relay.hold_acks = True
    sending = [asyncio.create_task(alice.send(b"hello")) for _ in range(3)]
    await relay.until(lambda: len(relay.session.held) == 3)
    relay.session.cut()
    for result in await asyncio.gather(*sending, return_exceptions=True):
        assert isinstance(result, DeliveryUnknown)
        assert isinstance(result, DisconnectedError)
        assert "whether it was delivered is not known" in str(result)
        assert result.code is not None
        assert result.code.name == "connection_lost"
        assert result.returns


async def test_messages_without_an_ack_raise_the_same_when_the_membership_ends(relay, lab):
    alice = await lab.joined()
    relay.hold_acks = True
    sending = asyncio.create_task(alice.send(b"hello"))
    await relay.until(lambda: relay.session.held)
    await relay.session.end(relay.room("standup"), "kicked")
    with pytest.raises(DeliveryUnknown, match="kicked") as caught:
        await sending
    assert not caught.value.returns


async def test_a_message_waits_for_the_connection_to_come_back(relay, lab):
    alice = await lab.joined()
    lab.naps.hold()
    relay.session.cut()
    await lab.told(alice, Disconnected)
    sending = asyncio.create_task(alice.send(b"patience"))
    await asyncio.sleep(0)
    assert not sending.done()
    lab.naps.release()
    assert (await sending).offset == 1
    assert len(relay.sessions) == 2


async def test_a_message_that_finds_no_connection_in_time_was_not_sent(relay, lab):
    alice = await lab.joined()
    lab.naps.hold()
    relay.session.cut()
    await lab.told(alice, Disconnected)
    with pytest.raises(NotConnected, match="nothing was sent"):
        await alice.send(b"hello", timeout=0.01)
    assert relay.session.messages == []


async def test_a_message_that_waits_ends_with_the_membership(relay, lab):
    alice = await lab.joined()
    lab.naps.hold()
    relay.session.cut()
    await lab.told(alice, Disconnected)
    sending = asyncio.create_task(alice.send(b"hello"))
    await asyncio.sleep(0)
    await alice.leave()
    with pytest.raises(ChannelClosed):
        await sending


async def test_a_payload_over_the_announced_limit_is_refused_here(relay, lab):
    relay.limits = {"frame": 300, "message": 200}
    alice, bob = await pair(lab)
    message, frame = alice.message_max, alice.frame_max
    assert 50 < message < 200
    assert 200 < frame < 300
    await alice.send(bytes(message))
    with pytest.raises(LimitExceeded, match=f"limit of {message} bytes"):
        await alice.send(bytes(message + 1))
    mic = alice.stream("audio")
    assert mic.send(bytes(frame))
    with pytest.raises(LimitExceeded, match=f"limit of {frame} bytes"):
        mic.send(bytes(frame + 1))
    assert len((await lab.told(bob, Message)).data) == message
    assert len((await lab.told(bob, Frame)).data) == frame
    assert max(len(sealed) for _, sealed in relay.sessions[0].messages) <= 200
    assert max(map(len, relay.sessions[0].frames)) <= 300


async def test_a_secret_is_not_a_key(relay, lab):
    client = await lab.client()
    with pytest.raises(TypeError, match=r"Key\.raw"):
        await client.join("standup", user="alice", token="t", key=lab.secret)


async def test_text_is_not_a_payload(relay, lab):
    alice = await lab.joined()
    with pytest.raises(TypeError, match="encode"):
        await alice.send("hello")
    with pytest.raises(TypeError, match="encode"):
        alice.stream("data").send("hello")
    assert relay.session.messages == []


# --- frames ---


async def test_frames_of_all_kinds_arrive_with_what_their_descriptor_says(relay, lab):
    alice, bob = await pair(lab)
    streams = {kind: alice.stream(kind) for kind in ("audio", "video", "screen", "data", "custom")}
    assert [stream.id for stream in streams.values()] == [2, 3, 4, 5, 6]
    for kind, stream in streams.items():
        assert stream.send(
            kind.encode(), keyframe=True, discardable=True, temporal=3, spatial=2, end_of_group=True
        )
        assert await lab.told(bob, Frame) == Frame(
            1, "alice", kind, stream.id, kind.encode(), True, True, True, 3, 2, stream.priority
        )
    assert alice.stats.frames_sent == 5
    assert bob.stats.frames_received == 5


async def test_priorities_can_be_chosen_and_audio_goes_last_by_default(lab):
    alice = await lab.joined()
    assert alice.stream("audio").priority > alice.stream("screen").priority > alice.stream("video").priority
    assert alice.stream("video", priority=7).priority == 7
    for bad in (-1, 8):
        with pytest.raises(ValueError, match="0 to 7"):
            alice.stream("video", priority=bad)
    with pytest.raises(ValueError, match="audio, video, screen, data, custom"):
        alice.stream("message")


async def test_stream_numbers_run_out_and_come_back(lab):
    alice = await lab.joined()
    streams = [alice.stream("data") for _ in range(254)]
    assert {stream.id for stream in streams} == set(range(2, 256))
    with pytest.raises(LimitExceeded, match="254"):
        alice.stream("data")
    streams[100].close()
    streams[100].close()
    with pytest.raises(ChannelClosed):
        streams[100].send(b"x")
    assert alice.stream("data").id == streams[100].id


async def test_frames_are_dropped_before_sealing_when_the_queue_is_full(relay, lab):
    alice = await lab.joined(queue_bytes=1000)
    mic = alice.stream("audio")
    results = [mic.send(bytes(100)) for _ in range(50)]
    taken = sum(results)
    assert 0 < taken < 50
    assert results == [True] * taken + [False] * (50 - taken)
    assert (mic.sent, mic.dropped) == (taken, 50 - taken)
    assert alice.stats.frames_dropped == {"audio": 50 - taken}
    await relay.until(lambda: len(relay.session.frames) == taken)
    assert mic.send(b"room again")
    await relay.until(lambda: len(relay.session.frames) == taken + 1)
    counters = [read_header(frame, 4)[1] for frame in relay.session.frames]
    assert counters == list(range(taken + 1)), "a dropped frame burns no counter"


async def test_after_a_dropped_video_frame_everything_up_to_the_next_keyframe_is_dropped(relay, lab):
    alice = await lab.joined(queue_bytes=1000)
    cam = alice.stream("video")
    assert cam.send(bytes(900), keyframe=True)
    assert not cam.send(bytes(900))
    await relay.until(lambda: len(relay.session.frames) == 1)
    assert not cam.send(b"small, and of no use")
    assert cam.send(bytes(10), keyframe=True)
    assert cam.send(b"useful again")
    assert (cam.sent, cam.dropped) == (3, 2)


async def test_a_dropped_discardable_frame_or_one_without_keyframes_breaks_nothing(relay, lab):
    alice = await lab.joined(queue_bytes=1000)
    cam, plain = alice.stream("video"), alice.stream("video")
    assert cam.send(bytes(900), keyframe=True)
    assert not cam.send(bytes(900), discardable=True)
    assert not plain.send(bytes(900))
    await relay.until(lambda: len(relay.session.frames) == 1)
    assert cam.send(b"goes on")
    assert plain.send(b"goes on")


async def test_a_server_that_does_not_read_costs_frames_and_delays_messages(relay, lab):
    alice = await lab.joined(queue_bytes=250_000)
    mic = alice.stream("data")
    relay.session.ws.transport.pause_reading()
    refused = 0
    while refused < 20:
        refused = 0 if mic.send(bytes(200_000)) else refused + 1
        await asyncio.sleep(0)
    with pytest.raises(LimitExceeded, match="waits to be sent"):
        await alice.send(bytes(60_000), timeout=0.01)
    sending = asyncio.create_task(alice.send(bytes(60_000)))
    await asyncio.sleep(0)
    assert not mic.send(b"x"), "messages that wait go first"
    relay.session.ws.transport.resume_reading()
    assert (await sending).offset == 1
    assert mic.sent == len(relay.session.frames)


async def test_frames_are_dropped_and_counted_while_the_connection_is_gone(relay, lab):
    alice = await lab.joined()
    mic = alice.stream("audio")
    lab.naps.hold()
    relay.session.cut()
    await lab.told(alice, Disconnected)
    assert mic.send(b"nobody") is False
    assert (mic.sent, mic.dropped) == (0, 1)


async def test_frames_the_server_refuses_are_reported(relay, lab):
    alice = await lab.joined()
    channel = relay.room("standup").number
    await relay.session.send(relay.error("counter_repeated", channel=channel, count=3))
    code = reply("counter_repeated")
    assert await lab.told(alice, Refused) == Refused(131, "counter_repeated", code.message, 3)
    assert alice.stats.frames_refused == 3
    await relay.session.send(relay.error("rate_limited", channel=channel, count=2, retry_after=0.5))
    refused = await lab.told(alice, Refused)
    assert (refused.name, refused.count, refused.retry_after) == ("rate_limited", 2, 0.5)
    assert alice.stats.frames_refused == 5


async def test_frames_the_server_dropped_are_reported(relay, lab):
    alice = await lab.joined()
    number = relay.room("standup").number
    await relay.session.send(controls.Dropped(channel=number, counts={"video": 9}))
    assert await lab.told(alice, Dropped) == Dropped({"video": 9}, "server")
    reasons = {"age": 1, "keyframe": 2}
    await relay.session.send(controls.Dropped(channel=number, counts={"video": 3}, reasons=reasons))
    assert await lab.told(alice, Dropped) == Dropped({"video": 3}, "server", reasons)
    assert alice.stats.dropped_by_server == {"video": 12}
    assert alice.stats.dropped_reasons == reasons


async def test_a_channel_knows_what_the_server_does_when_it_is_slow(relay, lab):
    assert (await lab.joined()).delivery is None, "an older server does not say"
    for policy, delivery in (("latest", "latest"), ("\x1b[31m", "unknown")):
        relay.policy = {"encryption": "required", "delivery": policy}
        assert (await lab.joined(user=delivery)).delivery == delivery


async def test_an_application_that_does_not_read_loses_frames_before_messages_and_is_told(relay, lab):
    alice = await lab.joined(inbox_events=4)
    bob = relay.peer("standup", "bob", lab.key)
    await bob.join()
    await lab.told(alice, MemberJoined)
    for n in range(6):
        await bob.frame(f"frame {n}".encode())
    for n in range(3):
        await bob.message(f"message {n}".encode())
    await bob.leave()
    await relay.session.end(relay.room("standup"), "kicked")
    while not alice.closed:
        await asyncio.sleep(0)
    events = await lab.rest(alice)
    assert events[0] == Dropped({"audio": 6}, "client")
    assert [e.data for e in events if isinstance(e, Message)] == [b"message 0", b"message 1", b"message 2"]
    assert isinstance(events[-1], Left)
    assert alice.stats.dropped_by_client == 6


# --- rights ---


async def test_what_the_grant_lacks_is_refused_before_anything_leaves(relay, lab):
    relay.grant = {"audio": 3600.0}
    alice = await lab.joined()
    assert set(alice.grant) == {"audio"}
    assert alice.stream("audio").send(b"fine")
    for kind in ("video", "screen", "data", "custom"):
        with pytest.raises(NotPermitted):
            alice.stream(kind)
    with pytest.raises(NotPermitted, match="data"):
        await alice.send(b"hello")
    await relay.until(lambda: relay.session.frames)
    assert relay.session.messages == []


async def test_a_right_that_is_taken_by_a_renewal_ends_a_running_stream(relay, lab):
    alice = await lab.joined()
    cam = alice.stream("video")
    assert cam.send(b"fine")
    relay.grant = {"audio": 3600.0, "data": 3600.0}
    await alice.renew("a lesser token")
    with pytest.raises(NotPermitted):
        cam.send(b"no more")


# --- keys ---


async def test_members_with_another_key_are_heard_of_and_not_heard(relay, lab):
    alice = await lab.joined()
    other = type(lab.key).raw(bytes(32))
    eve = relay.peer("standup", "eve", other)
    await eve.join()
    assert (await lab.told(alice, MemberJoined)).verified, "a hello alone proves no secret"
    await eve.frame(b"do you hear me")
    assert await lab.told(alice, SealFailure) == SealFailure(eve.number, "eve", "open_failed", 1)
    await relay.session.send(controls.Dropped(channel=relay.room("standup").number, counts={}))
    await lab.told(alice, Dropped)
    assert alice.stats.seal_failures == {"open_failed": 2}, "its beacon and its frame"
    assert alice.stats.frames_received == 0


async def test_a_new_epochs_secret_is_used_from_then_on(relay, lab):
    alice = await lab.joined()
    bob = relay.peer("standup", "bob", lab.key)
    await bob.join()
    await lab.told(alice, MemberJoined)
    secret = bytes(range(32))
    bob.crypto.set_key(1, secret)
    await bob.frame(b"a little early")
    alice.set_key(1, secret)
    await bob.frame(b"now")
    assert [(await lab.told(alice, Frame)).data for _ in range(2)] == [b"a little early", b"now"]
    await alice.send(b"hello")
    opened = relay.peer("standup", "carol", lab.key)
    opened.crypto.set_key(1, secret)
    join = relay.room("standup").members[1][1]
    opened.crypto.add_member(1, "alice", join.hello)
    assert opened.crypto.open(1, relay.session.messages[-1][1]).payload == b"hello"
