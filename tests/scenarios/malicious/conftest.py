"""A trial: one schedule, held undisturbed and held under attack, compared."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sealcast.client.e2ee.hold import HOLD_SECONDS
from sealcast.server.config import AppConfig, Config, ServerConfig
from sealcast.server.relay import Relay

from ..middle import Middle
from .keys import APP, APPS, Keys
from .meeting import CERTIFICATE, USUAL, Cue, Meeting, Minutes, Script
from .standing import StandingLoop, the_loop
from .table import expected

_DAY = 86400


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test here on a loop whose time it moves."""
    return {"standing": StandingLoop}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let messages wait no longer than frames: that they may wait for longer is shown elsewhere."""
    monkeypatch.setattr("sealcast.client.e2ee.receiving.MESSAGE_SECONDS", HOLD_SECONDS)


async def _nothing(meeting: Meeting) -> None:
    """Leave a meeting alone."""


async def _newcomer(meeting: Meeting) -> None:
    """Announce an honest member, who stays silent."""
    crypto = meeting.keys.of("dave").bind(APP, "room", "dave")
    await meeting.announce("dave", crypto.hello)


_UNDISTURBED = {"nothing": _nothing, "a newcomer": _newcomer}
"""What may happen in the meeting that an attack is compared with."""


class Trial:
    """Holds meetings, and judges what an attack made of one.

    Args:
        port: of the relay.
        folder: for keys that have to be remembered.
        known: the minutes of undisturbed meetings, kept from test to test.

    """

    def __init__(self, port: int, folder: Path, known: dict[object, Minutes]) -> None:
        self._port = port
        self._folder = folder
        self._known = known

    async def attack(
        self,
        name: str | None,
        kind: str,
        begin: Cue = _nothing,
        *,
        end: Cue = _nothing,
        before: Cue = _nothing,
        start: Cue = _nothing,
        script: Script = USUAL,
        unlike: str = "nothing",
        unlike_script: Script | None = None,
        beside: str = "",
        lost: Callable[[Minutes], int] = lambda minutes: 0,
        accused: frozenset[str] = frozenset({"alice"}),
    ) -> Minutes:
        """Hold a meeting with an attack, and judge it; return its minutes.

        Args:
            name: the attack, as ``table`` names it; None when nothing of it is told.
            kind: of the keys.
            begin: the attack, two seconds into the meeting.
            end: what ends it.
            before: what the relay saw in another meeting, a day before.
            start: what the relay prepares before anybody joins.
            script: the meeting's schedule.
            unlike: what happens instead of the attack in the meeting that is compared with.
            unlike_script: that meeting's schedule, where it differs.
            beside: what honest members make the victim send in one of the meetings only.
            lost: says how much of what is honest is missing.
            accused: whom the alarms name.

        """
        honest = await self._undisturbed(kind, unlike_script or script, unlike)
        attacked = await self._hold(kind, script, before, start, begin, end)
        assert {alarm for alarm, _ in attacked.alarms} == (expected(name, kind) if name else set())
        assert {user for _, user in attacked.alarms} == accused
        for source, heard in attacked.heard.items():
            assert is_part_of(heard, honest.heard.get(source, [])), "something false was delivered"
        missing = sum(map(len, honest.heard.values())) - sum(map(len, attacked.heard.values()))
        assert missing == lost(attacked), "something honest was not delivered"
        done, usual = (
            [sent for sent in minutes.sent if sent.what != beside] for minutes in (attacked, honest)
        )
        assert done == usual, "the relay can tell the attack from the client's behaviour"
        return attacked

    async def _undisturbed(self, kind: str, script: Script, unlike: str) -> Minutes:
        key = kind, script, unlike
        if key not in self._known:
            minutes = await self._hold(kind, script, _nothing, _nothing, _UNDISTURBED[unlike], _nothing)
            assert not minutes.alarms, "an undisturbed meeting raises no alarm"
            assert not minutes.failures
            assert {user for user, _ in minutes.heard} == {*script.cast} - {"bob"}
            self._known[key] = minutes
        return self._known[key]

    async def _hold(
        self, kind: str, script: Script, before: Cue, start: Cue, begin: Cue, end: Cue
    ) -> Minutes:
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            keys = Keys(kind, Path(folder))
            if before is not _nothing:
                async with self._meeting(keys) as meeting:
                    await before(meeting)
                the_loop().now += _DAY
            async with self._meeting(keys) as meeting:
                await start(meeting)
                return await meeting.hold(script, begin, end)

    @contextlib.asynccontextmanager
    async def _meeting(self, keys: Keys) -> AsyncIterator[Meeting]:
        async with contextlib.AsyncExitStack() as stack:
            middle = Middle(self._port)
            await middle.start()
            stack.push_async_callback(middle.stop)
            yield Meeting(middle, keys, stack)


def is_part_of(some: list[Any], whole: list[Any]) -> bool:
    """Say whether *some* stand in *whole*, in the same order."""
    rest = iter(whole)
    return all(item in rest for item in some)


@pytest.fixture(scope="session")
def known() -> dict[object, Minutes]:
    """Keep the minutes of undisturbed meetings: one of each is enough."""
    return {}


@pytest_asyncio.fixture
async def trial(tmp_path: Path, known: dict[object, Minutes]) -> AsyncIterator[Trial]:
    """Hold meetings on one relay, which has two apps."""
    apps = tuple(AppConfig(app_id=app, certificate=CERTIFICATE) for app in APPS)  # type: ignore[arg-type]
    server = ServerConfig(port=0, close=0.5, drain_spread=0.0)
    async with Relay(Config(server=server, apps=apps), the_loop()).running() as relay:
        assert relay.address is not None
        yield Trial(relay.address[1], tmp_path, known)
