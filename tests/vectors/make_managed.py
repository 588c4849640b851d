"""Writes managed.json: golden values of managed keys, for clients in any language.

    python tests/vectors/make_managed.py

Certificates, wraps, acks and the ratchet, written down a second time from docs/managed-keys.md: HPKE
(RFC 9180) and X-Wing are done here by hand from hashes and bare ciphers, without a line of the SDK
and without the HPKE of a library. All keys here are constants and must never protect anything.

One thing cannot be made again: the encapsulation to an ML-KEM key is random. The one in the present
file is used again as long as it is good, so that the file stays the same.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FILE = Path(__file__).parent / "managed.json"
SUITES = {4: ("sha256", 32, 16), 5: ("sha512", 64, 32)}
X25519, X_WING = 0x0020, 0x647A
APP, CHANNEL = "0123456789abcdef0123456789abcdef", "standup"
NOW = 1_790_000_000


def u(size: int, value: int) -> bytes:
    return value.to_bytes(size, "big")


def lp16(data: bytes) -> bytes:
    return u(2, len(data)) + data


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def extract(algorithm: str, salt: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt, secret, algorithm)


def expand(algorithm: str, key: bytes, info: bytes, size: int) -> bytes:
    out, block, index = b"", b"", 0
    while len(out) < size:
        index += 1
        block = hmac.digest(key, block + info + bytes([index]), algorithm)
        out += block
    return out[:size]


def public(key: Ed25519PrivateKey | X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def ctx_of(app: str, channel: str) -> bytes:
    return sha256(b"sealcast/1 ctx" + lp16(app.encode()) + lp16(channel.encode()))


# HPKE (RFC 9180), base mode


def labeled_extract(suite_id: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return extract("sha256", salt, b"HPKE-v1" + suite_id + label + ikm)


def labeled_expand(suite_id: bytes, prk: bytes, label: bytes, info: bytes, size: int) -> bytes:
    return expand("sha256", prk, u(2, size) + b"HPKE-v1" + suite_id + label + info, size)


def dhkem(dh: bytes, enc: bytes, receiver: bytes) -> bytes:
    """The shared secret of DHKEM(X25519, HKDF-SHA256), §4.1."""
    suite_id = b"KEM" + u(2, X25519)
    prk = labeled_extract(suite_id, b"", b"eae_prk", dh)
    return labeled_expand(suite_id, prk, b"shared_secret", enc + receiver, 32)


def box_of(shared: bytes, kem: int, key_size: int, info: bytes, plaintext: bytes) -> bytes:
    """The key schedule of §5.1 and the first message of §5.2, with an empty aad."""
    suite_id = b"HPKE" + u(2, kem) + u(2, 1) + u(2, 1 if key_size == 16 else 2)
    context = b"\0" + b"".join(
        labeled_extract(suite_id, b"", label, value)
        for label, value in ((b"psk_id_hash", b""), (b"info_hash", info))
    )
    secret = labeled_extract(suite_id, shared, b"secret", b"")
    key = labeled_expand(suite_id, secret, b"key", context, key_size)
    nonce = labeled_expand(suite_id, secret, b"base_nonce", context, 12)
    return AESGCM(key).encrypt(nonce, plaintext, b"")


class XWing(NamedTuple):
    """A key pair of draft-connolly-cfrg-xwing-kem, from its seed."""

    mlkem: MLKEM768PrivateKey
    x25519: X25519PrivateKey

    @classmethod
    def of(cls, seed: bytes) -> XWing:
        expanded = hashlib.shake_256(seed).digest(96)
        return cls(
            MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
            X25519PrivateKey.from_private_bytes(expanded[64:]),
        )

    @property
    def public(self) -> bytes:
        return self.mlkem.public_key().public_bytes_raw() + public(self.x25519)

    def decapsulate(self, enc: bytes) -> bytes:
        mlkem_secret = self.mlkem.decapsulate(enc[:1088])
        x25519_secret = self.x25519.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
        label = b"\\.//^\\"
        return hashlib.sha3_256(
            mlkem_secret + x25519_secret + enc[1088:] + public(self.x25519) + label
        ).digest()


def ephemeral(seed: bytes) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(sha256(b"ephemeral" + seed))


def encapsulate(kem: int, seed: bytes, before: dict[str, str]) -> tuple[bytes, bytes, bytes]:
    """Return (public key of the seed, enc, shared secret)."""
    fleeting = ephemeral(seed)
    if kem == X25519:
        key = X25519PrivateKey.from_private_bytes(seed)
        enc = public(fleeting)
        return public(key), enc, dhkem(fleeting.exchange(key.public_key()), enc, public(key))
    pair = XWing.of(seed)
    known = before.get(pair.public.hex())
    if known is not None:
        enc = bytes.fromhex(known)
    else:
        _, ciphertext = pair.mlkem.public_key().encapsulate()
        enc = ciphertext + public(fleeting)
    return pair.public, enc, pair.decapsulate(enc)


# sealcast/1


class Party(NamedTuple):
    user: str
    session: bytes
    identity: Ed25519PrivateKey

    def encode(self) -> bytes:
        return lp16(self.user.encode()) + self.session + public(self.identity)

    def plain(self) -> dict[str, str]:
        return {
            "user": self.user,
            "session": self.session.hex(),
            "identity_private": self.identity.private_bytes_raw().hex(),
            "identity": public(self.identity).hex(),
        }


def party(user: str, number: int) -> Party:
    identity = Ed25519PrivateKey.from_private_bytes(sha256(b"identity of " + user.encode()))
    return Party(user, bytes(range(number, number + 16)), identity)


ALICE, BOB, CAROL = party("alice", 0x10), party("bob", 0x40), party("Carol <c@example.org>", 0x70)
AUTHORITY = Ed25519PrivateKey.from_private_bytes(sha256(b"authority"))
OTHER_AUTHORITY = Ed25519PrivateKey.from_private_bytes(sha256(b"another authority"))


def certificate(who: Party = ALICE, *, by: Ed25519PrivateKey = AUTHORITY, **changes: Any) -> bytes:
    fields = {
        "ctx": ctx_of(APP, CHANNEL),
        "user": who.user.encode(),
        "identity": public(who.identity),
        "roles": 1,
        "not_before": NOW - 300,
        "not_after": NOW + 3600,
        "magic": b"SCM1",
        "more": b"",
        "purpose": b"sealcast/1 member",
        **changes,
    }
    body = b"".join(
        (
            fields["magic"],
            fields["ctx"],
            lp16(fields["user"]),
            fields["identity"],
            u(1, fields["roles"]),
            u(8, fields["not_before"]),
            u(8, fields["not_after"]),
            fields["more"],
        )
    )
    return body + by.sign(fields["purpose"] + body)


def certificates() -> list[dict[str, Any]]:
    made = []
    for who, roles, begin, end in (
        (ALICE, 1, NOW - 300, NOW + 3600),
        (BOB, 0b1001, 0, 2**64 - 1),
        (CAROL, 0b0010, NOW, NOW + 1),
    ):
        sent = certificate(who, roles=roles, not_before=begin, not_after=end)
        made.append(
            {
                "app_id": APP,
                "channel": CHANNEL,
                "ctx": ctx_of(APP, CHANNEL).hex(),
                "user": who.user,
                "identity": public(who.identity).hex(),
                "roles": roles,
                "not_before": begin,
                "not_after": end,
                "certificate": sent.hex(),
            }
        )
    return made


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def refused_certificates() -> list[dict[str, str]]:
    good = certificate()
    cases = (
        (b"", "CertificateMissing", "none"),
        (good[:-1], "CertificateMalformed", "cut short"),
        (good[:63], "CertificateMalformed", "shorter than a signature"),
        (good + b"\0", "CertificateMalformed", "a byte left over"),
        (certificate(magic=b"SCM2"), "CertificateMalformed", "another version, correctly signed"),
        (certificate(more=b"\0"), "CertificateMalformed", "a byte more, correctly signed"),
        (certificate(roles=0), "CertificateMalformed", "no role, correctly signed"),
        (certificate(roles=0x11), "CertificateMalformed", "a role that does not exist, correctly signed"),
        (certificate(user=b"*"), "CertificateMalformed", "a user name that is none, correctly signed"),
        (
            certificate(not_before=NOW, not_after=NOW),
            "CertificateMalformed",
            "ends when it begins, correctly signed",
        ),
        (flipped(good, -1), "CertificateForged", "signature changed"),
        (flipped(good, 40), "CertificateForged", "user changed"),
        (flipped(good, -65), "CertificateForged", "end changed"),
        (certificate(by=OTHER_AUTHORITY), "CertificateForged", "signed by another authority"),
        (certificate(by=ALICE.identity), "CertificateForged", "signed by its bearer"),
        (certificate(purpose=b"sealcast/1 hello"), "CertificateForged", "signed for another purpose"),
        (certificate(ctx=ctx_of(APP, "other")), "CertificateOfChannel", "another channel"),
        (certificate(ctx=ctx_of("f" * 32, CHANNEL)), "CertificateOfChannel", "another app"),
        (certificate(user=b"mallory"), "CertificateOfUser", "another user"),
        (certificate(identity=public(BOB.identity)), "CertificateOfIdentity", "another identity key"),
        (certificate(roles=2), "CertificateOfRole", "a gateway's"),
        (certificate(not_before=NOW + 1), "CertificateNotYetValid", "a second too early"),
        (certificate(not_after=NOW), "CertificateExpired", "this second is no longer in it"),
    )
    return [{"certificate": data.hex(), "error": error, "why": why} for data, error, why in cases]


class Wrap(NamedTuple):
    suite: int
    kem: int
    epoch: int
    step: int
    sender: Party
    receiver: Party
    kem_seed: bytes

    @property
    def base_key(self) -> bytes:
        return hashlib.shake_256(b"base" + self.kem_seed).digest(SUITES[self.suite][1])

    def info(self, kem_public: bytes, **changes: Any) -> bytes:
        fields = {"ctx": ctx_of(APP, CHANNEL), "grant": 0, **self._asdict(), **changes}
        return b"".join(
            (
                b"sealcast/1 wrap",
                fields["ctx"],
                u(1, fields["grant"]),
                u(2, fields["suite"]),
                u(4, fields["epoch"]),
                u(1, fields["step"]),
                fields["sender"].encode(),
                fields["receiver"].encode(),
                u(2, fields["kem"]),
                lp16(kem_public),
            )
        )

    def make(self, before: dict[str, str], **changes: Any) -> dict[str, Any]:
        """Make the wrap; *changes* go into the info only: what a forger would have signed."""
        _, key_size = SUITES[self.suite][1:]
        kem_public, enc, shared = encapsulate(self.kem, self.kem_seed, before)
        signer = changes.pop("signer", self.sender.identity)
        plaintext = changes.pop("plaintext", self.base_key)
        grant = changes.get("grant", 0)
        info = self.info(kem_public, **changes)
        box = enc + box_of(shared, self.kem, key_size, info, plaintext)
        signature = signer.sign(b"sealcast/1 wrap-sig" + sha256(info) + sha256(box))
        head = u(1, grant) + u(4, self.epoch) + u(1, self.step)
        return {
            "suite": self.suite,
            "kem": self.kem,
            "epoch": self.epoch,
            "step": self.step,
            "sender": self.sender.plain(),
            "receiver": self.receiver.plain(),
            "kem_seed": self.kem_seed.hex(),
            "kem_public": kem_public.hex(),
            "base_key": plaintext.hex(),
            "info": info.hex(),
            "enc": enc.hex(),
            "box": box.hex(),
            "wrap": (head + signature + box).hex(),
            "direct": (b"\x01" + head + signature + box).hex(),
        }


def wraps(before: dict[str, str]) -> list[dict[str, Any]]:
    return [
        Wrap(suite, kem, epoch, step, sender, receiver, sha256(f"kem {index}".encode())).make(before)
        for index, (suite, kem, epoch, step, sender, receiver) in enumerate(
            (
                (4, X25519, 0, 0, ALICE, BOB),
                (4, X25519, 2**32 - 1, 15, BOB, CAROL),
                (5, X25519, 3, 1, ALICE, CAROL),
                (4, X_WING, 7, 0, ALICE, BOB),
                (5, X_WING, 20, 9, CAROL, ALICE),
            )
        )
    ]


def refused_wraps(before: dict[str, str]) -> list[dict[str, str]]:
    """What bob, with the first wrap's keys, must refuse from alice."""
    template = Wrap(4, X25519, 0, 0, ALICE, BOB, sha256(b"kem 0"))
    good = bytes.fromhex(template.make(before)["wrap"])

    def other(**changes: Any) -> bytes:
        return bytes.fromhex(template.make(before, **changes)["wrap"])

    later = ALICE._replace(session=CAROL.session)
    unopenable = template._replace(kem_seed=sha256(b"kem of nobody")).make(before)
    info = template.info(bytes.fromhex(template.make(before)["kem_public"]))
    box = bytes.fromhex(unopenable["box"])
    signature = ALICE.identity.sign(b"sealcast/1 wrap-sig" + sha256(info) + sha256(box))
    cases = (
        (b"", "WrapMalformed", "empty"),
        (good[:-1], "WrapMalformed", "cut short"),
        (good + b"\0", "WrapMalformed", "a byte left over"),
        (other(plaintext=bytes(31)), "WrapMalformed", "a key that is a byte short"),
        (other(grant=1), "WrapMalformed", "grant 1, which is reserved"),
        (flipped(good, 0), "WrapMalformed", "grant changed"),
        (good[:5] + b"\x10" + good[6:], "WrapMalformed", "step 16"),
        (flipped(good, 4), "WrapForged", "epoch changed"),
        (flipped(good, 5), "WrapForged", "step changed"),
        (flipped(good, 6), "WrapForged", "signature changed"),
        (flipped(good, 70), "WrapForged", "encapsulation changed"),
        (flipped(good, -1), "WrapForged", "tag changed"),
        (other(signer=CAROL.identity), "WrapForged", "signed by carol"),
        (other(sender=later), "WrapForged", "from another session of alice"),
        (other(receiver=CAROL), "WrapForged", "for carol"),
        (other(receiver=BOB._replace(session=CAROL.session)), "WrapForged", "for another session of bob"),
        (other(ctx=ctx_of(APP, "other")), "WrapForged", "for another channel"),
        (other(suite=5), "WrapForged", "for another suite"),
        (other(kem=X_WING), "WrapForged", "for another key encapsulation"),
        (good[:6] + signature + box, "WrapUnopened", "signed, and sealed to a key that bob does not have"),
    )
    return [{"wrap": data.hex(), "error": error, "why": why} for data, error, why in cases]


