"""Standard output for an event loop: a terminal, a pipe or a file alike."""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading

__all__ = ["Output"]


class Output:
    """Standard output, written by a thread.

    A reader that stops reading, or a terminal that is paused, holds the thread up and not the event
    loop, which has a connection to keep alive. ``write`` waits for its own bytes to be written, so the
    reader's pace is still the writer's.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stdout.fileno() if descriptor is None else descriptor
        self._loop = asyncio.get_running_loop()
        self._work: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]]] = queue.SimpleQueue()
        # A daemon, so that a reader that has stopped reading cannot keep the process from ending.
        threading.Thread(target=self._write_all, name="output", daemon=True).start()

    async def write(self, data: bytes) -> None:
        """Write *data*, all of it; return when it is written.

        Raises:
            OSError: it cannot be written; BrokenPipeError when nobody reads any more.

        """
        done: asyncio.Future[None] = self._loop.create_future()
        self._work.put((data, done))
        await done

    def _write_all(self) -> None:
        while True:
            data, done = self._work.get()
            error: OSError | None = None
            try:
                view = memoryview(data)
                while view:
                    # Past Python's buffer: its lock must not be held when the interpreter ends.
                    view = view[os.write(self._descriptor, view) :]
            except OSError as failed:
                error = failed
            try:
                self._loop.call_soon_threadsafe(_settle, done, error)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return


def _settle(done: asyncio.Future[None], error: OSError | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
