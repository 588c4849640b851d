"""Mint tokens in an application server, with its clock and the system's randomness.

::

    from sealcast.client.tokens import mint

    @app.post("/token")
    def token(channel: str) -> str:
        user = current_user()                       # who is asking, by your own login
        require_may_join(user, channel)             # your rules
        return mint(APP_ID, CERTIFICATE, channel, user.name, role="publisher", ttl=3600)

The certificate stays on the application server: whoever has it can be anybody in every channel of
the app. Wildcards and single privileges need ``sealcast.protocol.tokens.AccessToken``.
"""

from __future__ import annotations

import secrets
import time
from typing import Final, Literal

from sealcast.protocol.names import Privilege, channel_name, user_id
from sealcast.protocol.tokens import LIFE_MAX, AccessToken

__all__ = ["mint"]

_ROLES: Final = {"publisher": tuple(Privilege), "subscriber": (Privilege.JOIN,)}

_SALT_MAX: Final = 99_999_999
"""The public builders draw a salt of 1 to this."""


def mint(
    app_id: str,
    certificate: str,
    channel: str,
    user: str,
    *,
    role: Literal["publisher", "subscriber"] = "publisher",
    ttl: int = 3600,
) -> str:
    """Return a 007 token that lets *user* into *channel* for *ttl* seconds from now.

    A publisher may join and send everything, a subscriber may join. Names come from requests, so
    they must be whole names: wildcards are refused. Raises InvalidName for an App ID, certificate,
    channel or user that is none, ValueError for an unknown role or a *ttl* outside 1 to 86400.
    """
    channel_name(channel)
    user_id(user)
    if role not in _ROLES:
        raise ValueError("a role is 'publisher' or 'subscriber'")
    if not isinstance(ttl, int) or not 1 <= ttl <= LIFE_MAX:
        raise ValueError(f"ttl must be a whole number of seconds from 1 to {LIFE_MAX}")
    salt = 1 + secrets.randbelow(_SALT_MAX)
    token = AccessToken(app_id, certificate, issued_at=int(time.time()), salt=salt, expire=ttl)
    return token.add_rtc(channel, user, dict.fromkeys(_ROLES[role], ttl)).build()
