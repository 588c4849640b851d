"""End-to-end encryption through the real relay: who reads what, and what a relay with a tape can do.

Every connection goes through a proxy that keeps what passes, and can answer for the relay.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from sealcast.client import (
    Authentic,
    Authority,
    CertificateExpired,
    Channel,
    Client,
    Event,
    Frame,
    FrameContext,
    Identity,
    Key,
    KeySwitched,
    MemberJoined,
    MemberLeft,
    Message,
    Resumed,
    SealError,
    SealFailure,
    constant_padding,
)
from sealcast.client.tokens import mint
from sealcast.protocol import controls, envelope
from sealcast.server.config import AppConfig, Config, ServerConfig
from sealcast.server.relay import Relay

APP, CERTIFICATE = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
PATIENCE = 15.0
SECRET = bytes(range(32))

E = TypeVar("E", bound=Event)


class Tape:
    """A proxy that keeps every message, up and down, and in its turn answers from an old tape."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: Server | None = None
        self._near: list[ServerConnection] = []
        self.url = ""
        self.passed: list[tuple[bool, bytes]] = []
        """(from the relay, message), in order."""
        self.inject: list[Callable[[bytes], list[bytes]]] = []

    async def start(self) -> None:
        self._server = await serve(
            self._carry,
            "127.0.0.1",
            0,
            subprotocols=["sealcast.1"],  # type: ignore[list-item]
            compression=None,
            max_size=None,
            close_timeout=0.5,
        )
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self._server is not None
        self.cut()
        self._server.close()
        await self._server.wait_closed()

    async def _carry(self, near: ServerConnection) -> None:
        assert near.request is not None
        self._near.append(near)
        async with connect(
            f"ws://127.0.0.1:{self._port}{near.request.path}",
            subprotocols=["sealcast.1"],  # type: ignore[list-item]
            compression=None,
            max_size=None,
            close_timeout=0.5,
            proxy=None,
        ) as far:
            up = asyncio.create_task(self._pump(near, far, False))
            try:
                await self._pump(far, near, True)
            finally:
                up.cancel()
                await asyncio.gather(up, return_exceptions=True)

    async def _pump(self, source: object, sink: object, down: bool) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for data in source:  # type: ignore[attr-defined]
                self.passed.append((down, data))
                changed = [data]
                if down:
                    for inject in self.inject:
                        changed = [out for each in changed for out in inject(each)]
                for out in changed:
                    await sink.send(out)  # type: ignore[attr-defined]

    def cut(self) -> None:
        """Break what goes through here, without a farewell."""
        for near in self._near:
            near.transport.abort()

    def bytes(self) -> bytes:
        return b"".join(data for _, data in self.passed)


class Lab:
    """A relay, clients of it, and what a test asks of both."""

    def __init__(self, stack: contextlib.AsyncExitStack, port: int) -> None:
        self._stack = stack
        self.port = port
        self.authority = Authority.generate()

    async def tape(self) -> Tape:
        tape = Tape(self.port)
        await tape.start()
        self._stack.push_async_callback(tape.stop)
        return tape

    async def join(self, user: str, key: Key, tape: Tape | None = None) -> Channel:
        url = f"ws://127.0.0.1:{self.port}" if tape is None else tape.url
        client = await self._stack.enter_async_context(Client(url, app_id=APP, proxy=None))
        return await client.join("room", user=user, token=mint(APP, CERTIFICATE, "room", user), key=key)

    def managed(self, user: str, **choices: Any) -> Key:
        identity, now = Identity.generate(), int(time.time())
        certificate = self.authority.certify(
            APP, "room", user, identity.public, not_before=now - 60, not_after=now + 3600
        )
        return Key.managed(identity, self.authority.public, certificate=certificate, **choices)


@pytest_asyncio.fixture
async def lab() -> AsyncIterator[Lab]:
    app = AppConfig(app_id=APP, certificate=CERTIFICATE)  # type: ignore[arg-type]
    relay = Relay(Config(server=ServerConfig(port=0, close=0.5), apps=(app,)))
    async with contextlib.AsyncExitStack() as stack:
        _, port = await relay.start()
        stack.push_async_callback(relay.stop)
        yield Lab(stack, port)


async def until(room: Channel, kind: type[E]) -> E:
    """Return the next event of a kind; others before it are passed over."""
    async with asyncio.timeout(PATIENCE):
        while not isinstance(event := await anext(room), kind):
            pass
    return event


async def met(*rooms: Channel) -> None:
    """Wait until all know of all: keys of before do not open for who came later."""
    async with asyncio.timeout(PATIENCE):
        while any(len(room.members) < len(rooms) - 1 for room in rooms):
            await asyncio.sleep(0.001)


async def texts(room: Channel, count: int) -> list[bytes]:
    return [(await until(room, Message)).data for _ in range(count)]


KEYS: dict[str, Callable[[Lab, str], Key]] = {
    "managed": lambda lab, user: lab.managed(user),
    "managed, hybrid": lambda lab, user: lab.managed(user, kem="x-wing", suite="AES_256_GCM"),
    "raw, padded, signed": lambda lab, user: Key.raw(SECRET, padding="buckets", sign_media=True),
    "custom cipher": lambda lab, user: Key.raw(SECRET, cipher=ChaCha(), padding=constant_padding(2048)),
}


