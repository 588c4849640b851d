"""Writes safety.json: golden values of what people compare, for clients in any language.

    python tests/vectors/make_safety.py

Fingerprints, safety numbers and channel codes, written down a second time from docs/verification.md
with nothing but hashes and arithmetic. The keys here are no keys: only their bytes matter.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "safety.json"
APP = "0123456789abcdef0123456789abcdef"


def u16(value: int) -> bytes:
    return bytes((value >> 8, value & 255))


def key(name: str) -> bytes:
    return hashlib.sha256(b"identity of " + name.encode()).digest()


def half(user: str, identity: bytes) -> str:
    digest = list(hashlib.sha512(b"sealcast/1 fp" + u16(len(user)) + user.encode() + identity).digest())
    digits = ""
    for _ in range(6):
        number = 0
        for _ in range(5):
            number = number * 256 + digest.pop(0)
        digits += str(number % 100_000).rjust(5, "0")
    return digits


def hello(user: str, session: int, *, kem: int = 0, kem_public: bytes = b"") -> bytes:
    """A hello without its signature."""
    return (
        b"SCH1\x00"
        + u16(4)
        + u16(len(user))
        + user.encode()
        + bytes([session]) * 16
        + key(user)
        + u16(kem)
        + u16(len(kem_public))
        + kem_public
        + (1_790_000_000_000 + session).to_bytes(8, "big")
        + bytes([session ^ 255]) * 8
    )


def code(channel: str, hellos: list[bytes]) -> str:
    names = u16(len(APP)) + APP.encode() + u16(len(channel)) + channel.encode()
    ctx = hashlib.sha256(b"sealcast/1 ctx" + names).digest()
    leaves = sorted(hashlib.sha256(body).digest() for body in hellos)
    digest = hashlib.sha256(b"sealcast/1 roster" + ctx + b"".join(leaves)).hexdigest()
    return str(int(digest, 16) % 10**60).rjust(60, "0")


def fingerprints() -> list[dict[str, Any]]:
    cases = [(user, key(user or "nobody")) for user in ("", "alice", "bob", "x" * 255)]
    # Digits that begin with zeros are what a careless implementation loses.
    cases += [(f"user{n}", key("many")) for n in range(2000) if half(f"user{n}", key("many"))[:3] == "000"]
    cases += [("zeros", bytes(32)), ("ones", b"\xff" * 32)]
    return [
        {"user": user, "identity": identity.hex(), "digits": half(user, identity)} for user, identity in cases
    ]


def numbers() -> list[dict[str, Any]]:
    pairs = [("alice", "bob"), ("bob", "carol"), ("alice", "x" * 255), ("a", "aa")]
    made = [((one, key(one)), (other, key(other))) for one, other in pairs]
    made.append((("alice", key("telephone")), ("alice", key("desktop"))))
    return [
        {
            "members": [{"user": user, "identity": identity.hex()} for user, identity in sides],
            "digits": "".join(sorted(half(*side) for side in sides)),
        }
        for sides in made
    ]


def codes() -> list[dict[str, Any]]:
    managed = hello("carol", 9, kem=0x0020, kem_public=bytes(range(32)))
    rosters = [
        ("standup", [hello("alice", 1)]),
        ("standup", [hello("alice", 1), hello("bob", 2)]),
        ("retro", [hello("alice", 1), hello("bob", 2)]),
        ("standup", [hello("alice", 1), hello("bob", 2), hello("alice", 3), managed]),
    ]
    return [
        {
            "app": APP,
            "channel": channel,
            "hellos": [body.hex() for body in hellos],
            "digits": code(channel, hellos),
        }
        for channel, hellos in rosters
    ]


def main() -> None:
    vectors = {
        "about": "sealcast/1 fingerprints, safety numbers and channel codes; see docs/verification.md",
        "fingerprints": fingerprints(),
        "safety_numbers": numbers(),
        "channel_codes": codes(),
    }
    FILE.write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
