"""Controls: every field's type and size, against a table that stands here a second time on purpose."""

from __future__ import annotations

import dataclasses
import math
import traceback
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.protocol import controls
from sealcast.protocol.codes import REPLIES, Code, reply
from sealcast.protocol.controls import (
    CLIENT_CONTROL_MAX,
    CLIENT_CONTROLS,
    SERVER_CONTROL_MAX,
    SERVER_CONTROLS,
    Control,
    Direct,
    Directed,
    Error,
    Join,
    Joined,
    MemberInfo,
    MemberJoined,
    Ping,
    Renew,
    Side,
    decode,
    encode,
)
from sealcast.protocol.errors import LocalProtocolError, RemoteProtocolError
from sealcast.protocol.parts import Part

U32 = 2**32 - 1
U64 = 2**64 - 1

# --- what the documentation allows, written down independently of the dataclasses ---


@dataclass(frozen=True)
class Is:
    """One kind of field: values that fit, at the edges too, and values that do not."""

    good: tuple[Any, ...]
    bad: tuple[Any, ...]
    any: st.SearchStrategy[Any]
    optional: bool = False


NO_TEXT: tuple[Any, ...] = (b"x", 1, 1.5, True, [], ["x"], {}, {"x": "x"})
NO_BYTES: tuple[Any, ...] = ("x", 1, 1.5, True, [], [b"x"], {})
NO_NUMBER: tuple[Any, ...] = ("1", b"1", True, False, [], [1], {})
NO_ARRAY: tuple[Any, ...] = ("x", b"x", 1, True, {}, {"0": "x"})
NO_MAP: tuple[Any, ...] = ("x", b"x", 1, True, [], [["a", 1]])
WIDE = "ä" * 1000  # counted in characters, not in bytes


def text(most: int) -> Is:
    return Is(("", "x" * most, WIDE[:most]), (*NO_TEXT, "x" * (most + 1)), st.text(max_size=most))


def blob(most: int) -> Is:
    return Is((b"", b"x" * most), (*NO_BYTES, b"x" * (most + 1)), st.binary(max_size=most))


def whole(most: int) -> Is:
    over = most + 1 if most < U64 else -(2**63)
    return Is((0, 1, most), (*NO_NUMBER, -1, over, 1.0, math.nan), st.integers(0, most))


SECONDS = Is(
    (0, 0.5, 86400, U32, float(U32)),
    (*NO_NUMBER, -1, -0.5, U32 + 1, U64, math.nan, math.inf, -math.inf),
    st.integers(0, U32) | st.floats(0, U32),
)
TRUTH = Is((True, False), (0, 1, "true", b"", 1.0, [], {}), st.booleans())


def mapping(most: int, item: Is) -> Is:
    good = item.good[0]
    return Is(
        ({}, {"k" * 64: good}, {f"k{n}": good for n in range(most)}, *({"k": value} for value in item.good)),
        (*NO_MAP, {"k" * 65: good}, *({"k": value} for value in (*item.bad, None))),
        st.dictionaries(st.text(max_size=64), item.any, max_size=min(most, 8)),
    )


def array(most: int, item: Is) -> Is:
    good = item.good[0]
    return Is(
        ((), (good,) * most, *((value,) for value in item.good)),
        (*NO_ARRAY, *((value,) for value in (*item.bad, None))),
        st.lists(item.any, max_size=8).map(tuple),
    )


def maybe(field: Is) -> Is:
    return dataclasses.replace(field, optional=True)


MEMBER = Is(
    (
        {"member": 1, "user": "bob"},
        {"member": U32, "user": "x" * 255, "hello": b"x" * 3072},
        {"member": 0, "user": "", "hello": None, "a field of a newer server": [1]},
        {"member": 1, "user": "bob", "state": b"x" * 1024},
    ),
    (
        *NO_MAP,
        {},
        {"member": 1},
        {"user": "bob"},
        {"member": U32 + 1, "user": "bob"},
        {"member": True, "user": "bob"},
        {"member": 1, "user": "x" * 256},
        {"member": 1, "user": "bob", "hello": b"x" * 3073},
        {"member": 1, "user": "bob", "hello": "text"},
        {"member": 1, "user": "bob", "state": b"x" * 1025},
    ),
    st.fixed_dictionaries(
        {"member": st.integers(0, U32), "user": st.text(max_size=255)},
        optional={"hello": st.binary(max_size=64), "state": st.binary(max_size=64)},
    ),
)


