"""A message that comes from an operator's program and not from a connection: sealed elsewhere, sent by HTTP.

Receivers open a message by what its sender's hello says, so its sender is introduced to them as any other:
it is a member until what it has sent has its place, and leaves. All rules for what members send count, with
bans and revocations of the user in whose name it is sent, as if its token was issued now. What is in clear is
refused, also where an app allows that: it would be the operator who reads it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from sealcast.protocol import envelope
from sealcast.protocol.codes import Code
from sealcast.protocol.controls import Ack, Control, Error
from sealcast.protocol.descriptor import SEALED
from sealcast.protocol.names import Kind, Privilege

from .arrival import refusal_of_frame, refusal_of_message
from .auth import Rights
from .hub import App, Full, Hub
from .interfaces import EngineDown
from .limits import take_all
from .logs import logger
from .member import Member
from .shedding import Waiting
from .visitor import Visitor

__all__ = ["Declined", "Outcome", "Post", "publish"]

_CONTROL: Final = int(Kind.CONTROL)
_MESSAGE: Final = int(Kind.MESSAGE)
_STAY: Final = 60.0
"""Seconds for which a sender's rights are good: far longer than it stays."""


class Post(NamedTuple):
    """What is to be published."""

    channel: str
    user: str
    """In whose name."""
    hello: bytes | None
    """What introduces the sender to those who open it."""
    controls: Sequence[bytes]
    """Sealed frames of kind control that go before it, each ``D | SFrame``: what shows that it is of now."""
    data: bytes
    """The message, ``D | SFrame``."""
    run: bytes
    """With ``ref``, what makes it the same message when it is sent again; or empty."""
    ref: int
    """0: any."""


Outcome: TypeAlias = Ack | str
"""Its place; or the name of the reply code, or ``outcome_unknown``."""

_Done: TypeAlias = Callable[[Outcome], None]


