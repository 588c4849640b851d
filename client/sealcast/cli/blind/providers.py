"""The ways to agree on keys that take part: one row each. A new way is one more line in ``PROVIDERS``."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sealcast.client.e2ee import AES_128_GCM, AES_256_GCM, Suite
from sealcast.client.e2ee.custom import custom_suite
from sealcast.client.e2ee.kem import kem_by_name
from sealcast.client.e2ee.keys import SECRET
from sealcast.client.e2ee.passphrase import SALT, secret_of_passphrase
from sealcast.client.errors import KemRefused

from .draws import DrawingKey
from .material import AesCcm, Clear, Managed, Material, Shared

__all__ = ["CLEAR", "PROVIDERS", "Provider", "offered"]


def _always() -> bool:
    return True


def _x_wing() -> bool:
    try:
        kem_by_name("x-wing")
    except KemRefused:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Provider:
    """One way to agree on keys."""

    name: str
    cipher: str
    """What frames are sealed with."""
    make: Callable[[str, str], Material]
    """Makes fresh keys for an app and a channel."""
    works_here: Callable[[], bool] = _always
    """Whether the installed ``cryptography`` has what it takes."""


def _raw(suite: Suite) -> Material:
    secret = secrets.token_bytes(SECRET)
    return Shared(suite, secret, lambda: DrawingKey.raw(secret, suite=suite))


def _passphrase(suite: Suite) -> Material:
    words, salt = secrets.token_hex(20), secrets.token_bytes(SALT)
    return Shared(
        suite,
        secret_of_passphrase(words, salt),
        lambda: DrawingKey.passphrase(words, salt, suite=suite),
        ("passphrase", words.encode()),
        ("salt of the passphrase", salt),
    )


def _custom() -> Material:
    secret, cipher = secrets.token_bytes(SECRET), AesCcm()
    return Shared(custom_suite(cipher), secret, lambda: DrawingKey.raw(secret, cipher=cipher), mode="ccm")


PROVIDERS: Final = (
    Provider("raw", "AES-128-GCM", lambda app, channel: _raw(AES_128_GCM)),
    Provider("raw (256 bits)", "AES-256-GCM", lambda app, channel: _raw(AES_256_GCM)),
    Provider("passphrase", "AES-128-GCM", lambda app, channel: _passphrase(AES_128_GCM)),
    Provider("custom cipher", "AES-256-CCM", lambda app, channel: _custom()),
    Provider(
        "managed (X25519)", "AES-128-GCM", lambda app, channel: Managed(app, channel, AES_128_GCM, "x25519")
    ),
    Provider(
        "managed (X-Wing)",
        "AES-256-GCM",
        lambda app, channel: Managed(app, channel, AES_256_GCM, "x-wing"),
        _x_wing,
    ),
)
"""All of them; ``offered`` says which work here."""

CLEAR: Final = Provider("none", "none", lambda app, channel: Clear())
"""The control: no encryption at all."""


def offered() -> tuple[Provider, ...]:
    """Return those of ``PROVIDERS`` that work with the installed libraries."""
    return tuple(provider for provider in PROVIDERS if provider.works_here())