def part(*needed: str, **fields: Is) -> Is:
    """A map of a list: all that fits in each field, and that a needed one must not be missing."""
    whole_one = {name: field.good[0] for name, field in fields.items() if name in needed}
    return Is(
        (
            whole_one,
            {name: field.good[-1] for name, field in fields.items()},
            {**whole_one, "a field of a newer server": [1]},
            *({**whole_one, name: None} for name in fields if name not in needed),
        ),
        (
            *NO_MAP,
            *({k: v for k, v in whole_one.items() if k != name} for name in needed),
            *({**whole_one, name: bad} for name, field in fields.items() for bad in field.bad),
        ),
        st.fixed_dictionaries(
            {name: field.any for name, field in fields.items() if name in needed},
            optional={name: field.any for name, field in fields.items() if name not in needed},
        ),
    )


MESSAGE = part(
    "offset",
    "member",
    "at",
    "data",
    offset=whole(U64),
    member=whole(U32),
    at=SECONDS,
    data=Is((b"", b"x" * 70_000), (*NO_BYTES,), st.binary(max_size=64)),
)
DEPARTURE = part("member", "reason", member=whole(U32), reason=text(64))
ITEM = part(
    "name",
    "value",
    "revision",
    "member",
    name=text(64),
    value=blob(4096),
    revision=whole(U64),
    member=whole(U32),
)
LOCK = part(
    "name",
    "fence",
    "user",
    "ttl",
    name=text(64),
    fence=whole(U64),
    user=text(255),
    ttl=SECONDS,
    member=whole(U32),
)
PLACE = part("epoch", "offset", epoch=text(64), offset=whole(U64))
RUN = Is((b"r" * 16,), (*NO_BYTES, b"", b"r" * 15, b"r" * 17), st.binary(min_size=16, max_size=16))

CHANNEL, USER, HELLO, GRANT = whole(U32), text(255), blob(3072), mapping(16, SECONDS)

