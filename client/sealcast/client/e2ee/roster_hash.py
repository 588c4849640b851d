"""One hash for who is in the channel and which key is held of each.

::

    commit = SHA-256("sealcast/1 commit" | base key)          32 zero bytes while no key is held
    leaf   = SHA-256(hello | u32 epoch | u8 step | commit)     hello without signature and certificate
    roster = SHA-256("sealcast/1 roster" | ctx | all leaves, sorted)

Two members with the same hash see the same sessions, and were given the same key by each. A sender
that wraps two different keys under one epoch, or a relay that shows a member to some only, makes the
hashes differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from .context import BaseKey

__all__ = ["commit", "roster_hash", "roster_leaf"]

_NO_KEY: Final = bytes(32)


def commit(base_key: bytes) -> bytes:
    """Return a hash that stands for a base key."""
    return hashlib.sha256(b"sealcast/1 commit" + base_key).digest()


def roster_leaf(hello: bytes, base: BaseKey | None) -> bytes:
    """Return the leaf of one session, by its hello's signed bytes and the key held of it."""
    if base is None:
        return hashlib.sha256(hello + bytes(5) + _NO_KEY).digest()
    held = base.epoch.to_bytes(4, "big") + base.step.to_bytes(1, "big") + commit(base.key)
    return hashlib.sha256(hello + held).digest()


def roster_hash(ctx: bytes, leaves: Iterable[bytes]) -> bytes:
    """Return the hash over all sessions, this side's own included, in any order."""
    return hashlib.sha256(b"sealcast/1 roster" + ctx + b"".join(sorted(leaves))).digest()
