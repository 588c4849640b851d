"""What a webhook tells: one event, as JSON. Never content, a token, a key or a hello."""

from __future__ import annotations

import enum
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Event", "Kind"]


class Kind(enum.StrEnum):
    """What can happen."""

    CHANNEL_CREATED = "channel.created"
    CHANNEL_DESTROYED = "channel.destroyed"
    MEMBER_JOINED = "member.joined"
    MEMBER_LEFT = "member.left"
    TOKEN_REFUSED = "token.refused"  # noqa: S105 - the name of an event
    ADDRESS_BLOCKED = "address.blocked"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in an app.

    ``sequence`` grows with every event of the same subject (a member's user in its channel, a channel, an
    address): what comes late or twice is told by it.
    """

    kind: Kind
    app_id: str
    at: float
    """Unix seconds."""
    sequence: int
    channel: str = ""
    user: str = ""
    member: int = 0
    address: str = ""
    reason: str = ""
    """The name of a code of docs/protocol.md."""
    seconds: float | None = None
    """How long a membership or channel lasted, or an address is blocked."""
    id: str = field(default_factory=lambda: f"evt_{secrets.token_hex(16)}")

    @property
    def subject(self) -> str:
        """What the order is kept for: events of one subject are delivered one after the other."""
        if self.user:
            return f"member/{self.channel}/{self.user}"
        return f"channel/{self.channel}" if self.channel else f"address/{self.address}"

    def body(self, node: str) -> bytes:
        """Return the body of the request: one line of JSON."""
        data: dict[str, Any] = {"sequence": self.sequence}
        if self.channel:
            data["channel"] = self.channel
        if self.user:
            data["user"] = self.user
        if self.member:
            data["member"] = self.member
        if self.address:
            data["address"] = self.address
        if self.reason:
            data["reason"] = self.reason
        if self.seconds is not None:
            data["seconds"] = round(self.seconds, 3)
        whole = {
            "id": self.id,
            "type": self.kind.value,
            "app_id": self.app_id,
            "timestamp_ms": round(self.at * 1000),
            "node": node,
            "data": data,
        }
        return json.dumps(whole, separators=(",", ":"), ensure_ascii=True).encode()