FIELDS: dict[Side, dict[str, dict[str, Is]]] = {
    Side.CLIENT: {
        "join": {
            "channel": text(64),
            "user": USER,
            "token": maybe(text(2047)),
            "hello": maybe(HELLO),
            "since": maybe(PLACE),
            "run": maybe(RUN),
        },
        "leave": {"channel": CHANNEL},
        "renew": {"channel": CHANNEL, "token": text(2047)},
        "direct": {"channel": CHANNEL, "member": CHANNEL, "data": blob(4096)},
        "history": {
            "channel": CHANNEL,
            "limit": whole(256),
            "after": maybe(whole(U64)),
            "before": maybe(whole(U64)),
        },
        "presence": {"channel": CHANNEL},
        "state": {"channel": CHANNEL, "data": maybe(blob(1024))},
        "metadata": {"channel": CHANNEL},
        "set_metadata": {
            "channel": CHANNEL,
            "name": text(64),
            "value": maybe(blob(4096)),
            "revision": maybe(whole(U64)),
        },
        "lock": {"channel": CHANNEL, "name": text(64), "ttl": SECONDS, "take": maybe(TRUTH)},
        "unlock": {"channel": CHANNEL, "name": text(64)},
        "ping": {},
    },
    Side.SERVER: {
        "welcome": {
            "server": text(64),
            "node": text(64),
            "heartbeat": SECONDS,
            "limits": mapping(64, SECONDS),
            "features": maybe(array(64, text(64))),
        },
        "joined": {
            "channel": CHANNEL,
            "member": CHANNEL,
            "epoch": text(64),
            "offset": whole(U64),
            "members": array(1000, MEMBER),
            "grant": GRANT,
            "expires_in": SECONDS,
            "policy": mapping(16, text(64)),
            "recovered": maybe(TRUTH),
            "authors": maybe(array(1000, MEMBER)),
            "total": maybe(CHANNEL),
        },
        "left": {
            "channel": CHANNEL,
            "code": whole(4999),
            "name": text(64),
            "message": maybe(text(256)),
        },
        "renewed": {"channel": CHANNEL, "grant": GRANT, "expires_in": SECONDS},
        "ack": {"channel": CHANNEL, "offset": whole(U64), "repeated": maybe(TRUTH)},
        "directed": {"channel": CHANNEL, "member": CHANNEL, "data": blob(4096)},
        "sent": {"channel": CHANNEL},
        "error": {
            "code": whole(4999),
            "name": text(64),
            "message": text(256),
            "temporary": TRUTH,
            "retry_after": maybe(SECONDS),
            "channel": maybe(CHANNEL),
            "count": maybe(whole(U64)),
        },
        "member_joined": {"channel": CHANNEL, "member": CHANNEL, "user": USER, "hello": maybe(HELLO)},
        "member_left": {"channel": CHANNEL, "member": CHANNEL, "reason": text(64)},
        "token_expiring": {"channel": CHANNEL, "seconds": SECONDS},
        "dropped": {
            "channel": CHANNEL,
            "counts": mapping(16, whole(U64)),
            "reasons": maybe(mapping(16, whole(U64))),
        },
        "past": {
            "channel": CHANNEL,
            "epoch": text(64),
            "offset": whole(U64),
            "messages": array(256, MESSAGE),
            "authors": array(256, MEMBER),
            "more": maybe(TRUTH),
        },
        "present": {"channel": CHANNEL, "members": array(1000, MEMBER), "total": CHANNEL},
        "presence_changed": {
            "channel": CHANNEL,
            "joined": maybe(array(1000, MEMBER)),
            "left": maybe(array(1000, DEPARTURE)),
            "total": CHANNEL,
        },
        "member_state": {"channel": CHANNEL, "member": CHANNEL, "data": maybe(blob(1024))},
        "done": {"channel": CHANNEL, "revision": maybe(whole(U64))},
        "metadata_items": {
            "channel": CHANNEL,
            "revision": whole(U64),
            "items": maybe(array(256, ITEM)),
            "authors": maybe(array(256, MEMBER)),
            "locks": maybe(array(256, LOCK)),
        },
        "metadata_changed": {
            "channel": CHANNEL,
            "name": text(64),
            "value": maybe(blob(4096)),
            "revision": whole(U64),
            "member": CHANNEL,
        },
        "locked": {"channel": CHANNEL, "name": text(64), "fence": whole(U64), "ttl": SECONDS},
        "lock_changed": {
            "channel": CHANNEL,
            "name": text(64),
            "fence": whole(U64),
            "reason": text(64),
            "user": maybe(USER),
            "member": maybe(CHANNEL),
        },
        "drain": {"delay": SECONDS, "alternatives": maybe(array(16, text(256)))},
        "pong": {},
    },
}
CLASSES = {Side.CLIENT: CLIENT_CONTROLS, Side.SERVER: SERVER_CONTROLS}
EVERY = [(side, name) for side, table in FIELDS.items() for name in table]
EVERY_FIELD = [(side, name, field) for side, name in EVERY for field in FIELDS[side][name]]


def wire(name: Any, ref: Any, body: Any) -> bytes:
    return b"\0" + bytes(msgpack.packb([name, ref, body]))


def least(side: Side, name: str) -> dict[str, Any]:
    """A body with nothing that may be absent."""
    return {field: kind.good[0] for field, kind in FIELDS[side][name].items() if not kind.optional}


def refused(data: bytes, side: Side) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(data, side)
    return caught.value


def as_sent(value: Any) -> Any:
    """What a decoded field is on the wire."""
    if isinstance(value, Part):
        return {k: v for k, v in dataclasses.asdict(value).items() if v is not None}
    return tuple(map(as_sent, value)) if isinstance(value, tuple) else value


def as_read(value: Any) -> Any:
    """What is left of what was sent: nothing that is nil or not known here."""
    if isinstance(value, tuple):
        return tuple(map(as_read, value))
    if (isinstance(value, dict) and "a field of a newer server" in value) or (
        isinstance(value, dict) and None in value.values()
    ):
        return {k: v for k, v in value.items() if v is not None and k != "a field of a newer server"}
    return value


# --- the tables ---


def test_every_control_of_the_documentation_exists_with_exactly_its_fields() -> None:
    for side, table in FIELDS.items():
        assert set(CLASSES[side]) == set(table)
        for name, fields in table.items():
            assert name == CLASSES[side][name].NAME
            assert [item.name for item in dataclasses.fields(CLASSES[side][name])] == list(fields)


