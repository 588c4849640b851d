"""One connection's core: joins and rights, the route table, the slow path, and every reason to end.

No asyncio here: bytes come in by ``receive``, go out by a Transport, and time comes from the hub's wheel.
"""

from __future__ import annotations

from typing import Final

from sealcast.protocol import envelope
from sealcast.protocol.codes import Code, end, reply
from sealcast.protocol.controls import (
    Control,
    Direct,
    Directed,
    Drain,
    Error,
    Join,
    Leave,
    Left,
    Ping,
    Pong,
    Renew,
    Sent,
    Side,
    TokenExpiring,
)
from sealcast.protocol.errors import RemoteProtocolError, TokenError
from sealcast.protocol.names import Kind
from sealcast.protocol.session import EndDue, GrantEnded, GrantExpiring, Machine, PingDue

from .arrival import refusal_of_frame, refusal_of_join, refusal_of_message, request_of
from .auth import Rights, TokenRequired, admit
from .channel import Member
from .hub import App, Full, Hub
from .interfaces import Transport
from .limits import Bucket, Meter, Quota, Shortage, take_all
from .logs import SessionLog
from .refusals import Refusals
from .sending import Sending
from .shared_requests import Asked, SharedRequest, carry_out
from .welcome import welcome

__all__ = ["Session"]

_FRAME: Final = envelope.FRAME
_MESSAGE: Final = envelope.MESSAGE
_MESSAGE_KIND: Final = int(Kind.MESSAGE)
_CROWDED: Final = Shortage(0.1, "channel_backlog")


