"""A scripted relay for the SDK's tests: websockets and the protocol's machine, on 127.0.0.1.

It does what docs/protocol.md says until a test tells it otherwise: every answer can be replaced, held
back or followed by raw bytes, and other members can be played with a real ``ChannelCrypto``.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import http
import itertools
import logging
import secrets
import ssl as tls
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import pytest
import pytest_asyncio
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from sealcast.client import Backoff, Channel, Client, Event, Key, Left, Options
from sealcast.client.courier import RECOVERY
from sealcast.client.e2ee import ControlFrame
from sealcast.client.errors import SealError
from sealcast.protocol import controls, envelope
from sealcast.protocol.codes import end, reply
from sealcast.protocol.descriptor import Descriptor, streams_of
from sealcast.protocol.names import Kind
from sealcast.protocol.session import Machine

APP = "0123456789abcdef0123456789abcdef"
PATIENCE = 10.0
"""Seconds after which something that should have come is missed; no test waits for them to pass."""

_SILENT = logging.Logger("scripted-relay", logging.CRITICAL + 1)
E = TypeVar("E", bound=Event)
C = TypeVar("C", bound=controls.Control)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test of the SDK on both loops that it is used with."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Peer:
    """Another member, played by the test: seals and opens like an SDK, connected to nothing."""

    def __init__(self, relay: ScriptedRelay, room: Room, user: str, key: Key, number: int) -> None:
        self.relay = relay
        self.room = room
        self.user = user
        self.number = number
        self.crypto = key.bind(APP, room.name, user)
        self.known: dict[int, bytes | None] = {}
        self.now = 0.0

    def proofs(self) -> list[bytes]:
        """What has to go before whatever was sealed last: beacons, for all who are there."""
        self.now += 1.0
        for number, (_, join) in self.room.members.items():
            if number not in self.known:
                self.known[number] = join.hello
                with contextlib.suppress(SealError):
                    self.crypto.add_member(number, join.user, join.hello, self.now)
        outgoing = self.crypto.outgoing(self.now + 1.0)
        frames = [item.data for item in outgoing if isinstance(item, ControlFrame)]
        return [envelope.frame(self.room.number, self.number, frame) for frame in frames]

    @property
    def info(self) -> controls.MemberInfo:
        return controls.MemberInfo(member=self.number, user=self.user, hello=self.crypto.hello)

    def seal(self, kind: Kind, payload: bytes, **how: int) -> bytes:
        how.setdefault("stream", streams_of(kind)[0])
        return self.crypto.seal(Descriptor(kind, version=self.crypto.version, **how), payload)

    async def frame(self, payload: bytes, kind: Kind = Kind.AUDIO, **how: int) -> bytes:
        """Send a frame to all sessions in the room; return the bytes that went out."""
        data = envelope.frame(self.room.number, self.number, self.seal(kind, payload, **how))
        for proof in self.proofs():
            await self.room.broadcast(proof)
        await self.room.broadcast(data)
        return data

    async def message(self, payload: bytes) -> bytes:
        self.room.offset += 1
        sealed = self.seal(Kind.MESSAGE, payload)
        self.room.keep(self.number, self.user, self.crypto.hello, sealed, None)
        data = envelope.delivered(self.room.number, self.number, self.room.offset, sealed)
        for proof in self.proofs():
            await self.room.broadcast(proof)
        await self.room.broadcast(data)
        return data

    async def join(self) -> None:
        self.room.peers.append(self)
        await self.room.tell(
            controls.MemberJoined(
                channel=self.room.number, member=self.number, user=self.user, hello=self.crypto.hello
            )
        )

    async def leave(self, reason: str = "left") -> None:
        self.room.peers.remove(self)
        await self.room.tell(controls.MemberLeft(channel=self.room.number, member=self.number, reason=reason))


class Kept(NamedTuple):
    """A message that the scripted relay has kept."""

    offset: int
    member: int
    data: bytes
    user: str
    run: bytes | None


class Room:
    """A channel of the scripted relay."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.epoch = "epoch-one"
        self.offset = 0
        self.peers: list[Peer] = []
        self.members: dict[int, tuple[Session, controls.Join]] = {}
        self.kept: list[Kept] = []
        self.introduced: dict[int, controls.MemberInfo] = {}
        self.placed: dict[tuple[str, bytes | None, int], int] = {}
        self.page_size = 256
        self.next_member = itertools.count(1)

    def infos(self, but: int) -> tuple[controls.MemberInfo, ...]:
        joined = [
            controls.MemberInfo(member=number, user=join.user, hello=join.hello)
            for number, (_, join) in self.members.items()
            if number != but
        ]
        return (*joined, *(peer.info for peer in self.peers))

    def keep(self, number: int, user: str, hello: bytes | None, data: bytes, run: bytes | None) -> None:
        """Keep a message at the newest place."""
        self.kept.append(Kept(self.offset, number, data, user, run))
        self.introduced[number] = controls.MemberInfo(member=number, user=user, hello=hello)

    def since(self, join: controls.Join) -> list[Kept] | None:
        place = join.since
        if place is None or place.epoch != self.epoch:
            return None
        missed = [kept for kept in self.kept if kept.offset > place.offset]
        if len(missed) != self.offset - place.offset:
            return None
        return [kept for kept in missed if (kept.user, kept.run) != (join.user, join.run)]

    def authors(
        self, kept: Iterable[Kept], but: Iterable[controls.MemberInfo] = ()
    ) -> tuple[controls.MemberInfo, ...]:
        there = {info.member for info in but}
        return tuple(self.introduced[member] for member in {one.member for one in kept} - there)

    def past(self, asked: controls.History) -> controls.Past:
        before = asked.before
        all_of = [k for k in self.kept if (k.offset > asked.after if before is None else k.offset < before)]
        limit = min(asked.limit, self.page_size)
        page = all_of[:limit] if before is None else all_of[-limit:]
        return controls.Past(
            channel=self.number,
            epoch=self.epoch,
            offset=self.offset,
            messages=tuple(
                controls.KeptMessage(offset=k.offset, member=k.member, at=1000.0 + k.offset, data=k.data)
                for k in page
            ),
            authors=self.authors(page),
            more=len(page) < len(all_of),
        )

    async def broadcast(self, data: bytes, but: Session | None = None) -> None:
        for session, _ in list(self.members.values()):
            if session is not but:
                await session.raw(data)

    async def tell(self, control: controls.Control, but: Session | None = None) -> None:
        for session, _ in list(self.members.values()):
            if session is not but:
                await session.send(control)


