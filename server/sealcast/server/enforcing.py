"""Ban rules and revocations against those who are there: who is put out, and who may do less from now on.

Thousands may have to be looked at for one rule, so it is done in slices between which the relay relays. Who
joins meanwhile is judged as it joins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Final

from sealcast.protocol.codes import end
from sealcast.protocol.names import Privilege

from .bans import Ban
from .hub import App, Hub
from .member import Member
from .session import Session

__all__ = ["Enforcing"]

_SLICE: Final = 256
"""Members, or connections, that are looked at in one go."""


class Enforcing:
    """Enforces rules on the members of a hub.

    Args:
        hub: the process's registry.
        sessions: returns the connections of an app, members of something or not.

    """

    def __init__(self, hub: Hub, sessions: Callable[[App], list[Session]]) -> None:
        self._hub = hub
        self._sessions = sessions

    def reconsider(self, app_id: str, channel: str | None, user: str | None) -> None:
        """Look at everybody in this app (or channel, or at this user) whether the rules let them be."""
        app = self._app(app_id)
        if app is None:
            return
        self._work(partial(self._judge, app, member) for member in _members(app, channel, user))
        if channel is None and user is None:
            self._work(partial(self._shut_out, app, session) for session in self._sessions(app))

    def kick(self, ban: Ban) -> None:
        """Put out whom a rule names, and no more than that."""
        app = self._app(ban.app_id)
        if app is not None:
            self._work(partial(_kick, member, ban) for member in _members(app, ban.channel, ban.user))

    def _app(self, app_id: str) -> App | None:
        return next((app for app in self._hub.apps() if app.config.app_id == app_id), None)

    def _work(self, steps: Iterable[Callable[[], None]]) -> None:
        self._slice(iter(steps))

    def _slice(self, steps: Iterator[Callable[[], None]]) -> None:
        done = 0
        for step in islice(steps, _SLICE):
            step()
            done += 1
        if done == _SLICE:
            self._hub.call_soon(lambda: self._slice(steps))

    def _judge(self, app: App, member: Member) -> None:
        if not _is_there(member):
            return
        access, app_id, rights = self._hub.access, app.config.app_id, member.rights
        channel, user = member.channel.key.channel, member.user
        if rights.token_id and access.revocations.revoked(
            app_id, channel, user, rights.token_id, rights.issued_at
        ):
            member.outlet.leave(member.channel.number, end("token_revoked"))
            return
        denied = access.bans.denied(app_id, channel, user, _address(member))
        if isinstance(member.outlet, Session):
            member.outlet.restrict(member.channel.number, denied)
        elif Privilege.JOIN in denied:  # it lingers; if it comes back it is judged like any other
            member.outlet.leave(member.channel.number, end("banned"))

    def _shut_out(self, app: App, session: Session) -> None:
        if self._hub.access.bans.shut_out(app.config.app_id, session.address):
            session.refuse("banned")


def _members(app: App, channel: str | None, user: str | None) -> list[Member]:
    if channel is None:
        channels = list(app.channels.values())
    else:
        found = app.channels.get(channel)
        channels = [] if found is None else [found]
    if user is None:
        return [member for each in channels for member in each.members.values()]
    return [each.by_user[user] for each in channels if user in each.by_user]


def _kick(member: Member, ban: Ban) -> None:
    if _is_there(member) and (ban.address is None or ban.covers(_address(member))):
        member.outlet.leave(member.channel.number, end("kicked"))


def _is_there(member: Member) -> bool:
    return member.channel.members.get(member.number) is member


def _address(member: Member) -> str:
    return "" if member.visitor is None else member.visitor.address
