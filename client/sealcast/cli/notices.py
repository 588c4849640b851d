"""What the events of a channel are in words, for people who chat and for pipes that listen.

Pure: events in, text out. Names come from the network: whoever prints a notice makes it safe.
"""

from __future__ import annotations

from sealcast.client import (
    Disconnected,
    Draining,
    Dropped,
    Event,
    Left,
    MemberJoined,
    MemberLeft,
    Refused,
    RenewFailed,
    Resumed,
    SealFailure,
    TokenExpiring,
)
from sealcast.protocol.codes import end

from .failure import Failure

__all__ = ["ended", "lost", "notice"]

_LEFT = end("left").number


def notice(event: Event, *, members: bool = True, sealed: bool = True) -> str | None:
    """Return a line about *event*, None when there is nothing to say.

    *members*: whether comings and goings are news. *sealed*: whether the channel has a key, so that a
    member whose encryption was not accepted is worth a word.
    """
    match event:
        case MemberJoined(user=user, verified=verified) if members:
            return f"{user} joined" + ("" if verified or not sealed else ", but nothing of theirs will open")
        case MemberLeft(user=user, reason=reason) if members:
            return f"{user} left" + ("" if reason == "left" else f" ({reason})")
        case Dropped(counts=counts):
            what = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
            return f"dropped, because it was not taken in time: {what}"
        case Resumed(missed=None):
            return "connected again; it is not known how many messages were missed"
        case Resumed(missed=missed):
            return "connected again" + (f"; {missed} messages were missed" if missed else "")
        case Disconnected(name=name, will_retry=True):
            return f"the connection is interrupted ({name}); coming back"
        case Draining(delay=delay):
            return f"the server is going away; moving in {delay:.1f} s"
        case SealFailure(user=user, reason=reason, count=count):
            what = "something" if count == 1 else f"{count} things"
            return f"{what} of {user} did not open ({reason}); check that all members have the same key"
        case TokenExpiring(seconds=seconds):
            return f"the token ends in {seconds:.0f} s, and the membership with it"
        case RenewFailed(will_retry=will_retry):
            return "no new token could be had" + ("; it is tried again" if will_retry else "")
        case Refused(count=count, message=message):
            return f"the server refused {count} frames: {message}"
    return None


def lost(event: Event) -> bool:
    """Say whether *event* means that messages are missing from what this side has seen."""
    match event:
        case Dropped(counts=counts):
            return bool(counts.get("message"))
        case Resumed(missed=missed):
            return missed != 0
    return False


def ended(event: Event) -> Failure | None:
    """Return why the membership has ended, None when it has not, or at our own wish."""
    if not isinstance(event, Left) or event.code == _LEFT:
        return None
    return Failure(f"the membership has ended ({event.name}): {event.message}")