class Session:
    """One connection of the scripted relay."""

    def __init__(self, relay: ScriptedRelay, ws: ServerConnection) -> None:
        self.relay = relay
        self.ws = ws
        self.machine = Machine(controls.Side.SERVER, 0.0)
        self.received: list[controls.Control] = []
        self.frames: list[bytes] = []
        self.beacons: list[bytes] = []
        """Control frames between members."""
        self.messages: list[tuple[int, bytes]] = []
        self.held: list[tuple[int, int]] = []
        self.unrouted = 0
        """Frames and messages under numbers that this connection does not have."""
        self.rooms: dict[int, tuple[Room, int]] = {}

    async def raw(self, data: bytes | str) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self.ws.send(data)

    async def send(self, control: controls.Control, ref: int = 0) -> None:
        await self.raw(self.machine.send(control, 0.0, ref))

    async def close(self, name: str) -> None:
        """Close the connection with an end code, as a relay does: no ``left`` before it."""
        await self.ws.close(end(name).number, name)

    async def end(self, room: Room, name: str) -> None:
        """End one membership."""
        code = end(name)
        self.rooms.pop(room.number)
        for number in [n for n, (session, _) in room.members.items() if session is self]:
            del room.members[number]
        await self.send(controls.Left(channel=room.number, code=code.number, name=name, message=code.message))

    def cut(self) -> None:
        """Break the connection without a close."""
        self.ws.transport.abort()

    def count(self, kind: type[controls.Control]) -> int:
        return sum(isinstance(control, kind) for control in self.received)

    def last(self, kind: type[C]) -> C:
        return next(control for control in reversed(self.received) if isinstance(control, kind))

    async def run(self) -> None:
        if self.relay.greet:
            await self.send(self.relay.welcome())
        try:
            async for data in self.ws:
                assert isinstance(data, bytes), "the SDK sends binary messages only"
                if data[0] == envelope.CONTROL:
                    control, ref, _ = self.machine.receive(data, 0.0)
                    self.received.append(control)
                    await self._control(control, ref)
                else:
                    await self._sealed(data)
                self.relay.changed()
        except ConnectionClosed:
            pass
        finally:
            await self._gone()

    async def _control(self, control: controls.Control, ref: int) -> None:
        if type(control) in self.relay.ignored:
            return
        if isinstance(control, controls.Join):
            await self._join(control, ref)
        elif isinstance(control, controls.Renew):
            answer = controls.Renewed(
                channel=control.channel, grant=self.relay.grant, expires_in=self.relay.expires_in
            )
            await self.answer(self.relay.renewals, answer, ref)
        elif isinstance(control, controls.Ping):
            await self.send(controls.Pong(), ref)
        elif isinstance(control, controls.History):
            room, _ = self.rooms[control.channel]
            await self.answer(self.relay.pasts, room.past(control), ref)
        elif isinstance(control, controls.Leave):
            room, number = self.rooms.pop(control.channel)
            room.members.pop(number, None)
            left = end("left")
            await self.send(controls.Left(channel=room.number, code=left.number, name=left.name), ref)
            await room.tell(controls.MemberLeft(channel=room.number, member=number, reason="left"))

    async def answer(self, script: deque[controls.Control], usual: controls.Control, ref: int) -> None:
        await self.send(script.popleft() if script else usual, ref)

    async def _join(self, join: controls.Join, ref: int) -> None:
        if self.relay.joins:
            await self.send(self.relay.joins.popleft(), ref)
            return
        await self.admit(join, ref)

    async def admit(self, join: controls.Join, ref: int) -> None:
        """Answer a join with ``joined`` and tell the others."""
        room = self.relay.room(join.channel)
        number = next(room.next_member)
        others = room.infos(number)
        replay = self.relay.replays(room, join) if RECOVERY in self.relay.features else None
        self.rooms[room.number] = room, number
        await self.send(
            controls.Joined(
                channel=room.number,
                member=number,
                epoch=room.epoch,
                offset=room.offset,
                members=others,
                grant=self.relay.grant,
                expires_in=self.relay.expires_in,
                policy=self.relay.policy,
                recovered=replay is not None,
                authors=room.authors(replay or (), others),
            ),
            ref,
        )
        for kept in replay or ():
            await self.raw(envelope.delivered(room.number, kept.member, kept.offset, kept.data))
        news = controls.MemberJoined(channel=room.number, member=number, user=join.user, hello=join.hello)
        await room.tell(news)
        room.members[number] = self, join

    async def _sealed(self, data: bytes) -> None:
        head = envelope.decode(data)
        room, number = self.rooms.get(head.channel, (None, 0))
        beacon = head.type == envelope.FRAME and data[head.start] & 15 == Kind.CONTROL
        if beacon:
            self.beacons.append(data[head.start :])
            if room is not None and head.member == number:
                await room.broadcast(data, but=self)
            return
        if room is None or head.member != number:
            self.unrouted += 1
            return
        if head.type == envelope.FRAME:
            self.frames.append(data[head.start :])
            await room.broadcast(data, but=self)
            return
        self.messages.append((head.number, data[head.start :]))
        if self.relay.message_refusals:
            await self.send(self.relay.message_refusals.popleft(), head.number)
            return
        if self.relay.hold_acks:
            self.held.append((room.number, head.number))
            return
        await self.place(room, number, head.number, data[head.start :])

    async def place(self, room: Room, number: int, ref: int, sealed: bytes, *, ack: bool = True) -> None:
        """Give a message its place, unless it has one under this run and ref; acknowledge it."""
        join = room.members[number][1]
        known = room.placed.get((join.user, join.run, ref)) if join.run is not None else None
        if known is None:
            room.offset += 1
            room.placed[join.user, join.run, ref] = room.offset
            room.keep(number, join.user, join.hello, sealed, join.run)
            await room.broadcast(envelope.delivered(room.number, number, room.offset, sealed), but=self)
        if ack:
            answer = controls.Ack(
                channel=room.number, offset=known or room.offset, repeated=known is not None
            )
            await self.send(answer, ref)

    async def _gone(self) -> None:
        self.machine.close()
        for room, number in self.rooms.values():
            room.members.pop(number, None)
            news = controls.MemberLeft(channel=room.number, member=number, reason="connection_lost")
            await room.tell(news)
        self.relay.gone.append(self)
        self.relay.changed()


