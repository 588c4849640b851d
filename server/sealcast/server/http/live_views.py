"""Channels, members, usage and nodes as the API shows them: names, numbers and times, never what was said."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Query
from pydantic import AfterValidator, BaseModel, Field

from sealcast.protocol import names
from sealcast.protocol.names import Kind, Privilege

from ..absent import Absent
from ..channel import Channel
from ..config import AppConfig
from ..member import Member
from ..tally import Tally, Window

__all__ = [
    "ChannelDetail",
    "ChannelName",
    "ChannelOf",
    "ChannelPolicyView",
    "ChannelView",
    "Figures",
    "HistoryView",
    "KeyInUse",
    "KindFigures",
    "KindRates",
    "MemberDetail",
    "MemberView",
    "PresenceView",
    "UserName",
    "UserOf",
    "WindowFigures",
]

_CHANNEL: Final = r"^[a-zA-Z0-9 !#$%&()+\-:;<=.>?@\[\]^_{}|~,]{1,64}$"
_USER: Final = r"^[\x20-\x29\x2b-\x7e]{1,255}$"

ChannelName = Annotated[
    str, Field(pattern=_CHANNEL, description="a channel's name"), AfterValidator(names.channel_name)
]
UserName = Annotated[str, Field(pattern=_USER, description="a user's name"), AfterValidator(names.user_id)]
ChannelOf = Annotated[str, Query(pattern=_CHANNEL, description="a channel's name, percent-encoded")]
"""For a route's arguments. In the query: a name may be ``..`` or have ``?``, which no path carries well."""
UserOf = Annotated[str, Query(pattern=_USER, description="a user's name, percent-encoded")]

_KINDS: Final = {int(kind): kind.name.lower() for kind in Kind}
_RIGHTS: Final = {Privilege.AUDIO: "audio", Privilege.VIDEO: "video", Privilege.DATA: "data"}


class KindFigures(BaseModel):
    """Frames or messages of one kind."""

    count: int
    bytes: int = Field(description="envelopes included")


class KindRates(KindFigures):
    """The same, and how many come now."""

    per_second: float
    bytes_per_second: float


class Figures(BaseModel):
    """Sums."""

    member_seconds: float = Field(description="how long members were there, all together")
    frames: int = Field(description="sent by members; messages are not among them")
    messages: int
    bytes: int
    kinds: dict[str, KindFigures] = Field(description="by kind")
    dropped: dict[str, dict[str, int]] = Field(
        description="frames that slow members did not get, by kind and reason"
    )
    refused: dict[str, int] = Field(
        description="requests, frames and messages of members, by the code's name"
    )
    encrypted: float | None = Field(description="the part that was sealed; null when nothing was sent")

    @classmethod
    def of(cls, tally: Tally) -> Figures:
        """Return the view of sums."""
        return cls(**_figures(tally))


class WindowFigures(Figures):
    """Sums of a while that ends now."""

    seconds: float = Field(description="how long it is: up to a thirtieth more than its name says, or less")

    @classmethod
    def of_window(cls, window: Window) -> WindowFigures:
        """Return the view of a window."""
        return cls(seconds=round(window.seconds, 3), **_figures(window.tally))


def _figures(tally: Tally) -> dict[str, Any]:
    return {
        "member_seconds": round(tally.seconds, 3),
        "frames": tally.frames,
        "messages": tally.messages,
        "bytes": tally.bytes,
        "kinds": {
            _KINDS[kind]: KindFigures(count=count, bytes=size)
            for kind, (count, size) in sorted(tally.kinds.items())
        },
        "dropped": _dropped(tally.dropped),
        "refused": dict(sorted(tally.refused.items())),
        "encrypted": tally.sealed,
    }


