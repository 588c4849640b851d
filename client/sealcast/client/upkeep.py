"""What keeps memberships alive: joining, coming back, renewing tokens."""

from __future__ import annotations

import asyncio
from typing import Final

from sealcast.protocol.codes import Code, end, reply
from sealcast.protocol.controls import Join, Joined
from sealcast.protocol.session import EXPIRY_WARNING

from .backoff import HINT_MAX
from .credentials import checked_token
from .errors import (
    ChannelClosed,
    ConnectFailed,
    Disconnected,
    JoinRefused,
    LimitExceeded,
    NotConnected,
    RequestRefused,
    RequestTimeout,
)
from .events import Draining, RenewFailed
from .link import Link
from .membership import Membership
from .reasons import returns_to_channel

__all__ = ["RENEW_PAUSE", "Upkeep", "join", "keep_renewed", "rejoin"]

RENEW_PAUSE: Final = 1.0
"""Seconds between two renewals by a callback, at least."""

_NEW_TOKEN: Final = (end("token_expired"), end("token_revoked"))
"""Ends after which only a new token helps."""


async def join(membership: Membership, link: Link, token: str | None, timeout: float) -> None:
    """Join once.

    Raises:
        Disconnected: the connection has ended.
        JoinRefused: the server said no.
        RequestTimeout: the server did not answer in time.

    """
    control = Join(
        channel=membership.channel,
        user=membership.user,
        token=token,
        hello=membership.crypto.hello,
        since=membership.reception.position.place,
        run=membership.run,
    )

    def accept(joined: Joined) -> None:
        membership.joined(link, joined)

    try:
        await link.join(control, timeout, accept)
    except JoinRefused:
        raise
    except RequestRefused as refused:
        raise JoinRefused(refused.code, refused.retry_after) from None


async def rejoin(membership: Membership, link: Link, *, at_once: bool) -> None:
    """Join until it succeeds, the server says no for good, or the connection ends.

    Args:
        membership: one that was joined before and has no route.
        link: the connection to join on.
        at_once: whether the first attempt needs no back-off, because the connection had its own.

    """
    options, clock = membership.options, asyncio.get_running_loop().time
    while membership.closed is None and not membership.leaving and link.ended is None:
        after = max(0.0, membership.not_before - clock())
        if after or not at_once:
            await options.sleep(membership.tries.wait(options.chance(), after))
        at_once = False
        try:
            token = await membership.credentials.token()
        except Exception as error:
            # The application's own code failed: it is told, and asked again later.
            membership.reception.tell(RenewFailed(error, will_retry=True))
            continue
        try:
            await join(membership, link, token, options.timeout)
        except JoinRefused as refused:
            # An earlier attempt that was given up may have been let in: its leave is on the way.
            if not refused.temporary and refused.code != reply("already_joined"):
                membership.close(refused.code)
                return
            membership.not_before = clock() + min(refused.retry_after or 0.0, HINT_MAX)
        except (RequestTimeout, LimitExceeded):
            continue
        except (ChannelClosed, Disconnected):
            return
        else:
            return


async def keep_renewed(membership: Membership) -> None:
    """Renew by the token callback until it succeeds, or the membership on this connection has ended."""
    route = membership.route
    try:
        await _renew(membership)
    finally:
        if membership.renewing is route:
            membership.renewing = None


async def _renew(membership: Membership) -> None:
    route, options = membership.route, membership.options
    now = asyncio.get_running_loop().time()
    if now - membership.renewed_at < EXPIRY_WARNING:
        # Tokens that live no longer than the warning, or a server that warns without need: the
        # application's callback is not called round and round for that.
        await options.sleep(max(RENEW_PAUSE, (membership.grant.ends - now) / 2))
    membership.renewed_at = asyncio.get_running_loop().time()
    attempt = 0
    while membership.route is route and membership.closed is None:
        failure: Exception
        try:
            await membership.renew(checked_token(await membership.credentials.token() or ""))
        except (ChannelClosed, Disconnected, NotConnected):
            return
        except RequestRefused as refused:
            failure, retry = refused, refused.temporary
        except Exception as error:
            failure, retry = error, True
        else:
            return
        membership.reception.tell(RenewFailed(failure, will_retry=retry))
        if not retry:
            return
        await options.sleep(options.backoff.seconds(attempt, options.chance()))
        attempt += 1


class Upkeep:
    """Decides for a client's memberships what follows from what happens to them and to the connection.

    Args:
        memberships: by channel name; a membership that ends for good is taken out.

    """

    __slots__ = ("_link", "_memberships")

    def __init__(self, memberships: dict[str, Membership]) -> None:
        self._memberships = memberships
        self._link: Link | None = None

    def _standing(self) -> list[Membership]:
        return [m for m in self._memberships.values() if m.established and m.closed is None]

    # --- asked and told by the connection ---

    def wanted(self) -> bool:
        """Say whether another connection is needed: whether a channel is to be joined again."""
        return any(not membership.leaving for membership in self._standing())

    def opened(self, link: Link) -> None:
        """Join all channels again on a new connection."""
        self._link = link
        for membership in self._standing():
            if not membership.leaving:
                link.spawn(rejoin(membership, link, at_once=True))

    def lost(self, code: Code, will_retry: bool) -> None:
        """Tell all channels that the connection has ended."""
        self._link = None
        for membership in self._standing():
            membership.lost(code, will_retry)

    def gave_up(self, error: ConnectFailed) -> None:
        """End all channels, because the server does not want us back."""
        for membership in self._standing():
            membership.close(end("connection_lost"), str(error))

    def draining(self, delay: float, alternatives: tuple[str, ...]) -> None:
        """Tell all channels that the server is going away."""
        for membership in self._standing():
            membership.reception.tell(Draining(delay, alternatives))

    # --- asked and told by a membership ---

    def interrupted(self, membership: Membership, code: Code) -> bool:
        """Join again what the server ended for a reason to come back, unless its token is used up."""
        link = self._link
        if link is None or not returns_to_channel(code.number):
            return False
        if code in _NEW_TOKEN and not membership.credentials.renewable:
            return False
        link.spawn(rejoin(membership, link, at_once=False))
        return True

    def expiring(self, membership: Membership) -> bool:
        """Renew a token by the callback, if there is one."""
        link = self._link
        if link is None or not membership.credentials.renewable:
            return False
        if membership.renewing is not membership.route:
            membership.renewing = membership.route
            link.spawn(keep_renewed(membership))
        return True

    def closed(self, membership: Membership) -> None:
        """Forget a membership that has ended for good."""
        if self._memberships.get(membership.channel) is membership:
            del self._memberships[membership.channel]