def test_no_name_is_a_control_of_both_sides() -> None:
    assert not set(CLIENT_CONTROLS) & set(SERVER_CONTROLS)


def test_every_control_of_the_module_is_in_a_table() -> None:
    public = [getattr(controls, name) for name in controls.__all__]
    classes = {item for item in public if isinstance(item, type) and issubclass(item, Control)}
    assert classes - {Control} == {*CLIENT_CONTROLS.values(), *SERVER_CONTROLS.values()}


def test_no_field_of_a_control_is_meant_for_a_key_or_a_secret() -> None:
    for side, name, field in EVERY_FIELD:
        assert not {"key", "secret", "plaintext", "password"} & set(field.split("_")), (side, name, field)


# --- fields ---


@pytest.mark.parametrize(("side", "name", "field"), EVERY_FIELD)
def test_a_field_takes_what_fits_up_to_the_edge(side: Side, name: str, field: str) -> None:
    for value in FIELDS[side][name][field].good:
        control, ref = decode(wire(name, 7, least(side, name) | {field: value}), side)
        assert ref == 7
        got = as_sent(getattr(control, field))
        value = as_read(value)
        assert got == value
        assert type(got) is type(value)


@pytest.mark.parametrize(("side", "name", "field"), EVERY_FIELD)
def test_a_field_of_a_wrong_type_or_size_refuses_the_request_by_its_ref(
    side: Side, name: str, field: str
) -> None:
    for value in FIELDS[side][name][field].bad:
        error = refused(wire(name, 7, least(side, name) | {field: value}), side)
        assert (error.code.name, error.ref, error.fatal) == ("bad_request", 7, False), value
        assert str(error) == f"{name}: {field} has a wrong type or size"


@pytest.mark.parametrize(("side", "name", "field"), EVERY_FIELD)
def test_absent_and_nil_mean_the_same(side: Side, name: str, field: str) -> None:
    absent = {key: value for key, value in least(side, name).items() if key != field}
    for body in (absent, absent | {field: None}):
        if FIELDS[side][name][field].optional:
            control, _ = decode(wire(name, 7, body), side)
            default = {f.name: f.default for f in dataclasses.fields(control)}[field]
            assert getattr(control, field) == default
            assert default in (None, False, "", ())
        else:
            error = refused(wire(name, 7, body), side)
            assert (error.code.name, error.ref) == ("bad_request", 7)
            assert str(error) == f"{name}: {field} is missing"


@pytest.mark.parametrize(
    ("side", "name", "field", "most"),
    [
        (Side.SERVER, "welcome", "features", 64),
        (Side.SERVER, "drain", "alternatives", 16),
        (Side.SERVER, "joined", "grant", 16),
        (Side.SERVER, "joined", "policy", 16),
        (Side.SERVER, "renewed", "grant", 16),
        (Side.SERVER, "dropped", "counts", 16),
        (Side.SERVER, "dropped", "reasons", 16),
    ],
)
def test_arrays_and_maps_are_refused_from_one_entry_over_their_limit(
    side: Side, name: str, field: str, most: int
) -> None:
    kind = FIELDS[side][name][field]
    one = next(value for value in kind.good if len(value) == 1)

    def sized(count: int) -> Any:
        if isinstance(one, dict):
            return {f"k{n}": next(iter(one.values())) for n in range(count)}
        return one * count

    decode(wire(name, 1, least(side, name) | {field: sized(most)}), side)
    error = refused(wire(name, 1, least(side, name) | {field: sized(most + 1)}), side)
    assert error.code.name == "bad_request"


def test_a_map_of_more_than_64_entries_is_no_control_at_all() -> None:
    body = least(Side.SERVER, "welcome") | {"limits": {f"k{n}": 1 for n in range(65)}}
    assert refused(wire("welcome", 0, body), Side.SERVER).fatal


@pytest.mark.parametrize(("side", "name"), EVERY)
def test_fields_of_a_newer_peer_are_ignored(side: Side, name: str) -> None:
    body = least(side, name)
    newer = body | {"colour": "blue", "nested": {"a": [1, {"b": None}]}}
    assert decode(wire(name, 1, newer), side) == decode(wire(name, 1, body), side)