def _dropped(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (kind, reason), count in sorted(counts.items()):
        found.setdefault(kind, {})[reason] = count
    return found


class ChannelView(BaseModel):
    """A channel that somebody is in."""

    channel: str
    members: int
    since: float = Field(description="when it was opened on this node")
    epoch: str = Field(description="of the offset")
    offset: int = Field(description="of its last message")

    @classmethod
    def of(cls, channel: Channel) -> ChannelView:
        """Return the view of a channel."""
        return cls(**_channel(channel))


def _channel(channel: Channel) -> dict[str, Any]:
    return {
        "channel": channel.key.channel,
        "members": len(channel.members),
        "since": channel.traffic.since,
        "epoch": channel.position.epoch,
        "offset": channel.position.offset,
    }


class HistoryView(BaseModel):
    """What a channel has kept."""

    messages: int
    bytes: int = Field(description="with each message's share of bookkeeping")
    most_messages: int
    most_bytes: int
    ttl: float = Field(description="seconds")


class ChannelPolicyView(BaseModel):
    """What holds in a channel."""

    encryption: str
    delivery: str
    presence_instant: int
    presence_interval: float
    presence_linger: float


class ChannelDetail(ChannelView):
    """A channel that somebody is in, with all that is counted of it."""

    kinds: dict[str, KindRates] = Field(description="by kind; since it was opened, and a second of late")
    rates_over: float = Field(description="seconds that the rates are of")
    member_seconds: float
    dropped: dict[str, dict[str, int]] = Field(
        description="frames that slow members did not get, by kind and reason"
    )
    encrypted: float | None = Field(description="the part that was sealed; null when nothing was sent")
    history: HistoryView
    policy: ChannelPolicyView

    @classmethod
    def of_all(cls, channel: Channel, config: AppConfig, now: float) -> ChannelDetail:
        """Return the view of a channel with all that is counted of it."""
        total = channel.traffic.total(channel.members.values(), now)
        keep = config.keep_of(channel.key.channel)
        held, size = channel.archive.held()
        window = channel.traffic.lately(total, now)
        return cls(
            **_channel(channel),
            kinds=_rates(total, window),
            rates_over=round(window.seconds, 3),
            member_seconds=round(total.seconds, 3),
            dropped=_dropped(total.dropped),
            encrypted=total.sealed,
            history=HistoryView(
                messages=held, bytes=size, most_messages=keep.messages, most_bytes=keep.bytes, ttl=keep.ttl
            ),
            policy=ChannelPolicyView(
                encryption="required" if channel.encryption_required else "optional",
                delivery=channel.delivery,
                presence_instant=channel.policy.instant,
                presence_interval=channel.policy.interval,
                presence_linger=channel.policy.linger,
            ),
        )


def _rates(total: Tally, window: Window) -> dict[str, KindRates]:
    seconds = max(window.seconds, 1.0)
    found = {}
    for kind, (count, size) in sorted(total.kinds.items()):
        lately, lately_bytes = window.tally.kinds.get(kind, (0, 0))
        found[_KINDS[kind]] = KindRates(
            count=count,
            bytes=size,
            per_second=round(lately / seconds, 3),
            bytes_per_second=round(lately_bytes / seconds, 1),
        )
    return found


class PresenceView(BaseModel):
    """Who is there."""

    member: int
    user: str
    lingering: bool = Field(description="its connection was lost a moment ago, and it may come back")
    hello: str | None = Field(description="base64; how it is introduced to the others, its public keys")

    @classmethod
    def of(cls, member: Member) -> PresenceView:
        """Return the view of a member."""
        hello = None if member.hello is None else base64.b64encode(member.hello).decode()
        return cls(
            member=member.number,
            user=member.user,
            lingering=isinstance(member.outlet, Absent),
            hello=hello,
        )


class MemberView(BaseModel):
    """A member."""

    channel: str
    member: int = Field(description="its number in the channel")
    user: str
    since: float = Field(description="when it joined")
    address: str = Field(description="of its connection; for a published message that of the API's caller")
    agent: str = Field(description="the User-Agent that it sent")
    lingering: bool = Field(description="its connection was lost a moment ago, and it may come back")
    has_state: bool = Field(description="whether it says something of itself, which is sealed")
    frames: int = Field(description="frames and messages that it has sent")
    bytes: int

    @classmethod
    def of(cls, member: Member) -> MemberView:
        """Return the view of a member."""
        return cls(**_member(member))


def _member(member: Member) -> dict[str, Any]:
    visitor = member.visitor
    return {
        "channel": member.channel.key.channel,
        "member": member.number,
        "user": member.user,
        "since": member.since,
        "address": "" if visitor is None else visitor.address,
        "agent": "" if visitor is None else visitor.agent,
        "lingering": isinstance(member.outlet, Absent),
        "has_state": member.state is not None,
        "frames": member.frames_in,
        "bytes": member.bytes_in,
    }


class KeyInUse(BaseModel):
    """What a frame's header says of the key that sealed it."""

    key_id: int
    stream: int
    epoch: int = Field(description="the low four bits: all that there is of it")
    step: int = Field(description="of the ratchet")
    counter: int = Field(description="of the last frame under this key")


class MemberDetail(MemberView):
    """A member, with all that is counted of it."""

    rights: dict[str, float] = Field(
        description="what it may do and until when: join (to be there), audio, video, data"
    )
    kinds: dict[str, KindFigures] = Field(description="what it has sent, by kind")
    clear: int = Field(description="frames that it sent in clear")
    encrypted: float | None = Field(description="the part that was sealed; null when it has sent nothing")
    dropped: dict[str, dict[str, int]] = Field(description="what it did not get, by kind and reason")
    key: KeyInUse | None = Field(description="the one that it used last")

    @classmethod
    def of_all(cls, member: Member) -> MemberDetail:
        """Return the view of a member with all that is counted of it."""
        tally = Tally()
        tally.count(member)
        figures = _figures(tally)
        rights = member.rights
        ends = {
            name: min(rights.deadlines[privilege], rights.expires)
            for privilege, name in _RIGHTS.items()
            if privilege in rights.deadlines
        }
        return cls(
            **_member(member),
            rights={"join": rights.expires, **ends},
            kinds=figures["kinds"],
            clear=member.clear,
            encrypted=tally.sealed,
            dropped=figures["dropped"],
            key=_key(member),
        )


def _key(member: Member) -> KeyInUse | None:
    if member.latest is None:
        return None
    counter, key_id = member.latest
    return KeyInUse(
        key_id=key_id,
        stream=key_id >> 8 & 0xFF,
        epoch=key_id >> 4 & 15,
        step=key_id & 15,
        counter=counter,
    )
