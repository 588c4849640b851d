"""Writes profile.json: golden values of the sealcast/1 profile, for clients in any language.

    python tests/vectors/make_profile.py

This is the profile written down a second time: straight from docs/encryption.md with hashlib, hmac
and the bare ciphers, and without a line of the SDK. The tests compare the two. All keys and sessions
here are constants and must never protect anything.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HERE = Path(__file__).parent
SUITES = {4: ("sha256", 32, 16), 5: ("sha512", 64, 32)}


def u(size: int, value: int) -> bytes:
    return value.to_bytes(size, "big")


def lp16(data: bytes) -> bytes:
    return u(2, len(data)) + data


def extract(algorithm: str, salt: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt, secret, algorithm)


def expand(algorithm: str, key: bytes, info: bytes, size: int) -> bytes:
    out, block, index = b"", b"", 0
    while len(out) < size:
        index += 1
        block = hmac.digest(key, block + info + bytes([index]), algorithm)
        out += block
    return out[:size]


def integer_field(value: int) -> tuple[int, bytes]:
    """The four bits in the config byte, and the bytes after it."""
    if value < 8:
        return value, b""
    size = (value.bit_length() + 7) // 8
    return 8 | size - 1, u(size, value)


def header_of(kid: int, ctr: int) -> bytes:
    (k, kid_bytes), (c, ctr_bytes) = integer_field(kid), integer_field(ctr)
    return bytes([k << 4 | c]) + kid_bytes + ctr_bytes


def descriptor_of(
    kind: int,
    stream: int,
    flags: int = 0,
    temporal: int = 0,
    spatial: int = 0,
    priority: int = 0,
    version: int = 1,
) -> dict[str, Any]:
    wire = bytes([version << 4 | kind, flags, temporal << 5 | spatial << 3 | priority, stream])
    return {
        "version": version,
        "kind": kind,
        "flags": flags,
        "temporal": temporal,
        "spatial": spatial,
        "priority": priority,
        "stream": stream,
        "encoded": wire.hex(),
    }


def kid_of(stream: int, epoch: int, step: int = 0) -> int:
    return stream << 8 | (epoch & 15) << 4 | (step & 15)


class Party:
    """One sender, with fixed values where a real one has random ones."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        algorithm, hash_size, self.key_size = SUITES[fields["suite"]]
        self.algorithm = algorithm
        app, channel = fields["app_id"].encode(), fields["channel"].encode()
        self.user, self.session = fields["user"].encode(), fields["session"]
        self.ctx = hashlib.sha256(b"sealcast/1 ctx" + lp16(app) + lp16(channel)).digest()
        facts = u(2, fields["suite"]) + u(4, fields["epoch"]) + lp16(self.user) + self.session
        self.extracted = extract(algorithm, self.ctx, fields["secret"])
        self.base_key = expand(algorithm, self.extracted, b"sealcast/1 base" + facts, hash_size)
        self.bind16 = hashlib.sha256(b"sealcast/1 bind" + self.ctx + facts).digest()[:16]

    def frame(self, descriptor: dict[str, Any], ctr: int, payload: bytes) -> dict[str, Any]:
        wire = bytes.fromhex(descriptor["encoded"])
        kid = kid_of(descriptor["stream"], self.fields["epoch"])
        label = u(8, kid) + u(2, self.fields["suite"])
        secret = extract(self.algorithm, b"", self.base_key)
        key = expand(self.algorithm, secret, b"SFrame 1.0 Secret key " + label, self.key_size)
        salt = expand(self.algorithm, secret, b"SFrame 1.0 Secret salt " + label, 12)
        nonce = u(12, int.from_bytes(salt, "big") ^ ctr)
        header = header_of(kid, ctr)
        aad = header + self.bind16 + wire
        return {
            "descriptor": descriptor,
            "ctr": ctr,
            "kid": kid,
            "key": key.hex(),
            "salt": salt.hex(),
            "nonce": nonce.hex(),
            "header": header.hex(),
            "aad": aad.hex(),
            "payload": payload.hex(),
            "frame": (wire + header + AESGCM(key).encrypt(nonce, payload, aad)).hex(),
        }

    def hello(self, **changed: Any) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "seed": hashlib.sha256(b"identity of " + self.user).digest(),
            "role": 0,
            "kem": 0,
            "kem_public": b"",
            "time_ms": 1_790_000_000_000,
            "challenge": bytes(range(0xC0, 0xC8)),
            "tail": b"",
            **changed,
        }
        identity = Ed25519PrivateKey.from_private_bytes(fields["seed"])
        public = identity.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        body = b"".join(
            (
                b"SCH1",
                u(1, fields["role"]),
                u(2, self.fields["suite"]),
                lp16(self.user),
                self.session,
                public,
                u(2, fields["kem"]),
                lp16(fields["kem_public"]),
                u(8, fields["time_ms"]),
                fields["challenge"],
                fields.pop("tail"),
            )
        )
        signed = b"sealcast/1 hello" + self.ctx + body
        return {
            **{name: plain(value) for name, value in fields.items()},
            "identity": public.hex(),
            "signed": signed.hex(),
            "sent": (body + identity.sign(signed)).hex(),
        }


def plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def parties() -> Iterator[tuple[str, Party]]:
    base = {
        "app_id": "0123456789abcdef0123456789abcdef",
        "channel": "standup",
        "user": "alice",
        "session": bytes(range(0xA0, 0xB0)),
        "suite": 4,
        "secret": bytes(range(32)),
        "epoch": 0,
    }
    yield "AES-128-GCM, epoch 0", Party(**base)
    yield "AES-256-GCM, epoch 0", Party(**{**base, "suite": 5})
    yield "epoch 15", Party(**{**base, "epoch": 15})
    yield "epoch 16: the key ids of epoch 0, other keys", Party(**{**base, "epoch": 16})
    yield "the last epoch, AES-256-GCM", Party(**{**base, "suite": 5, "epoch": 2**32 - 1})
    yield "another app", Party(**{**base, "app_id": "fedcba9876543210fedcba9876543210"})
    yield "another channel", Party(**{**base, "channel": "{room} #42, a-z"})
    yield "another user", Party(**{**base, "user": "Bob Example <bob@example.org>"})
    yield "the longest user name", Party(**{**base, "user": "u" * 255})
    yield "another session", Party(**{**base, "session": bytes(range(0xB0, 0xC0))})


def frames(party: Party) -> Iterator[dict[str, Any]]:
    audio = descriptor_of(1, 2, flags=0x02, temporal=1, priority=7)
    for ctr in (0, 7, 8, 255, 256, 65535, 65536, 2**24 - 1, 2**24, 2**32 - 1):
        yield party.frame(audio, ctr, f"frame {ctr}".encode())
    yield party.frame(descriptor_of(0, 0), 0, b"control")
    yield party.frame(descriptor_of(0, 0), 300, b"control")
    yield party.frame(descriptor_of(4, 1, flags=0x20), 1, b"message")
    yield party.frame(
        descriptor_of(2, 3, flags=0x05, temporal=7, spatial=3, priority=7), 9, bytes(range(256))
    )
    yield party.frame(descriptor_of(3, 4), 10, b"")
    yield party.frame(descriptor_of(5, 254, flags=0x01), 11, b"s")
    yield party.frame(descriptor_of(15, 255), 12, b"sixteen bytes...")


def descriptors() -> Iterator[dict[str, Any]]:
    for kind in (1, 2, 3, 5, 15):
        yield descriptor_of(kind, 2)
    for flag in (0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x7F):
        yield descriptor_of(2, 9, flags=flag)
    yield descriptor_of(2, 3, temporal=7)
    yield descriptor_of(2, 3, spatial=3)
    yield descriptor_of(2, 3, priority=7)
    yield descriptor_of(0, 0)
    yield descriptor_of(4, 1, flags=0x20)
    yield descriptor_of(1, 255)
    yield descriptor_of(4, 1, version=2)


def changed(frame: str, at: int, mask: int) -> str:
    data = bytearray.fromhex(frame)
    data[at] ^= mask
    return data.hex()


def sequence(party: Party) -> list[dict[str, str]]:
    """Frames that one receiver is given in this order, with what comes of each."""
    audio, video = descriptor_of(1, 2), descriptor_of(2, 3)
    first, second, third = (party.frame(audio, ctr, b"a")["frame"] for ctr in (9, 10, 300))
    wire, body = first[:8], party.frame(audio, 11, b"a")["frame"]
    long_counter = wire + "99" + "0200" + "000b" + body[16:]
    unused_key = party.frame({**audio, "stream": 9, "encoded": "11000009"}, 11, b"a")["frame"]
    return [
        {"frame": first, "expect": "opened", "why": "a first counter may be any"},
        {"frame": first, "expect": "Replayed", "why": "the same frame again"},
        {"frame": party.frame(audio, 8, b"a")["frame"], "expect": "Replayed", "why": "a lower counter"},
        {"frame": changed(third, -1, 1), "expect": "OpenFailed", "why": "tag changed"},
        {"frame": changed(third, -17, 1), "expect": "OpenFailed", "why": "ciphertext changed"},
        {
            "frame": changed(third, 8, 1),
            "expect": "OpenFailed",
            "why": "counter changed: 300 became 301 or 44",
        },
        {"frame": changed(third, 1, 1), "expect": "OpenFailed", "why": "descriptor changed: now a keyframe"},
        {"frame": changed(third, 2, 1), "expect": "OpenFailed", "why": "descriptor changed: priority"},
        {
            "frame": changed(third, 3, 1),
            "expect": "OpenFailed",
            "why": "stream changed: differs from the key id",
        },
        {"frame": changed(third, 1, 0x80), "expect": "OpenFailed", "why": "reserved flag"},
        {"frame": changed(third, 0, 0x30), "expect": "ClearTextRefused", "why": "version 2"},
        {"frame": changed(third, 0, 0x10), "expect": "OpenFailed", "why": "version 0"},
        {"frame": long_counter, "expect": "OpenFailed", "why": "counter 11 in two bytes"},
        {"frame": second[: 2 * 23], "expect": "OpenFailed", "why": "shorter than header and tag"},
        {"frame": second, "expect": "opened", "why": "no refusal moved the window"},
        {"frame": third, "expect": "opened", "why": "gaps are allowed"},
        {"frame": body, "expect": "Replayed", "why": "11 comes after 300"},
        {
            "frame": party.frame(video, 0, b"v")["frame"],
            "expect": "opened",
            "why": "each key id has its window",
        },
        {"frame": unused_key, "expect": "opened", "why": "another stream"},
    ]