def test_a_joined_lists_65536_members_and_no_more() -> None:
    def data(count: int) -> bytes:
        members = [{"member": n, "user": "u"} for n in range(count)]
        return wire("joined", 1, least(Side.SERVER, "joined") | {"members": members})

    control, _ = decode(data(65536), Side.SERVER)
    assert isinstance(control, Joined)
    assert len(control.members) == 65536
    assert refused(data(65537), Side.SERVER).fatal


# --- round trips ---


@st.composite
def any_control(draw: st.DrawFn, side: Side) -> Control:
    name = draw(st.sampled_from(sorted(FIELDS[side])))
    fields = FIELDS[side][name]
    present = [field for field, kind in fields.items() if not kind.optional or draw(st.booleans())]
    values = {field: draw(fields[field].any) for field in present}
    checks = {item.name: item.metadata["check"] for item in dataclasses.fields(CLASSES[side][name])}
    return CLASSES[side][name](**{field: checks[field](value) for field, value in values.items()})


@pytest.mark.parametrize("side", Side)
@given(st.data(), st.integers(0, U32))
def test_every_control_survives_the_round_trip(side: Side, data: st.DataObject, ref: int) -> None:
    control = data.draw(any_control(side))
    encoded = encode(control, ref)
    assert decode(encoded, side) == (control, ref)
    assert decode(memoryview(encoded), side) == (control, ref)
    other = Side.SERVER if side is Side.CLIENT else Side.CLIENT
    error = refused(encoded, other)
    assert error.fatal or error.code.name == "unknown_control"


@pytest.mark.parametrize("side", Side)
@given(st.data())
def test_optional_fields_that_are_none_take_no_bytes(side: Side, data: st.DataObject) -> None:
    control = data.draw(any_control(side))
    name, _, body = msgpack.unpackb(encode(control)[1:])
    assert name == control.NAME
    assert None not in body.values()


@pytest.mark.parametrize("code", REPLIES.values(), ids=str)
def test_an_error_of_a_code_says_what_the_table_says(code: Code) -> None:
    error = Error.of(code, retry_after=1.5, channel=3, count=4)
    assert (error.code, error.name, error.message) == (code.number, code.name, code.message)
    assert error.temporary is code.temporary
    assert (error.retry_after, error.channel, error.count) == (1.5, 3, 4)
    assert decode(encode(error, 1), Side.SERVER) == (error, 1)
    assert Error.of(code).to_body().keys() == {"code", "name", "message", "temporary"}


# --- hostile bytes ---


def outcome(data: bytes, side: Side) -> tuple[Control, int] | None:
    try:
        return decode(data, side)
    except RemoteProtocolError as error:
        known = {"protocol_error", "bad_request", "unknown_control"}
        assert error.code.name in known  # noqa: PT017
        assert 0 <= error.ref <= U32  # noqa: PT017
        return None


@pytest.mark.parametrize("side", Side)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_control_or_a_remote_error(side: Side, data: bytes, marked: bool) -> None:
    outcome(b"\0" * marked + data, side)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), U64)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("side", Side)
@given(st.data())
def test_any_values_in_the_places_of_a_control_are_one_or_a_remote_error(
    side: Side, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(FIELDS[side])) | plain)
    fields = sorted(FIELDS[side].get(name, {})) if isinstance(name, str) else []
    values = plain | st.sampled_from([1, "x", b"x", [], {}])
    body = data.draw(st.dictionaries(st.sampled_from([*fields, "other"]), values) | plain)
    outcome(wire(name, data.draw(st.integers(0, U32) | plain), body), side)