def ratchets() -> list[dict[str, Any]]:
    made = []
    for suite, (algorithm, size, _) in SUITES.items():
        keys = [hashlib.shake_256(b"ratchet").digest(size)]
        while len(keys) < 16:
            secret = extract(algorithm, b"", keys[-1])
            keys.append(expand(algorithm, secret, b"SFrame 1.0 Ratchet", size))
        made.append({"suite": suite, "steps": [key.hex() for key in keys]})
    return made


def build() -> dict[str, Any]:
    before = {}
    if FILE.exists():
        before = {wrap["kem_public"]: wrap["enc"] for wrap in json.loads(FILE.read_text())["wraps"]}
    return {
        "_about": {
            "what": "Managed keys of sealcast/1, see docs/managed-keys.md; bytes are hex.",
            "made_by": "tests/vectors/make_managed.py",
            "warning": "All keys are public constants.",
        },
        "authority_private": AUTHORITY.private_bytes_raw().hex(),
        "authority": public(AUTHORITY).hex(),
        "now": NOW,
        "certificates": certificates(),
        "refused_certificates": refused_certificates(),
        "wraps": wraps(before),
        "refused_wraps": refused_wraps(before),
        "acks": [
            {"epoch": epoch, "step": step, "direct": (b"\x02" + u(4, epoch) + u(1, step)).hex()}
            for epoch, step in ((0, 0), (1, 15), (2**32 - 1, 3))
        ],
        "refused_directs": [
            {"direct": data, "why": why}
            for data, why in (
                ("", "empty"),
                ("00", "type 0"),
                ("0300000000", "type 3"),
                ("0200000001", "an ack without its step"),
                ("02000000010000", "an ack with a byte left over"),
                ("020000000110", "an ack of step 16"),
                ("01" + "00" * 4096, "longer than 4096 bytes"),
            )
        ],
        "ratchets": ratchets(),
    }


def text() -> str:
    return json.dumps(build(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="ascii")
