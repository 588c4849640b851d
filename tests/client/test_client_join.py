"""Connecting and joining: what is asked, what is answered, what is refused, what can be cancelled."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as websockets_serve

from sealcast.client import (
    Client,
    ConnectFailed,
    ConnectRefused,
    DisconnectedError,
    JoinRefused,
    Key,
    Left,
    Member,
    MemberJoined,
    MemberLeft,
    NotConnected,
    RequestTimeout,
    State,
)
from sealcast.client.errors import ChannelClosed
from sealcast.protocol import controls
from sealcast.protocol.codes import reply
from sealcast.protocol.errors import InvalidName


async def test_a_client_connects_to_its_app_and_closes_with_the_block(relay, lab):
    async with Client(relay.url, app_id=lab.app_id, proxy=None) as client:
        assert client.state is State.CONNECTED
        assert client.state == "connected"
        assert client.limits == relay.limits
        assert relay.paths == [f"/v1/{lab.app_id}"]
        assert relay.session.ws.subprotocol == "sealcast.1"
        assert relay.session.ws.protocol.extensions == []
    assert client.state is State.CLOSED
    await relay.until(lambda: relay.gone)
    assert relay.session.ws.close_code == 1000


async def test_a_join_says_who_and_by_what_right_and_introduces_the_encryption(relay, lab):
    client = await lab.client()
    room = await client.join("standup", user="alice", token="a token", key=lab.key)
    join = relay.session.last(controls.Join)
    assert (join.channel, join.user, join.token) == ("standup", "alice", "a token")
    assert join.hello is not None
    assert join.hello.startswith(b"SCH1")
    assert (room.name, room.user, room.member, room.joined) == ("standup", "alice", 1, True)
    assert client.channels == {"standup": room}


async def test_who_is_there_already_is_in_members_and_who_comes_and_goes_is_told(relay, lab):
    bob = relay.peer("standup", "bob", lab.key)
    relay.room("standup").peers.append(bob)
    room = await lab.joined()
    assert dict(room.members) == {bob.number: Member(bob.number, "bob", True)}
    carol = relay.peer("standup", "carol", lab.key)
    await carol.join()
    assert await lab.told(room, MemberJoined) == MemberJoined(carol.number, "carol", True)
    assert carol.number in room.members
    await bob.leave("kicked")
    assert await lab.told(room, MemberLeft) == MemberLeft(bob.number, "bob", "kicked")
    assert set(room.members) == {carol.number}


async def test_leaving_is_confirmed_and_ends_the_events(relay, lab):
    room = await lab.joined()
    await room.leave()
    assert relay.session.count(controls.Leave) == 1
    assert room.closed
    assert await lab.rest(room) == [Left(4500, "left", "the member left")]
    assert await lab.rest(room) == []
    with pytest.raises(ChannelClosed, match="left"):
        await room.send(b"too late")
    await room.leave()
    assert relay.session.count(controls.Leave) == 1


async def test_leaving_twice_at_once_asks_once_and_both_wait(relay, lab):
    room = await lab.joined()
    await asyncio.gather(room.leave(), room.leave())
    assert relay.session.count(controls.Leave) == 1
    assert room.closed


async def test_a_channel_that_was_left_can_be_joined_again_on_the_same_connection(relay, lab):
    client = await lab.client()
    for _ in range(3):
        room = await client.join("standup", user="alice", token="t", key=lab.key)
        await room.leave()
    assert len(relay.sessions) == 1


async def test_several_channels_share_a_connection_and_end_apart(relay, lab):
    client = await lab.client(token="t")
    one = await client.join("one", user="alice", key=lab.key)
    two = await client.join("two", user="alice", key=lab.key)
    await relay.session.end(relay.room("one"), "kicked")
    assert await lab.told(one, Left) == Left(4507, "kicked", "an operator removed this member")
    with pytest.raises(ChannelClosed, match="kicked"):
        one.stream("audio")
    assert (await two.send(b"still here")).offset == 1
    assert client.channels == {"two": two}
    assert len(relay.sessions) == 1


# --- refusals ---


async def test_a_refused_join_says_why_and_leaves_nothing_behind(relay, lab):
    client = await lab.client()
    relay.joins.append(relay.error("invalid_token"))
    with pytest.raises(JoinRefused, match="111 invalid_token") as caught:
        await client.join("standup", user="alice", token="secret-token", key=lab.key)
    assert caught.value.code == reply("invalid_token")
    assert not caught.value.temporary
    assert "secret-token" not in repr(caught.value)
    assert client.channels == {}
    assert (await client.join("standup", user="alice", token="t", key=lab.key)).joined


async def test_a_temporary_refusal_says_when_to_come_back(relay, lab):
    client = await lab.client()
    relay.joins.append(relay.error("rate_limited", retry_after=7.5))
    with pytest.raises(JoinRefused, match=r"retry after 7.5 s") as caught:
        await client.join("standup", user="alice", token="t", key=lab.key)
    assert caught.value.temporary
    assert caught.value.retry_after == 7.5


async def test_joining_a_channel_twice_is_refused_here(relay, lab):
    client = await lab.client(token="t")
    await client.join("standup", user="alice", key=lab.key)
    with pytest.raises(JoinRefused, match="already_joined"):
        await client.join("standup", user="bob", key=lab.key)
    assert relay.session.count(controls.Join) == 1


@pytest.mark.parametrize(
    ("channel", "user"), [("", "alice"), ("no/slash", "alice"), ("room", ""), ("room", "a*")]
)
async def test_names_are_checked_before_anything_leaves(relay, lab, channel, user):
    client = await lab.client()
    with pytest.raises(InvalidName):
        await client.join(channel, user=user, token="t", key=lab.key)
    assert relay.session.received == []


async def test_no_key_in_a_channel_that_relays_sealed_frames_only_is_refused(relay, lab):
    client = await lab.client()
    with pytest.raises(JoinRefused, match="encryption_required"):
        await client.join("standup", user="alice", token="t", key=Key.none())
    await relay.until(lambda: relay.session.count(controls.Leave) == 1)
    relay.policy = {"encryption": "optional"}
    room = await client.join("standup", user="alice", token="t", key=Key.none())
    await room.send(b"in clear")
    assert relay.session.messages[-1][1] == bytes((0x24, 0, 0, 1)) + b"in clear"


async def test_a_token_callback_is_asked_at_the_join(relay, lab):
    async def callback(channel: str, user: str) -> str:
        return f"{user} in {channel}"

    client = await lab.client(token=callback)
    await client.join("standup", user="alice", key=lab.key)
    assert relay.session.last(controls.Join).token == "alice in standup"
    await client.join("other", user="alice", key=lab.key, token="of its own")
    assert relay.session.last(controls.Join).token == "of its own"


async def test_what_a_token_callback_raises_at_the_join_comes_out_of_it(relay, lab):
    def callback(channel: str, user: str) -> str:
        raise KeyError("no such user")

    client = await lab.client()
    with pytest.raises(KeyError, match="no such user"):
        await client.join("standup", user="alice", key=lab.key, token=callback)
    assert client.channels == {}
    assert relay.session.received == []


# --- late answers and cancellation ---


async def test_an_answer_that_comes_too_late_is_followed_by_a_leave(relay, lab):
    relay.ignored.add(controls.Join)
    client = await lab.client()
    with pytest.raises(RequestTimeout):
        await client.join("standup", user="alice", token="t", key=lab.key, timeout=0.01)
    await relay.until(lambda: relay.session.count(controls.Join) == 1)
    relay.ignored.clear()
    await relay.session.admit(relay.session.last(controls.Join), 1)
    await relay.until(lambda: relay.session.count(controls.Leave) == 1)
    assert client.channels == {}
    assert (await client.join("standup", user="alice", token="t", key=lab.key)).joined


async def test_a_cancelled_join_is_undone_when_the_answer_comes(relay, lab):
    relay.ignored.add(controls.Join)
    client = await lab.client()
    joining = asyncio.create_task(client.join("standup", user="alice", token="t", key=lab.key))
    await relay.until(lambda: relay.session.count(controls.Join) == 1)
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining
    relay.ignored.clear()
    await relay.session.admit(relay.session.last(controls.Join), 1)
    await relay.until(lambda: relay.session.count(controls.Leave) == 1)
    assert client.state is State.CONNECTED


async def test_a_channel_whose_join_was_given_up_is_joined_again_once_that_is_undone(relay, lab):
    relay.ignored.add(controls.Join)
    client = await lab.client(token="t")
    with pytest.raises(RequestTimeout):
        await client.join("standup", user="alice", key=lab.key, timeout=0.01)
    await relay.until(lambda: relay.session.count(controls.Join) == 1)
    first = relay.session.last(controls.Join)
    relay.ignored.clear()
    again = asyncio.create_task(client.join("standup", user="alice", key=lab.key))
    await asyncio.sleep(0)
    await relay.session.admit(first, 1)
    assert (await again).joined
    order = [type(control).__name__ for control in relay.session.received]
    assert order == ["Join", "Leave", "Join"], "asked at once, it would have been refused as joined already"


async def test_a_join_that_is_cancelled_in_the_moment_of_its_answer_is_undone_too(relay, lab):
    client = await lab.client()
    joining = asyncio.create_task(client.join("standup", user="alice", token="t", key=lab.key))
    while relay.room("standup").members == {}:
        await asyncio.sleep(0)
    # The answer is on its way or just read: in either case nothing of the membership may stay.
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining
    await relay.until(lambda: relay.session.count(controls.Leave) == 1)
    assert client.channels == {}
    assert relay.room("standup").members == {}


async def test_a_connection_that_ends_during_a_join_fails_it(relay, lab):
    relay.ignored.add(controls.Join)
    client = await lab.client()
    joining = asyncio.create_task(client.join("standup", user="alice", token="t", key=lab.key))
    await relay.until(lambda: relay.session.count(controls.Join) == 1)
    await relay.session.close("internal_error")
    with pytest.raises(DisconnectedError, match="4000 internal_error"):
        await joining
    relay.ignored.clear()
    assert (await client.join("standup", user="alice", token="t", key=lab.key)).joined
    assert len(relay.sessions) == 2


# --- connecting ---


@pytest.mark.parametrize(
    ("status", "headers", "advice", "temporary", "retry_after"),
    [
        (404, {}, "App ID", False, None),
        (403, {}, "origin", False, None),
        (400, {}, "sealcast.1", False, None),
        (503, {"Retry-After": "12"}, "wait", True, 12.0),
        (503, {"Retry-After": "soon"}, "wait", True, None),
        (502, {}, "later", True, None),
        (418, {}, "names a relay", False, None),
    ],
)
async def test_an_http_refusal_says_what_to_do(relay, lab, status, headers, advice, temporary, retry_after):
    relay.refusals.append((status, headers))
    client = lab.make()
    with pytest.raises(ConnectRefused, match=f"{status}.*{advice}") as caught:
        await client.connect()
    assert caught.value.status == status
    assert caught.value.temporary == temporary
    assert caught.value.retry_after == retry_after
    assert client.state is State.DISCONNECTED
    assert lab.naps.taken == [], "the first connection is tried once"
    await client.connect()
    assert client.state is State.CONNECTED


async def test_retry_after_may_be_a_date(relay, lab):
    stamp = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 100))
    relay.refusals.append((503, {"Retry-After": stamp}))
    with pytest.raises(ConnectRefused) as caught:
        await lab.make().connect()
    assert caught.value.retry_after == pytest.approx(100, abs=5)


async def test_nobody_there_is_a_clear_error(lab):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        client = lab.make(url=f"ws://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ConnectFailed, match="could not be reached"):
            await client.connect()
        with pytest.raises(ConnectFailed):
            async with client:
                raise AssertionError


async def test_something_that_is_no_websocket_server_is_a_clear_error(lab):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectFailed, match="not a WebSocket server"):
            await lab.make(url=f"ws://127.0.0.1:{port}").connect()


async def test_a_server_that_never_answers_is_given_up(lab):
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectFailed, match=r"within 0\.05 s"):
            await lab.make(url=f"ws://127.0.0.1:{port}", connect_timeout=0.05).connect()


async def test_a_server_that_never_says_welcome_is_given_up(relay, lab):
    relay.greet = False
    with pytest.raises(ConnectFailed, match=r"within 0\.5 s"):
        await lab.make(connect_timeout=0.5).connect()
    assert relay.sessions


async def test_a_server_that_closes_at_once_says_why(relay, lab):
    relay.closing.append("banned")
    relay.greet = False
    with pytest.raises(ConnectRefused, match="4508 banned") as caught:
        await lab.make().connect()
    assert not caught.value.temporary


async def test_joins_that_come_while_connecting_share_the_connection(relay, lab):
    client = lab.make(token="t")
    rooms = await asyncio.gather(*(client.join(f"room {n}", user="alice", key=lab.key) for n in range(5)))
    assert len({room.name for room in rooms}) == 5
    assert len(relay.sessions) == 1


async def test_a_cancelled_entry_leaves_nothing_behind(relay, lab):
    relay.greet = False
    client = lab.make()

    async def enter() -> None:
        async with client:
            raise AssertionError

    entering = asyncio.create_task(enter())
    await relay.until(lambda: relay.sessions)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    await relay.until(lambda: relay.gone)
    assert client.state is State.CLOSED


async def test_a_closed_client_does_nothing_more(relay, lab):
    client = await lab.client()
    room = await client.join("standup", user="alice", token="t", key=lab.key)
    await client.close()
    await client.close()
    assert await lab.rest(room) == [Left(4500, "left", "the member left")]
    with pytest.raises(NotConnected, match="closed"):
        await client.join("standup", user="alice", token="t", key=lab.key)
    assert relay.session.count(controls.Leave) == 1
    assert len(relay.sessions) == 1


async def test_what_is_queued_goes_out_before_a_close(relay, lab):
    client = await lab.client()
    room = await client.join("standup", user="alice", token="t", key=lab.key)
    mic = room.stream("audio")
    assert all(mic.send(b"frame") for _ in range(100))
    await client.close()
    await relay.until(lambda: relay.gone)
    assert len(relay.session.frames) == 100


async def test_nothing_secret_is_shown_by_any_object(relay, lab):
    client = await lab.client(token="secret-token")
    room = await client.join("standup", user="alice", key=lab.key)
    shown = " ".join(
        map(repr, (client, room, room.stream("audio"), room.members, room.stats, client.channels))
    )
    assert "secret-token" not in shown
    assert lab.secret.hex() not in shown
    assert repr(lab.secret) not in shown


async def test_a_token_never_reaches_a_log(relay, lab, caplog, monkeypatch):
    # The WebSocket library's debug log shows the start of each message; let it show everything.
    monkeypatch.setattr("websockets.frames.Frame.MAX_LOG_SIZE", 100_000)
    caplog.set_level(0)
    client = await lab.client(token="canary-token")
    await client.join("standup", user="alice", key=lab.key)
    await client.close()
    canary = b"canary-token".hex(" ", 1)
    assert "canary" not in caplog.text
    assert canary not in caplog.text


async def test_a_server_that_does_not_choose_our_subprotocol_is_refused(lab):
    async def idle(ws: ServerConnection) -> None:
        await ws.wait_closed()

    async with websockets_serve(idle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectRefused, match=r"sealcast\.1"):
            await lab.make(url=f"ws://127.0.0.1:{port}").connect()


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example"])
async def test_a_host_name_that_cannot_be_one_is_a_clear_error(lab, host):
    with pytest.raises(ConnectFailed, match="could not be reached"):
        await lab.make(url=f"ws://{host}").connect()


async def test_tls_needs_a_certificate_that_is_trusted(relay, lab, tls_contexts):
    for_server, for_client = tls_contexts
    secure = type(relay)()
    await secure.start(ssl=for_server)
    try:
        url = secure.url.replace("ws://127.0.0.1", "wss://localhost")
        with pytest.raises(ConnectFailed, match="not trusted"):
            await lab.make(url=url).connect()
        async with Client(url, app_id=lab.app_id, ssl=for_client, proxy=None) as client:
            room = await client.join("standup", user="alice", token="t", key=lab.key)
            assert (await room.send(b"under two layers")).offset == 1
        with pytest.raises(ConnectFailed, match="TLS"):
            await lab.make(url=relay.url.replace("ws://", "wss://")).connect()
    finally:
        await secure.stop()