@pytest.mark.parametrize("side", Side)
@given(st.data())
def test_a_damaged_control_is_a_control_or_a_remote_error(side: Side, data: st.DataObject) -> None:
    encoded = bytearray(encode(data.draw(any_control(side)), 1))
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    outcome(bytes(encoded[: data.draw(st.integers(0, len(encoded)))]), side)
    outcome(bytes(encoded), side)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\1" + wire("ping", 1, {})[1:],
        b"\0",
        b"\0\xc0",
        b"\0\x93",
        wire("ping", 1, {}) + b"\xc0",
        wire("ping", 1, {})[:-1],
        b"\0" + bytes(msgpack.packb(["ping", 1])),
        b"\0" + bytes(msgpack.packb(["ping", 1, {}, None])),
        b"\0" + bytes(msgpack.packb({"ping": 1})),
        wire(b"ping", 1, {}),
        wire(None, 1, {}),
        wire(["ping"], 1, {}),
        wire("ping", -1, {}),
        wire("ping", U32 + 1, {}),
        wire("ping", U64, {}),
        wire("ping", True, {}),
        wire("ping", 1.0, {}),
        wire("ping", None, {}),
        wire("ping", 1, None),
        wire("ping", 1, []),
        wire("ping", 1, b""),
    ],
)
def test_what_is_not_a_name_a_ref_and_a_body_ends_the_connection(data: bytes) -> None:
    error = refused(data, Side.CLIENT)
    assert error.fatal
    assert error.code.name == "protocol_error"
    assert error.ref == 0


def test_an_unknown_name_refuses_the_request_by_its_ref() -> None:
    for name in ("shout", "", "JOIN", "pong"):
        error = refused(wire(name, 9, {}), Side.CLIENT)
        assert (error.code, error.ref) == (reply("unknown_control"), 9)


BODIES = {
    "a map inside a map, 5,000 deep": b"\x81\xa1a" * 5000,
    "arrays of 65,535 inside each other": b"\xdc\xff\xff" * 5000,
    "an array of four billion": b"\xdd\xff\xff\xff\xff" + b"\xc0" * 9000,
    "a map of four billion": b"\xdf\xff\xff\xff\xff" + b"\xa1a\xc0" * 3000,
    "text of four gigabytes": b"\xdb\xff\xff\xff\xff" + bytes(9000),
    "bytes of four gigabytes": b"\xc6\xff\xff\xff\xff" + bytes(9000),
    "an extension type": b"\x81\xa1a\xc7\x01\x05x",
    "a timestamp": b"\x81\xa1a\xd6\xff\0\0\0\1",
    "a key that stands twice": b"\x82\xa1a\x01\xa1a\x02",
    "a key that stands twice deep inside": b"\x81\xa1m\x91\x82\xa1a\x01\xa1a\x02",
    "a key of bytes": b"\x81\xc4\x01a\x01",
    "a number as a key": b"\x81\x07\x01",
    "text that is not UTF-8": b"\x81\xa1a\xa2\xff\xfe",
    "text with half a surrogate pair": b"\x81\xa1a\xa3\xed\xa0\x80",
    "65 entries": b"\xde\x00\x41" + b"".join(b"\xa3k%02d\xc0" % n for n in range(65)),
    "5,000 empty maps": b"\x81\xa1a\xdc\x13\x88" + b"\x80" * 5000,
    "30 arrays of 64": b"\x81\xa1a\xdc\x00\x1e" + (b"\xdc\x00\x40" + b"\xc0" * 64) * 30,
}


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("name", BODIES)
def test_a_bomb_ends_the_connection_before_it_has_cost_memory(side: Side, name: str) -> None:
    control = "ping" if side is Side.CLIENT else "pong"
    data = b"\0\x93\xa4" + control.encode() + b"\x01" + BODIES[name]
    assert len(data) <= CLIENT_CONTROL_MAX
    lawful_from_a_server = side is Side.SERVER and name in ("5,000 empty maps", "30 arrays of 64")
    tracemalloc.start()
    try:
        error = None if lawful_from_a_server and outcome(data, side) else refused(data, side)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error is None or error.fatal
    assert peak < 1_000_000


def test_a_hostile_server_costs_its_client_a_bounded_multiple_of_what_it_sends() -> None:
    entry = b"\x81\xa1k\xa8" + b"x" * 8
    data = b"\0\x93\xa4pong\x01\x81\xa1a\xdc" + (20000).to_bytes(2) + entry * 20000
    tracemalloc.start()
    try:
        assert decode(data, Side.SERVER)[0].NAME == "pong"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # 524,288 values are the most, which makes this 26 times as much at the very worst.
    assert peak < 50 * len(data), peak / len(data)


LIMITS = [(Side.CLIENT, CLIENT_CONTROL_MAX), (Side.SERVER, SERVER_CONTROL_MAX)]