KIDS = ((0, 0, 0), (0, 1, 0), (0, 15, 15), (1, 0, 0), (2, 3, 4), (2, 16, 0), (255, 2**32 - 1, 17))

REFUSED_DESCRIPTORS = {
    "": "empty",
    "110000": "cut short",
    "01000002": "version 0",
    "31000002": "version 3",
    "f1000002": "version 15",
    "16000002": "kind 6",
    "1e000002": "kind 14",
    "11800002": "reserved flag",
    "10000001": "control outside stream 0",
    "14000000": "message on stream 0",
    "14000002": "message outside stream 1",
    "11000000": "audio on stream 0",
    "11000001": "audio on stream 1",
}

REFUSED_HEADERS = {
    "": "empty",
    "08": "counter missing",
    "80": "key id missing",
    "9901": "key id cut short",
    "99010000": "counter cut short",
    "0807": "counter 7 in a byte",
    "8007": "key id 7 in a byte",
    "0900ff": "counter 255 in two bytes",
    "9000ff": "key id 255 in two bytes",
    "0f00ffffffffffffff": "counter with a leading zero",
}


def refused_hellos(alice: Party, other_app: Party, other_channel: Party) -> dict[str, str]:
    """Hellos that a member of alice's channel must refuse."""
    sent = alice.hello()["sent"]
    return {
        "": "empty",
        sent[:-128]: "no signature",
        changed(sent, -1, 1): "signature changed",
        changed(sent, 4, 1): "role changed",
        changed(sent, 12, 1): "user changed",
        changed(sent, 20, 1): "session changed",
        changed(sent, 3, 3): "version changed",
        sent + "00": "a byte left over",
        alice.hello(tail=b"x")["sent"]: "a byte left over, correctly signed",
        alice.hello(role=4)["sent"]: "unknown role, correctly signed",
        alice.hello(kem=1)["sent"]: "unknown key encapsulation, correctly signed",
        alice.hello(kem=0, kem_public=b"x")["sent"]: "a key without a mechanism, correctly signed",
        alice.hello(kem=0x20, kem_public=bytes(31))["sent"]: "a short X25519 key, correctly signed",
        other_app.hello()["sent"]: "signed for another app",
        other_channel.hello()["sent"]: "signed for another channel",
    }


def sender(name: str, party: Party, every: bool) -> dict[str, Any]:
    made = list(frames(party))
    return {
        "name": name,
        **{field: plain(value) for field, value in party.fields.items()},
        "ctx": party.ctx.hex(),
        "extracted": party.extracted.hex(),
        "base_key": party.base_key.hex(),
        "bind16": party.bind16.hex(),
        "hello": party.hello(),
        "frames": made if every else made[:3],
    }


def build() -> dict[str, Any]:
    named = dict(parties())
    alice = named["AES-128-GCM, epoch 0"]
    bad_hellos = refused_hellos(alice, named["another app"], named["another channel"])
    clear = descriptor_of(4, 1, version=2)
    return {
        "_about": {
            "what": "The sealcast/1 profile of SFrame (RFC 9605), see docs/encryption.md; bytes are hex.",
            "made_by": "tests/vectors/make_profile.py",
            "warning": "Keys and sessions here are public constants.",
        },
        "kids": [{"stream": s, "epoch": e, "step": r, "kid": kid_of(s, e, r)} for s, e, r in KIDS],
        "descriptors": list(descriptors()),
        "refused_descriptors": [{"encoded": data, "why": why} for data, why in REFUSED_DESCRIPTORS.items()],
        "refused_headers": [{"encoded": data, "why": why} for data, why in REFUSED_HEADERS.items()],
        "senders": [sender(name, party, i < 2) for i, (name, party) in enumerate(named.items())],
        "sequences": [{"sender": 0, "steps": sequence(alice)}],
        "clear": [{"descriptor": clear, "payload": b"hello".hex(), "frame": "24000001" + b"hello".hex()}],
        "refused_hellos": [{"sender": 0, "sent": data, "why": why} for data, why in bad_hellos.items()],
    }


def text() -> str:
    return json.dumps(build(), indent=1) + "\n"


if __name__ == "__main__":
    (HERE / "profile.json").write_text(text(), encoding="ascii")
