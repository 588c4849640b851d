"""The events of a channel: what ``async for event in room`` yields.

All are frozen dataclasses. ``repr`` of an event shows sizes and names, never a payload, token or key.
The one that comes last is always ``Left``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "Authentic",
    "Disconnected",
    "Draining",
    "Dropped",
    "Event",
    "Frame",
    "KeyChanged",
    "KeySwitched",
    "Left",
    "LockChanged",
    "MemberJoined",
    "MemberLeft",
    "MemberState",
    "Message",
    "MetadataChanged",
    "Refused",
    "RenewFailed",
    "Renewed",
    "Resumed",
    "RosterSplit",
    "SealFailure",
    "Stalled",
    "Suppressed",
    "TokenExpiring",
    "TrustEnded",
    "Unauthentic",
]


@dataclass(frozen=True, slots=True)
class Event:
    """The base of all events."""


@dataclass(frozen=True, slots=True)
class Message(Event):
    """A message: ordered, and opened under the sender's key."""

    member: int
    user: str
    data: bytes = field(repr=False)
    offset: int
    """Its place in the channel: they grow by one per message within an epoch."""
    epoch: str
    """Names the run of offsets; offsets of different epochs cannot be compared."""
    historical: bool = False
    """Whether nothing proves that its sender was there when it came.

    It was sealed by this sender and says what the sender sealed; when, and at which place, is the relay's
    word. True for ``room.history``, and for what was recovered of a sender that has gone.
    """
    at: float | None = None
    """When the relay took it, as it says, in Unix seconds; only of ``room.history``."""

    def __repr__(self) -> str:
        past = ", historical" if self.historical else ""
        return (
            f"Message(member={self.member}, user={self.user!r}, offset={self.offset}{past}, "
            f"{len(self.data)} bytes)"
        )


@dataclass(frozen=True, slots=True)
class Frame(Event):
    """One unit of a stream: audio, video, screen, data or custom."""

    member: int
    user: str
    kind: str
    """``audio``, ``video``, ``screen``, ``data`` or ``custom``."""
    stream: int
    """The sender's number for the stream, 2-255."""
    data: bytes = field(repr=False)
    keyframe: bool = False
    discardable: bool = False
    end_of_group: bool = False
    temporal: int = 0
    spatial: int = 0
    priority: int = 0

    def __repr__(self) -> str:
        return (
            f"Frame(member={self.member}, user={self.user!r}, kind={self.kind!r}, stream={self.stream}, "
            f"keyframe={self.keyframe}, {len(self.data)} bytes)"
        )


@dataclass(frozen=True, slots=True)
class MemberJoined(Event):
    """Somebody joined. ``verified``: their hello was accepted; if not, nothing of theirs opens."""

    member: int
    user: str
    verified: bool = True


@dataclass(frozen=True, slots=True)
class MemberLeft(Event):
    """Somebody left. ``reason`` is an end code's name, or ``unknown`` when it happened during a gap."""

    member: int
    user: str
    reason: str


@dataclass(frozen=True, slots=True)
class TokenExpiring(Event):
    """The membership ends in ``seconds`` unless ``room.renew(token)`` comes first.

    Not raised when the token comes from a callback: then the SDK renews by itself.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Renewed(Event):
    """A new token was accepted, or an operator has changed what may be published.

    The membership lasts ``expires_in`` seconds from now.
    """

    expires_in: float
    grant: Mapping[str, float]
    """Seconds for which ``audio``, ``video`` and ``data`` may be published; absent: not at all."""


@dataclass(frozen=True, slots=True)
class RenewFailed(Event):
    """The token callback failed, or the server refused its token. ``will_retry``: the SDK tries again."""

    error: Exception = field(repr=False)
    will_retry: bool

    def __repr__(self) -> str:
        return f"RenewFailed({type(self.error).__name__}, will_retry={self.will_retry})"


@dataclass(frozen=True, slots=True)
class Dropped(Event):
    """Something meant for this member was dropped, because it was not taken in time.

    ``counts`` maps a kind (``audio`` …, ``message``, and on this side ``event``) to a number. ``where``
    is ``server`` when the connection was too slow, ``client`` when the application read too slowly.
    ``reasons`` says why the server dropped them: ``age``, ``room``, ``layer``, ``keyframe`` (needed a frame
    that was dropped) or ``replaced`` (by a newer one); with ``keyframe``, ask the sender for one.
    """

    counts: Mapping[str, int]
    where: Literal["server", "client"]
    reasons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused(Event):
    """The server refused ``count`` frames of this member; ``code`` and ``name`` say why.

    ``retry_after``: with ``rate_limited``, the seconds after which the next one would have passed.
    """

    code: int
    name: str
    message: str
    count: int
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class SealFailure(Event):
    """``count`` frames, messages or hellos of a member were not accepted by the encryption.

    ``reason`` is the error's name in lower case: ``key_missing``, ``open_failed``, ``replayed``,
    ``not_fresh``, ``signature_forged``, ``clear_text_refused``, ``hello_refused`` …, or ``wrong_envelope``
    when a message came as a frame or the reverse, or ``old_wrap_ignored``. At most one a second for each
    member and reason.
    """

    member: int
    user: str
    reason: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class KeyChanged(Event):
    """With ``trust="first_use"``: a member's identity key is another than the one remembered for its user.

    It gets no keys. Compare the key with the user by another way; then ``TrustStore.accept`` it and call
    ``room.reconsider()``.
    """

    member: int
    user: str


@dataclass(frozen=True, slots=True)
class KeySwitched(Event):
    """With managed keys: this side seals under another key from now on; send a keyframe next."""

    epoch: int
    step: int


@dataclass(frozen=True, slots=True)
class TrustEnded(Event):
    """A member's certificate has run out while it was there: it gets no more keys, nothing of it opens."""

    member: int
    user: str