@pytest.mark.parametrize(("side", "most"), LIMITS)
def test_a_control_may_be_as_large_as_its_side_s_limit_and_not_a_byte_larger(side: Side, most: int) -> None:
    name = "ping" if side is Side.CLIENT else "pong"
    filled = wire(name, 1, {"padding": b""})
    room = most - len(filled) - (1 if side is Side.CLIENT else 3)  # a longer length takes more bytes
    exact = wire(name, 1, {"padding": bytes(room)})
    assert len(exact) == most
    assert name == decode(exact, side)[0].NAME
    assert refused(wire(name, 1, {"padding": bytes(room + 1)}), side).fatal


# --- encoding what nobody would accept ---


def test_a_control_larger_than_any_peer_accepts_is_not_encoded() -> None:
    members = tuple(MemberInfo(member=n, user="u", hello=b"h" * 2048) for n in range(4200))
    joined = Joined(
        channel=1, member=1, epoch="e", offset=0, members=members, grant={}, expires_in=1, policy={}
    )
    with pytest.raises(LocalProtocolError, match="over 8388608"):
        encode(joined, 1)
    with pytest.raises(LocalProtocolError, match="over 16384"):
        encode(Join(channel="c", user="u", hello=b"h" * CLIENT_CONTROL_MAX), 1)


@pytest.mark.parametrize("ref", [-1, U32 + 1, 2**64])
def test_a_ref_that_is_no_u32_is_not_encoded(ref: int) -> None:
    with pytest.raises(LocalProtocolError, match="u32"):
        encode(Ping(), ref)


@pytest.mark.parametrize("user", ["\ud800", 2**64, object()])
def test_what_messagepack_cannot_say_is_a_local_error(user: Any) -> None:
    with pytest.raises(LocalProtocolError, match="cannot be encoded"):
        encode(Join(channel="c", user=user), 1)


# --- secrets ---

SECRET = "007eJxSECRET"
HELLO_SECRET = b"hello-SECRET"

SHOWN: list[Callable[[], object]] = [
    lambda: Join(channel="c", user="u", token=SECRET, hello=HELLO_SECRET),
    lambda: Renew(channel=1, token=SECRET),
    lambda: Direct(channel=1, member=1, data=HELLO_SECRET),
    lambda: Directed(channel=1, member=1, data=HELLO_SECRET),
    lambda: MemberInfo(member=1, user="u", hello=HELLO_SECRET),
    lambda: MemberJoined(channel=1, member=1, user="u", hello=HELLO_SECRET),
    lambda: Joined(
        channel=1,
        member=1,
        epoch="e",
        offset=0,
        members=(MemberInfo(member=1, user="u", hello=HELLO_SECRET),),
        grant={},
        expires_in=1,
        policy={},
    ),
]


@pytest.mark.parametrize("make", SHOWN)
def test_a_control_never_shows_a_token_a_hello_or_data(make: Callable[[], object]) -> None:
    control = make()
    for shown in (repr(control), str(control), f"{control}", repr([control])):
        assert "SECRET" not in shown
        assert type(control).__name__ in shown


@pytest.mark.parametrize(
    "data",
    [
        wire("join", 1, {"channel": "c", "user": "u", "token": SECRET * 200}),
        wire("join", 1, {"channel": "c", "user": "u", "token": SECRET.encode()}),
        wire("join", 1, {"channel": SECRET * 20, "user": "u"}),
        wire("join", 1, {"channel": "c", "user": "u", "hello": HELLO_SECRET * 300}),
        wire(SECRET, 1, {}),
        wire("join", 1, {SECRET: SECRET}),
        wire("join", 1, {"token": SECRET})[:-2],
        b"\0\x93\xa4join\x01\x81\xa9SECRET\xff\xff\xff\x01",
        b"\0\x93\xa4join\x01\x82\xa6SECRET\x01\xa6SECRET\x01",
    ],
)
def test_no_error_repeats_what_the_peer_sent(data: bytes) -> None:
    error = refused(data, Side.CLIENT)
    assert "SECRET" not in "".join(traceback.format_exception(error))
    assert "SECRET" not in repr(error)


@pytest.mark.parametrize("make", SHOWN)
def test_a_control_cannot_be_changed(make: Callable[[], Any]) -> None:
    control = make()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(control, dataclasses.fields(control)[0].name, 2)
