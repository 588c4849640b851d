"""Numbers of each app: of a bounded number of apps, and of the rest together.

An app that has had a line keeps it as long as it is there, so that what is shown of it never jumps. Apps
get one in the order in which somebody connects to them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from ..hub import App, Hub
from .board import Sample
from .tally import Sent, Tally

__all__ = ["OTHER", "AppFigures"]

OTHER: Final = "other"
_SLICE: Final = 1_000
"""Members that are counted before others run."""


class AppFigures:
    """A source of what each app is doing.

    Args:
        hub: the apps.
        tally: what members have sent that are gone.
        most: apps that have a line of their own.

    """

    def __init__(self, hub: Hub, tally: Tally, most: int) -> None:
        self._hub = hub
        self._tally = tally
        self._most = most
        self._own: set[str] = set()
        self._among_others: set[str] = set()
        """Apps whose counts are in the others' line, from which they cannot be taken any more."""
        self._removed = Sent()
        """What was sent in apps without a line of their own that are there no more."""

    async def __call__(self) -> AsyncIterator[Sample]:
        """Count; apps one after the other, between which others run."""
        apps = {app.config.app_id: app for app in self._hub.apps()}
        self._forget(apps)
        yield Sample("apps", sum(app.config.enabled for app in apps.values()), ("enabled",))
        yield Sample("apps", sum(not app.config.enabled for app in apps.values()), ("disabled",))
        rest = Sent(self._removed.count, self._removed.bytes)
        rest_now = [0, 0, 0]
        counted = channels = members = 0
        for app_id, app in apps.items():
            now = [app.connections, len(app.channels), 0]
            departed = self._tally.departed.get(app_id)
            sent = Sent() if departed is None else Sent(departed.count, departed.bytes)
            for channel in app.channels.values():
                now[2] += len(channel.members)
                for member in channel.members.values():
                    # Of who publishes over the API nobody hears that it has gone, and what it had sent.
                    if member.visitor is None or not member.visitor.publishes:
                        sent.add(member.frames_in, member.bytes_in)
            channels, members = channels + now[1], members + now[2]
            if self._has_line(app_id, app, sent):
                for sample in _samples(app_id, now, sent):
                    yield sample
            else:
                rest.add(sent.count, sent.bytes)
                rest_now = [one + other for one, other in zip(rest_now, now, strict=True)]
            counted += now[2] + 1
            if counted > _SLICE:
                counted = 0
                await asyncio.sleep(0)
        for sample in _samples(OTHER, rest_now, rest):
            yield sample
        yield Sample("channels", channels)
        yield Sample("members", members)

    def _has_line(self, app_id: str, app: App, sent: Sent) -> bool:
        if app_id in self._own:
            return True
        if app_id in self._among_others or not (app.connections or sent.count):
            return False
        (self._own if len(self._own) < self._most else self._among_others).add(app_id)
        return app_id in self._own

    def _forget(self, apps: dict[str, App]) -> None:
        """Let go of apps that are there no more; what the others' line said must not become less."""
        for app_id in [known for known in self._tally.departed if known not in apps]:
            gone = self._tally.departed.pop(app_id)
            if app_id not in self._own:
                self._removed.add(gone.count, gone.bytes)
        self._own &= apps.keys()
        self._among_others &= apps.keys()


def _samples(name: str, now: list[int], sent: Sent) -> list[Sample]:
    connections, channels, members = now
    return [
        Sample("app_connections", connections, (name,)),
        Sample("app_channels", channels, (name,)),
        Sample("app_members", members, (name,)),
        Sample("app_received_total", sent.count, (name,)),
        Sample("app_received_bytes_total", sent.bytes, (name,)),
    ]
