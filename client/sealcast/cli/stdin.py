"""Standard input for an event loop: a terminal, a pipe or a file alike."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator

from .failure import Failure

__all__ = ["Input", "chunks", "lines"]


class Input:
    """Reads standard input in a thread, one piece at a time and only when asked.

    What is not asked for stays in the pipe, so whoever writes there is held back.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stdin.fileno() if descriptor is None else descriptor
        self._loop = asyncio.get_running_loop()
        self._asked = threading.Semaphore(0)
        self._size = 0
        self._answer: asyncio.Future[bytes] | None = None
        # A daemon, past Python's buffer: a read that never returns must not keep the process from ending.
        threading.Thread(target=self._read_all, name="input", daemon=True).start()

    async def read(self, most: int) -> bytes:
        """Return what is there, 1 to *most* bytes, once there is something; nothing at the end.

        Cancelling it loses nothing: what comes in is returned by the next call.

        Raises:
            OSError: standard input cannot be read.

        """
        if self._answer is None:
            self._answer = self._loop.create_future()
            self._size = most
            self._asked.release()
        data = await asyncio.shield(self._answer)
        self._answer = None
        return data

    def _read_all(self) -> None:
        while True:
            self._asked.acquire()
            data, error = b"", None
            try:
                data = os.read(self._descriptor, self._size)
            except OSError as failed:
                error = failed
            try:
                self._loop.call_soon_threadsafe(self._settle, data, error)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

    def _settle(self, data: bytes, error: OSError | None) -> None:
        assert self._answer is not None, "only asked for by `read`"
        if error is None:
            self._answer.set_result(data)
        else:
            self._answer.set_exception(error)


async def lines(source: Input, most: int) -> AsyncIterator[bytes]:
    """Yield lines without their newline; the last one may lack it.

    Raises Failure for a line of more than *most* bytes.
    """
    number, rest = 1, b""
    while data := await source.read(64 * 1024):
        *complete, rest = (rest + data).split(b"\n")
        for line in complete:
            _check(number, line, most)
            yield line
            number += 1
        _check(number, rest, most)
    if rest:
        yield rest


async def chunks(source: Input, most: int) -> AsyncIterator[bytes]:
    """Yield what comes in, in pieces of at most *most* bytes."""
    while data := await source.read(most):
        yield data


def _check(number: int, line: bytes, most: int) -> None:
    if len(line) > most:
        raise Failure(
            f"line {number} is longer than {most} bytes, the most that a message takes", "`send --binary`"
        )
