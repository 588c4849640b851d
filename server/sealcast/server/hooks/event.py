"""What a webhook tells: one event, as JSON. Never content, a token, a key or a hello."""

from __future__ import annotations

import enum
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

__all__ = ["ENDS_OF", "Event", "Kind", "of_mapping"]


class Kind(enum.StrEnum):
    """What can happen."""

    CHANNEL_CREATED = "channel.created"
    CHANNEL_DESTROYED = "channel.destroyed"
    MEMBER_JOINED = "member.joined"
    MEMBER_LEFT = "member.left"
    TOKEN_REFUSED = "token.refused"  # noqa: S105 - the name of an event
    ADDRESS_BLOCKED = "address.blocked"
    WEBHOOK_TEST = "webhook.test"


ENDS_OF: Final = {
    Kind.CHANNEL_CREATED: Kind.CHANNEL_DESTROYED,
    Kind.MEMBER_JOINED: Kind.MEMBER_LEFT,
}
"""What begins, and what it ends with."""


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
    """The name of a code of docs/protocol.md, or of a reason to block an address."""
    seconds: float | None = None
    """How long a membership or channel lasted, or an address is blocked."""
    reconciled: bool = False
    """Whether the end was told by somebody else, because the process was gone that it happened in."""
    node: str = ""
    """The process that it happened in."""
    id: str = field(default_factory=lambda: f"evt_{secrets.token_hex(16)}")
    closes: str = ""
    """The id of the event whose membership or channel this one ends; not told."""

    @property
    def subject(self) -> str:
        """What the order is kept for: events of one subject are delivered one after the other."""
        if self.kind in (Kind.TOKEN_REFUSED, Kind.ADDRESS_BLOCKED):
            # Not the user, whom anybody can name: a stranger must not hold up a member's events.
            return f"address/{self.address}"
        return f"member/{self.channel}/{self.user}" if self.user else f"channel/{self.channel}"

    def mapping(self) -> dict[str, Any]:
        """Return it to be kept; ``of_mapping`` reads that."""
        return {name: value for name, value in asdict(self).items() if value not in ("", None)}

    @property
    def body(self) -> bytes:
        """The body of the request: one line of JSON, the same whenever it is sent."""
        return json.dumps(self.told, separators=(",", ":"), ensure_ascii=True).encode()

    @property
    def told(self) -> dict[str, Any]:
        """What the body says."""
        data: dict[str, Any] = {"sequence": self.sequence}
        for name in ("channel", "user", "member", "address", "reason"):
            if value := getattr(self, name):
                data[name] = value
        if self.seconds is not None:
            data["seconds"] = round(self.seconds, 3)
        if self.reconciled:
            data["reconciled"] = True
        return {
            "id": self.id,
            "type": self.kind.value,
            "app_id": self.app_id,
            "timestamp_ms": round(self.at * 1000),
            "node": self.node,
            "data": data,
        }


def of_mapping(kept: Mapping[str, Any]) -> Event:
    """Return an event that was kept."""
    return Event(**{**kept, "kind": Kind(kept["kind"])})
