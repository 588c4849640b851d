"""The client: one connection to a relay, and the channels joined on it."""

from __future__ import annotations

import ssl as tls
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType, TracebackType
from typing import Self

from sealcast.protocol.codes import end, reply
from sealcast.protocol.names import channel_name, user_id
from sealcast.protocol.parts import Place

from .address import Address
from .channel import Channel
from .connection import Connection
from .credentials import Credentials, TokenSource
from .e2ee import Key
from .errors import JoinRefused
from .membership import Membership
from .options import Options
from .state import State, StateChange
from .upkeep import Upkeep, join

__all__ = ["Client"]


class Client:
    """A client of one app on one relay.

    ::

        async with Client("wss://relay.example", app_id=APP_ID) as client:
            room = await client.join("standup", user="alice", token=token, key=Key.raw(secret))
            await room.send(b"hello")
            async for event in room:
                print(event)

    It comes back by itself after a lost connection, joins its channels again with the same session of
    the encryption, and says what it missed. It belongs to the event loop that it was entered in, and is
    not for use from several threads.

    Args:
        url: ``ws://host:port`` or ``wss://host:port``.
        app_id: the app's 32 hexadecimal characters.
        token: for channels joined without a token of their own: a token, or a callback
            ``(channel, user)`` that returns one or an awaitable of one. A callback is called for each
            join, renewal and rejoin; it must not block.
        ssl: the TLS context for ``wss``; None for the system's certificates.
        proxy: True to follow the environment's proxy settings, None to ignore them, or a proxy's URL.
        options: times, sizes and the like.

    Raises:
        InvalidUrl: the URL does not name a server.
        InvalidName: the App ID is not one.
        ValueError: the token is empty or too long, or an ssl context is given for ``ws``.

    """

    def __init__(
        self,
        url: str,
        *,
        app_id: str,
        token: TokenSource | None = None,
        ssl: tls.SSLContext | None = None,
        proxy: str | bool | None = True,
        options: Options | None = None,
    ) -> None:
        self._address = Address.of(url, app_id)
        if ssl is not None and not self._address.secure:
            raise ValueError("an ssl context needs a wss:// URL")
        Credentials(token, "", "")
        self._token = token
        self._options = options or Options()
        self._memberships: dict[str, Membership] = {}
        self._rooms: dict[str, Channel] = {}
        self._upkeep = Upkeep(self._memberships)
        self._connection = Connection(self._address, self._options, ssl, proxy, self._upkeep)

    def __repr__(self) -> str:
        return f"<Client {self._address.base} {self.state}, {len(self._memberships)} channels>"

    @property
    def state(self) -> State:
        """The state of the connection: ``disconnected``, ``connecting``, ``connected`` …"""
        return self._connection.state

    def states(self) -> AsyncIterator[StateChange]:
        """Yield the present state of the connection and each later one, with its reason, up to ``closed``."""
        return self._connection.states.follow()

    def reconnect(self) -> None:
        """Make another connection at once: for an application that knows that the network has changed.

        The present one is dropped, a wait or an attempt cut short; the channels are joined again as after any
        loss. Without channels the next ``join`` connects.

        Raises:
            NotConnected: the client was closed.

        """
        self._connection.renew()

    @property
    def channels(self) -> Mapping[str, Channel]:
        """The channels that are joined, by name, those included whose membership is interrupted."""
        return {name: room for name, room in self._rooms.items() if not room.closed}

    @property
    def limits(self) -> Mapping[str, float]:
        """What the server announced: ``frame``, ``message`` … in bytes; empty without a connection."""
        link = self._connection.link
        return MappingProxyType({} if link is None else link.welcome.limits)

    async def connect(self) -> None:
        """Make the connection, if there is none; ``async with`` does it, and so does ``join``.

        Raises:
            ConnectFailed: the server cannot be reached, or refuses; the text says what to do. The first
                connection is tried once; only one that was lost is made again by itself.
            NotConnected: the client was closed.

        """
        await self._connection.ready()

    async def join(
        self,
        channel: str,
        *,
        user: str,
        key: Key,
        token: TokenSource | None = None,
        timeout: float | None = None,
        since: Place | None = None,
    ) -> Channel:
        """Become a member of a channel.

        Cancelling it undoes it: a join that succeeds all the same is followed by a leave.

        Args:
            channel: its name, 1-64 characters.
            user: who this is, as the token says. The same user on another connection is replaced.
            key: how the channel is encrypted.
            token: a token or a callback; the client's own when None.
            timeout: seconds to wait for the answer; the client's ``timeout`` when None.
            since: a ``Channel.position`` that an earlier run of the program has kept: what came after it is
                delivered first, behind a ``Resumed`` that says whether that is all of it.

        Raises:
            InvalidName: the channel's or user's name is not allowed.
            JoinRefused: the server said no, or this client has joined that channel already.
            ConnectFailed: there is no connection and none could be made.
            Disconnected: the connection ended before the answer.
            RequestTimeout: the server did not answer in time.
            NotConnected: the client was closed.

        """
        name, user = channel_name(channel), user_id(user)
        if not isinstance(key, Key):
            raise TypeError("a key is made by Key.raw(secret), not the secret itself")
        if name in self._memberships:
            raise JoinRefused(reply("already_joined"))
        credentials = Credentials(self._token if token is None else token, name, user)
        crypto = key.bind(self._address.app_id, name, user)
        membership = Membership(name, user, crypto, credentials, self._options, self._upkeep, since)
        self._memberships[name] = membership
        try:
            # The token first: a connection without a membership is not kept for long.
            fresh = await credentials.token()
            link = await self._connection.ready()
            await join(membership, link, fresh, self._options.timeout if timeout is None else timeout)
        except BaseException:
            membership.close(end("left"))
            raise
        room = Channel(membership)
        self._rooms = {**self.channels, name: room}
        return room

    async def close(self) -> None:
        """Leave all channels and close the connection; return when nothing of it is left.

        What is queued is sent first, if that takes no longer than a second.
        """
        for membership in list(self._memberships.values()):
            membership.close(end("left"))
        await self._connection.close()

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