class ChaCha:
    """An application's own cipher."""

    suite, overhead = 0xF123, 16

    def seal(self, fc: FrameContext, plaintext: bytes) -> bytes:
        return ChaCha20Poly1305(fc.key).encrypt(fc.nonce, plaintext, fc.aad)

    def open(self, fc: FrameContext, ciphertext: bytes) -> bytes:
        return ChaCha20Poly1305(fc.key).decrypt(fc.nonce, ciphertext, fc.aad)


@pytest.mark.parametrize("how", KEYS)
async def test_five_members_read_everything_and_the_relay_nothing(lab: Lab, how: str) -> None:
    tape = await lab.tape()
    users = ["alice", "bob", "carol", "dave", "erin"]
    rooms = [await lab.join(user, KEYS[how](lab, user), tape) for user in users]
    await met(*rooms)
    words = [b"the words of " + user.encode() for user in users]
    for room, word in zip(rooms, words, strict=True):
        await room.send(word)
    for room, own in zip(rooms, words, strict=True):
        assert await texts(room, 4) == [word for word in words if word != own]
    for room, word in zip(rooms, words, strict=True):
        assert room.stream("audio").send(b"the voice: " + word)
        for other in rooms:
            if other is not room:
                frame = await until(other, Frame)
                assert (frame.user, frame.data) == (room.user, b"the voice: " + word)
    if how == "raw, padded, signed":
        assert {(await until(rooms[0], Authentic)).user for _ in range(4)} == set(users[1:])
    assert all(not room.stats.seal_failures for room in rooms)
    passed = tape.bytes()
    assert b"bob" in passed, "what is not sealed is seen here"
    for word in (*words, SECRET):
        assert word not in passed


async def test_members_who_come_and_go_read_only_what_is_said_while_they_are_there(lab: Lab) -> None:
    alice = await lab.join("alice", lab.managed("alice"))
    bob = await lab.join("bob", lab.managed("bob"))
    await met(alice, bob)
    await alice.send(b"before carol")
    assert await texts(bob, 1) == [b"before carol"]
    tape = await lab.tape()
    carol = await lab.join("carol", lab.managed("carol"), tape)
    await until(alice, MemberJoined)
    await alice.send(b"with carol")
    assert await texts(carol, 1) == [b"with carol"]
    assert await texts(bob, 1) == [b"with carol"]
    assert carol.stats.messages_received == 1

    crypto = carol._membership.crypto  # what carol still has in her hands after she has left
    number = alice.member
    await carol.leave()
    for room in (alice, bob):
        await until(room, MemberLeft)
        await until(room, KeySwitched)
    outsider = await lab.tape()
    dave = await lab.join("dave", lab.managed("dave"), outsider)
    await until(alice, MemberJoined)
    await alice.send(b"without carol")
    assert await texts(bob, 1) == await texts(dave, 1) == [b"without carol"]
    delivered = [
        data[envelope.decode(data).start :]
        for down, data in outsider.passed
        if down and data[0] == envelope.DELIVERED and envelope.decode(data).member == number
    ]
    assert len(delivered) == 1
    crypto.add_member(number, "alice", bob._membership.reception.roster.hellos()[0][2])
    with pytest.raises(SealError):
        crypto.open(number, delivered[0])


async def test_the_last_words_of_a_member_reach_who_has_only_just_come(lab: Lab) -> None:
    alice, bob = await lab.join("alice", lab.managed("alice")), await lab.join("bob", lab.managed("bob"))
    await met(alice, bob)
    mic = alice.stream("audio")
    mic.send(b"before carol")
    carol = await lab.join("carol", lab.managed("carol"))
    await until(alice, MemberJoined)
    await until(alice, MemberJoined)
    mic.send(b"the last sound")
    await alice.leave()
    assert (await until(carol, Frame)).data == b"the last sound"