class Declined(Exception):
    """Nothing was sent; ``name`` is that of a reply code, or ``user_present`` or ``channel_backlog``."""

    def __init__(self, name: str, retry_after: float | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.retry_after = retry_after


class _Sender:
    """The way out to a member that has no connection: it only hears what has become of its messages."""

    def __init__(self, hub: Hub, app: App) -> None:
        self._hub = hub
        self._app = app
        self._member: Member | None = None
        self._waiting: dict[int, deque[_Done]] = {}
        self._last_ref = 0

    def begin(self, member: Member) -> None:
        """Be this member's."""
        self._member = member

    def wait(self, ref: int, done: _Done) -> int:
        """Let *done* be told what becomes of the message with this ref; return its ref."""
        if not ref:
            self._last_ref += 1
            ref = self._last_ref
        self._waiting.setdefault(ref, deque()).append(done)
        return ref

    def end_soon(self) -> None:
        """Leave, but not in the middle of a channel's work."""
        self._hub.call_soon(self._end)

    def _end(self) -> None:
        member = self._member
        if member is not None and not self._waiting:
            self._member = None
            self._hub.leave(self._app, member, "left")

    # --- what every outlet does ---

    def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def queue(self, items: Sequence[Waiting]) -> None:
        """Nobody reads it."""

    def tell(self, control: Control, ref: int = 0) -> None:
        """Pass on what has become of a message."""
        waiting = self._waiting.get(ref)
        if waiting is None or not isinstance(control, Ack | Error):
            return
        done = waiting.popleft()
        if not waiting:
            del self._waiting[ref]
        done(control if isinstance(control, Ack) else control.name)
        if not self._waiting:
            self.end_soon()

    def leave(self, channel: int, code: Code) -> None:
        """End the membership: what has no place yet may get one, and nobody here will know."""
        member, self._member = self._member, None
        if member is not None:
            self._hub.leave(self._app, member, code.name)
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            for done in each:
                done("outcome_unknown")

    def drops(self, channel: int) -> Mapping[tuple[str, str], int]:
        """It gets nothing, and misses nothing."""
        return {}

    def hold(self) -> None:
        """Nothing is read from it."""

    def release(self) -> None:
        """Nothing is read from it."""


def publish(hub: Hub, app: App, post: Post, visitor: Visitor, done: _Done) -> None:
    """Send a message; *done* is told, once and later, what has become of it.

    Raises:
        Declined: nothing was sent.

    """
    if hub.draining:
        raise Declined("draining")
    _judge(hub, app, post, visitor)
    member, sender = _member(hub, app, post, visitor)
    try:
        _send(hub, app, member, sender, post, done)
    finally:
        sender.end_soon()


def _judge(hub: Hub, app: App, post: Post, visitor: Visitor) -> None:
    """Raise Declined when the user may not publish there, or the app's members have sent too much."""
    access, app_id = hub.access, app.config.app_id
    denied = access.bans.denied(app_id, post.channel, post.user, visitor.address)
    if Privilege.JOIN in denied or Privilege.DATA in denied:
        raise Declined("banned")
    if access.revocations.revoked(app_id, post.channel, post.user, "", hub.clock.wall()):
        raise Declined("banned")
    now = hub.clock.monotonic()
    (quota,) = app.quotas.over("", now)
    size = len(post.data) + sum(map(len, post.controls))
    needs = [
        *((bucket, 1.0) for bucket in quota.messages),
        *((bucket, 1.0 + len(post.controls)) for bucket in quota.frames),
        *((bucket, float(size)) for bucket in quota.bytes),
    ]
    # What is larger than all that there can be is let through when there is all.
    shortage = take_all([(bucket, min(amount, bucket.burst)) for bucket, amount in needs], now)
    if shortage is not None:
        hub.metrics.limited[shortage.limit] += 1
        raise Declined("rate_limited", shortage.wait)


def _member(hub: Hub, app: App, post: Post, visitor: Visitor) -> tuple[Member, _Sender]:
    """Return the sender: a new member, or the same one while something of it has no place yet."""
    channel = app.channels.get(post.channel)
    there = None if channel is None else channel.by_user.get(post.user)
    if there is not None:
        if isinstance(there.outlet, _Sender) and (there.hello, there.run) == (post.hello, post.run):
            return there, there.outlet
        raise Declined("user_present")
    until = hub.clock.wall() + _STAY
    rights = Rights(until, {Privilege.JOIN: until, Privilege.DATA: until})
    sender = _Sender(hub, app)
    try:
        member = hub.join(app, post.channel, post.user, post.hello, rights, sender, post.run, visitor)
    except Full as full:
        raise Declined(full.name) from None
    except EngineDown as down:
        logger.error("a channel cannot be opened", reason=str(down))
        raise Declined("not_stored") from None
    sender.begin(member)
    return member, sender


def _send(hub: Hub, app: App, member: Member, sender: _Sender, post: Post, done: _Done) -> None:
    channel, limits, metrics = member.channel, app.config.limits, hub.metrics
    if channel.storing_slowly or channel.crowded:
        raise Declined("channel_backlog")
    frames = [envelope.frame(channel.number, member.number, control) for control in post.controls]
    refusals = [_refusal(member, frame, limits.frame) for frame in frames]
    # What its ref will be is not known yet, and not looked at.
    wire = envelope.message(channel.number, member.number, post.ref or 1, post.data)
    if post.data[:1] and post.data[0] >> 4 != SEALED:
        refusals.append("encryption_required")
    refusals.append(refusal_of_message(member, wire, limits.message, post.ref or 1))
    for name in refusals:
        if name is not None:
            metrics.refused[name] += 1
            app.usage.refused[name] += 1
            raise Declined(name)
    if not member.spoke:
        channel.introduce(member)
    for frame in frames:
        metrics.frames_in += 1
        metrics.bytes_in += len(frame)
        channel.collect(member, _CONTROL, frame)
    ref = sender.wait(post.ref, done)
    wire = envelope.message(channel.number, member.number, ref, post.data)
    metrics.messages_in += 1
    metrics.bytes_in += len(wire)
    channel.collect(member, _MESSAGE, wire, ref)


def _refusal(member: Member, frame: bytes, most: int) -> str | None:
    """Return the reply code to refuse a frame with that goes before a message."""
    descriptor = frame[envelope.FRAME_START :]
    if not descriptor or descriptor[0] & 15 != _CONTROL:
        return "bad_frame"
    if descriptor[0] >> 4 != SEALED:
        return "encryption_required"
    return refusal_of_frame(member, frame, most)
