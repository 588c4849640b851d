"""What a peer asks for by controls: memberships, rights, data for one member, and what a channel has kept."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from sealcast.protocol import envelope
from sealcast.protocol.codes import Code, end, reply
from sealcast.protocol.controls import (
    SERVER_CONTROL_MAX,
    Control,
    Direct,
    Directed,
    Join,
    Joined,
    Leave,
    Ping,
    Pong,
    Renew,
    Sent,
    Side,
)
from sealcast.protocol.errors import RemoteProtocolError, TokenError
from sealcast.protocol.names import Privilege
from sealcast.protocol.session import Machine

from .absent import Absent
from .arrival import refusal_of_join
from .auth import Rights, TokenRequired, admit
from .config import AppLimits
from .fanout import frame_header
from .hub import App, Full, Hub
from .interfaces import EngineDown, Kept, Position, Transport
from .limits import Bucket, Shortage, take_all
from .logs import SessionLog, logger
from .member import Member
from .requests import CHANGES, HANDLERS, Asked, Refusal
from .sending import Sending

__all__ = ["Answering"]

_AUTHOR_COST: Final = 64
"""Bytes of an author in ``joined``, beside its name and hello."""
_LISTED_MAX: Final = 56_000
"""Members and authors that one ``joined`` may list: a control has a bounded number of values."""

_OWED_MAX: Final = 256 * 1024
"""Bytes of answers that a slow connection has still to take at which it is to ask later."""
_OWED: Final = Shortage(1.0, "answers_waiting")


class Answering(Sending):
    """The answering half of a session.

    Args:
        hub: the process's registry.
        app: the tenant named in the URL.
        transport: the way out.
        log: where the connection's life is written.
        address: where it comes from.

    """

    __slots__ = ("_address", "_app", "_asks", "_changes", "_directs", "_joins", "_log", "_routes")

    def __init__(self, hub: Hub, app: App, transport: Transport, log: SessionLog, address: str) -> None:
        now = hub.clock.monotonic()
        server = hub.config.server
        limits = app.config.limits
        machine = Machine(
            Side.SERVER, now, heartbeat=server.heartbeat, unauthenticated=server.unauthenticated
        )
        super().__init__(hub, transport, machine, limits)
        self._app = app
        self._log = log
        self._address = address
        self._routes: dict[bytes, Member] = {}
        self._bound_requests(limits, now)

    @property
    def app(self) -> App:
        """The tenant named in the URL."""
        return self._app

    def _bound_requests(self, limits: AppLimits, now: float) -> None:
        self._joins, self._directs, self._changes, self._asks = (
            Bucket(getattr(limits, name) / 60, getattr(limits, name), now, name)
            for name in (
                "joins_per_minute",
                "directs_per_minute",
                "changes_per_minute",
                "requests_per_minute",
            )
        )

    # --- what the other half does ---

    def _end(self, code: Code) -> None:
        raise AssertionError

    def leave(self, channel: int, code: Code) -> None:
        """End one membership; a connection that loses its last one this way is closed with the same code."""
        raise AssertionError

    def _leave(self, channel: int, code: Code, ref: int) -> bool:
        raise AssertionError

    def _next_time(self) -> float | None:
        raise AssertionError

    def _limit(self, shortage: Shortage, ref: int, channel: int) -> None:
        raise AssertionError

    def _refuse_request(
        self, code: Code, ref: int, channel: int | None = None, retry_after: float | None = None
    ) -> None:
        raise AssertionError

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
        else:
            self._ask_channel(control, ref)

    def _ask_channel(self, control: Control, ref: int) -> None:
        handler = HANDLERS.get(type(control))
        if handler is None:
            self._refuse_request(reply("unknown_control"), ref)
            return
        number: int = getattr(control, "channel", 0)
        member, now = self._members[number], self._hub.clock.monotonic()
        bucket = self._changes if type(control) in CHANGES else self._asks
        shortage = take_all([(bucket, 1.0)], now) or self._too_much_owed()
        if shortage is not None:
            self._limit(shortage, ref, number)
            return

        def answer(said: Control | Refusal) -> None:
            if self._members.get(number) is not member:
                self._refuse_request(reply("not_joined"), ref)  # it left while the engine was at work
            elif isinstance(said, Refusal):
                self._refuse_request(reply(said.name), ref, number, said.retry_after)
            else:
                self._answer(said, ref)

        handler(Asked(member, control, now, answer, self._hub.sharing))

    def _join(self, join: Join, ref: int) -> None:
        if self._joins_too_soon(ref):
            return
        shortage = self._too_much_owed()
        if shortage is not None:
            self._limit(shortage, ref, 0)
            return
        began = self._hub.clock.monotonic()
        most = self._app.config.limits.channels_per_connection
        verdict = refusal_of_join(join, self._members.values(), most)
        if self._hub.draining:
            verdict = reply("draining")
        rights = verdict or self._rights(join.channel, join.user, join.token)
        if isinstance(rights, Rights):
            if self._comes_too_often(join.user, ref):
                return
            try:
                self._become_member(join, ref, rights)
                self._trace_join("joined", began)
                if join.token is not None:
                    self._hub.warden.credit(self._address)
                return
            except Full as full:
                rights = reply(full.name)
            except EngineDown as down:
                logger.error("a channel cannot be opened", reason=str(down))
                rights = reply("internal_error")  # not_stored would say that there was something to store
        self._refuse_request(rights, ref)
        self._trace_join(rights.name, began)
        self._blame(rights)

    def _trace_join(self, code: str, began: float) -> None:
        if self._hub.tracer is not None:
            self._hub.tracer.join(self._app.config.app_id, code, self._hub.clock.monotonic() - began)

    def _joins_too_soon(self, ref: int) -> bool:
        now = self._hub.clock.monotonic()
        counted = "" if self._hub.warden.free(self._address) else self._address
        over = self._app.quotas.over(counted, now)
        buckets = (self._joins, *(bucket for quota in over for bucket in quota.joins))
        shortage = take_all([(bucket, 1.0) for bucket in buckets], now)
        if shortage is not None:
            self._limit(shortage, ref, 0)
        return shortage is not None

    def _comes_too_often(self, user: str, ref: int) -> bool:
        # Asked when the token is known to be good: nobody can keep others out in their names.
        shortage = self._app.quotas.join_of(user, self._hub.clock.monotonic())
        if shortage is not None:
            self._limit(shortage, ref, 0)
        return shortage is not None

    def _blame(self, refusal: Code) -> None:
        """Note whom a refused token came from; whoever is kept out for it now does not stay either."""
        if self._hub.warden.offend(self._address, refusal.name, self._app.config.app_id):
            self._end(end("too_many_errors"))

    def _too_much_owed(self) -> Shortage | None:
        """Say whether so much of what was asked for has not been taken yet that nothing is added to it."""
        return _OWED if self._delivery.owed > _OWED_MAX else None

    def _rights(self, channel: str, user: str, token: str | None) -> Rights | Code:
        access, app_id = self._hub.access, self._app.config.app_id
        code = reply("token_revoked")
        try:
            rights = admit(self._app.config, channel, user, token, self._hub.clock.wall())
        except (TokenError, TokenRequired) as error:
            code = error.code
        else:
            token_id, issued_at = rights.token_id, rights.issued_at
            if not token_id or not access.revocations.revoked(app_id, channel, user, token_id, issued_at):
                denied = access.bans.denied(app_id, channel, user, self._address)
                if Privilege.JOIN in denied:
                    return reply("banned")
                return replace(rights, denied=denied) if denied else rights
        self._log.token_refused(code.name)
        self._hub.witness.token_refused(self._log.visitor, channel, user, code.name)
        return code

    def _become_member(self, join: Join, ref: int, rights: Rights) -> None:
        channel = self._app.channels.get(join.channel)
        older = channel.by_user.get(join.user) if channel is not None else None
        waited: list[Directed] = []
        same = older is not None and (older.hello, older.run) == (join.hello, join.run or b"")
        if older is not None and same and isinstance(older.outlet, Absent):
            member = older
            waited = self._hub.come_back(self._app, member, rights, self)
            member.visitor = self._log.visitor
        else:
            if older is not None:
                older.outlet.leave(older.channel.number, end("replaced"))
            member = self._hub.join(
                self._app,
                join.channel,
                join.user,
                join.hello,
                rights,
                self,
                join.run or b"",
                self._log.visitor,
            )
        channel = member.channel
        self._members[channel.number] = member
        self._routes[envelope.route_key(channel.number, member.number)] = member
        if self._delivery.slow:
            channel.slow(member)
        self._hub.metrics.joins_total += 1
        self._transport.admitted()
        missed = self._missed(member, join)
        self._answer(self._joined(member, missed), ref, self._replay(member, missed or ()))
        for directed in waited:
            self.tell(directed)
        self._hub.wheel.sooner(self, self._next_time())

    def _missed(self, member: Member, join: Join) -> list[Kept] | None:
        """Return what the member missed since the place that it names; None when that cannot be whole."""
        if join.since is None:
            return None
        limits, metrics = self._app.config.limits, self._hub.metrics
        since = Position(join.since.epoch, join.since.offset)
        missed = member.channel.archive.replay(member, since, limits.recovery_messages, limits.recovery_bytes)
        if missed is not None:
            channel = member.channel
            absent = channel.absent_authors(missed, member)
            size = sum(len(author.user) + len(author.hello or b"") + _AUTHOR_COST for author in absent)
            if absent and (
                channel.roster + size > SERVER_CONTROL_MAX
                or len(channel.others(member)) + len(absent) > _LISTED_MAX
            ):
                missed = None
        if missed is None:
            metrics.not_recovered += 1
        else:
            metrics.recovered += 1
        return missed

    def _joined(self, member: Member, missed: list[Kept] | None) -> Joined:
        policy: dict[str, str] = {
            "encryption": self._app.config.policy.encryption,
            "delivery": member.channel.delivery,
        }
        return member.joined(
            self._hub.clock.wall(),
            policy,
            recovered=missed is not None,
            authors=member.channel.absent_authors(missed or (), member),
        )

    def _replay(self, member: Member, missed: Collection[Kept]) -> bytes:
        """Return what the member missed, ready to be sent."""
        number = member.channel.number
        parts: list[bytes] = []
        for kept in missed:
            data = envelope.delivered(number, kept.member, kept.offset, kept.data)
            parts += (frame_header(len(data)), data)
        self._hub.metrics.replayed += len(missed)
        return b"".join(parts)

    def _renew(self, renew: Renew, ref: int) -> None:
        if self._joins_too_soon(ref):
            return
        member = self._members[renew.channel]
        rights = self._rights(member.channel.key.channel, member.user, renew.token)
        if not isinstance(rights, Rights):
            self._refuse_request(rights, ref, renew.channel)
            self._blame(rights)
            return
        if self._comes_too_often(member.user, ref):
            return
        wall = self._hub.clock.wall()
        member.refresh(rights, wall)
        self.tell(member.renewed(wall), ref)
        self._hub.wheel.sooner(self, self._next_time())

    def _direct(self, direct: Direct, ref: int) -> None:
        shortage = take_all([(self._directs, 1.0)], self._hub.clock.monotonic())
        if shortage is not None:
            self._limit(shortage, ref, direct.channel)
            return
        member = self._members[direct.channel]
        receiver = member.channel.members.get(direct.member)
        if receiver is None or receiver is member:
            self._refuse_request(reply("no_such_member"), ref, direct.channel)
            return
        if not member.spoke:
            member.channel.introduce(member)
        # What was collected before goes out first: for one receiver, all of a sender's data has one order.
        member.channel.flush_to(receiver)
        receiver.outlet.tell(Directed(channel=direct.channel, member=member.number, data=direct.data))
        self.tell(Sent(channel=direct.channel), ref)
