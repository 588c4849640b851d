"""What goes to single members: in order, paced, again when the server was in a hurry, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from sealcast.client.directs import WAITING_MAX, Directs
from sealcast.client.errors import Disconnected, LimitExceeded, RequestRefused
from sealcast.protocol.codes import end, reply
from sealcast.protocol.controls import Direct


class FakeLink:
    """Takes requests as a link does; a test answers them."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.answers: list[asyncio.Future[None]] = []
        self.refuses: list[Exception] = []
        self.tasks: list[asyncio.Task[None]] = []

    def submit(self, control: Direct, timeout: float, channel: int) -> asyncio.Future[None]:
        if self.refuses:
            raise self.refuses.pop(0)
        self.sent.append(control.data)
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answers.append(answer)
        return answer

    async def answer(self, request: asyncio.Future[None]) -> None:
        await request

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    async def settle(self) -> None:
        """Answer what is open, and let the tasks end."""
        for answer in self.answers:
            if not answer.done():
                answer.set_result(None)
        await asyncio.gather(*self.tasks)


def direct(number: int) -> Direct:
    return Direct(channel=1, member=2, data=b"%d" % number)


async def sent(link: FakeLink, count: int) -> list[bytes]:
    async with asyncio.timeout(10):
        while len(link.sent) < count:
            await asyncio.sleep(0.001)
    return link.sent


async def test_all_go_at_once_while_the_server_takes_them():
    link = FakeLink()
    directs = Directs(link, None)
    for number in range(500):
        directs.put(direct(number), lambda: True)
    assert link.sent == [b"%d" % number for number in range(500)]
    await link.settle()


async def test_no_more_go_than_the_server_has_named_and_the_rest_follows_in_order():
    link = FakeLink()
    directs = Directs(link, 60)
    for number in range(55):
        directs.put(direct(number), lambda: True)
    assert len(link.sent) == 54
    assert await sent(link, 55) == [b"%d" % number for number in range(55)]
    await link.settle()


async def test_what_was_refused_as_too_much_goes_again_first_and_in_order():
    link = FakeLink()
    directs = Directs(link, 60_000)
    for number in range(3):
        directs.put(direct(number), lambda: True)
    for answer in reversed(link.answers[1:]):
        answer.set_exception(RequestRefused(reply("rate_limited"), 0.02))
    link.answers[0].set_result(None)
    await asyncio.gather(*link.tasks)
    directs.put(direct(3), lambda: True)
    assert len(link.sent) == 3, "nothing overtakes what waits"
    assert (await sent(link, 6))[3:] == [b"1", b"2", b"3"]
    await link.settle()


async def test_what_was_refused_for_good_is_counted_and_what_is_not_wanted_any_more_is_not_sent():
    link = FakeLink()
    directs = Directs(link, None)
    directs.put(direct(0), lambda: True)
    link.answers[0].set_exception(RequestRefused(reply("no_such_member")))
    await asyncio.gather(*link.tasks)
    assert directs.refused == 1
    directs.put(direct(1), lambda: False)
    assert link.sent == [b"0"]


async def test_it_waits_while_too_many_requests_are_open_and_ends_with_the_connection():
    link = FakeLink()
    link.refuses = [LimitExceeded("requests", 4096)]
    directs = Directs(link, None)
    directs.put(direct(0), lambda: True)
    assert link.sent == []
    assert await sent(link, 1) == [b"0"]
    link.refuses = [Disconnected(end("connection_lost"), True)]
    directs.put(direct(1), lambda: True)
    directs.close()
    await link.settle()
    assert link.sent == [b"0"]


async def test_what_waits_is_bounded():
    link = FakeLink()
    directs = Directs(link, 1.0)
    for number in range(WAITING_MAX + 10):
        directs.put(direct(number), lambda: True)
    assert link.sent == [b"0"]
    assert len(directs._waiting) == WAITING_MAX
    directs.close()
    await link.settle()
