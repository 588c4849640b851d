"""The session machine: which control is legal when, for both sides, without sockets or clocks.

Rule 1: everything that changes what is legal lives in the three tables of ``states``. Rule 2: the
machine obeys the same tables whichever side it stands on. A side that *sends* what the tables forbid
gets a LocalProtocolError and nothing happens; a peer that does gets a RemoteProtocolError, whose code
says what to answer, and nothing happens either.

Frames and messages pass beside the machine (they are routed by their envelope); only the ref of a
message that awaits its ack is noted.

Time is an argument, in seconds of any monotonic clock. ``next_timeout`` tells the shell when to come
back, ``handle_timeout`` what is due then. The server's machine keeps three deadlines: a connection
without a membership is ended (``unauthenticated``), a silent one is pinged and then ended
(``heartbeat_timeout``), and a membership ends with its grant (``token_expired``), with one warning
30 seconds before. The client's machine keeps the deadlines of its requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from .codes import end, reply
from .controls import (
    Ack,
    Control,
    Error,
    Joined,
    Leave,
    Left,
    Pong,
    Renewed,
    Side,
    decode,
    encode,
)
from .due import Due, EndDue, GrantEnded, GrantExpiring, PingDue, RequestExpired
from .errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from .fields import U32
from .states import ANSWERS, CONNECTION, EVENTS, MEMBERSHIP, REQUESTS, Phase, Standing

__all__ = [
    "ANSWERS",
    "CONNECTION",
    "EXPIRY_WARNING",
    "MEMBERSHIP",
    "PENDING_MAX",
    "Due",
    "EndDue",
    "GrantEnded",
    "GrantExpiring",
    "Machine",
    "Phase",
    "PingDue",
    "Received",
    "RequestExpired",
    "Standing",
]

EXPIRY_WARNING: Final = 30.0
"""``token_expiring`` is sent this many seconds before a membership ends."""

PENDING_MAX: Final = 4096
"""Requests and messages of one connection that may await their answers."""


_ASKED: Final[tuple[type[Control], ...]] = (Leave, *REQUESTS)
_ANSWERED: Final[tuple[type[Control], ...]] = (Left, *dict.fromkeys(REQUESTS.values()))
_NEVER_UNASKED: Final[tuple[type[Control], ...]] = (
    Joined,
    Ack,
    Pong,
    # Left and Renewed are also told when the server has decided something by itself.
    *(answer for answer in _ANSWERED if answer not in (Left, Renewed)),
)
_OF_MEMBERSHIP: Final[tuple[type[Control], ...]] = (*_ASKED, *_ANSWERED, *EVENTS)


@dataclass(slots=True)
class _Membership:
    channel: int
    standing: Standing
    expires: float
    warned: bool = False
    ended: bool = False


@dataclass(slots=True)
class _Pending:
    request: type[Control] | None
    deadline: float
    channel: int = -1
    """The membership that a leave or a renew concerns; -1, which is no channel, for everything else."""
    abandoned: bool = False
    more: int = 0
    """Answers that may come besides: a message was sent again while one was still possible."""


class Received(NamedTuple):
    """A control that came in and was legal."""

    control: Control
    ref: int
    late: bool
    """Whether it answers a request that nobody waits for any more."""


class Machine:
    """One connection's state, on the side it is told to stand on.

    Args:
        side: which side this is.
        now: the present, in monotonic seconds.
        heartbeat: seconds of silence before a ping is due; twice as many end the connection. None: never.
        unauthenticated: seconds a connection may have no membership. None: for ever.
        last_ref: refs of requests begin after it, so that they can go on from an earlier connection's.

    """

    __slots__ = (
        "_deadline",
        "_heard",
        "_pending",
        "_pinged",
        "heartbeat",
        "last_ref",
        "memberships",
        "phase",
        "side",
        "unauthenticated",
    )

    def __init__(
        self,
        side: Side,
        now: float,
        *,
        heartbeat: float | None = None,
        unauthenticated: float | None = None,
        last_ref: int = 0,
    ) -> None:
        self.side = side
        self.phase = Phase.CONNECTING
        self.heartbeat = heartbeat
        self.unauthenticated = unauthenticated
        self.memberships: dict[int, _Membership] = {}
        self._pending: dict[int, _Pending] = {}
        self.last_ref = last_ref
        self._heard = now
        self._pinged = False
        self._deadline = None if unauthenticated is None else now + unauthenticated

    # --- controls in and out ---

    def receive(self, data: bytes | memoryview, now: float) -> Received:
        """Read a control of the peer and move; return it with its ref.

        Raises:
            RemoteProtocolError: nothing has changed; ``fatal`` says whether to refuse the request or close.

        """
        peer = Side.SERVER if self.side is Side.CLIENT else Side.CLIENT
        try:
            control, ref = decode(data, peer)
        except RemoteProtocolError as error:
            if error.ref in self._pending:
                # A refusal under this ref would answer the request that is open under it.
                error.ref = 0
            raise
        pending = self._pending.get(ref)
        self._move(peer, control, ref, now, RemoteProtocolError)
        return Received(control, ref, pending is not None and pending.abandoned)

    def send(self, control: Control, now: float, ref: int = 0) -> bytes:
        """Move as the tables say and return the bytes to send.

        Raises:
            LocalProtocolError: the tables do not allow this now; nothing has changed.

        """
        data = encode(control, ref)
        self._move(self.side, control, ref, now, LocalProtocolError)
        return data

    def request(self, control: Control, now: float, timeout: float) -> tuple[int, bytes]:
        """Send a request under a fresh ref; without an answer it is due as RequestExpired after *timeout*.

        Raises:
            LocalProtocolError: as for ``send``, and on the server's side, which asks nothing.

        """
        ref = self._fresh_ref()
        data = self.send(control, now, ref)
        self._pending[ref].deadline = now + timeout
        self.last_ref = ref
        return ref, data

    def expect_ack(self, now: float, timeout: float, again: int | None = None) -> int:
        """Return a fresh ref for a message, whose answer is an ``ack`` or an ``error``.

        A message that was sent before is sent *again* under the ref that it had: on another connection, or
        on this one after its answer was abandoned.

        Raises:
            LocalProtocolError: the connection is not open, too much awaits its answer already, or
                something else awaits it under that ref.

        """
        if self.phase not in (Phase.OPEN, Phase.DRAINING):
            raise LocalProtocolError(f"cannot send a message while {self.phase.value}")
        fresh = self._fresh_ref()
        ref = fresh if again is None else again
        known = self._pending.get(ref)
        taken = known is not None and (again is None or known.request is not None or not known.abandoned)
        if taken or not 0 < ref <= U32:
            raise LocalProtocolError("a message needs a ref that no other open request has")
        self._pending[ref] = _Pending(None, now + timeout, more=0 if known is None else known.more + 1)
        if again is None:
            self.last_ref = ref
        return ref

    def abandon(self, ref: int) -> None:
        """Stop waiting for an answer; when it comes all the same, it is Received as ``late``."""
        pending = self._pending.get(ref)
        if pending is not None:
            pending.abandoned = True
            pending.deadline = float("inf")

    def close(self) -> None:
        """Note that the connection is gone: no control is legal any more and nothing is due."""
        self.phase = Phase.CLOSED
        self.memberships.clear()
        self._pending.clear()

    def awaiting(self) -> list[int]:
        """Return the refs that have no answer yet."""
        return [ref for ref, pending in self._pending.items() if not pending.abandoned]

    def _fresh_ref(self) -> int:
        if self.side is not Side.CLIENT:
            raise LocalProtocolError("a server answers and never asks")
        if len(self._pending) >= PENDING_MAX:
            raise LocalProtocolError(f"{PENDING_MAX} requests await their answers; wait for some of them")
        ref = self.last_ref % U32 + 1
        while ref in self._pending:
            ref = ref % U32 + 1
        return ref

    # --- the one door through which every control of both sides goes ---

    def _move(self, sender: Side, control: Control, ref: int, now: float, error: type[ProtocolError]) -> None:
        kind = type(control)
        phase = CONNECTION.get((self.phase, sender, kind))
        if phase is None:
            raise error(f"a {sender.value} may not send {control.NAME} while {self.phase.value}")
        if sender is Side.CLIENT:
            self._check_request(ref, error)
        else:
            self._check_answer(control, ref, error)
        standing = self._standing_after(sender, control, ref, error)
        # Everything has been checked: from here on nothing can fail.
        self.phase = phase
        if sender is Side.CLIENT:
            channel = getattr(control, "channel", -1) if isinstance(control, _ASKED) else -1
            self._pending[ref] = _Pending(kind, float("inf"), channel)
        else:
            asked = self._pending.pop(ref, None)
            if asked is not None and asked.more:
                self._pending[ref] = _Pending(None, float("inf"), abandoned=True, more=asked.more - 1)
            if kind is Error and asked is not None and asked.request is Leave:
                self._stay(asked.channel)
        self._settle(control, standing, now)

    def _check_request(self, ref: int, error: type[ProtocolError]) -> None:
        if ref == 0 or ref in self._pending:
            # Refused under ref 0: under its own, the refusal would answer the request that is open.
            raise _refusal(error, "a request needs a ref that no other open request has", "bad_request", 0)
        if len(self._pending) >= PENDING_MAX:
            raise _refusal(error, "too many requests await their answers", "rate_limited", ref)

    def _check_answer(self, control: Control, ref: int, error: type[ProtocolError]) -> None:
        kind = type(control)
        if ref == 0:
            if kind in _NEVER_UNASKED:
                raise error("an answer without a ref")
            return
        pending = self._pending.get(ref)
        if pending is None:
            # The relay keeps no list of messages in flight, so its acks and errors need no entry.
            if self.side is Side.SERVER and kind in (Ack, Error):
                return
            raise error("an answer to a ref that nobody asked under")
        if kind not in ANSWERS[pending.request]:
            raise error(f"{kind.NAME} does not answer that request")
        if isinstance(control, _ANSWERED) and getattr(control, "channel", -1) != pending.channel:
            raise error(f"{kind.NAME} answers for another channel than was asked about")

    def _standing_after(
        self, sender: Side, control: Control, ref: int, error: type[ProtocolError]
    ) -> Standing | None:
        if not isinstance(control, _OF_MEMBERSHIP):
            if isinstance(control, Joined) and control.channel in self.memberships:
                raise error("joined a channel number that is a membership already")
            return None
        membership = self.memberships.get(getattr(control, "channel", -1))
        before = membership.standing if membership else None
        key = (before, sender, type(control))
        if membership is None or key not in MEMBERSHIP:
            raise _refusal(error, f"{control.NAME} for a channel that is not joined", "not_joined", ref)
        return MEMBERSHIP[key]

    def _settle(self, control: Control, standing: Standing | None, now: float) -> None:
        if isinstance(control, Joined):
            self.memberships[control.channel] = _Membership(
                control.channel, Standing.JOINED, now + control.expires_in
            )
            self._deadline = None
        elif isinstance(control, Left):
            del self.memberships[control.channel]
            if not self.memberships and self.unauthenticated is not None:
                self._deadline = now + self.unauthenticated
        elif isinstance(control, _OF_MEMBERSHIP):
            membership = self.memberships[getattr(control, "channel", -1)]
            membership.standing = standing or membership.standing
            if isinstance(control, Renewed):
                membership.expires = now + control.expires_in
                membership.warned = membership.ended = False

    def _stay(self, channel: int) -> None:
        """Take back a leave that was refused, unless the membership has ended or is another one by now."""
        membership = self.memberships.get(channel)
        if membership is not None:
            after = MEMBERSHIP.get((membership.standing, Side.SERVER, Error))
            membership.standing = after or membership.standing

    # --- time ---

    def heard(self, now: float) -> None:
        """Note that bytes came from the peer."""
        self._heard = now
        self._pinged = False

    def next_timeout(self) -> float | None:
        """Return when ``handle_timeout`` has something to do, or None for never."""
        if self.phase is Phase.CLOSED:
            return None
        times = [pending.deadline for pending in self._pending.values()]
        if self._deadline is not None:
            times.append(self._deadline)
        if self.heartbeat is not None:
            times.append(self._heard + self.heartbeat * (2 if self._pinged else 1))
        if self.side is Side.SERVER:
            times.extend(
                m.expires if m.warned else m.expires - EXPIRY_WARNING
                for m in self.memberships.values()
                if not m.ended
            )
        earliest = min(times, default=float("inf"))
        return None if earliest == float("inf") else earliest

    def handle_timeout(self, now: float) -> list[Due]:
        """Return what is due at *now*; each thing is returned once.

        The shell carries it out: a GrantEnded is followed by sending ``left``, an EndDue by a close.
        """
        if self.phase is Phase.CLOSED:
            return []
        if self._deadline is not None and self._deadline <= now:
            self._deadline = None
            return [EndDue(end("unauthenticated"))]
        if self.heartbeat is not None and self._heard + 2 * self.heartbeat <= now:
            self._heard = now
            return [EndDue(end("heartbeat_timeout"))]
        due: list[Due] = []
        if self.heartbeat is not None and not self._pinged and self._heard + self.heartbeat <= now:
            self._pinged = True
            due.append(PingDue())
        if self.side is Side.SERVER:
            due.extend(self._grants_due(now))
        due.extend(self._requests_due(now))
        return due

    def _grants_due(self, now: float) -> list[Due]:
        due: list[Due] = []
        for membership in self.memberships.values():
            if membership.ended:
                continue
            if membership.expires <= now:
                membership.ended = True
                due.append(GrantEnded(membership.channel))
            elif not membership.warned and membership.expires - EXPIRY_WARNING <= now:
                membership.warned = True
                due.append(GrantExpiring(membership.channel, membership.expires - now))
        return due

    def _requests_due(self, now: float) -> list[Due]:
        due: list[Due] = []
        for ref, pending in self._pending.items():
            if pending.deadline <= now:
                pending.abandoned = True
                pending.deadline = float("inf")
                due.append(RequestExpired(ref))
        return due


def _refusal(error: type[ProtocolError], detail: str, name: str, ref: int) -> ProtocolError:
    """Make the error for a request that is refused rather than fatal when the peer sent it."""
    if issubclass(error, RemoteProtocolError):
        return error(detail, reply(name), ref)
    return error(detail)
