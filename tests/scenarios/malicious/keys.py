"""The keys of a trial, of every kind, with the time of day of the test's loop."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path

from sealcast.client import Authority, Claim, Identity, Key, TrustStore
from sealcast.client.e2ee import ChannelCrypto

from .standing import the_loop

__all__ = ["APP", "APPS", "KINDS", "OTHER_APP", "Keys"]

APP, OTHER_APP = "0123456789abcdef0123456789abcdef", "abcdef0123456789abcdef0123456789"
APPS = (APP, OTHER_APP)

_SPAN = 4 * 86400


class TimedKey(Key):
    """A key whose contexts take the time of day from the test's loop."""

    def bind(
        self, app_id: str, channel: str, user: str, *, wall: Callable[[], float] | None = None
    ) -> ChannelCrypto:
        return super().bind(app_id, channel, user, wall=the_loop().wall)


@functools.cache
def _words() -> Key:
    # Once: it takes 600,000 rounds.
    return TimedKey.passphrase("no relay has ever heard these", bytes(range(32)))


class Keys:
    """The keys of one trial: of all its meetings, so that a secret can be used twice.

    Args:
        kind: one of ``KINDS``.
        folder: for what has to be remembered in files.

    """

    secret = bytes(range(32))

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self._folder = folder
        self.authority = Authority.generate()
        self._identities: dict[str, Identity] = {}

    def of(self, user: str, app: str = APP, channel: str = "room") -> Key:
        """Return the key with which a user joins a channel."""
        return KINDS[self.kind](self, user, app, channel)

    def raw(self, user: str, app: str, channel: str) -> Key:
        return TimedKey.raw(self.secret)

    def audience(self, user: str, app: str, channel: str) -> Key:
        return TimedKey.raw(self.secret, audience=user == "bob")

    def passphrase(self, user: str, app: str, channel: str) -> Key:
        return _words()

    def managed(self, user: str, app: str, channel: str) -> Key:
        identity, now = self._identities.setdefault(user, Identity.generate()), int(time.time())
        certificate = self.authority.certify(
            app, channel, user, identity.public, not_before=now - _SPAN, not_after=now + _SPAN
        )
        return TimedKey.managed(identity, self.authority.public, certificate=certificate)

    def callback(self, user: str, app: str, channel: str) -> Key:
        identity = self._identities.setdefault(user, Identity.generate())

        def known(claim: Claim) -> bool:
            holder = self._identities.get(claim.user)
            return holder is not None and claim.identity == holder.public

        return TimedKey.managed(identity, trust="callback", verify_member=known)

    def first_use(self, user: str, app: str, channel: str) -> Key:
        identity = self._identities.setdefault(user, Identity.generate())
        store = TrustStore(self._folder / f"{user}.json")
        return TimedKey.managed(identity, trust="first_use", store=store)


KINDS: dict[str, Callable[[Keys, str, str, str], Key]] = {
    "raw": Keys.raw,
    "passphrase": Keys.passphrase,
    "managed": Keys.managed,
    "audience": Keys.audience,
    "callback": Keys.callback,
    "first_use": Keys.first_use,
}
