"""Memberships that an operator ends: of a user in a channel, of a user everywhere, or of a whole channel."""

from __future__ import annotations

import asyncio
from typing import Final

from sealcast.protocol.codes import end

from .hub import App
from .member import Member

__all__ = ["kick", "memberships"]

_AT_ONCE: Final = 64
"""Memberships that are ended in one turn of the event loop: all others in a channel are told of each."""


def memberships(app: App, channel: str | None, user: str | None) -> list[Member]:
    """Return the members of a channel, of all channels when it is None; of one user unless that is None."""
    if channel is None:
        channels = list(app.channels.values())
    else:
        found = app.channels.get(channel)
        channels = [] if found is None else [found]
    if user is None:
        return [member for each in channels for member in each.members.values()]
    return [member for each in channels if (member := each.by_user.get(user)) is not None]


async def kick(app: App, channel: str | None, user: str | None) -> int:
    """End these memberships, those that linger too; return how many. A second time there are none."""
    ended = 0
    for member in memberships(app, channel, user):
        if member.channel.members.get(member.number) is not member:
            continue  # it has gone meanwhile
        member.outlet.leave(member.channel.number, end("kicked"))
        ended += 1
        if not ended % _AT_ONCE:
            await asyncio.sleep(0)
    return ended
