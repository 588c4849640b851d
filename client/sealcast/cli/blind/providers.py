"""The ways to agree on keys that take part: one row each, and everything of theirs that must stay secret.

A new way is one more line in ``PROVIDERS``.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from sealcast.client.e2ee import AES_128_GCM, AES_256_GCM, Key, Suite
from sealcast.client.e2ee.context import Sender, base_key, epoch_key
from sealcast.client.e2ee.keys import SECRET
from sealcast.client.e2ee.passphrase import SALT, secret_of_passphrase

__all__ = ["CLEAR", "PROVIDERS", "BaseKeyOf", "Material", "Provider", "shared"]

BaseKeyOf: TypeAlias = Callable[[Sender, int, int], bytes | None]
"""(sender, low bits of the epoch, low bits of the step) -> the base key that seals there, if known."""


@dataclass(frozen=True, slots=True)
class Material:
    """The keys of one channel, as the command's own members hold them; ``repr`` shows none."""

    key: Callable[[str], Key] = field(repr=False)
    """What a user joins with."""
    base_key: BaseKeyOf = field(repr=False)
    secrets: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    """What else must be nowhere in the relay, by its name."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One way to agree on keys."""

    name: str
    make: Callable[[], Material]
    """Makes fresh keys."""


def shared(suite: Suite, secret: bytes, key: Callable[[], Key], *more: tuple[str, bytes]) -> Material:
    """Return the material of a way in which all members share one secret of 32 bytes, in epoch 0.

    *more* is what the secret was made from, if it was made from anything.
    """

    def base(sender: Sender, epoch: int, step: int) -> bytes | None:
        if epoch or step:
            return None
        return base_key(epoch_key(suite, sender.ctx, secret), sender, 0)

    return Material(lambda user: key(), base, (("content secret", secret), *more))


def _raw(suite: Suite) -> Material:
    secret = secrets.token_bytes(SECRET)
    return shared(suite, secret, lambda: Key.raw(secret, suite=suite))


def _passphrase(suite: Suite) -> Material:
    words, salt = secrets.token_hex(20), secrets.token_bytes(SALT)
    secret = secret_of_passphrase(words, salt)
    more = (("passphrase", words.encode()), ("salt of the passphrase", salt))
    return shared(suite, secret, lambda: Key.passphrase(words, salt, suite=suite), *more)


PROVIDERS: Final = (
    Provider("raw AES-128-GCM", lambda: _raw(AES_128_GCM)),
    Provider("raw AES-256-GCM", lambda: _raw(AES_256_GCM)),
    Provider("passphrase", lambda: _passphrase(AES_128_GCM)),
)

CLEAR: Final = Provider("none", lambda: Material(lambda user: Key.none(), lambda sender, epoch, step: None))
"""The control: no encryption at all."""
