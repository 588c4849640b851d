"""What one connection has asked and has no answer to yet, with the deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from sealcast.protocol.codes import Code
from sealcast.protocol.controls import Control, Joined
from sealcast.protocol.session import PENDING_MAX, Machine, RequestExpired

from .alarm import Alarm
from .errors import LimitExceeded, RequestTimeout
from .request import Request, Undoing

__all__ = ["KEPT_FREE", "Pending"]

KEPT_FREE: Final = 64
"""Requests that find room beside as many messages as there may be without an answer."""


class Pending:
    """The open requests of one connection.

    Args:
        machine: gives refs and knows the deadlines.
        put: queues what goes out, at a time.

    """

    __slots__ = ("_alarm", "_loop", "_machine", "_put", "_requests", "undoing")

    def __init__(self, machine: Machine, put: Callable[[bytes, float], None]) -> None:
        self._machine = machine
        self._put = put
        self._loop = asyncio.get_running_loop()
        self._requests: dict[int, Request] = {}
        self._alarm = Alarm(self._on_time)
        self.undoing = Undoing()
        """Joins that were given up."""

    def __repr__(self) -> str:
        return f"<Pending: {len(self._requests)} requests>"

    def has_room(self) -> bool:
        """Say whether another request may be made."""
        return len(self._requests) < PENDING_MAX

    def check_room(self, kept_free: int = 0) -> None:
        """Raise LimitExceeded unless there is room for another request, and *kept_free* beside it."""
        most = PENDING_MAX - kept_free
        if len(self._requests) >= most:
            raise LimitExceeded("the number of requests without an answer", most, "requests")

    def ask(
        self,
        control: Control,
        timeout: float,
        channel: int,
        *,
        name: str = "",
        accept: Callable[[Joined], None] | None = None,
    ) -> Request:
        """Send a request; raises LimitExceeded when there is no room for it."""
        self.check_room()
        now = self._loop.time()
        ref, data = self._machine.request(control, now, timeout)
        request = self._requests[ref] = Request(ref, channel, name=name, accept=accept)
        self._put(data, now)
        self._wake_at(now + timeout)
        return request

    def message(self, channel: int, timeout: float, again: int | None) -> Request:
        """Expect the ack of a message, under a fresh ref or *again* under its own."""
        now = self._loop.time()
        ref = self._machine.expect_ack(now, timeout, again)
        request = self._requests[ref] = Request(ref, channel, message=True)
        self._wake_at(now + timeout)
        return request

    async def answer(self, request: Request) -> Control:
        """Wait for the answer to a request; a wait that is cancelled makes the answer a late one."""
        try:
            return await request.answer()
        except asyncio.CancelledError:
            self._machine.abandon(request.ref)
            request.give_up()
            self._given_up(request)
            raise

    def get(self, ref: int) -> Request | None:
        """Return the request that was made under a ref, if it is open."""
        return self._requests.get(ref)

    def done(self, request: Request, *, settled: bool) -> None:
        """Note that a request has its answer; *settled*: with it nothing is left of a join."""
        if self._requests.pop(request.ref, None) is not None and settled:
            self.undoing.settle(request.name)

    def lose(self, channel: int, code: Code, returns: bool) -> None:
        """Let all that was asked about a channel fail: the membership has ended."""
        for request in self._requests.values():
            if request.channel == channel and request.waiting:
                self._machine.abandon(request.ref)
                request.lost(code, returns)

    def close(self, code: Code, returns: bool) -> None:
        """Let everything fail: the connection has ended."""
        self._alarm.set(None)
        requests, self._requests = self._requests, {}
        for request in requests.values():
            request.lost(code, returns)
        self.undoing.settle_all()

    async def quiet(self, timeout: float) -> None:
        """Wait until nothing is open, but no longer than *timeout*."""
        waiting = [request.settled for request in self._requests.values() if request.waiting]
        if waiting:
            await asyncio.wait(waiting, timeout=timeout)

    def _given_up(self, request: Request) -> None:
        if request.ref in self._requests and request.accept is not None:
            self.undoing.begin(request.name)

    def _wake_at(self, deadline: float) -> None:
        if self._alarm.due is None or deadline < self._alarm.due:
            self._alarm.set(deadline)

    def _on_time(self) -> None:
        for due in self._machine.handle_timeout(self._loop.time()):
            if isinstance(due, RequestExpired):
                request = self._requests[due.ref]
                request.fail(RequestTimeout())
                self._given_up(request)
        later = self._machine.next_timeout()
        if later is not None:
            self._wake_at(later)
