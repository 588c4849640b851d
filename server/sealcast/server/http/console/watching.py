"""What the live parts of the pages show: the relay always, an app, channel or member while somebody looks.

Everything is read from what the relay counts anyway. Looking at a channel costs a look at each of its
members, so large ones are looked at less often.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from sealcast.protocol.names import Kind

from ...absent import Absent
from ...channel import Channel
from ...clock import Clock
from ...hub import App, Hub
from ...member import Member
from ...tally import Tally
from .figures import Counts, Row, Rows, Series

__all__ = ["ROWS_MOST", "Subject", "Watch", "Watches", "ban_path", "channel_path", "lasted", "member_path"]

ROWS_MOST: Final = 200
"""Rows of a live table."""
_TOP: Final = 10
_EVERY: Final = 1.0
_UNSEEN: Final = 30.0
"""Seconds after which nobody looks any more."""
_MOST: Final = 32
_MEMBERS_A_SECOND: Final = 1000
"""Members that are looked at for one subject each second."""

_AUDIO: Final = (int(Kind.AUDIO),)
_VIDEO: Final = (int(Kind.VIDEO), int(Kind.SCREEN))


class Subject(NamedTuple):
    """What is looked at: a member, a channel, an app, or everything."""

    app_id: str = ""
    channel: str = ""
    user: str = ""


def channel_path(app_id: str, channel: str) -> str:
    """Return where the page of a channel is."""
    return f"/console/apps/{app_id}/channel?{urlencode({'name': channel})}"


def member_path(app_id: str, channel: str, user: str) -> str:
    """Return where the page of a member is."""
    return f"/console/apps/{app_id}/member?{urlencode({'channel': channel, 'user': user})}"


def ban_path(app_id: str, channel: str, user: str) -> str:
    """Return where the form is that bans a member from its channel."""
    return f"/console/apps/{app_id}/bans/new?{urlencode({'user': user, 'channel': channel})}"


class Watch:
    """One subject that is looked at.

    Args:
        hub: the relay.
        subject: what.
        now: monotonic and Unix time.

    """

    def __init__(self, hub: Hub, subject: Subject, now: Clock) -> None:
        self.series = Series()
        self.rows = Rows()
        self.seen = now.monotonic()
        self.table = "" if subject.user else "members" if subject.channel else "channels"
        """What the rows are."""
        self._hub = hub
        self._subject = subject
        self._clock = now
        self._next = 0.0

    def look(self, *, rows: bool = True) -> None:
        """Count, if it is time."""
        now = self._clock.monotonic()
        if now < self._next:
            return
        counts, found, members = self._count(now, rows)
        self._next = now + _EVERY * (1 + members // _MEMBERS_A_SECOND) - _EVERY / 2
        self.series.add(counts)
        if rows:
            self.rows.put(found, now)

    def prune(self) -> None:
        """Leave out members who have left since the last look: a page is to show what its forms have done."""
        app = self._hub.any_app(self._subject.app_id)
        channel = app.channels.get(self._subject.channel) if app is not None else None
        if self.table == "members":
            self.rows.keep({f"{number}" for number in channel.members} if channel is not None else ())

    def _count(self, now: float, rows: bool) -> tuple[Counts, list[Row], int]:
        subject, hub = self._subject, self._hub
        if not subject.app_id:
            return _of_relay(hub, now), _largest(hub.apps(), _TOP, now) if rows else [], self._members(rows)
        app = hub.any_app(subject.app_id)
        if not subject.channel:
            if app is None:
                return _of_tally(Tally(), now, connections=0, channels=0, members=0), [], 0
            return _of_app(app, now)
        channel = app.channels.get(subject.channel) if app is not None else None
        if subject.user:
            member = channel.by_user.get(subject.user) if channel is not None else None
            tally = Tally()
            if member is not None:
                tally.count(member)
            return _of_tally(tally, now, here=float(member is not None)), [], 1
        if channel is None:
            return _of_tally(Tally(), now, members=0), [], 0
        total = channel.traffic.total(channel.members.values(), now)
        numbers = heapq.nsmallest(ROWS_MOST, channel.members)
        found = [_member_row(channel.members[number], self._clock.wall()) for number in numbers]
        return _of_tally(total, now, members=len(channel.members)), found, len(channel.members)

    def _members(self, rows: bool) -> int:
        if not rows:
            return 0
        return sum(len(channel.members) for app in self._hub.apps() for channel in app.channels.values())


class Watches:
    """All that is looked at.

    Args:
        hub: the relay.
        clock: the present.

    """

    def __init__(self, hub: Hub, clock: Clock) -> None:
        self._hub = hub
        self._clock = clock
        self._all = Watch(hub, Subject(), clock)
        self._all.seen -= _UNSEEN
        self._watches: dict[Subject, Watch] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look every second from now on."""
        self.look()
        self._timer = asyncio.get_running_loop().call_later(_EVERY, self.start)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def look(self) -> None:
        """Look at everything that somebody is interested in."""
        since = self._clock.monotonic() - _UNSEEN
        self._all.look(rows=self._all.seen > since)
        for subject, watch in list(self._watches.items()):
            if watch.seen <= since:
                del self._watches[subject]
            else:
                watch.look()

    def of(self, subject: Subject) -> Watch:
        """Return what is known of a subject, and look at it from now on."""
        watch = self._all if not subject.app_id else self._watches.pop(subject, None)
        if watch is None:
            watch = Watch(self._hub, subject, self._clock)
            while len(self._watches) >= _MOST:
                del self._watches[next(iter(self._watches))]
        if subject.app_id:
            self._watches[subject] = watch
        watch.seen = self._clock.monotonic()
        watch.look()
        watch.prune()
        return watch


