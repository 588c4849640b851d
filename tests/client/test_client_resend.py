"""Messages over interruptions: sent again until they have an answer, and placed once."""

from __future__ import annotations

import asyncio

import pytest

from sealcast.client import (
    DeliveryUnknown,
    Disconnected,
    Message,
    NotConnected,
    RequestRefused,
    RequestTimeout,
    Resumed,
)
from sealcast.protocol import controls
from sealcast.protocol.descriptor import BYTES
from sealcast.protocol.sframe import read_header


async def start(room, *payloads: bytes, **how) -> list[asyncio.Task]:
    return [asyncio.create_task(room.send(payload, **how)) for payload in payloads]


def counters(session) -> list[int]:
    return [read_header(data, BYTES)[1] for _, data in session.messages]


async def test_a_message_without_an_ack_is_sent_again_on_the_next_connection(relay, lab):
    alice, bob = await lab.joined(), await lab.joined(user="bob")
    first = relay.sessions[0]
    relay.hold_acks = True
    [sending] = await start(alice, b"hello")
    await relay.until(lambda: first.messages)
    relay.hold_acks = False
    first.cut()
    receipt = await sending
    assert (receipt.offset, receipt.repeated) == (1, False)
    assert (await lab.until(bob, Message)).data == b"hello"
    assert alice.stats.messages_sent == 1
    assert alice.stats.messages_sent_again == 1


async def test_it_goes_under_the_same_run_and_ref_and_is_sealed_anew(relay, lab):
    alice = await lab.joined()
    first = relay.session
    relay.hold_acks = True
    [sending] = await start(alice, b"hello")
    await relay.until(lambda: first.messages)
    relay.hold_acks = False
    first.cut()
    await sending
    again = relay.session
    assert again is not first
    assert again.last(controls.Join).run == first.last(controls.Join).run
    [(ref, sealed)], [(ref_again, sealed_again)] = first.messages, again.messages
    assert ref == ref_again
    assert sealed != sealed_again
    assert (counters(first), counters(again)) == ([0], [1]), "a counter is used once"


async def test_what_had_been_placed_is_acknowledged_again_and_delivered_once(relay, lab):
    alice, bob = await lab.joined(), await lab.joined(user="bob")
    first, room = relay.sessions[0], relay.room("standup")
    relay.hold_acks = True
    [sending] = await start(alice, b"hello")
    await relay.until(lambda: first.held)
    [(_, ref)] = first.held
    number = first.rooms[room.number][1]
    await first.place(room, number, ref, first.messages[0][1], ack=False)
    relay.hold_acks = False
    first.cut()
    receipt = await sending
    assert (receipt.offset, receipt.repeated) == (1, True)
    await alice.send(b"next")
    assert [(await lab.until(bob, Message)).data for _ in range(2)] == [b"hello", b"next"]
    assert room.offset == 2


async def test_messages_go_again_in_their_order_and_before_new_ones(relay, lab):
    alice = await lab.joined()
    bob = await lab.joined(user="bob")
    first = relay.sessions[0]
    relay.hold_acks = True
    sending = await start(alice, *(b"%d" % n for n in range(5)))
    await relay.until(lambda: len(first.messages) == 5)
    lab.naps.hold()
    first.cut()
    await lab.until(alice, Disconnected)
    sending += await start(alice, *(b"%d" % n for n in range(5, 9)))
    await asyncio.sleep(0)
    relay.hold_acks = False
    lab.naps.release()
    receipts = await asyncio.gather(*sending)
    assert [receipt.offset for receipt in receipts] == list(range(1, 10))
    heard = [(await lab.until(bob, Message)).data for _ in range(9)]
    assert heard == [b"%d" % n for n in range(9)]


async def test_refs_are_counted_over_connections(relay, lab):
    alice = await lab.joined()
    await alice.send(b"one")
    relay.session.cut()
    await lab.until(alice, Resumed)
    receipt = await alice.send(b"two")
    assert (receipt.offset, receipt.repeated) == (2, False)
    refs = [ref for session in relay.sessions for ref, _ in session.messages]
    assert refs == sorted(set(refs))


async def test_another_client_has_another_run(relay, lab):
    await lab.joined()
    await lab.joined(user="bob")
    runs = {session.last(controls.Join).run for session in relay.sessions}
    assert len(runs) == 2
    assert all(len(run) == 16 for run in runs)


async def test_a_message_goes_again_on_as_many_connections_as_it_takes(relay, lab):
    alice = await lab.joined()
    relay.hold_acks = True
    [sending] = await start(alice, b"hello")
    for turn in range(1, 5):
        await relay.until(lambda turn=turn: len(relay.sessions) == turn and relay.session.messages)
        relay.hold_acks = turn < 4
        relay.session.cut()
    assert (await sending).offset == 1
    assert len({ref for session in relay.sessions for ref, _ in session.messages}) == 1


async def test_also_when_only_the_membership_was_interrupted(relay, lab):
    alice = await lab.joined()
    session = relay.session
    relay.hold_acks = True
    [sending] = await start(alice, b"hello")
    await relay.until(lambda: session.held)
    relay.hold_acks = False
    await session.end(relay.room("standup"), "draining")
    assert (await sending).offset == 1
    assert relay.sessions == [session]
    assert len(session.messages) == 2


