"""Writes layers.json: golden values for what lies around the frames of the sealcast/1 profile.

    python tests/vectors/make_layers.py

Passphrases, signed messages, padding, a custom cipher, beacons, roster hashes and batches of signatures,
written down a second time straight from docs/encryption.md, with hashlib, hmac and the bare ciphers, and
without a line of the SDK. All keys and sessions here are constants and must never protect anything.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HERE = Path(__file__).parent
APP, CHANNEL, USER = "0123456789abcdef0123456789abcdef", "standup", "alice"
SESSION = bytes(range(0xA0, 0xB0))
SECRET = bytes(range(32))
SEED = hashlib.sha256(b"identity of alice").digest()
SUITES = {4: ("sha256", 32, 16), 5: ("sha512", 64, 32), 0xF001: ("sha256", 32, 32)}
PADDED, SIGNED, CUSTOM = 0x08, 0x10, 0x40


def u(size: int, value: int) -> bytes:
    return value.to_bytes(size, "big")


def lp16(data: bytes) -> bytes:
    return u(2, len(data)) + data


def expand(algorithm: str, key: bytes, info: bytes, size: int) -> bytes:
    out, block, index = b"", b"", 0
    while len(out) < size:
        index += 1
        block = hmac.digest(key, block + info + bytes([index]), algorithm)
        out += block
    return out[:size]


def header_of(kid: int, ctr: int) -> bytes:
    def field(value: int) -> tuple[int, bytes]:
        size = (value.bit_length() + 7) // 8
        return (value, b"") if value < 8 else (8 | size - 1, u(size, value))

    (k, kid_bytes), (c, ctr_bytes) = field(kid), field(ctr)
    return bytes([k << 4 | c]) + kid_bytes + ctr_bytes


CTX = hashlib.sha256(b"sealcast/1 ctx" + lp16(APP.encode()) + lp16(CHANNEL.encode())).digest()
IDENTITY = Ed25519PrivateKey.from_private_bytes(SEED)


def facts(suite: int, epoch: int, user: str, session: bytes) -> bytes:
    return u(2, suite) + u(4, epoch) + lp16(user.encode()) + session


def base_key(suite: int, epoch: int, user: str = USER, session: bytes = SESSION) -> bytes:
    algorithm, size, _ = SUITES[suite]
    extracted = hmac.digest(CTX, SECRET, algorithm)
    return expand(algorithm, extracted, b"sealcast/1 base" + facts(suite, epoch, user, session), size)


def frame(
    suite: int, epoch: int, kind: int, stream: int, ctr: int, body: bytes, size: int = 0
) -> dict[str, Any]:
    """Seal a body; *size* is that of the padded plaintext, 0 for no padding."""
    signed = kind in (0, 4)
    flags = (SIGNED if signed else 0) | (PADDED if size else 0) | (CUSTOM if suite >= 0xF000 else 0)
    wire = bytes([1 << 4 | kind, flags, 0, stream])
    algorithm, _, key_size = SUITES[suite]
    kid = stream << 8 | (epoch & 15) << 4
    label = u(8, kid) + u(2, suite)
    secret = hmac.digest(b"", base_key(suite, epoch), algorithm)
    key = expand(algorithm, secret, b"SFrame 1.0 Secret key " + label, key_size)
    salt = expand(algorithm, secret, b"SFrame 1.0 Secret salt " + label, 12)
    nonce = u(12, int.from_bytes(salt, "big") ^ ctr)
    header = header_of(kid, ctr)
    bind16 = hashlib.sha256(b"sealcast/1 bind" + CTX + facts(suite, epoch, USER, SESSION)).digest()[:16]
    plaintext = body
    to_sign = b"sealcast/1 sig" + bind16 + wire + header + hashlib.sha256(body).digest()
    if signed:
        plaintext = IDENTITY.sign(to_sign) + plaintext
    if size:
        plaintext = (plaintext + b"\x80").ljust(size, b"\0")
    cipher = (AESGCM if suite < 0xF000 else ChaCha20Poly1305)(key)
    sealed = wire + header + cipher.encrypt(nonce, plaintext, header + bind16 + wire)
    return {
        "suite": suite,
        "epoch": epoch,
        "kind": kind,
        "stream": stream,
        "ctr": ctr,
        "body": body.hex(),
        **({"signed": to_sign.hex()} if signed else {}),
        "plaintext": plaintext.hex(),
        "frame": sealed.hex(),
    }


def hello(suite: int, user: str = USER, session: bytes = SESSION) -> tuple[bytes, bytes]:
    """Return a hello's signed bytes, and as it is sent."""
    public = IDENTITY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    body = b"SCH1" + u(1, 0) + u(2, suite) + lp16(user.encode()) + session + public
    body += u(2, 0) + lp16(b"") + u(8, 1_790_000_000_000) + bytes(range(0xC0, 0xC8))
    return body, body + IDENTITY.sign(b"sealcast/1 hello" + CTX + body)