# --- counting ---


def _of_relay(hub: Hub, now: float) -> Counts:
    metrics, apps = hub.metrics, list(hub.apps())
    work = metrics.turn_work
    sent = metrics.frames_in + metrics.messages_in
    return Counts(
        now,
        levels={
            "connections": metrics.connections,
            "channels": sum(len(app.channels) for app in apps),
            "members": sum(len(channel.members) for app in apps for channel in app.channels.values()),
        },
        sums={
            "frames": metrics.frames_in,
            "messages": metrics.messages_in,
            "deliveries": metrics.deliveries,
            "bytes": metrics.bytes_in,
            "drops": sum(metrics.dropped.values()),
        },
        parts={
            "turn": (1000 * work.total, sum(work.counts)),
            "encrypted": (sent - metrics.clear_frames, sent),
        },
    )


def _of_tally(tally: Tally, now: float, **levels: float) -> Counts:
    sent = tally.frames + tally.messages
    return Counts(
        now,
        levels=levels,
        sums={
            "frames": tally.frames,
            "messages": tally.messages,
            "bytes": tally.bytes,
            "drops": sum(tally.dropped.values()),
        },
        parts={"encrypted": (sent - tally.clear, sent)},
    )


def _of_app(app: App, now: float) -> tuple[Counts, list[Row], int]:
    total = Tally()
    for channel in app.channels.values():
        total.add(channel.traffic.total(channel.members.values(), now))
    members = sum(len(channel.members) for channel in app.channels.values())
    counts = _of_tally(total, now, connections=app.connections, channels=len(app.channels), members=members)
    return counts, _largest([app], ROWS_MOST, now), 2 * members


def _largest(apps: Iterable[App], most: int, now: float) -> list[Row]:
    """Return the channels with most members."""
    every = ((app, channel) for app in apps for channel in app.channels.values())
    found = heapq.nlargest(most, every, key=lambda each: len(each[1].members))
    return [_channel_row(app, channel, now) for app, channel in found]


def _channel_row(app: App, channel: Channel, now: float) -> Row:
    total = channel.traffic.total(channel.members.values(), now)
    name = channel.key.channel
    return Row(
        f"{app.config.app_id}/{name}",
        {
            "channel": name,
            "href": channel_path(app.config.app_id, name),
            "app": app.config.name or app.config.app_id,
            "members": len(channel.members),
            "encrypted": total.sealed,
        },
        {"frames": total.frames, "messages": total.messages, "bytes": total.bytes},
    )


def _member_row(member: Member, now: float) -> Row:
    visitor, kinds, key = member.visitor, member.kinds, member.channel.key
    sent = sum(count for count, _ in kinds.values())
    audio, video = (sum(kinds[kind][0] for kind in those if kind in kinds) for those in (_AUDIO, _VIDEO))
    shown: dict[str, Any] = {
        "user": member.user,
        "href": member_path(key.app_id, key.channel, member.user),
        "ban": ban_path(key.app_id, key.channel, member.user),
        "address": "" if visitor is None else visitor.address,
        "here": "away" if isinstance(member.outlet, Absent) else lasted(now - member.since),
        "dropped": sum(member.dropped.values()),
        "epoch": None if member.latest is None else member.latest[1] >> 4 & 15,
        "encrypted": 1 - member.clear / sent if sent else None,
    }
    return Row(
        f"{member.number}",
        shown,
        {"audio": audio, "video": video, "other": sent - audio - video, "bytes": member.bytes_in},
    )


_UNITS: Final[tuple[tuple[str, int], ...]] = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def lasted(seconds: float) -> str:
    """Say for people how long something took, in its two largest units."""
    left = int(max(seconds, 0))
    parts: list[str] = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