@dataclass(frozen=True, slots=True)
class Stalled(Event):
    """A member that sends has not been heard for 15 s, though it is there: perhaps it is being withheld."""

    member: int
    user: str


@dataclass(frozen=True, slots=True)
class Suppressed(Event):
    """``missing`` frames at the end of a member's stream were sealed and did not arrive.

    Stream 1 is its messages. The relay withholds them, or dropped them (then ``Dropped`` comes too), or they
    were lost with the member's connection, or their key was late (then ``SealFailure`` comes too).
    """

    member: int
    user: str
    stream: int
    missing: int


@dataclass(frozen=True, slots=True)
class RosterSplit(Event):
    """For 10 s a member has seen other members than this side, or been given other keys by one of them.

    The relay may show each a different channel, or a member have two faces. Compare what you see by
    another way before you trust it.
    """

    member: int
    user: str


@dataclass(frozen=True, slots=True)
class Authentic(Event):
    """With ``sign_media``: what a member's stream carries was signed by it; told once for each stream."""

    member: int
    user: str
    stream: int


@dataclass(frozen=True, slots=True)
class Unauthentic(Event):
    """With ``sign_media``: ``count`` frames that were delivered as a member's were not signed by it.

    Another member made them, with the relay's help; or the signatures were withheld.
    """

    member: int
    user: str
    stream: int
    count: int


@dataclass(frozen=True, slots=True)
class MetadataChanged(Event):
    """Somebody else has set an item of the channel's metadata, or taken it away."""

    member: int
    user: str
    name: str
    value: bytes | None = field(repr=False)
    """None when it was taken away, and when it could not be opened."""
    revision: int
    """The number of the change; changes of a channel are counted."""
    reason: str | None = None
    """Why the value could not be opened, as in ``SealFailure``; None when it could, or there is none."""


@dataclass(frozen=True, slots=True)
class MemberState(Event):
    """A member has set its state, or taken it away."""

    member: int
    user: str
    data: bytes | None = field(repr=False)
    """None when it was taken away, and when it could not be opened."""
    reason: str | None = None
    """Why it could not be opened, as in ``SealFailure``."""


@dataclass(frozen=True, slots=True)
class LockChanged(Event):
    """A lock was ``acquired``, ``released`` or ``taken`` by somebody else, or has ``expired``."""

    name: str
    fence: int
    """Grows with every change of owner."""
    reason: str
    user: str | None
    """Who has it now; None when it is free."""
    member: int | None
    """The owner's number, while it is there."""


@dataclass(frozen=True, slots=True)
class Draining(Event):
    """The server is going away. The SDK moves after ``delay`` seconds, to an alternative if there is one."""

    delay: float
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Disconnected(Event):
    """The membership is interrupted. ``will_retry``: the SDK comes back by itself; ``Resumed`` follows."""

    code: int
    name: str
    will_retry: bool
    message: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """The membership goes on, with the same session of the encryption.

    ``recovered`` is True when it is certain that every message is here: none was placed in the channel
    meanwhile, or all that were follow this event. ``missed`` is how many are lost, own messages of which no
    answer came included; None when that cannot be known, because the channel began a new epoch.
    After ``Client.join(since=...)`` it is the first event.
    """

    recovered: bool
    missed: int | None


@dataclass(frozen=True, slots=True)
class Left(Event):
    """The membership has ended, and so do the events. ``code`` and ``name`` are from the table of codes."""

    code: int
    name: str
    message: str = ""
