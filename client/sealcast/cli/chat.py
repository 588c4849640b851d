"""``sealcast join``: a chat in the terminal, sealed end to end."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from .access import (
    Access,
    AppIdOption,
    CertificateFileOption,
    CertificateOption,
    ChannelArgument,
    ContextOption,
    KeyFileOption,
    KeyOption,
    TokenFileOption,
    TokenOption,
    UrlOption,
    UserOption,
    reach,
)
from .failure import Failure, Status

if TYPE_CHECKING:
    from sealcast.client import Channel

    from .terminal import Terminal

__all__ = ["Chat", "join"]

_QUEUED: Final = 256
"""Lines that may be entered faster than they are sent."""

_FALLBACK_MAX: Final = 32 * 1024
"""The longest line, in bytes, where the relay announces no limit."""


def join(
    channel: ChannelArgument,
    user: UserOption,
    url: UrlOption = None,
    app_id: AppIdOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    certificate: CertificateOption = None,
    certificate_file: CertificateFileOption = None,
    key: KeyOption = None,
    key_file: KeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Chat in a channel: what you type is sealed here and opened by the other members only.

    /who says who is there, /code shows the channel code, which people compare to know that all see the
    same members; /quit, or the end of the input (Ctrl-D), leaves.

    \b
    Example:  sealcast join standup --user alice --context team.toml
              sealcast join standup --user alice --app-id … --token-file alice.token --key-file team.key
    """
    if "-" in (token_file, certificate_file, key_file):
        raise Failure("standard input is what you type", "a file for the secret", Status.USAGE)
    access = reach(
        os.environ,
        url=url,
        app_id=app_id,
        token=token,
        token_file=token_file,
        certificate=certificate,
        certificate_file=certificate_file,
        key=key,
        key_file=key_file,
        context=context,
    )
    asyncio.run(_chat(access, channel, user))


async def _chat(access: Access, channel: str, user: str) -> None:
    from .race import race
    from .signals import leaving_on_signal
    from .terminal import open_terminal

    async with leaving_on_signal(), access.client() as client:
        room = await client.join(channel, user=user, key=access.key)
        async with open_terminal(room.message_max or _FALLBACK_MAX) as terminal:
            chat = Chat(room, terminal, access.sealed)
            await chat.greet()
            await race(chat.hear(), chat.speak(), chat.deliver())


class Chat:
    """One person's side of a conversation.

    Typing, sending and hearing go on at the same time: an ack that takes long must hold up neither the
    keys nor what others say.
    """

    def __init__(self, room: Channel, terminal: Terminal, sealed: bool) -> None:
        self._room = room
        self._terminal = terminal
        self._sealed = sealed
        self._entered: asyncio.Queue[str] = asyncio.Queue(_QUEUED)
        self._code_shown: str | None = None
        """The channel code that was asked for, as long as it is the present one."""

    async def greet(self) -> None:
        """Say where we are, with whom, and how to get out."""
        how = "sealed end to end" if self._sealed else "NOT ENCRYPTED: the relay can read this"
        others = self._others()
        ways = ("/code shows the channel code, " if self._sealed else "") + "/quit or Ctrl-D leaves"
        await self._say(f"{self._room.user} in {self._room.name}, {how}; {ways}")
        await self._say(f"here: {others}" if others else "nobody else is here yet")

    async def hear(self) -> None:
        """Show what others say and do; raise Failure when the membership ends."""
        from sealcast.client import MemberJoined, MemberLeft, Message, TrustEnded

        from .notices import ended, notice

        async for event in self._room:
            if isinstance(event, Message):
                who = f"{event.user} (earlier)" if event.historical else event.user
                await self._show(who, event.data.decode(errors="replace"))
            elif (failure := ended(event)) is not None:
                raise failure
            elif (text := notice(event, sealed=self._sealed)) is not None:
                await self._say(text)
            if isinstance(event, MemberJoined | MemberLeft | TrustEnded):
                await self._watch_code()

    async def speak(self) -> None:
        """Take what is entered; return when that ends, once all of it is sent."""
        async for line in self._terminal.entered():
            if line == "/quit":
                break
            command, _, rest = line.partition(" ")
            if line == "/who":
                await self._say(f"here: {self._others() or 'nobody else'}")
            elif command == "/code":
                await self._code(rest.strip())
            elif line.startswith("/") and not line.startswith("//"):
                await self._say("there are /who, /code and /quit; a message that begins with / is written //")
            elif line:
                await self._entered.put(line.removeprefix("/"))
        await self._entered.join()

    async def deliver(self) -> None:
        """Send what was entered, in order; say so when something could not be sent."""
        from sealcast.client import ChannelClosed, SealcastError

        while True:
            line = await self._entered.get()
            try:
                await self._room.send(line.encode(errors="replace"))
            except ChannelClosed:
                await asyncio.Event().wait()  # `hear` is about to say why
            except SealcastError as error:
                await self._say(f"not sent: {error}")
            else:
                if self._terminal.echoes:
                    await self._show(self._room.user, line)
            finally:
                self._entered.task_done()

    async def _watch_code(self) -> None:
        """Say so once when the code that was shown is no longer the present one."""
        if self._code_shown is not None and self._code_shown != self._room.code:
            self._code_shown = None
            await self._say("the channel code has changed; /code shows the new one")

    async def _code(self, wanted: str) -> None:
        """Show the channel code, draw it, or compare it with another."""
        from .channel_code import compared, picture, spelled_out

        if wanted and wanted != "qr":
            await self._say(compared(self._room, wanted))
            return
        self._code_shown = self._room.code
        try:
            lines = picture(self._room) if wanted else []
        except Failure as failure:
            await self._say(str(failure))
            return
        for line in lines:
            await self._terminal.show(line)
        for line in spelled_out(self._room):
            await self._say(line)

    def _others(self) -> str:
        return ", ".join(sorted(member.user for member in self._room.members.values()))

    async def _show(self, user: str, text: str) -> None:
        from .output import printable

        await self._terminal.show(f"{printable(user)}: {printable(text)}")

    async def _say(self, text: str) -> None:
        from .output import printable

        await self._terminal.show(f"* {printable(text)}")