class Session(Sending):
    """What the relay knows of one connection.

    Args:
        hub: the process's registry.
        app: the tenant named in the URL.
        transport: the way out.
        log: where its life is written.
        address: where it comes from; rates may count for all that come from there.

    """

    __slots__ = (
        "_address",
        "_app",
        "_changes",
        "_directs",
        "_frame_most",
        "_joins",
        "_log",
        "_quota",
        "_refusals",
        "_routes",
    )

    def __init__(self, hub: Hub, app: App, transport: Transport, log: SessionLog, address: str = "") -> None:
        now = hub.clock.monotonic()
        server = hub.config.server
        limits = app.config.limits
        machine = Machine(
            Side.SERVER, now, heartbeat=server.heartbeat, unauthenticated=server.unauthenticated
        )
        super().__init__(hub, transport, machine, limits)
        self._app = app
        self._log = log
        self._routes: dict[bytes, Member] = {}
        self._frame_most = limits.frame
        self._address = address
        self._quota: Quota | None = None
        self._joins = Bucket(limits.joins_per_minute / 60, limits.joins_per_minute, now, "joins_per_minute")
        self._directs = Bucket(
            limits.directs_per_minute / 60, limits.directs_per_minute, now, "directs_per_minute"
        )
        self._changes = Bucket(
            limits.changes_per_minute / 60, limits.changes_per_minute, now, "changes_per_minute"
        )
        self._refusals = Refusals(limits.errors_per_minute, now)
        app.connections += 1
        self.tell(welcome(server, limits, app.config.rates))
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
        if member.meter is None:
            rates = self._app.config.rates
            if self._quota is None:
                self._quota = Quota(rates, "connection", now)
            over = self._app.quotas.over(self._address, now)
            member.meter = Meter((Quota(rates, "member", now), self._quota, *over))
        shortage = member.meter.ask((member.frames_in, member.bytes_in), size, now)
        member.allowance = member.meter.allowance
        return shortage

    def heard(self) -> None:
        """Note that bytes came in."""
        self._machine.heard(self._hub.clock.monotonic())

    # --- controls ---

    def _control(self, data: bytes) -> None:
        try:
            control, ref, _ = self._machine.receive(data, self._hub.clock.monotonic())
        except RemoteProtocolError as error:
            if error.fatal:
                self._end(error.code)
            else:
                self._refuse_request(error.code, error.ref)
            return
        if isinstance(control, Join):
            self._join(control, ref)
        elif isinstance(control, Renew):
            self._renew(control, ref)
        elif isinstance(control, Leave):
            self._leave(control.channel, end("left"), ref)
        elif isinstance(control, Direct):
            self._direct(control, ref)
        elif isinstance(control, Ping):
            self.tell(Pong(), ref)
        elif isinstance(control, SharedRequest):
            self._share(control, ref)
        else:
            self._refuse_request(reply("unknown_control"), ref)

    def _join(self, join: Join, ref: int) -> None:
        if self._joins_too_soon(ref):
            return
        most = self._app.config.limits.channels_per_connection
        verdict = refusal_of_join(join, self._members.values(), most)
        if self._hub.draining:
            verdict = reply("draining")
        rights = verdict or self._rights(join.channel, join.user, join.token)
        if isinstance(rights, Rights):
            try:
                self._become_member(join, ref, rights)
                return
            except Full as full:
                rights = reply(full.name)
        self._refuse_request(rights, ref)

    def _joins_too_soon(self, ref: int) -> bool:
        now = self._hub.clock.monotonic()
        over = self._app.quotas.over(self._address, now)
        buckets = (self._joins, *(bucket for quota in over for bucket in quota.joins))
        shortage = take_all([(bucket, 1.0) for bucket in buckets], now)
        if shortage is not None:
            self._limit(shortage, ref, 0)
        return shortage is not None

    def _rights(self, channel: str, user: str, token: str | None) -> Rights | Code:
        try:
            return admit(self._app.config, channel, user, token, self._hub.clock.wall())
        except (TokenError, TokenRequired) as error:
            self._log.token_refused(error.code.name)
            return error.code

    def _become_member(self, join: Join, ref: int, rights: Rights) -> None:
        channel = self._app.channels.get(join.channel)
        older = channel.by_user.get(join.user) if channel is not None else None
        if older is not None:
            older.outlet.leave(older.channel.number, end("replaced"))
        member = self._hub.join(self._app, join.channel, join.user, join.hello, rights, self)
        channel = member.channel
        wall = self._hub.clock.wall()
        self._members[channel.number] = member
        self._routes[envelope.route_key(channel.number, member.number)] = member
        if self._delivery.slow:
            channel.slow(member)
        self._hub.metrics.joins_total += 1
        self._transport.admitted()
        policy: dict[str, str] = {
            "encryption": self._app.config.policy.encryption,
            "delivery": channel.delivery,
        }
        self.tell(member.joined(wall, policy), ref)
        self._hub.wheel.sooner(self, self._next_time())

    def _renew(self, renew: Renew, ref: int) -> None:
        if self._joins_too_soon(ref):
            return
        member = self._members[renew.channel]
        rights = self._rights(member.channel.key.channel, member.user, renew.token)
        if not isinstance(rights, Rights):
            self._refuse_request(rights, ref, renew.channel)
            return
        wall = self._hub.clock.wall()
        member.refresh(rights, wall)
        self.tell(member.renewed(wall), ref)
        self._hub.wheel.sooner(self, self._next_time())

    def _share(self, control: SharedRequest, ref: int) -> None:
        if self._too_soon(self._changes, ref, control.channel):
            return
        member = self._members[control.channel]

        def refuse(name: str, retry_after: float | None) -> None:
            # Who has left meanwhile, while the engine was at work, has no channel that this could be about.
            there = member.channel.number if self._members.get(control.channel) is member else None
            self._refuse_request(reply(name), ref, there, retry_after)

        def answer(control: Control) -> None:
            if self._members.get(member.channel.number) is not member:
                refuse("not_joined", None)
                return
            # What happened before comes first.
            member.channel.flush_to(member)
            self.tell(control, ref)

        carry_out(control, Asked(member, self._hub.sharing, self._app.config.limits, answer, refuse))

    def _direct(self, direct: Direct, ref: int) -> None:
        if self._too_soon(self._directs, ref, direct.channel):
            return
        member = self._members[direct.channel]
        receiver = member.channel.members.get(direct.member)
        if receiver is None or receiver is member:
            self._refuse_request(reply("no_such_member"), ref, direct.channel)
            return
        # What was collected before goes out first: for one receiver, all of a sender's data has one order.
        member.channel.flush_to(receiver)
        receiver.outlet.tell(Directed(channel=direct.channel, member=member.number, data=direct.data))
        self.tell(Sent(channel=direct.channel), ref)

    def _too_soon(self, bucket: Bucket, ref: int, channel: int) -> bool:
        shortage = take_all([(bucket, 1.0)], self._hub.clock.monotonic())
        if shortage is not None:
            self._limit(shortage, ref, channel)
        return shortage is not None

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
            self._hub.leave(self._app, member, reason)
            self._log.left(member.frames_in, member.bytes_in)

    # --- refusals ---

    def _refuse_request(
        self, code: Code, ref: int, channel: int | None = None, retry_after: float | None = None
    ) -> None:
        self._hub.metrics.refused[code.name] += 1
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
        self._refusals.note_frame("rate_limited", channel, shortage.wait)
        self._report_refusals(self._hub.clock.monotonic())

    def _refuse_frame(self, name: str, channel: int) -> None:
        self._hub.metrics.refused[name] += 1
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
                member.refresh(member.rights, wall)
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
