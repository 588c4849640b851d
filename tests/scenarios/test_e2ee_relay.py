"""End-to-end encryption through the real relay: who reads what. ``malicious`` has the attacks."""

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
from sealcast.protocol.names import Kind
from sealcast.server.config import AppConfig, Config, ServerConfig
from sealcast.server.relay import Relay

from .middle import Middle

APP, CERTIFICATE = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
PATIENCE = 15.0
SECRET = bytes(range(32))

E = TypeVar("E", bound=Event)


class Lab:
    """A relay, clients of it, and what a test asks of both."""

    def __init__(self, stack: contextlib.AsyncExitStack, port: int) -> None:
        self._stack = stack
        self.port = port
        self.authority = Authority.generate()

    async def middle(self) -> Middle:
        middle = Middle(self.port)
        await middle.start()
        self._stack.push_async_callback(middle.stop)
        return middle

    async def join(self, user: str, key: Key, middle: Middle | None = None) -> Channel:
        url = f"ws://127.0.0.1:{self.port}" if middle is None else middle.url
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
    middle = await lab.middle()
    users = ["alice", "bob", "carol", "dave", "erin"]
    rooms = [await lab.join(user, KEYS[how](lab, user), middle) for user in users]
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
    passed = b"".join([*middle.heard, *(passing.data for wire in middle.wires for passing in wire.tape)])
    assert b"bob" in passed, "what is not sealed is seen here"
    for word in (*words, SECRET):
        assert word not in passed


async def test_members_who_come_and_go_read_only_what_is_said_while_they_are_there(lab: Lab) -> None:
    alice = await lab.join("alice", lab.managed("alice"))
    bob = await lab.join("bob", lab.managed("bob"))
    await met(alice, bob)
    await alice.send(b"before carol")
    assert await texts(bob, 1) == [b"before carol"]
    carol = await lab.join("carol", lab.managed("carol"))
    await met(alice, bob, carol)
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
    outsider = await lab.middle()
    dave = await lab.join("dave", lab.managed("dave"), outsider)
    await met(alice, bob, dave)
    await alice.send(b"without carol")
    assert await texts(bob, 1) == await texts(dave, 1) == [b"without carol"]
    tape = outsider.wire("dave")
    [delivered] = [passing.sealed for passing in tape.of("alice") if passing.kind is Kind.MESSAGE]
    crypto.add_member(number, "alice", tape.hello("alice"))
    with pytest.raises(SealError):
        crypto.open(number, delivered)


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
    middle = await lab.middle()
    alice = await lab.join("alice", lab.managed("alice"))
    bob = await lab.join("bob", lab.managed("bob"), middle)
    await met(alice, bob)
    await alice.send(b"one")
    await bob.send(b"uno")
    assert await texts(bob, 1) == [b"one"]
    middle.wire("bob").cut()
    await until(bob, Resumed)
    await until(alice, MemberJoined)
    await alice.send(b"two")
    await bob.send(b"due")
    assert await texts(bob, 1) == [b"two"]
    assert await texts(alice, 2) == [b"uno", b"due"]


async def test_a_bad_certificate_is_noticed_before_the_join(lab: Lab) -> None:
    identity, now = Identity.generate(), int(time.time())
    expired = lab.authority.certify(
        APP, "room", "alice", identity.public, not_before=now - 60, not_after=now - 1
    )
    key = Key.managed(identity, lab.authority.public, certificate=expired)
    with pytest.raises(CertificateExpired):
        await lab.join("alice", key)