async def test_a_program_that_is_late_seals_nothing_under_a_key_that_is_over(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, carol = [await lab.join(user, lab.managed(user)) for user in ("alice", "bob", "carol")]
    await met(alice, bob, carol)
    mic = alice.stream("audio")
    mic.send(b"before")
    await carol.leave()
    await until(alice, MemberLeft)
    loop = asyncio.get_running_loop()
    now = loop.time
    with monkeypatch.context() as late:
        late.setattr(loop, "time", lambda: now() + 2.0)
        mic.send(b"after two seconds in which nothing ran")
    assert alice._membership.crypto.epoch == 1
    assert [(await until(bob, Frame)).data for _ in range(2)][1] == b"after two seconds in which nothing ran"


async def test_a_member_whom_the_authority_has_not_certified_is_in_the_list_and_reads_nothing(
    lab: Lab,
) -> None:
    alice, bob = await lab.join("alice", lab.managed("alice")), await lab.join("bob", lab.managed("bob"))
    await met(alice, bob)
    ghost = await lab.join("ghost", Key.managed(Identity.generate(), trust="first_use"))
    assert not (await until(bob, MemberJoined)).verified
    await alice.send(b"secret")
    assert await texts(bob, 1) == [b"secret"]
    assert (await until(ghost, SealFailure)).reason == "key_missing"
    assert ghost.stats.messages_received == 0
    await ghost.send(b"boo")
    assert (await until(bob, SealFailure)).user == "ghost"
    assert bob.stats.messages_received == 1


async def test_rotation_of_a_shared_secret_leaves_out_who_does_not_get_the_new_one(lab: Lab) -> None:
    alice, bob, mallory = [await lab.join(user, Key.raw(SECRET)) for user in ("alice", "bob", "mallory")]
    await alice.send(b"for all")
    assert await texts(bob, 1) == await texts(mallory, 1) == [b"for all"]
    new = secrets.token_bytes(32)
    assert alice.rotate(new) == 1
    await alice.send(b"a little early for bob")
    assert bob.rotate(new) == 1
    await alice.send(b"in time")
    assert await texts(bob, 2) == [b"a little early for bob", b"in time"]
    assert (await until(mallory, SealFailure)).reason == "key_missing"
    assert mallory.stats.messages_received == 1


async def test_a_passphrase_lets_in_who_knows_it(lab: Lab) -> None:
    salt = secrets.token_bytes(32)
    words = "no relay has ever heard these"
    key = await asyncio.to_thread(Key.passphrase, words, salt)
    alice, bob = await lab.join("alice", key), await lab.join("bob", key)
    guesser = await lab.join("guesser", Key.passphrase("some other twelve letters", salt))
    await alice.send(b"psst")
    assert await texts(bob, 1) == [b"psst"]
    assert (await until(guesser, SealFailure)).reason == "open_failed"


async def test_who_comes_back_after_a_broken_connection_goes_on_reading(lab: Lab) -> None:
    tape = await lab.tape()
    alice = await lab.join("alice", lab.managed("alice"))
    bob = await lab.join("bob", lab.managed("bob"), tape)
    await met(alice, bob)
    await alice.send(b"one")
    await bob.send(b"uno")
    assert await texts(bob, 1) == [b"one"]
    tape.cut()
    await until(bob, Resumed)
    await until(alice, MemberJoined)
    await alice.send(b"two")
    await bob.send(b"due")
    assert await texts(bob, 1) == [b"two"]
    assert await texts(alice, 2) == [b"uno", b"due"]


async def test_a_tape_of_yesterday_under_a_reused_secret_delivers_nothing(lab: Lab) -> None:
    yesterday = await lab.tape()
    alice = await lab.join("alice", Key.raw(SECRET))
    bob = await lab.join("bob", Key.raw(SECRET), yesterday)
    for number in range(5):
        alice.stream("audio").send(b"old sound")
        await alice.send(b"yesterday %d" % number)
    await texts(bob, 5)
    hello = bob._membership.reception.roster.hellos()[0][2]
    old = [data for down, data in yesterday.passed if down and data[0] != envelope.CONTROL]
    assert len(old) >= 11, "five messages, five frames and a beacon"
    await alice.leave()
    await bob.leave()

    today = await lab.tape()
    relay_plays: list[bytes] = []

    def play(data: bytes) -> list[bytes]:
        """Put the old session into the channel, behind the first control after bob's join."""
        if data[0] == envelope.CONTROL and relay_plays:
            script, relay_plays[:] = list(relay_plays), []
            return [data, *script]
        return [data]

    today.inject.append(play)
    again = await lab.join("bob", Key.raw(SECRET), today)
    joined = next(data for down, data in reversed(today.passed) if down and b"joined" in data[:12])
    channel = controls.decode(joined, controls.Side.SERVER)[0].channel
    news = controls.MemberJoined(channel=channel, member=77, user="alice", hello=hello)
    relay_plays.append(controls.encode(news, 0))
    for data in old:
        head = envelope.decode(data)
        body = data[head.start :]
        relay_plays.append(
            envelope.frame(channel, 77, body)
            if head.type == envelope.FRAME
            else envelope.delivered(channel, 77, head.number, body)
        )
    carol = await lab.join("carol", Key.raw(SECRET))
    assert {(await until(again, MemberJoined)).user for _ in range(2)} == {"alice", "carol"}
    await carol.send(b"today")
    assert await texts(again, 1) == [b"today"]
    async with asyncio.timeout(PATIENCE):
        while again.stats.seal_failures["not_fresh"] < 10:
            await asyncio.sleep(0.01)
    assert again.stats.seal_failures == {"not_fresh": 10}
    assert again.stats.messages_received == 1
    assert again.stats.frames_received == 0


async def test_a_bad_certificate_is_noticed_before_the_join(lab: Lab) -> None:
    identity, now = Identity.generate(), int(time.time())
    expired = lab.authority.certify(
        APP, "room", "alice", identity.public, not_before=now - 60, not_after=now - 1
    )
    key = Key.managed(identity, lab.authority.public, certificate=expired)
    with pytest.raises(CertificateExpired):
        await lab.join("alice", key)
