"""The one table of codes: every refusal, every end, with a stable number and a stable name.

A *reply* code (100-399) answers a request or reports a refused frame; the connection lives on.
An *end* code (4000-4999) says why a membership or a connection ended. It is the WebSocket close
code when the connection ends, and the ``code`` of a ``left`` control when only a membership does.

The range is the advice, so a client needs no table of special cases (RFC 6455 §7.4.2 leaves
4000-4999 to applications):

========== ==========================================================
100-399    reply; ``temporary`` says whether the same request may succeed later
4000-4499  ended: come back, with back-off
4500-4999  ended: stay away; coming back unchanged will fail again
========== ==========================================================

The documentation's table is generated from this file, and a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["ENDS", "REPLIES", "Code", "by_number", "end", "reply", "returns"]


@dataclass(frozen=True, slots=True)
class Code:
    """One row of the table.

    ``message`` says what was wrong and what to do, in one sentence that carries no user data.
    """

    number: int
    name: str
    message: str
    temporary: bool = False

    def __str__(self) -> str:
        return f"{self.number} {self.name}"


def _table(*rows: Code) -> dict[str, Code]:
    table = {row.name: row for row in rows}
    if len(table) != len(rows) or len({row.number for row in rows}) != len(rows):
        raise AssertionError("a code's name or number stands twice")
    return table


REPLIES: Final = _table(
    Code(100, "internal_error", "the server failed on its side; try again", temporary=True),
    Code(101, "bad_request", "the control's body is malformed; see docs/protocol.md for its fields"),
    Code(102, "unknown_control", "no control of that name exists in sealcast.1"),
    Code(103, "not_joined", "this connection is not a member of that channel; join it first"),
    Code(104, "already_joined", "this connection is a member of that channel already; leave it first"),
    Code(105, "invalid_name", "a channel or user name is empty, too long or has a forbidden character"),
    Code(106, "too_big", "the data is larger than the limit that `welcome` announced"),
    Code(107, "rate_limited", "too many requests; wait `retry_after` seconds", temporary=True),
    Code(108, "draining", "the server is shutting down; reconnect elsewhere or later", temporary=True),
    Code(109, "no_such_member", "the channel has no member of that number; it may have left a moment ago"),
    Code(110, "token_required", "this app admits members with a token only; ask your application for one"),
    Code(111, "invalid_token", "the token is malformed or not signed by this app; ask for a new one"),
    Code(112, "token_expired", "the token, or its join privilege, has ended; ask for a new one"),
    Code(113, "token_not_yet_valid", "the token was issued in the future; check the issuer's clock"),
    Code(114, "app_mismatch", "the token belongs to another app than the one in the URL"),
    Code(115, "channel_mismatch", "the token does not name this channel"),
    Code(116, "user_mismatch", "the token does not name this user"),
    Code(117, "not_permitted", "the grant does not include the privilege that this needs"),
    Code(118, "token_version_refused", "this app does not accept tokens of version 006; mint a 007 token"),
    Code(119, "token_revoked", "the token was revoked; ask for a new one"),
    Code(120, "channel_full", "the channel has as many members as its app allows", temporary=True),
    Code(121, "too_many_channels", "this connection has joined as many channels as allowed; leave one"),
    Code(122, "app_full", "the app has as many channels as its limits allow", temporary=True),
    Code(123, "banned", "an operator banned this user, address or channel; ask who runs the app"),
    Code(130, "encryption_required", "this app relays sealed frames only; send SFrame, version 1"),
    Code(131, "counter_repeated", "the SFrame counter did not grow for this key; the frame was dropped"),
    Code(132, "bad_frame", "the frame's envelope or descriptor is malformed; the frame was dropped"),
    Code(140, "history_off", "this channel keeps no messages; see the app's history options"),
    Code(142, "not_stored", "it could not be stored, and nobody got it; send it again", temporary=True),
    Code(143, "revision_conflict", "the item has another revision by now; read it again"),
    Code(144, "lock_held", "somebody else has the lock; wait for `lock_changed`", temporary=True),
    Code(145, "not_lock_owner", "this user does not have that lock; it may have expired or been taken"),
    Code(146, "too_many_items", "the channel has as much metadata, or as many locks, as it may"),
)
"""Answers to requests, and refusals of frames, by name."""

ENDS: Final = _table(
    Code(4000, "internal_error", "the server failed on its side; reconnect"),
    Code(4001, "draining", "the server is shutting down; reconnect elsewhere or after the given delay"),
    Code(4002, "slow_consumer", "this connection did not read fast enough for its messages; reconnect"),
    Code(4003, "heartbeat_timeout", "nothing was heard from this connection for too long; reconnect"),
    Code(4004, "token_expired", "the grant has ended; come back with a new token"),
    Code(4005, "connection_lost", "the connection broke without a close; reconnect"),
    Code(4006, "token_revoked", "the token was revoked; come back with a new one"),
    Code(4500, "left", "the member left"),
    Code(4501, "protocol_error", "the client broke the protocol; see docs/protocol.md"),
    Code(4502, "unauthenticated", "no channel was joined within the time that `welcome` announced"),
    Code(4503, "too_big", "a message was larger than the limit that `welcome` announced"),
    Code(4504, "text_refused", "sealcast.1 carries binary messages only"),
    Code(4505, "too_many_errors", "too many refused requests or frames on one connection"),
    Code(4506, "replaced", "the same user joined this channel again; the newer session stays"),
    Code(4507, "kicked", "an operator removed this member"),
    Code(4508, "banned", "an operator banned this user, address or channel"),
    Code(4509, "app_disabled", "the operator has disabled this app"),
)
"""Why a membership or a connection ended, by name."""

_BY_NUMBER: Final = {code.number: code for table in (REPLIES, ENDS) for code in table.values()}


def reply(name: str) -> Code:
    """Return the reply code called *name*; KeyError when the table has none."""
    return REPLIES[name]


def end(name: str) -> Code:
    """Return the end code called *name*; KeyError when the table has none."""
    return ENDS[name]


def by_number(number: int) -> Code | None:
    """Return the code with this number, or None when a newer peer sent one we do not know."""
    return _BY_NUMBER.get(number)


def returns(number: int) -> bool:
    """Say whether a connection that ended with this close code should come back.

    Standard codes (RFC 6455 §7.4.1) come back too, as a lost connection does, except those that
    mean the peers do not speak the same protocol (1002, 1003, 1007, 1008, 1009, 1010).
    """
    if 4000 <= number <= 4999:
        return number < 4500
    return number not in {1002, 1003, 1007, 1008, 1009, 1010}
