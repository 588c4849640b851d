"""From a join request to a grant: the token is verified here, and every right is a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sealcast.protocol.codes import reply
from sealcast.protocol.errors import SealcastError
from sealcast.protocol.names import PRIVILEGE_OF_KIND, Privilege
from sealcast.protocol.tokens import verify

from .bans import NOTHING
from .config import AppConfig

__all__ = ["ALL_KINDS", "Rights", "TokenRequired", "admit", "kinds_until"]

_DAY: Final = 86_400

ALL_KINDS: Final = tuple(PRIVILEGE_OF_KIND)

_NAMES: Final = {Privilege.AUDIO: "audio", Privilege.VIDEO: "video", Privilege.DATA: "data"}


class TokenRequired(SealcastError):
    """A join without a token to an app that demands one."""

    code = reply("token_required")


@dataclass(frozen=True, slots=True)
class Rights:
    """What a membership may do, until when (Unix seconds, exclusive)."""

    expires: float
    deadlines: Mapping[Privilege, float]
    denied: Mapping[Privilege, float] = field(default_factory=lambda: NOTHING)
    """What ban rules take away, until when."""
    token_id: str = ""
    """The token that they come from; empty where there was none."""
    issued_at: float = 0.0
    """When that was issued."""

    def left(self, now: float) -> dict[str, float]:
        """Return the seconds left for each publish privilege, as ``joined`` announces them."""
        ends = {
            name: self.deadlines.get(privilege, 0)
            for privilege, name in _NAMES.items()
            if not self.denied.get(privilege, 0) > now
        }
        # A token may grant a privilege for longer than the one to join, which is what a membership lasts.
        return {name: round(min(end, self.expires) - now, 3) for name, end in ends.items() if end > now}


def admit(app: AppConfig, channel: str, user: str, token: str | None, now: float) -> Rights:
    """Return the rights of *user* in *channel*.

    Raises:
        TokenRequired: there is no token and the app's policy demands one.
        TokenError: the token does not grant this; the class is the cause.

    """
    if token is None:
        if not app.policy.allow_app_id_only:
            raise TokenRequired(reply("token_required").message)
        return Rights(now + _DAY, dict.fromkeys(Privilege, now + _DAY))
    grant = verify(
        token,
        app_id=app.app_id,
        certificates=app.certificates,
        channel=channel,
        user=user,
        now=now,
        accept_006=app.policy.accept_006,
        max_skew=app.policy.clock_skew,
    )
    return Rights(grant.expires, grant.deadlines, token_id=grant.token_id, issued_at=grant.issued_at)


def kinds_until(rights: Rights, now: float) -> tuple[int, float | None]:
    """Return a bit mask of the kinds that may be published now, and when it must be asked for again."""
    mask = 0
    changes = []
    for kind, privilege in PRIVILEGE_OF_KIND.items():
        deadline = rights.expires if privilege is Privilege.JOIN else rights.deadlines.get(privilege, 0)
        if deadline <= now:
            continue
        denied = rights.denied.get(privilege, 0)
        if denied <= now:
            mask |= 1 << kind
        change = denied if denied > now else deadline
        if change < rights.expires:
            changes.append(change)
    return mask, min(changes, default=None)
