"""What a membership may publish, until when; asked before anything leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sealcast.protocol.codes import Code, reply
from sealcast.protocol.errors import SealcastError
from sealcast.protocol.names import PRIVILEGE_OF_KIND, Kind

__all__ = ["PUBLISHED", "Grant", "NotPermitted"]

_PRIVILEGE: Final = {kind: privilege.name.lower() for kind, privilege in PRIVILEGE_OF_KIND.items()}

PUBLISHED: Final = ("audio", "video", "data")
"""The privileges that a grant speaks of."""


class NotPermitted(SealcastError):
    """The grant lacks the privilege that this kind needs; nothing was sent. ``privilege`` is its name."""

    code: Code = reply("not_permitted")

    def __init__(self, kind: Kind, privilege: str) -> None:
        super().__init__(
            f"the token does not grant the privilege '{privilege}', which sending {kind.name.lower()} needs;"
            " ask your application for a token that does, and renew with it"
        )
        self.privilege = privilege


class Grant:
    """The rights of one membership, in seconds of the clock that *now* is read from.

    Args:
        seconds: the ``grant`` of the wire: privilege to seconds left.
        expires_in: seconds until the membership ends.
        now: the present.

    """

    __slots__ = ("_until", "ends")

    def __init__(self, seconds: Mapping[str, float], expires_in: float, now: float) -> None:
        self._until = {name: now + seconds[name] for name in PUBLISHED if name in seconds}
        self.ends = now + expires_in
        """When the membership ends unless it is renewed."""

    def permits(self, kind: Kind, now: float) -> bool:
        """Say whether a kind may be published at *now*."""
        return self._until.get(_PRIVILEGE[kind], 0.0) > now

    def require(self, kind: Kind, now: float) -> None:
        """Raise NotPermitted unless a kind may be published at *now*."""
        if not self.permits(kind, now):
            raise NotPermitted(kind, _PRIVILEGE[kind])

    def left(self, now: float) -> dict[str, float]:
        """Return the seconds left for each privilege that still holds."""
        return {privilege: until - now for privilege, until in self._until.items() if until > now}