async def test_when_the_time_is_up_in_between_it_is_not_known(relay, lab):
    alice = await lab.joined()
    relay.hold_acks = True
    [sending] = await start(alice, b"hello", timeout=0.2)
    await relay.until(lambda: relay.session.held)
    lab.naps.hold()
    relay.session.cut()
    with pytest.raises(DeliveryUnknown, match="connection_lost") as caught:
        await sending
    assert caught.value.returns
    with pytest.raises(NotConnected, match="nothing was sent"):
        await alice.send(b"never left", timeout=0.01)


async def test_when_the_time_is_up_on_the_second_connection_it_is_a_timeout(relay, lab):
    alice = await lab.joined()
    relay.hold_acks = True
    [sending] = await start(alice, b"hello", timeout=0.3)
    await relay.until(lambda: relay.session.held)
    relay.session.cut()
    await relay.until(lambda: len(relay.sessions) == 2 and relay.session.held)
    with pytest.raises(RequestTimeout):
        await sending


async def test_when_the_membership_ends_for_good_in_between_it_is_not_known(relay, lab):
    alice = await lab.joined()
    relay.hold_acks = True
    [sending] = await start(alice, b"hello")
    await relay.until(lambda: relay.session.held)
    relay.joins.append(relay.error("invalid_token"))
    relay.session.cut()
    with pytest.raises(DeliveryUnknown, match="invalid_token") as caught:
        await sending
    assert not caught.value.returns


async def test_a_relay_that_has_forgotten_is_sent_no_second_copy(relay, lab):
    alice = await lab.joined()
    relay.hold_acks = True
    [sending] = await start(alice, b"hello")
    await relay.until(lambda: relay.session.held)
    lab.naps.hold()
    relay.session.cut()
    await lab.until(alice, Disconnected)
    [later] = await start(alice, b"never left")
    relay.hold_acks = False
    relay.room("standup").epoch = "epoch-two"
    lab.naps.release()
    with pytest.raises(DeliveryUnknown, match="connection_lost"):
        await sending
    assert (await later).epoch == "epoch-two"
    assert len(relay.session.messages) == 1


async def test_when_the_right_to_send_has_gone_meanwhile_it_is_not_known(relay, lab):
    alice = await lab.joined()
    relay.hold_acks = True
    [sending] = await start(alice, b"hello")
    await relay.until(lambda: relay.session.held)
    relay.grant = {"audio": 60.0}
    relay.session.cut()
    with pytest.raises(DeliveryUnknown):
        await sending


async def test_a_cancelled_message_is_not_sent_again(relay, lab):
    alice = await lab.joined()
    relay.hold_acks = True
    [sending] = await start(alice, b"hello")
    await relay.until(lambda: relay.session.held)
    lab.naps.hold()
    relay.session.cut()
    await lab.until(alice, Disconnected)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    relay.hold_acks = False
    lab.naps.release()
    assert (await alice.send(b"next")).offset == 1
    assert len(relay.session.messages) == 1


# --- refusals for the moment ---


async def test_a_message_that_is_refused_for_the_moment_is_sent_again_when_the_relay_says(relay, lab):
    alice = await lab.joined()
    relay.message_refusals += [relay.error("rate_limited", retry_after=3.0), relay.error("not_stored")]
    receipt = await alice.send(b"hello")
    assert (receipt.offset, receipt.repeated) == (1, False)
    assert lab.naps.taken[0] == pytest.approx(3.0, abs=0.5)
    assert lab.naps.taken[1] == pytest.approx(2.0, abs=0.5), "the second wait of the back-off"
    assert len({ref for ref, _ in relay.session.messages}) == 1


async def test_what_comes_behind_it_waits_too(relay, lab):
    alice = await lab.joined()
    relay.message_refusals.append(relay.error("rate_limited", retry_after=3.0))
    lab.naps.hold()
    sending = await start(alice, b"one")
    await relay.until(lambda: relay.session.messages)
    async with asyncio.timeout(5):
        await lab.naps.began.wait()
    sending += await start(alice, b"two", b"three")
    await asyncio.sleep(0.01)
    assert len(relay.session.messages) == 1
    lab.naps.release()
    assert [receipt.offset for receipt in await asyncio.gather(*sending)] == [1, 2, 3]


async def test_a_refusal_of_one_that_goes_again_says_nothing_of_the_first_time(relay, lab):
    alice = await lab.joined()
    relay.hold_acks = True
    [sending] = await start(alice, b"hello")
    await relay.until(lambda: relay.session.held)
    relay.message_refusals.append(relay.error("not_permitted"))
    relay.session.cut()
    with pytest.raises(DeliveryUnknown) as caught:
        await sending
    assert isinstance(caught.value.__cause__, RequestRefused)


async def test_a_relay_that_says_no_for_ever_is_asked_until_the_time_is_up(relay, lab):
    alice = await lab.joined()
    relay.message_refusals.extend(relay.error("not_stored") for _ in range(10_000))
    with pytest.raises(RequestRefused, match="not_stored"):
        await alice.send(b"hello", timeout=3.0)
    assert 1 <= len(relay.session.messages) < 10
