"""``sealcast send`` and ``sealcast listen``: a channel as one end of a pipe."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from sealcast.protocol.errors import SealcastError

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
from .quantity import duration

if TYPE_CHECKING:
    from sealcast.client import Channel

__all__ = ["listen", "send"]

_IN_FLIGHT: Final = 64
_BYTES_IN_FLIGHT: Final = 256 * 1024
"""A relay queues four times as much for a member that does not keep up before it is cut off."""

_FALLBACK_MAX: Final = 32 * 1024
"""The size of a chunk where the relay announces no limit, in bytes."""


def send(
    channel: ChannelArgument,
    user: UserOption,
    message: Annotated[
        list[str] | None,
        typer.Option(
            "--message", "-m", metavar="TEXT", help="Send this instead of standard input; may be repeated."
        ),
    ] = None,
    binary: Annotated[
        bool, typer.Option("--binary", help="Send standard input as it comes, not line by line.")
    ] = False,
    in_flight: Annotated[
        int,
        typer.Option(min=1, max=4096, metavar="N", help="Messages that may wait for their ack at a time."),
    ] = _IN_FLIGHT,
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
    """Send standard input to a channel, a message per line, sealed.

    Ends with 0 when every message was acknowledged.

    \b
    Example:  date | sealcast send standup --user clock --context team.toml
              sealcast send standup --user alice --context team.toml -m "back at ten"
    """
    if message and binary:
        raise Failure("--message and --binary exclude each other", "one of them", Status.USAGE)
    if not message and "-" in (token_file, certificate_file, key_file):
        raise Failure("standard input is what will be sent", "a file for the secret", Status.USAGE)
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
    asyncio.run(_send(access, channel, user, message or [], binary, in_flight))


def listen(
    channel: ChannelArgument,
    user: UserOption,
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="End after so many messages.")] = None,
    timeout: Annotated[
        str | None,
        typer.Option(help="End after so long (30s, 5m); with --count: fail unless it is reached."),
    ] = None,
    binary: Annotated[
        bool, typer.Option("--binary", help="Print messages as they are, without newlines between them.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print messages and failures only.")] = False,
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
    """Print the messages of a channel, one a line, as they arrive.

    What is printed to a terminal is made safe for it; a pipe or file gets the messages as they are.

    \b
    Example:  sealcast listen standup --user log --context team.toml >> standup.log
              sealcast listen standup --user probe --context team.toml --count 1 --timeout 30s
    """
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
    asyncio.run(_listen(access, channel, user, count, duration("--timeout", timeout), binary, quiet))


# --- send ------------------------------------------------------------------------------------------


async def _send(
    access: Access, channel: str, user: str, texts: Sequence[str], binary: bool, in_flight: int
) -> None:
    from .race import race
    from .signals import leaving_on_signal
    from .stdin import Input, chunks, lines

    async with leaving_on_signal(), access.client() as client:
        room = await client.join(channel, user=user, key=access.key)
        most = room.message_max or _FALLBACK_MAX
        cut = chunks if binary else lines
        source = _encoded(texts) if texts else cut(Input(), most)
        await race(_pump(room, source, in_flight), _watch(room))


async def _encoded(texts: Sequence[str]) -> AsyncIterator[bytes]:
    for text in texts:
        yield text.encode(errors="surrogateescape")


async def _pump(room: Channel, source: AsyncIterator[bytes], in_flight: int) -> None:
    """Send everything that *source* yields, in order; return when all of it is acknowledged.

    Acks come in the order of the messages, so waiting for the oldest is waiting for the next one.
    """
    waiting: deque[tuple[asyncio.Task[object], int]] = deque()
    size = acknowledged = 0

    async def wait_for_oldest() -> None:
        nonlocal size, acknowledged
        task, taken = waiting[0]
        await task
        waiting.popleft()
        size -= taken
        acknowledged += 1

    unreadable: Failure | None = None
    try:
        try:
            async for data in source:
                while waiting and (len(waiting) >= in_flight or size + len(data) > _BYTES_IN_FLIGHT):
                    await wait_for_oldest()
                waiting.append((asyncio.ensure_future(room.send(data)), len(data)))
                size += len(data)
        except Failure as failure:  # what came before is sent all the same
            unreadable = failure
        while waiting:
            await wait_for_oldest()
    except SealcastError as error:
        if not acknowledged:
            raise
        raise Failure(f"{error} (the first {acknowledged} messages were acknowledged)") from error
    finally:
        for task, _ in waiting:
            task.cancel()
        await asyncio.gather(*(task for task, _ in waiting), return_exceptions=True)
    if unreadable is not None:
        raise unreadable


async def _watch(room: Channel) -> None:
    """Say what happens to the connection meanwhile; raise Failure when the membership ends."""
    from .notices import ended, notice
    from .output import note

    async for event in room:
        failure = ended(event)
        if failure is not None:
            raise failure
        if (text := notice(event, members=False)) is not None:
            note(text)


# --- listen ----------------------------------------------------------------------------------------


async def _listen(
    access: Access,
    channel: str,
    user: str,
    count: int | None,
    timeout: float | None,
    binary: bool,
    quiet: bool,
) -> None:
    from .output import note
    from .signals import leaving_on_signal

    async with leaving_on_signal(), access.client() as client:
        room = await client.join(channel, user=user, key=access.key)
        if not quiet:
            note(f"listening on {channel} as {user}; Ctrl-C ends it")
        printer = _Printer(room, count, binary, quiet)
        try:
            async with asyncio.timeout(timeout) as limit:
                await printer.run()
        except TimeoutError:
            if not limit.expired():
                raise
            if count is not None:
                raise Failure(f"{printer.printed} of {count} messages came within {timeout:g} s") from None
    if printer.lost:
        raise Failure("messages were lost, so what was printed has gaps")


class _Printer:
    """Prints a channel's messages, and counts."""

    def __init__(self, room: Channel, count: int | None, binary: bool, quiet: bool) -> None:
        from .output import printable
        from .stdout import Output

        self.printed = 0
        self.lost = False
        """Whether messages are missing from what was printed."""
        self._room = room
        self._count = count
        self._quiet = quiet
        self._binary = binary
        self._terminal = sys.stdout.isatty()
        self._output = Output()
        self._printable = printable

    async def run(self) -> None:
        """Return when the count is reached; raise Failure when the membership ends before."""
        from sealcast.client import Message

        from .notices import ended, lost, notice
        from .output import note

        async for event in self._room:
            if isinstance(event, Message):
                await self._output.write(self._formatted(event.data))
                self.printed += 1
                if self.printed == self._count:
                    return
                continue
            failure = ended(event)
            if failure is not None:
                raise failure
            gap = lost(event)
            self.lost |= gap
            text = notice(event, members=False)
            if text is not None and (gap or not self._quiet):
                note(text)

    def _formatted(self, data: bytes) -> bytes:
        if self._terminal:
            return self._printable(data.decode(errors="replace")).encode() + b"\n"
        return data if self._binary else data + b"\n"