class ScriptedRelay:
    """A relay that does as it is told."""

    app_id = APP

    def __init__(self) -> None:
        self.url = ""
        self.sessions: list[Session] = []
        self.gone: list[Session] = []
        self.paths: list[str] = []
        self.joins: deque[controls.Control] = deque()
        """Answers to the next joins, instead of letting them in."""
        self.renewals: deque[controls.Control] = deque()
        self.message_refusals: deque[controls.Control] = deque()
        """Answers to the next messages, instead of acks."""
        self.pasts: deque[controls.Control] = deque()
        """Answers to the next requests for history."""
        self.features: tuple[str, ...] = (RECOVERY,)
        self.replays: Callable[[Room, controls.Join], list[Kept] | None] = Room.since
        """What is sent again after a join; None when it cannot be all."""
        self.ignored: set[type[controls.Control]] = set()
        """Requests that get no answer."""
        self.refusals: deque[tuple[int, dict[str, str]]] = deque()
        """HTTP answers to the next connections."""
        self.closing: deque[str] = deque()
        """End codes with which the next connections are closed at once."""
        self.greet = True
        self.hold_acks = False
        self.limits: dict[str, float] = {"frame": 262144, "message": 65536}
        self.grant: dict[str, float] = {"audio": 3600.0, "video": 3600.0, "data": 3600.0}
        self.expires_in = 3600.0
        self.policy = {"encryption": "required"}
        self._rooms: dict[str, Room] = {}
        self._changed = asyncio.Event()
        self._server: Server | None = None

    def __repr__(self) -> str:
        return f"<ScriptedRelay {self.url}>"

    @property
    def session(self) -> Session:
        """The newest connection."""
        return self.sessions[-1]

    def room(self, name: str) -> Room:
        if name not in self._rooms:
            self._rooms[name] = Room(name, 17 + len(self._rooms))
        return self._rooms[name]

    def peer(self, channel: str, user: str, key: Key, number: int | None = None) -> Peer:
        room = self.room(channel)
        return Peer(self, room, user, key, next(room.next_member) if number is None else number)

    def welcome(self) -> controls.Welcome:
        return controls.Welcome(
            server="scripted", node="one", heartbeat=25.0, limits=self.limits, features=self.features
        )

    def changed(self) -> None:
        self._changed.set()

    async def until(self, holds: Callable[[], Any]) -> None:
        """Wait until something about the relay is true."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def start(self, ssl: tls.SSLContext | None = None) -> None:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            ssl=ssl,
            subprotocols=["sealcast.1"],  # type: ignore[list-item]
            compression=None,
            max_size=None,
            ping_interval=None,
            close_timeout=1.0,
            process_request=self._admit,
            logger=_SILENT,
        )
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self._server is not None
        for session in self.sessions:
            session.cut()
        self._server.close()
        await self._server.wait_closed()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.paths.append(request.path)
        if not self.refusals:
            return None
        status, headers = self.refusals.popleft()
        response = connection.respond(http.HTTPStatus(status), "no\n")
        response.headers.update(headers)
        return response

    async def _serve(self, ws: ServerConnection) -> None:
        session = Session(self, ws)
        self.sessions.append(session)
        if self.closing:
            await session.close(self.closing.popleft())
        self.changed()
        await session.run()

    @staticmethod
    def error(name: str, **more: Any) -> controls.Error:
        return controls.Error.of(reply(name), **more)


class Naps:
    """Stands in for ``asyncio.sleep``: notes the seconds and takes none, unless it is told to hold."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.awake = asyncio.Event()
        self.awake.set()
        self.began = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        self.began.set()
        await self.awake.wait()
        await asyncio.sleep(0)

    def hold(self) -> None:
        """Let nobody wake up until ``release``."""
        self.awake.clear()

    def release(self) -> None:
        self.awake.set()


