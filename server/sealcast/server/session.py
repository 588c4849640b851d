"""One connection's core: joins and rights, the route table, the slow path, and every reason to end.

No asyncio here: bytes come in by ``receive``, go out by a Transport, and time comes from the hub's wheel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from sealcast.protocol import envelope
from sealcast.protocol.codes import Code, end, reply
from sealcast.protocol.controls import (
    Drain,
    Error,
    Left,
    TokenExpiring,
)
from sealcast.protocol.names import Kind, Privilege
from sealcast.protocol.session import EndDue, GrantEnded, GrantExpiring, PingDue

from .answering import Answering
from .arrival import refusal_of_frame, refusal_of_message, request_of
from .hub import App, Hub
from .interfaces import Transport
from .limits import Meter, Quota, Shortage
from .logs import SessionLog
from .member import Member
from .refusals import Refusals
from .welcome import welcome

__all__ = ["Session"]

_FRAME: Final = envelope.FRAME
_MESSAGE: Final = envelope.MESSAGE
_MESSAGE_KIND: Final = int(Kind.MESSAGE)
_CROWDED: Final = Shortage(0.1, "channel_backlog")
_UNSTORED: Final = Shortage(0.5, "storage_backlog")


class Session(Answering):
    """What the relay knows of one connection.

    Args:
        hub: the process's registry.
        app: the tenant named in the URL.
        transport: the way out.
        log: where its life is written.
        address: where it comes from; rates may count for all that come from there.

    """

    __slots__ = ("_frame_most", "_quota", "_refusals")

    def __init__(self, hub: Hub, app: App, transport: Transport, log: SessionLog, address: str = "") -> None:
        super().__init__(hub, app, transport, log, address)
        limits = app.config.limits
        self._frame_most = limits.frame
        self._quota: Quota | None = None
        self._refusals = Refusals(limits.errors_per_minute, hub.clock.monotonic())
        app.connections += 1
        self.tell(welcome(hub.config.server, limits, app.config.rates))
        self._hub.wheel.schedule(self, self._next_time())

    def __repr__(self) -> str:
        return f"<Session app={self._app.config.app_id} channels={len(self._members)}>"

    # --- bytes in: the hot path first ---

    def receive(self, data: bytes) -> None:
        """Take one complete binary message."""
        if self.closing is not None:
            return
        kind = data[0] if data else -1
        if kind == envelope.CONTROL:
            self._control(data)
            return
        if kind != _FRAME and kind != _MESSAGE:  # asked for every frame: no tuple is made
            self._end(end("protocol_error"))
            return
        member = self._routes.get(data[4:12])
        if member is None:
            self._refuse_unrouted(data)
        elif kind == _FRAME:
            self._frame(member, data)
        else:
            self._message(member, data)

    def _frame(self, member: Member, data: bytes) -> None:
        size = len(data)
        if member.bytes_in + size > member.allowance:
            shortage = self._ask(member, size)
            if shortage is not None:
                self._limit(shortage, 0, member.channel.number)
                return
        refusal = refusal_of_frame(member, data, self._frame_most)
        if refusal is not None:
            self._refuse_frame(refusal, member.channel.number)
            return
        metrics = self._hub.metrics
        metrics.frames_in += 1
        metrics.bytes_in += size
        member.channel.collect(member, data[12] & 15, data)

    def _message(self, member: Member, data: bytes) -> None:
        ref = request_of(data)
        shortage = None
        if member.bytes_in + len(data) > member.allowance:
            shortage = self._ask(member, len(data))
        if shortage is None and member.meter is not None:
            shortage = member.meter.message(self._hub.clock.monotonic())
        if shortage is None and member.channel.storing_slowly:
            shortage = _UNSTORED
        if shortage is not None:
            self._limit(shortage, ref, member.channel.number)
            return
        refusal = refusal_of_message(member, data, self._app.config.limits.message, ref)
        if refusal is not None:
            self._refuse_data(refusal, ref, member.channel.number)
            return
        metrics = self._hub.metrics
        metrics.messages_in += 1
        metrics.bytes_in += len(data)
        member.channel.collect(member, _MESSAGE_KIND, data, ref)

    def _ask(self, member: Member, size: int) -> Shortage | None:
        """Ask whether a member may send so many bytes more; that it may be granted some in advance."""
        now = self._hub.clock.monotonic()
        if member.channel.crowded:
            return _CROWDED
        if not member.spoke:
            member.channel.introduce(member)
        if member.meter is None:
            rates = self._app.config.rates
            if self._quota is None:
                self._quota = Quota(rates, "connection", now)
            over = self._app.quotas.over(self._address, now)
            quotas = (Quota(rates, "member", now), self._quota, *over)
            member.meter = Meter(quotas, (member.frames_in, member.bytes_in))
        shortage = member.meter.ask((member.frames_in, member.bytes_in), size, now)
        member.allowance = member.meter.allowance
        return shortage

    def heard(self) -> None:
        """Note that bytes came in."""
        self._machine.heard(self._hub.clock.monotonic())

    def reconfigured(self) -> None:
        """Go by what the app's limits and rates are now."""
        limits = self._app.config.limits
        self._frame_most = limits.frame
        self._bound_requests(limits, self._hub.clock.monotonic())
        self._quota = None
        for member in self._members.values():
            member.meter = None
            member.allowance = 0

    @property
    def address(self) -> str:
        """Where it comes from."""
        return self._address

    def restrict(self, channel: int, denied: Mapping[Privilege, float]) -> None:
        """Let ban rules take this away in a channel from now on, and nothing that they took before."""
        member = self._members.get(channel)
        if member is None or member.rights.denied == denied:
            return
        if Privilege.JOIN in denied:
            self.leave(channel, end("banned"))
            return
        wall = self._hub.clock.wall()
        before = member.allowed
        member.refresh(replace(member.rights, denied=denied), wall)
        if member.allowed != before:
            self.tell(member.renewed(wall))
        self._hub.wheel.sooner(self, self._next_time())

    # --- ends ---

    def leave(self, channel: int, code: Code) -> None:
        """End one membership; a connection that loses its last one this way is closed with the same code."""
        if self._leave(channel, code, 0) and not self._members:
            self._end(code)

    def _leave(self, channel: int, code: Code, ref: int) -> bool:
        member = self._members.pop(channel, None)
        if member is None:
            return False
        del self._routes[envelope.route_key(channel, member.number)]
        self._hub.leave(self._app, member, code.name)
        self._delivery.forget(channel)
        self._log.left(member.frames_in, member.bytes_in)
        self.tell(Left(channel=channel, code=code.number, name=code.name, message=code.message), ref)
        self._hub.wheel.sooner(self, self._next_time())
        return True

    def _end(self, code: Code) -> None:
        if self.closing is None:
            self.closing = code
            self._hub.warden.offend(self._address, code.name, self._app.config.app_id)
            self._drop_memberships(code.name)
            self._machine.close()
            self._transport.close(code.number, code.name)

    def refuse(self, name: str) -> None:
        """End the connection with this end code: the peer broke a rule of the transport."""
        self._end(end(name))

    def drain(self, delay: float) -> None:
        """Tell the peer to come back after *delay* seconds, and end the connection."""
        if self.closing is None:
            self.tell(Drain(delay=round(delay, 3)))
            self._end(end("draining"))

    def lost(self, code: int | None) -> None:
        """The connection is gone: forget everything about it."""
        cause = self.closing or end("left" if code in (1000, 1001) else "connection_lost")
        self.closing = cause
        self._drop_memberships(cause.name)
        self._machine.close()
        self._hub.wheel.schedule(self, None)
        self._app.connections -= 1
        self._delivery.close()
        self._hub.metrics.ended[cause.name] += 1
        self._log.ended(cause, code, self._hub.clock.monotonic())

    def _drop_memberships(self, reason: str) -> None:
        members, self._members = self._members, {}
        self._routes.clear()
        for member in members.values():
            self._hub.lose(self._app, member, reason)
            self._log.left(member.frames_in, member.bytes_in)

    # --- refusals ---

    def _refuse_request(
        self, code: Code, ref: int, channel: int | None = None, retry_after: float | None = None
    ) -> None:
        self._hub.metrics.refused[code.name] += 1
        self._app.usage.refused[code.name] += 1
        if self._spend(self._hub.clock.monotonic()):
            self.tell(Error.of(code, channel=channel, retry_after=retry_after), ref)

    def _refuse_unrouted(self, data: bytes) -> None:
        ref = request_of(data) if data[0] == _MESSAGE else 0
        self._refuse_data("not_joined" if len(data) >= 16 else "bad_frame", ref, 0)

    def _refuse_data(self, name: str, ref: int, channel: int) -> None:
        """Refuse a message under its ref; a frame, or a message without a ref, can only be counted."""
        if ref:
            self._refuse_request(reply(name), ref, channel or None)
        else:
            self._refuse_frame(name, channel)

    def _limit(self, shortage: Shortage, ref: int, channel: int) -> None:
        """Refuse what came too fast; a frame costs nothing of the error budget, a burst would use it up."""
        self._hub.metrics.limited[shortage.limit] += 1
        if ref:
            self._refuse_request(reply("rate_limited"), ref, channel or None, shortage.wait)
            return
        self._hub.metrics.refused["rate_limited"] += 1
        self._app.usage.refused["rate_limited"] += 1
        self._refusals.note_frame("rate_limited", channel, shortage.wait)
        self._report_refusals(self._hub.clock.monotonic())

    def _refuse_frame(self, name: str, channel: int) -> None:
        self._hub.metrics.refused[name] += 1
        self._app.usage.refused[name] += 1
        now = self._hub.clock.monotonic()
        if self._spend(now):
            self._refusals.note_frame(name, channel)
            self._report_refusals(now)

    def _report_refusals(self, now: float) -> None:
        for control in self._refusals.report(now):
            self.tell(control)
        self._hub.wheel.sooner(self, self._refusals.due())

    def _spend(self, now: float) -> bool:
        """Take one error from the connection's budget; a connection without budget is closed."""
        if self._refusals.spend(now):
            return True
        self._end(end("too_many_errors"))
        return False

    # --- time ---

    def on_time(self, now: float) -> float | None:
        """Do what is due; called by the wheel."""
        for due in self._machine.handle_timeout(now):
            if isinstance(due, PingDue):
                self._transport.ping()
            elif isinstance(due, EndDue):
                self._end(due.code)
            elif isinstance(due, GrantExpiring):
                self.tell(TokenExpiring(channel=due.channel, seconds=round(due.seconds, 3)))
            elif isinstance(due, GrantEnded):
                self.leave(due.channel, end("token_expired"))
        if self.closing is not None:
            return None
        wall = self._hub.clock.wall()
        for member in self._members.values():
            if member.changes is not None and member.changes <= wall:
                before = member.allowed
                member.refresh(member.rights, wall)
                if member.allowed & ~before:  # a ban has ended; what ends by itself does so silently
                    self.tell(member.renewed(wall))
        for control in self._refusals.report(now):
            self.tell(control)
        if self._delivery.due() is not None:
            self._report_drops(now)
        return self._next_time()

    def _next_time(self) -> float | None:
        times = [self._machine.next_timeout(), self._refusals.due(), self._delivery.due()]
        skew = self._hub.clock.monotonic() - self._hub.clock.wall()
        times.extend(m.changes + skew for m in self._members.values() if m.changes is not None)
        return min((t for t in times if t is not None), default=None)
