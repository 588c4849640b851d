"""A member written from docs/encryption.md and the vectors alone: no line of sealcast is in this process.

One JSON object a line comes in on standard input and one goes out for each: a hello, a frame to open, a
payload to seal. ``make_profile`` beside this file makes the vectors, and knows no more of the SDK.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from make_profile import Party, descriptor_of

SIGNED = 0x10
ALWAYS_SIGNED = (0, 4)


class Stranger:
    def __init__(self, suite: int, app_id: str, channel: str, secret: str) -> None:
        self.fields = {
            "suite": suite,
            "app_id": app_id,
            "channel": channel,
            "secret": bytes.fromhex(secret),
            "epoch": 0,
        }
        self.me = Party(**self.fields, user="stranger", session=os.urandom(16))
        self.seed = os.urandom(32)
        self.identity = Ed25519PrivateKey.from_private_bytes(self.seed)
        self.counters: dict[int, int] = {}

    def hello(self) -> str:
        return str(self.me.hello(seed=self.seed, challenge=os.urandom(8))["sent"])

    def meet(self, hello: bytes) -> str:
        body, signature = hello[:-64], hello[-64:]
        assert body[:4] == b"SCH1"
        length = int.from_bytes(body[7:9], "big")
        at = 9 + length
        user, session, key = body[9:at].decode(), body[at : at + 16], body[at + 16 : at + 48]
        self.other = Party(**self.fields, user=user, session=session)
        self.key = Ed25519PublicKey.from_public_bytes(key)
        self.key.verify(signature, b"sealcast/1 hello" + self.other.ctx + body)
        return user

    def seal(self, kind: int, stream: int, payload: bytes) -> str:
        counter = self.counters[stream] = self.counters.get(stream, -1) + 1
        signed = kind in ALWAYS_SIGNED
        descriptor = descriptor_of(kind, stream, SIGNED if signed else 0)
        if signed:
            header = self.me.frame(descriptor, counter, b"")["header"]
            payload = self.identity.sign(to_sign(self.me, descriptor["encoded"], header, payload)) + payload
        return str(self.me.frame(descriptor, counter, payload)["frame"])

    def open(self, frame: bytes) -> bytes:
        wire, config = frame[:4], frame[4]
        kid_size = (config >> 4 & 7) + 1 if config & 0x80 else 0
        counter_size = (config & 7) + 1 if config & 0x08 else 0
        end = 5 + kid_size + counter_size
        counter = int.from_bytes(frame[5 + kid_size : end], "big") if counter_size else config & 7
        descriptor = descriptor_of(
            wire[0] & 15, wire[3], wire[1], wire[2] >> 5, wire[2] >> 3 & 3, wire[2] & 7
        )
        own = self.other.frame(descriptor, counter, b"")
        assert own["header"] == frame[4:end].hex()
        key, nonce, aad = (bytes.fromhex(own[name]) for name in ("key", "nonce", "aad"))
        payload = AESGCM(key).decrypt(nonce, frame[end:], aad)
        if wire[1] & SIGNED:
            signature, payload = payload[:64], payload[64:]
            self.key.verify(signature, to_sign(self.other, wire.hex(), own["header"], payload))
        return payload


def to_sign(party: Party, descriptor: str, header: str, body: bytes) -> bytes:
    wire = bytes.fromhex(descriptor) + bytes.fromhex(header)
    return b"sealcast/1 sig" + party.bind16 + wire + hashlib.sha256(body).digest()


def answer(stranger: Stranger, asked: dict[str, Any]) -> dict[str, Any]:
    match asked:
        case {"meet": hello}:
            return {"user": stranger.meet(bytes.fromhex(hello)), "hello": stranger.hello()}
        case {"open": frame}:
            return {"payload": stranger.open(bytes.fromhex(frame)).hex()}
        case {"seal": payload, "kind": kind, "stream": stream}:
            return {"frame": stranger.seal(kind, stream, bytes.fromhex(payload))}
    raise ValueError(asked)


def main() -> None:
    assert not [name for name in sys.modules if name.startswith("sealcast")]
    stranger = Stranger(**json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        print(json.dumps(answer(stranger, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