class Lab:
    """Makes clients of the scripted relay, closes them, and reads their events."""

    app_id = APP

    def __init__(self, relay: ScriptedRelay, stack: contextlib.AsyncExitStack) -> None:
        self.relay = relay
        self.naps = Naps()
        self.secret = secrets.token_bytes(32)
        self.clients: list[Client] = []
        self._stack = stack

    @property
    def key(self) -> Key:
        return Key.raw(self.secret)

    def options(self, **more: Any) -> Options:
        settings: dict[str, Any] = {
            "timeout": PATIENCE,
            "connect_timeout": PATIENCE,
            "backoff": Backoff(base=1.0, factor=2.0, cap=8.0),
            "chance": lambda: 1.0,
            "sleep": self.naps,
        }
        return Options(**{**settings, **more})

    def make(self, *, url: str | None = None, token: Any = None, **options: Any) -> Client:
        """Return a client that is not connected; it is closed with the test."""
        client = Client(
            self.relay.url if url is None else url,
            app_id=APP,
            token=token,
            proxy=None,
            options=self.options(**options),
        )
        self._stack.push_async_callback(client.close)
        self.clients.append(client)
        return client

    async def client(self, **more: Any) -> Client:
        client = self.make(**more)
        await client.connect()
        return client

    async def joined(
        self, channel: str = "standup", user: str = "alice", *, token: Any = "a token", **options: Any
    ) -> Channel:
        """Return a channel on a client of its own."""
        client = await self.client(**options)
        return await client.join(channel, user=user, token=token, key=self.key)

    @staticmethod
    def hurry(room: Channel, seconds: float) -> None:
        """Let requests of a channel's client time out after so long from now on."""
        object.__setattr__(room._membership.options, "timeout", seconds)

    async def next(self, room: Channel) -> Event:
        async with asyncio.timeout(PATIENCE):
            return await anext(room)

    async def told(self, room: Channel, kind: type[E]) -> E:
        """Return the next event, which has to be of this kind."""
        event = await self.next(room)
        assert isinstance(event, kind), event
        return event

    async def until(self, room: Channel, kind: type[E]) -> E:
        """Return the next event of this kind, whatever comes before it."""
        while not isinstance(event := await self.next(room), kind):
            assert not isinstance(event, Left), event
        return event

    async def rest(self, room: Channel) -> list[Event]:
        """Read to the end."""
        async with asyncio.timeout(PATIENCE):
            return [event async for event in room]


@pytest.fixture(scope="session")
def tls_contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[tls.SSLContext, tls.SSLContext]:
    """Provide TLS contexts for a server called localhost and for a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    files = tmp_path_factory.mktemp("tls") / "server.pem"
    files.write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files)
    return server, tls.create_default_context(cadata=pem.decode())


@pytest_asyncio.fixture
async def relay() -> AsyncIterator[ScriptedRelay]:
    """Provide a scripted relay, listening."""
    relay = ScriptedRelay()
    await relay.start()
    yield relay
    await relay.stop()


@pytest_asyncio.fixture
async def lab(relay: ScriptedRelay) -> AsyncIterator[Lab]:
    """Provide clients of the scripted relay; all are closed when the test is over."""
    async with contextlib.AsyncExitStack() as stack:
        yield Lab(relay, stack)
