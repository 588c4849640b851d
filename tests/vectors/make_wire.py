"""Writes wire.json: golden bytes of sealcast.1, for clients in any language.

    python tests/vectors/make_wire.py

This is the wire written down a second time: straight from docs/protocol.md, with a MessagePack encoder
of its own and without a line of sealcast. The tests compare the two.

In a body, ``{"hex": "…"}`` stands for bytes and ``{"u64": "…"}`` for a number that JSON readers round.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Json = dict[str, Any]

ABOUT = {
    "what": "Golden bytes of sealcast.1, see docs/protocol.md. Every hex is a whole WebSocket message.",
    "made_by": "tests/vectors/make_wire.py",
    "bodies": "{'hex': …} is bytes, {'u64': …} a number beyond 2^53; a field that is null is left out.",
    "controls": "Decode hex to (name, ref, body), and encode those to the same hex: fields in this order.",
    "accepted": "Other encodings of the same thing: decode only.",
    "refused": "Decode fails. A code below 4000 answers under ref, 4000 and above ends the connection.",
}


# --- MessagePack, as much as is needed, in its shortest form ---


def pack(value: Any) -> bytes:
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return pack_integer(value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return head(len(text), (32, 0xA0), (1 << 8, 0xD9), (1 << 16, 0xDA)) + text
    if isinstance(value, list):
        return head(len(value), (16, 0x90), (1 << 16, 0xDC)) + b"".join(map(pack, value))
    if set(value) == {"hex"}:
        data = bytes.fromhex(value["hex"])
        return head(len(data), (0, 0), (1 << 8, 0xC4), (1 << 16, 0xC5)) + data
    if set(value) == {"u64"}:
        return pack_integer(int(value["u64"]))
    entries = b"".join(pack(key) + pack(item) for key, item in value.items())
    return head(len(value), (16, 0x80), (1 << 16, 0xDE)) + entries


def pack_integer(value: int) -> bytes:
    assert value >= 0, "no field of sealcast.1 is negative"
    if value < 128:
        return bytes([value])
    size = next(size for size in (1, 2, 4, 8) if value < 1 << 8 * size)
    return bytes([{1: 0xCC, 2: 0xCD, 4: 0xCE, 8: 0xCF}[size]]) + value.to_bytes(size, "big")


def head(length: int, short: tuple[int, int], *longer: tuple[int, int]) -> bytes:
    if length < short[0]:
        return bytes([short[1] | length])
    most, mark = next(pair for pair in longer if length < pair[0])
    return bytes([mark]) + length.to_bytes(1 if most == 1 << 8 else 2, "big")


def control(name: str, ref: int, body: Any) -> str:
    return (b"\0" + pack([name, ref, body])).hex()


# --- what stands in the file ---

D = "14000001"
HELLO = {"hex": "0100" + "5a" * 30}
TOKEN = "007" + "eJxTYBB" * 40
GRANT = {"audio": 3600, "video": 0.5, "data": 86400}

CLIENT: list[tuple[str, int, Json]] = [
    ("join", 1, {"channel": "standup", "user": "alice", "token": TOKEN, "hello": HELLO}),
    ("join", 2, {"channel": "a", "user": "b"}),
    ("join", 2**32 - 1, {"channel": "c" * 64, "user": "u" * 255, "token": "t" * 2047}),
    ("leave", 3, {"channel": 17}),
    ("renew", 128, {"channel": 65536, "token": TOKEN}),
    ("direct", 5, {"channel": 17, "member": 2, "data": {"hex": "c0ffee"}}),
    (
        "join",
        6,
        {
            "channel": "a",
            "user": "b",
            "since": {"epoch": "5f2c9a01", "offset": 12},
            "run": {"hex": "000102030405060708090a0b0c0d0e0f"},
        },
    ),
    ("history", 7, {"channel": 17, "limit": 100, "after": 12}),
    ("history", 8, {"channel": 17, "limit": 256, "after": 0, "before": {"u64": str(2**53 + 1)}}),
    ("presence", 9, {"channel": 17}),
    ("state", 10, {"channel": 17, "data": {"hex": "c0ffee"}}),
    ("state", 11, {"channel": 17}),
    ("metadata", 12, {"channel": 17}),
    ("set_metadata", 13, {"channel": 17, "name": "topic", "value": {"hex": "c0ffee"}, "revision": 0}),
    ("set_metadata", 14, {"channel": 17, "name": "topic"}),
    ("lock", 15, {"channel": 17, "name": "floor", "ttl": 30, "take": True}),
    ("unlock", 16, {"channel": 17, "name": "floor"}),
    ("ping", 65535, {}),
]
SERVER: list[tuple[str, int, Json]] = [
    (
        "welcome",
        0,
        {
            "server": "sealcast/0.1.0",
            "node": "n1",
            "heartbeat": 25,
            "limits": {"frame": 65536, "message": 65536, "control": 16384, "unauthenticated": 12.5},
            "features": ["history", "presence"],
        },
    ),
    (
        "joined",
        1,
        {
            "channel": 17,
            "member": 3,
            "epoch": "5f2c9a01",
            "offset": {"u64": str(2**64 - 1)},
            "members": [{"member": 1, "user": "bob", "hello": HELLO}, {"member": 2, "user": "carol"}],
            "grant": GRANT,
            "expires_in": 3599.25,
            "policy": {"encryption": "required"},
            "recovered": True,
            "authors": [{"member": 4, "user": "dave", "hello": HELLO}],
            "total": 3,
        },
    ),
    (
        "joined",
        2,
        {
            "channel": 0,
            "member": 2**32 - 1,
            "epoch": "",
            "offset": 0,
            "members": [{"member": n, "user": f"user-{n}"} for n in range(1, 18)],
            "grant": {},
            "expires_in": 1,
            "policy": {},
            "recovered": False,
            "authors": [],
            "total": 18,
        },
    ),
    ("left", 3, {"channel": 17, "code": 4500, "name": "left", "message": ""}),
    (
        "left",
        0,
        {"channel": 17, "code": 4507, "name": "kicked", "message": "an operator removed this member"},
    ),
    ("renewed", 128, {"channel": 65536, "grant": {"audio": 60}, "expires_in": 60}),
    ("renewed", 0, {"channel": 17, "grant": {"data": 59.5}, "expires_in": 59.5}),
    ("directed", 0, {"channel": 17, "member": 3, "data": {"hex": "00" * 300}}),
    ("sent", 5, {"channel": 17}),
    ("ack", 4, {"channel": 17, "offset": {"u64": str(2**53 + 1)}, "repeated": False}),
    ("ack", 5, {"channel": 17, "offset": 2, "repeated": True}),
    (
        "past",
        7,
        {
            "channel": 17,
            "epoch": "5f2c9a01",
            "offset": 14,
            "messages": [{"offset": 13, "member": 4, "at": 1795000000.25, "data": {"hex": D + "cd" * 20}}],
            "authors": [{"member": 4, "user": "dave", "hello": HELLO}],
            "more": True,
        },
    ),
    (
        "present",
        9,
        {"channel": 17, "members": [{"member": 1, "user": "bob", "state": {"hex": "c0ffee"}}], "total": 2},
    ),
    (
        "presence_changed",
        0,
        {
            "channel": 17,
            "joined": [{"member": 1, "user": "bob"}],
            "left": [{"member": 2, "reason": "connection_lost"}],
            "total": 65,
        },
    ),
    ("member_state", 0, {"channel": 17, "member": 2, "data": {"hex": "c0ffee"}}),
    ("member_state", 0, {"channel": 17, "member": 2}),
    ("done", 13, {"channel": 17, "revision": 5}),
    (
        "metadata_items",
        12,
        {
            "channel": 17,
            "revision": 5,
            "items": [{"name": "topic", "value": {"hex": "c0ffee"}, "revision": 5, "member": 2}],
            "authors": [{"member": 2, "user": "carol", "hello": HELLO}],
            "locks": [
                {"name": "floor", "fence": {"u64": str(2**41)}, "user": "carol", "ttl": 12.5, "member": 2},
                {"name": "pen", "fence": 1, "user": "dave", "ttl": 1},
            ],
        },
    ),
    (
        "metadata_changed",
        0,
        {"channel": 17, "name": "topic", "value": {"hex": "c0ffee"}, "revision": 5, "member": 2},
    ),
    ("metadata_changed", 0, {"channel": 17, "name": "topic", "revision": 6, "member": 2}),
    ("locked", 15, {"channel": 17, "name": "floor", "fence": {"u64": str(2**41)}, "ttl": 30}),
    (
        "lock_changed",
        0,
        {"channel": 17, "name": "floor", "fence": 7, "reason": "acquired", "user": "carol", "member": 2},
    ),
    ("lock_changed", 0, {"channel": 17, "name": "floor", "fence": 7, "reason": "expired"}),
    (
        "error",
        5,
        {
            "code": 107,
            "name": "rate_limited",
            "message": "too many requests; wait `retry_after` seconds",
            "temporary": True,
            "retry_after": 1.5,
        },
    ),
    (
        "error",
        0,
        {
            "code": 131,
            "name": "counter_repeated",
            "message": "the SFrame counter did not grow for this key; the frame was dropped",
            "temporary": False,
            "channel": 17,
            "count": 42,
        },
    ),
    ("member_joined", 0, {"channel": 17, "member": 4, "user": "dave", "hello": HELLO}),
    ("member_joined", 0, {"channel": 17, "member": 5, "user": "x"}),
    ("member_left", 0, {"channel": 17, "member": 4, "reason": "connection_lost"}),
    ("token_expiring", 0, {"channel": 17, "seconds": 30}),
    ("dropped", 0, {"channel": 17, "counts": {"video": 300, "audio": 2}}),
    (
        "dropped",
        0,
        {"channel": 17, "counts": {"video": 3, "data": 1}, "reasons": {"keyframe": 2, "room": 1, "age": 1}},
    ),
    ("drain", 0, {"delay": 2.5, "alternatives": ["wss://b.example/v1"]}),
    ("drain", 0, {"delay": 0, "alternatives": []}),
    ("pong", 65535, {}),
]

JOIN: Json = {"channel": "c", "user": "u"}
PING = "a4 70696e67"
NIL_TOKEN = "6a6f696e 07 83 a7 6368616e6e656c a1 63 a4 75736572 a1 75 a5 746f6b656e c0"
LONGEST = "00 dd 00000003 db 00000004 70696e67 07 df 00000000"
DRAIN = "00 93 a5 647261696e 00 81 a5 64656c6179"

ACCEPTED: list[tuple[str, str, str, str, int, Json]] = [
    ("client", "a ref in a longer form", f"00 93 {PING} ce 00000007 80", "ping", 7, {}),
    ("client", "a ref in its longest form", f"00 93 {PING} cf 0000000000000007 80", "ping", 7, {}),
    ("client", "text, array and map in their longest form", LONGEST, "ping", 7, {}),
    ("client", "a field of a newer client", f"00 93 {PING} 07 81 a3 6e6577 91 c0", "ping", 7, {}),
    ("client", "nil for what may be absent", f"00 93 a4 {NIL_TOKEN}", "join", 7, JOIN),
    ("server", "a double for whole seconds", f"{DRAIN} cb 4000000000000000", "drain", 0, {"delay": 2}),
    ("server", "a single for seconds", f"{DRAIN} ca 3f000000", "drain", 0, {"delay": 0.5}),
]

NAN, INFINITY = "cb 7ff8000000000000", "cb 7ff0000000000000"
LEAVE = "00 93 a5 6c65617665 07 81 a7 6368616e6e656c"

BAD, FATAL = ("bad_request", 7), ("protocol_error", 0)

REFUSED: list[tuple[str, str, str, str, int]] = [
    ("client", "no name of this protocol", control("shout", 7, {}), "unknown_control", 7),
    ("client", "a control of the other side", control("pong", 7, {}), "unknown_control", 7),
    ("client", "a field is missing", control("leave", 7, {}), *BAD),
    ("client", "nil for a field that must be there", control("leave", 7, {"channel": None}), *BAD),
    ("client", "a bool for a number", control("leave", 7, {"channel": True}), *BAD),
    ("client", "a double for a whole number", control("leave", 7, {"channel": 1.0}), *BAD),
    ("client", "a number over u32", control("leave", 7, {"channel": 2**32}), *BAD),
    ("client", "a negative number", LEAVE + "ff", *BAD),
    ("client", "text for a number", control("leave", 7, {"channel": "1"}), *BAD),
    ("client", "text for bytes", control("join", 7, JOIN | {"hello": "h"}), *BAD),
    ("client", "bytes for text", control("join", 7, JOIN | {"channel": {"hex": "63"}}), *BAD),
    ("client", "text over its limit", control("join", 7, JOIN | {"channel": "c" * 65}), *BAD),
    ("server", "seconds that are no number", DRAIN + NAN, "bad_request", 0),
    ("server", "seconds without an end", DRAIN + INFINITY, "bad_request", 0),
    ("client", "a ref over u32", f"00 93 {PING} cf 0000000100000000 80", *FATAL),
    ("client", "a negative ref", f"00 93 {PING} ff 80", *FATAL),
    ("client", "no body", f"00 92 {PING} 07", *FATAL),
    ("client", "a body that is no map", f"00 93 {PING} 07 c0", *FATAL),
    ("client", "cut short", f"00 93 {PING} 07", *FATAL),
    ("client", "bytes after the end", f"00 93 {PING} 07 80 c0", *FATAL),
    ("client", "nothing after the type", "00", *FATAL),
    ("client", "a key that stands twice", f"00 93 {PING} 07 82 a1 61 01 a1 61 01", *FATAL),
    ("client", "a key that is a number", f"00 93 {PING} 07 81 01 01", *FATAL),
    ("client", "a key that is bytes", f"00 93 {PING} 07 81 c4 01 61 01", *FATAL),
    ("client", "an extension type", f"00 93 {PING} 07 81 a1 61 d4 05 00", *FATAL),
    ("client", "a timestamp", f"00 93 {PING} 07 81 a1 61 d6 ff 00000000", *FATAL),
    ("client", "text that is not UTF-8", f"00 93 {PING} 07 81 a1 61 a1 ff", *FATAL),
    ("client", "an array of four billion", f"00 93 {PING} 07 81 a1 61 dd ffffffff", *FATAL),
    ("client", "65 items", control("ping", 7, {"a": [None] * 65}), *FATAL),
    ("client", "65 entries", control("ping", 7, {f"k{n}": None for n in range(65)}), *FATAL),
    ("client", "over 1024 values", control("ping", 7, {"a": [[None] * 64] * 16}), *FATAL),
    ("client", "over 16 KiB", control("ping", 7, {"a": "x" * 16384}), *FATAL),
]

U32, U64 = 2**32 - 1, 2**64 - 1
ENVELOPES = [
    ("frame", 17, 2, 0, "11008002" + "ab" * 20),
    ("frame", 0, 0, 0, "11000002"),
    ("frame", U32, U32, 0, "2f400002" + "00"),
    ("message", 17, 2, 7, D + "cd" * 20),
    ("message", U32, 1, U32, D),
    ("delivered", 17, 2, 1, D + "cd" * 20),
    ("delivered", 1, U32, U64, D + "00"),
]
BAD_ENVELOPES = [
    ("", "protocol_error", "nothing at all"),
    ("04000000 00000011 00000002 14000001", "protocol_error", "an unknown type"),
    ("ff000000 00000011 00000002 14000001", "protocol_error", "an unknown type"),
    ("01", "bad_frame", "a type alone"),
    ("01000000 00000011 00000002 140000", "bad_frame", "a frame without the whole of D"),
    ("02000000 00000011 00000002 00000007", "bad_frame", "a message without D"),
    ("03000000 00000011 00000002 00000000 00000001", "bad_frame", "a delivered message without D"),
    ("01000001 00000011 00000002 14000001", "bad_frame", "reserved bytes that are not zero"),
    ("02010000 00000011 00000002 00000007 14000001", "bad_frame", "reserved bytes that are not zero"),
]
ROUTE_KEYS = [(0, 0), (17, 2), (2, 17), (U32, 1), (U32, U32)]


def envelope(kind: str, channel: int, member: int, number: int, sealed: str) -> Json:
    mark, width = {"frame": (1, 0), "message": (2, 4), "delivered": (3, 8)}[kind]
    start = 12 + width
    data = bytes([mark, 0, 0, 0]) + struct.pack(">II", channel, member) + number.to_bytes(width, "big")
    assert len(data) == start
    shown: Any = number if number <= 2**53 else {"u64": str(number)}
    return {
        "type": kind,
        "channel": channel,
        "member": member,
        "number": shown,
        "start": start,
        "sealed": sealed,
        "hex": data.hex() + sealed,
    }


def document() -> Json:
    return {
        "_about": ABOUT,
        "controls": [
            {"from": side, "name": name, "ref": ref, "body": body, "hex": control(name, ref, body)}
            for side, table in (("client", CLIENT), ("server", SERVER))
            for name, ref, body in table
        ],
        "accepted": [
            {"from": side, "why": why, "hex": squeezed(text), "name": name, "ref": ref, "body": body}
            for side, why, text, name, ref, body in ACCEPTED
        ],
        "refused": [
            {"from": side, "why": why, "hex": squeezed(text), "code": code, "ref": ref}
            for side, why, text, code, ref in REFUSED
        ],
        "envelopes": [envelope(*row) for row in ENVELOPES],
        "refused_envelopes": [
            {"why": why, "hex": squeezed(text), "code": code} for text, code, why in BAD_ENVELOPES
        ],
        "route_keys": [
            {"channel": channel, "member": member, "hex": struct.pack(">II", channel, member).hex()}
            for channel, member in ROUTE_KEYS
        ],
    }


def squeezed(text: str) -> str:
    return bytes.fromhex(text).hex()


def written() -> str:
    return json.dumps(document(), indent=1) + "\n"


if __name__ == "__main__":
    (HERE / "wire.json").write_text(written(), encoding="utf-8")
