"""Addresses that offend, over real sockets: blocked, freed, blocked for longer; and innocent ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from sealcast.protocol.controls import Join

if TYPE_CHECKING:
    from ..conftest import Lab
    from .conftest import Guarded

pytestmark = pytest.mark.timeout(60)


async def test_forged_tokens_block_an_address(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve()
    async with lab.undisturbed(relay):
        with capture_logs() as lines:
            assert await guarded.forge(relay, guarded.BAD, 9) is None
            assert await guarded.forge(relay, guarded.BAD, 1) == (4505, "too_many_errors")
        assert await guarded.status(relay, guarded.BAD) == 0, "cut before a byte of HTTP"
        assert await guarded.status(relay, guarded.OFFICE) == 101
    (line,) = [line for line in lines if line["event"] == "address blocked"]
    assert line["address"] == guarded.BAD
    assert (line["reason"], line["seconds"], line["app"]) == ("invalid_token", 60.0, lab.APP)
    assert guarded.blocks.told == [(lab.APP, guarded.BAD, "invalid_token", 60.0)]
    assert relay.metrics.address_blocks == {"invalid_token": 1}
    assert relay.metrics.handshakes_refused["blocked"] == 1


async def test_a_block_ends_and_the_next_one_is_longer(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve()
    await guarded.forge(relay, guarded.BAD, 10)
    lab.later(59)
    assert await guarded.status(relay, guarded.BAD) == 0
    lab.later(1)
    assert await guarded.forge(relay, guarded.BAD, 10) is not None
    assert [told[3] for told in guarded.blocks.told] == [60.0, 240.0]
    lab.later(60)
    assert await guarded.status(relay, guarded.BAD) == 0
    lab.later(180)
    assert await guarded.status(relay, guarded.BAD) == 101


async def test_slow_guessing_is_not_forgotten_at_once_but_fades(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve(guard={"half_life": 300})
    for _ in range(10):
        assert await guarded.forge(relay, guarded.BAD, 5) is None
        lab.later(600)
    assert await guarded.forge(relay, guarded.BAD, 9) is not None, "12 are left of the fifties before"


async def test_the_memberships_of_a_blocked_address_go_on(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve()
    ann, bob = [await guarded.client(relay, guarded.BAD) for _ in range(2)]
    room = await ann.join("standup", "ann")
    await bob.join("standup", "bob")
    await guarded.forge(relay, guarded.BAD, 30)
    assert await guarded.status(relay, guarded.BAD) == 0
    sent = await ann.frame(room)
    await bob.until(lambda item: item == lab.Frame(room.number, room.member, sent))


async def test_other_connections_of_a_blocked_address_get_no_second_guess(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve()
    waiting = await guarded.client(relay, guarded.BAD)
    await guarded.forge(relay, guarded.BAD, 10)
    assert (await waiting.refused(guarded.forged())).name == "invalid_token"
    assert await waiting.ended() == (4505, "too_many_errors")


async def test_an_office_is_not_blocked_for_expired_tokens(lab: Lab, guarded: Guarded) -> None:
    """One client of it comes back again and again with what it has, as badly written ones do."""
    relay = await guarded.serve(lab.app(limits={"joins_per_minute": 10_000, "members": 2}))
    good = await guarded.client(relay, guarded.OFFICE)
    await good.join("standup", "good")
    bad = await guarded.client(relay, guarded.OFFICE)
    for _ in range(100):
        assert (await guarded.refused(bad, age=7200)).name == "token_expired"
        assert (await guarded.refused(bad, age=-600)).name == "token_not_yet_valid"
        elsewhere = Join(channel="standup", user="ann", token=lab.token("other", "ann"))
        assert (await bad.refused(elsewhere)).name == "channel_mismatch"
        other = Join(channel="standup", user="ann", token=lab.token("standup", "bob"))
        assert (await bad.refused(other)).name == "user_mismatch"
    await bad.join("standup", "bad")
    third = await guarded.client(relay, guarded.OFFICE)
    for _ in range(100):
        assert (await guarded.refused(third)).name == "channel_full"
    assert await guarded.status(relay, guarded.OFFICE) == 101
    assert guarded.blocks.told == []


async def test_good_members_make_an_address_harder_to_block(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve()
    for number in range(20):
        client = await guarded.client(relay, guarded.OFFICE)
        await client.join("standup", f"user-{number}")
    assert await guarded.forge(relay, guarded.OFFICE, 19) is None
    assert await guarded.forge(relay, guarded.OFFICE, 1) is not None


async def test_joins_without_a_token_earn_nothing(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve(lab.app(policy={"allow_app_id_only": True}))
    client = await guarded.client(relay, guarded.BAD)
    for number in range(20):
        await client.join(f"room-{number}", "mallory", token=None)
    assert await guarded.forge(relay, guarded.BAD, 10) is not None


@pytest.mark.parametrize("broken", [b"\x07nonsense", b"\x00\xff\xff"])
async def test_violations_of_the_protocol_block_too(lab: Lab, guarded: Guarded, broken: bytes) -> None:
    relay = await guarded.serve()
    for _ in range(5):
        client = await guarded.client(relay, guarded.BAD)
        await client.ws.send(broken)
        assert (await client.ended())[1] == "protocol_error"
    assert await guarded.status(relay, guarded.BAD) == 0
    assert guarded.blocks.told == [(lab.APP, guarded.BAD, "protocol_error", 60.0)]


async def test_text_blocks_too(guarded: Guarded) -> None:
    relay = await guarded.serve()
    for _ in range(5):
        client = await guarded.client(relay, guarded.BAD)
        await client.ws.send("hello")
        assert (await client.ended())[1] == "text_refused"
    assert await guarded.status(relay, guarded.BAD) == 0


async def test_looking_for_apps_blocks(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve()
    for number in range(100):
        assert await guarded.status(relay, guarded.BAD, path=f"/v1/{number:032x}") == 404
    assert await guarded.status(relay, guarded.BAD) == 0
    assert guarded.blocks.told == [("", guarded.BAD, "unknown_app", 60.0)]


async def test_looking_at_the_root_does_not(guarded: Guarded) -> None:
    relay = await guarded.serve(guard={"threshold": 5})
    for _ in range(20):
        assert await guarded.status(relay, guarded.BAD, path="/") == 404
    assert await guarded.status(relay, guarded.BAD) == 101


@pytest.mark.parametrize("sent", [b"\x16\x03\x01", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"G" * 20_000])
async def test_what_is_no_handshake_blocks(guarded: Guarded, sent: bytes) -> None:
    relay = await guarded.serve()
    for _ in range(20):
        wire = await guarded.wire(relay, guarded.BAD)
        await wire.send(sent)
        await wire.rest()
        wire.close()
    while not relay.hub.warden.standing(guarded.BAD).refusal:
        await guarded.lab.turn()
    assert await guarded.status(relay, guarded.BAD) == 0


async def test_handshakes_that_never_end_block(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve(guard={"handshakes_per_address": 60}, handshake=5)
    async with lab.undisturbed(relay):
        slow = [await guarded.wire(relay, guarded.BAD) for _ in range(60)]
        for wire in slow:
            await wire.send(b"GET ")
        crowding = await guarded.wire(relay, guarded.BAD)
        assert await crowding.rest() == b"", "as many as there may be"
        assert await guarded.status(relay, guarded.OFFICE) == 101, "others have their own room"
        lab.later(5)
        for wire in slow:
            assert await wire.rest() == b""
        assert await guarded.status(relay, guarded.BAD) == 0
    assert relay.metrics.handshakes_refused["handshakes_per_address"] == 1
    assert guarded.blocks.told[0][2] == "slow_handshake"


async def test_the_free_addresses_are_never_blocked_and_the_denied_never_served(
    lab: Lab, guarded: Guarded
) -> None:
    denied = "127.0.1.0/24"
    relay = await guarded.serve(guard={"deny": (denied, "127.0.2.2"), "allow": ("127.0.0.0/8",)})
    assert await guarded.forge(relay, guarded.BAD, 50) is None
    for address in ("127.0.1.1", "127.0.1.254", "127.0.2.2"):
        assert await guarded.status(relay, address) == 0
    assert await guarded.status(relay, "127.0.2.3") == 101
    assert relay.metrics.handshakes_refused == {"denied": 3}
    assert guarded.blocks.told == []


async def test_networks_can_count_as_one_address(guarded: Guarded) -> None:
    relay = await guarded.serve(guard={"ipv4_prefix": 24})
    await guarded.forge(relay, "127.0.5.1", 5)
    await guarded.forge(relay, "127.0.5.2", 5)
    assert await guarded.status(relay, "127.0.5.3") == 0
    assert await guarded.status(relay, "127.0.6.3") == 101
    assert guarded.blocks.told[0][1] == "127.0.5.0/24"


# --- how many, and how often ---


async def test_connections_of_one_address_are_bounded(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve(guard={"connections_per_address": 2})
    first = await guarded.client(relay, guarded.OFFICE)
    await guarded.client(relay, guarded.OFFICE)
    head = await guarded.answer(relay, guarded.OFFICE)
    assert head.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nRetry-After: 5\r\n" in head
    assert await guarded.status(relay, guarded.BAD) == 101
    await first.ws.close()
    while relay.hub.app(lab.APP).connections > 1:  # type: ignore[union-attr]
        await lab.turn()
    await guarded.client(relay, guarded.OFFICE)
    assert relay.metrics.limited == {"connections_per_address": 1}
    assert relay.metrics.handshakes_refused["rate_limited"] == 1


async def test_handshakes_of_one_address_are_bounded_in_time(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve(guard={"connects_per_address": 3})
    for _ in range(3):
        assert await guarded.status(relay, guarded.OFFICE) == 101
    head = await guarded.answer(relay, guarded.OFFICE)
    assert head.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nRetry-After: 20\r\n" in head
    lab.later(20)
    assert await guarded.status(relay, guarded.OFFICE) == 101
    assert relay.metrics.limited == {"connects_per_address": 1}


async def test_who_goes_on_after_429_is_blocked(guarded: Guarded) -> None:
    relay = await guarded.serve(guard={"connects_per_address": 3, "threshold": 20})
    statuses = [await guarded.status(relay, guarded.BAD) for _ in range(25)]
    assert statuses == [101] * 3 + [429] * 20 + [0] * 2
    assert guarded.blocks.told[0][2] == "too_many_connections"


async def test_new_connections_of_an_app_are_bounded_in_time(lab: Lab, guarded: Guarded) -> None:
    small = lab.app(lab.OTHER_APP, rates={"connections_per_app": 2})
    relay = await guarded.serve(lab.app(), small)
    path = f"/v1/{lab.OTHER_APP}"
    assert [await guarded.status(relay, f"127.0.0.{n}", path=path) for n in range(2, 6)] == [
        101,
        101,
        429,
        429,
    ]
    assert await guarded.status(relay, guarded.OFFICE) == 101, "the other app has its own"
    assert relay.metrics.limited == {"connections_per_app": 2}
    assert guarded.blocks.told == []


async def test_one_user_joins_so_often_and_others_in_its_name_cannot_use_that_up(
    lab: Lab, guarded: Guarded
) -> None:
    relay = await guarded.serve(lab.app(rates={"joins_per_user": 2}))
    client = await guarded.client(relay, guarded.HOME)
    for _ in range(5):
        await client.refused(guarded.forged("ann"))
    await client.join("one", "ann")
    await client.join("two", "ann")
    error = await client.refused(Join(channel="three", user="ann", token=lab.token("three", "ann")))
    assert (error.name, error.retry_after) == ("rate_limited", 30.0)
    await client.join("three", "bob")
    lab.later(30)
    await client.join("four", "ann")
    assert relay.metrics.limited == {"joins_per_user": 1}


async def test_an_office_that_comes_back_at_once_gets_in(guarded: Guarded) -> None:
    relay = await guarded.serve()
    for _ in range(300):
        assert await guarded.status(relay, guarded.OFFICE) == 101
    assert relay.metrics.limited == {}
    assert guarded.blocks.told == []
