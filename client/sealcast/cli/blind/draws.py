"""What the SDK made a member's keys from: every random byte that it drew for one key, told apart by use.

A ``DrawingKey`` is a ``Key`` like any other, but for where its randomness comes from: it passes all of it
through ``Draws``, which remembers it. So this command knows the secrets of its own members without
asking the SDK for them, and would notice one that nobody has thought of.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sealcast.client.e2ee import Identity, Key
from sealcast.client.e2ee.hello import KEM_NONE, KEM_X_WING, Hello
from sealcast.client.e2ee.kem import PrivateKem

if TYPE_CHECKING:
    from sealcast.client.e2ee import ChannelCrypto
    from sealcast.client.e2ee.context import Entropy

__all__ = ["DrawingKey", "Draws", "Recognised", "recognise", "signing_secrets"]

_SEED: Final = 32
_MLKEM_SEED: Final = 64


class Draws:
    """Draws random bytes, and remembers them; ``repr`` shows how many."""

    __slots__ = ("made",)

    def __init__(self) -> None:
        self.made: list[bytes] = []
        """Everything that was drawn, in order."""

    def __call__(self, size: int) -> bytes:
        """Return *size* random bytes."""
        data = secrets.token_bytes(size)
        self.made.append(data)
        return data

    def __repr__(self) -> str:
        return f"Draws({len(self.made)})"


class DrawingKey(Key):
    """A key whose every session is made from ``draws``. Made by the class methods of ``Key``."""

    __slots__ = ("draws",)

    def __init__(self, *arguments: Any) -> None:
        """Use the class methods."""
        super().__init__(*arguments)
        self.draws = Draws()

    def bind(
        self,
        app_id: str,
        channel: str,
        user: str,
        *,
        wall: Callable[[], float] = time.time,
        entropy: Entropy | None = None,
    ) -> ChannelCrypto:
        """Return a context like ``Key.bind``, made from ``draws`` unless *entropy* is given."""
        return super().bind(app_id, channel, user, wall=wall, entropy=entropy or self.draws)


@dataclass(slots=True)
class Recognised:
    """What one session's draws were for; ``repr`` shows none."""

    secrets: list[tuple[str, bytes]] = field(default_factory=list, repr=False)
    """Everything that only its member may have, by name, but for the base keys."""
    kem: PrivateKem | None = field(default=None, repr=False)
    """What opens the keys that were wrapped to it."""
    base_keys: list[bytes] = field(default_factory=list, repr=False)
    """Its own base keys at step 0, by epoch; of managed keys."""


def recognise(drawn: Iterable[bytes], hello: Hello, identity: bytes | None = None) -> Recognised | None:
    """Say what each draw became, by what its public half is in the session's hello.

    Args:
        drawn: what the member's keys were made from.
        hello: of the session.
        identity: the private key that should sign it; None for one that was drawn.

    Returns None when the private half of something in the hello is not there: then these are not the
    keys of this session, or not all of them.

    """
    result = Recognised()
    signs = identity is not None and Identity.from_bytes(identity).public == hello.identity
    for number, data in enumerate(drawn, 1):
        if data in (hello.session, hello.challenge):
            continue  # the hello tells them to the relay
        if len(data) == _SEED and Identity.from_bytes(data).public == hello.identity:
            result.secrets += signing_secrets("session's signing key", data)
            signs = True
        elif hello.kem == KEM_NONE:
            result.secrets.append((f"draw {number}", data))
        elif len(data) == _SEED and (kem := PrivateKem(hello.kem, data)).public == hello.kem_public:
            result.kem = kem
            result.secrets += _wrapping_secrets(hello.kem, data)
        else:
            result.base_keys.append(data)
    return result if signs and (hello.kem == KEM_NONE or result.kem is not None) else None


def signing_secrets(name: str, private: bytes) -> list[tuple[str, bytes]]:
    """Return the parts of an Ed25519 private key (RFC 8032 §5.1.5), each of which gives it away."""
    expanded = hashlib.sha512(private).digest()
    scalar = bytearray(expanded[:32])
    scalar[0] &= 248
    scalar[31] = scalar[31] & 127 | 64
    return [(name, private), (f"{name}, scalar", bytes(scalar)), (f"{name}, prefix", expanded[32:])]


def _wrapping_secrets(kem: int, seed: bytes) -> list[tuple[str, bytes]]:
    found = [("HPKE private key", seed)]
    if kem == KEM_X_WING:
        # draft-connolly-cfrg-xwing-kem: the seed stands for both halves.
        expanded = hashlib.shake_256(seed).digest(_MLKEM_SEED + _SEED)
        found.append(("HPKE private key, ML-KEM half", expanded[:_MLKEM_SEED]))
        found.append(("HPKE private key, X25519 half", expanded[_MLKEM_SEED:]))
    return found