def roster(members: list[dict[str, Any]]) -> str:
    leaves = []
    for member in members:
        held = member["base_key"]
        commit = hashlib.sha256(b"sealcast/1 commit" + bytes.fromhex(held)).digest() if held else bytes(32)
        leaf = bytes.fromhex(member["hello"]) + u(4, member["epoch"]) + u(1, member["step"]) + commit
        leaves.append(hashlib.sha256(leaf).digest())
    return hashlib.sha256(b"sealcast/1 roster" + CTX + b"".join(sorted(leaves))).hexdigest()


def rosters() -> list[dict[str, Any]]:
    members: list[dict[str, Any]] = []
    out = []
    for user, epoch, step, held in (("alice", 0, 0, 1), ("bob", 7, 3, 1), ("carol", 0, 0, 0)):
        session = hashlib.sha256(user.encode()).digest()[:16]
        key = base_key(4, epoch, user, session).hex() if held else ""
        members.append(
            {"hello": hello(4, user, session)[0].hex(), "epoch": epoch, "step": step, "base_key": key}
        )
        out.append({"members": list(members), "roster": roster(members)})
    return out


def beacon(epoch: int, streams: list[tuple[int, int]], challenges: list[bytes]) -> dict[str, Any]:
    body = bytes(16) + u(8, 1_790_000_000_123) + u(4, epoch)
    body += u(1, len(streams)) + b"".join(u(1, stream) + u(8, following) for stream, following in streams)
    body += u(1, len(challenges)) + b"".join(challenges) + bytes(range(32))
    return {
        "time_ms": 1_790_000_000_123,
        "epoch": epoch,
        "streams": [list(stream) for stream in streams],
        "challenges": [challenge.hex() for challenge in challenges],
        "roster": bytes(range(32)).hex(),
        "body": body.hex(),
    }


def batch(runs: list[tuple[int, list[int]]], size: dict[int, int]) -> dict[str, Any]:
    body, described = u(1, 1) + u(1, len(runs)), []
    for kid, counters in runs:
        frames = [bytes([0x11, 0, 0, kid >> 8]) + header_of(kid, ctr) + bytes(size[kid]) for ctr in counters]
        first, span = counters[0], counters[-1] - counters[0] + 1
        bitmap = bytearray(-(-span // 8))
        for ctr in counters:
            bitmap[(ctr - first) // 8] |= 0x80 >> (ctr - first) % 8
        body += u(2, kid) + u(8, first) + u(1, len(bitmap)) + bytes(bitmap)
        body += b"".join(hashlib.sha256(data).digest()[:12] for data in frames)
        described.append({"kid": kid, "counters": counters, "frames": [data.hex() for data in frames]})
    return {"runs": described, "body": body.hex()}


def passphrases() -> list[dict[str, str]]:
    salt = bytes(range(32))
    out = []
    for text, normalised in (
        ("correct horse battery staple", "correct horse battery staple"),
        ("cafe\u0301 cafe\u0301 cafe\u0301", "caf\u00e9 caf\u00e9 caf\u00e9"),
    ):
        secret = hashlib.pbkdf2_hmac("sha256", normalised.encode(), b"sealcast/1 pbkdf2" + salt, 600_000, 32)
        out.append({"passphrase": text, "salt": salt.hex(), "secret": secret.hex()})
    return out


def build() -> dict[str, Any]:
    frames = []
    for suite in (4, 5, 0xF001):
        for epoch in (0, 17):
            frames += [
                frame(suite, epoch, 4, 1, 0, b"a message"),
                frame(suite, epoch, 4, 1, 300, b"a padded message", 128),
                frame(suite, epoch, 1, 2, 9, b"sound", 32),
                frame(suite, epoch, 1, 2, 10, bytes(31), 32),
                frame(suite, epoch, 3, 4, 11, bytes(64), 128),
            ]
    return {
        "_about": {
            "what": "What lies around the frames of sealcast/1, see docs/encryption.md; bytes are hex.",
            "made_by": "tests/vectors/make_layers.py",
            "warning": "Keys and sessions here are public constants.",
        },
        "sender": {
            "app_id": APP,
            "channel": CHANNEL,
            "user": USER,
            "session": SESSION.hex(),
            "secret": SECRET.hex(),
            "seed": SEED.hex(),
            "hellos": {str(suite): hello(suite)[1].hex() for suite in SUITES},
        },
        "passphrases": passphrases(),
        "frames": frames,
        "beacons": [
            beacon(0, [], []),
            beacon(2**32 - 1, [(1, 7), (2, 2**32)], [bytes(range(8)), bytes(8)]),
        ],
        "rosters": rosters(),
        "batches": [
            batch([(0x210, [0, 1, 2])], {0x210: 40}),
            batch([(0x210, [7, 9, 40]), (0x311, [2**24])], {0x210: 40, 0x311: 1200}),
        ],
    }


def text() -> str:
    return json.dumps(build(), indent=1) + "\n"


if __name__ == "__main__":
    (HERE / "layers.json").write_text(text(), encoding="ascii")
