"""Building tokens, the services in them, and names with wildcards."""

import base64
import dataclasses
import re
import time
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealcast.protocol.errors import InvalidName, TokenMalformed
from sealcast.protocol.names import Privilege
from sealcast.protocol.token_bytes import Reader
from sealcast.protocol.token_services import SERVICE_TYPES, is_wildcard, read_services
from sealcast.protocol.tokens import (
    PAYLOAD_MAX,
    SERVICES_MAX,
    TEXT_MAX,
    AccessToken,
    ChatService,
    ConvoAiService,
    EducationService,
    FcdnService,
    FpaService,
    FrozenMap,
    RtcService,
    Rtm2Access,
    Rtm2Resource,
    Rtm2Service,
    RtmService,
    Service,
    StreamingService,
    SttService,
    name_matches,
    parse,
)

APP = "0123456789abcdef0123456789abcdef"
CERTIFICATE = "fedcba9876543210fedcba9876543210"

names = st.text(max_size=20)
rights = st.dictionaries(st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), max_size=5)
permissions = st.dictionaries(
    st.integers(0, 0xFFFF),
    st.dictionaries(st.integers(0, 0xFFFF), st.lists(names, max_size=3).map(tuple), max_size=3),
    max_size=3,
)
services = st.one_of(
    *(st.builds(kind, privileges=rights) for kind in (FpaService, ConvoAiService, SttService)),
    *(st.builds(kind, privileges=rights, user=names) for kind in (RtmService, ChatService)),
    *(
        st.builds(kind, privileges=rights, channel=names, user=names)
        for kind in (RtcService, StreamingService, FcdnService)
    ),
    st.builds(EducationService, privileges=rights, room=names, user=names, role=st.integers(-0x8000, 0x7FFF)),
    st.builds(Rtm2Service, privileges=rights, user=names, permissions=permissions),
)


def builder(**changes: Any) -> AccessToken:
    numbers: dict[str, Any] = {"issued_at": 1_767_225_600, "salt": 5}
    return AccessToken(APP, CERTIFICATE, **(numbers | changes))


def read(data: bytes) -> Service:
    (service,), stopped_at = read_services(Reader(data), 1)
    assert stopped_at is None
    return service


# --- services --------------------------------------------------------------------------------------


@given(services)
def test_every_service_survives_its_own_bytes(service: Service) -> None:
    again = read(service.encode())
    assert again == service
    assert type(again) is type(service)
    assert hash(again) == hash(service)
    assert again.encode() == service.encode()


@given(services, st.integers(1, 100))
def test_a_service_that_is_cut_short_is_malformed(service: Service, cut: int) -> None:
    data = service.encode()
    with pytest.raises(TokenMalformed):
        read(data[: -min(cut, len(data))])


@given(services, st.binary(min_size=1, max_size=8))
def test_nothing_may_follow_the_last_service(service: Service, more: bytes) -> None:
    with pytest.raises(TokenMalformed):
        read(service.encode() + more)


@pytest.mark.parametrize(
    ("service", "hexadecimal"),
    [
        (RtcService(channel="ab", user="c"), "0100 0000 0200 6162 0100 63"),
        (RtmService(user="c", privileges={1: 7}), "0200 0100 0100 07000000 0100 63"),
        (StreamingService(channel="a", user=""), "0300 0000 0100 61 0000"),
        (FpaService(privileges={1: 0}), "0400 0100 0100 00000000"),
        (ChatService(user=""), "0500 0000 0000"),
        (
            FcdnService(channel="", user="u", privileges={2: 1, 1: 2}),
            "0600 0200 0100 02000000 0200 01000000 0000 0100 75",
        ),
        (EducationService(room="r", user="u"), "0700 0000 0100 72 0100 75 ffff"),
        (
            Rtm2Service(
                user="u",
                permissions={
                    Rtm2Resource.USERS: {Rtm2Access.WRITE: ("ß",), Rtm2Access.READ: ()},
                    Rtm2Resource.MESSAGE_CHANNELS: {},
                },
            ),
            "0800 0000 0100 75 0200 0000 0000 0400 0200 0000 0000 0100 0100 0200 c39f",
        ),
        (ConvoAiService(), "0900 0000"),
        (SttService(), "0a00 0000"),
    ],
)
def test_a_service_has_these_bytes(service: Service, hexadecimal: str) -> None:
    assert service.encode() == bytes.fromhex(hexadecimal)
    assert read(service.encode()) == service


def test_every_type_of_service_is_known_by_its_number() -> None:
    assert {number: kind.label for number, kind in SERVICE_TYPES.items()} == {
        1: "rtc",
        2: "rtm",
        3: "streaming",
        4: "fpa",
        5: "chat",
        6: "fcdn",
        7: "apaas",
        8: "rtm2",
        9: "convoai",
        10: "stt",
    }


@pytest.mark.parametrize(
    "hexadecimal",
    [
        "0400 0200 0100 00000000 0100 00000000",  # a privilege twice
        "0800 0000 0100 75 0200 0000 0000 0000 0000",  # a resource twice
        "0800 0000 0100 75 0100 0000 0200 0000 0000 0000 0000",  # an access twice
        "0800 0000 0100 75 0100 0000 0200 0000 0100 0000 0000 0100 0000",  # the same with names
        "0500 0000 0100 ff",  # a name that is not UTF-8
    ],
)
def test_bytes_that_mean_two_things_or_none_are_malformed(hexadecimal: str) -> None:
    with pytest.raises(TokenMalformed) as refusal:
        read(bytes.fromhex(hexadecimal))
    assert refusal.value.__context__ is None


@pytest.mark.parametrize(
    "service",
    [
        RtmService(user="x" * 65536),
        RtmService(user="\ud800"),
        FpaService(privileges={65536: 0}),
        FpaService(privileges={-1: 0}),
        FpaService(privileges={1: 2**32}),
        FpaService(privileges={1: 1.5}),  # type: ignore[dict-item]
        EducationService(room="r", user="u", role=32768),
        EducationService(room="r", user="u", role="2"),  # type: ignore[arg-type]
        Rtm2Service(user="u", permissions={65536: {}}),
        Rtm2Service(user="u", permissions={0: {-1: ()}}),
    ],
    ids=lambda service: service.label,
)
def test_a_value_that_does_not_fit_is_refused_when_it_is_added(service: Service) -> None:
    with pytest.raises(ValueError, match=r"must be a whole number|surrogates"):
        builder().add_service(service)


def test_what_a_service_holds_cannot_be_changed() -> None:
    mine = {1: 60}
    service = RtmService(user="alice", privileges=mine)
    mine[1] = 999
    assert service.privileges == {1: 60}
    with pytest.raises(TypeError):
        service.privileges[1] = 0  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        service.user = "bob"  # type: ignore[misc]
    assert repr(service) == "RtmService(privileges={1: 60}, user='alice')"
    assert len({FrozenMap({1: 2}), FrozenMap({1: 2}), FrozenMap({1: 3})}) == 2


# --- the builder -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "certificate", ["", CERTIFICATE[:-1], CERTIFICATE + "0", "g" * 32, CERTIFICATE + "\n"]
)
def test_a_certificate_that_is_none_is_refused_and_not_repeated(certificate: str) -> None:
    with pytest.raises(InvalidName) as mistake:
        AccessToken(APP, certificate, issued_at=1, salt=1)
    assert not certificate or certificate not in str(mistake.value)


def test_an_app_id_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidName, match="App ID"):
        AccessToken(APP[:-1], CERTIFICATE, issued_at=1, salt=1)


@pytest.mark.parametrize("field", ["issued_at", "salt", "expire"])
@pytest.mark.parametrize("value", [-1, 2**32, 1.0, "1", None])
def test_a_number_that_does_not_fit_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        builder(**{field: value})


@pytest.mark.parametrize(
    ("channel", "user"),
    [
        ("a/b", "alice"),
        ("ß", "alice"),
        ("x" * 65, "alice"),
        ("room", "ß"),
        ("room", "x" * 256),
        ("room", -1),
        ("room", 2**32),
        ("a/*", "alice"),
    ],
)
def test_a_name_that_nobody_can_join_with_is_refused(channel: str, user: str | int) -> None:
    with pytest.raises(ValueError, match=r"name has|numeric user"):
        builder().add_rtc(channel, user, {Privilege.JOIN: 0})


@pytest.mark.parametrize("privileges", [{5: 0}, {0: 0}, {1: -1}, {1: 2**32}])
def test_a_privilege_that_does_not_exist_or_fit_is_refused(privileges: dict[Any, int]) -> None:
    with pytest.raises(ValueError, match=r"Privilege|privilege"):
        builder().add_rtc("room", "alice", privileges)


def test_the_life_is_a_quarter_of_an_hour_unless_said_otherwise() -> None:
    assert parse(builder().build()).expire == 900


def test_services_are_sorted_by_type_and_repeated_ones_keep_their_order() -> None:
    token = (
        builder()
        .add_service(SttService())
        .add_rtc("b", "alice", {})
        .add_service(RtmService(user="alice"))
        .add_rtc("a", "alice", {})
        .build()
    )
    assert parse(token).services == (
        RtcService(channel="b", user="alice"),
        RtcService(channel="a", user="alice"),
        RtmService(user="alice"),
        SttService(),
    )


def test_building_twice_gives_the_same_token() -> None:
    mine = builder().add_rtc("room", "alice", {Privilege.DATA: 4, Privilege.JOIN: 3})
    assert mine.build() == mine.build()


def test_the_certificate_never_shows() -> None:
    shown = repr(builder().add_rtc("room", "alice", {}).add_service(SttService()))
    assert shown == (f"<AccessToken app_id={APP} issued_at=1767225600 expire=900 services=[rtc, stt]>")
    assert CERTIFICATE not in shown
    assert not hasattr(builder(), "__dict__")


def test_no_more_services_go_into_a_token_than_come_out() -> None:
    mine = builder()
    for _ in range(SERVICES_MAX):
        mine.add_service(SttService())
    assert len(parse(mine.build()).services) == SERVICES_MAX
    with pytest.raises(ValueError, match="32 services at most"):
        mine.add_service(SttService()).build()


def test_a_token_over_a_cap_is_not_built() -> None:
    fixed = 34 + 34 + 14 + 6  # signature, App ID, numbers, head and name of the service
    fits = builder().add_service(RtmService(user="x" * (PAYLOAD_MAX - fixed))).build()
    assert len(zlib.decompress(base64.b64decode(fits[3:]))) == PAYLOAD_MAX
    assert parse(fits)
    with pytest.raises(ValueError, match="4096 bytes"):
        builder().add_service(RtmService(user="x" * (PAYLOAD_MAX - fixed + 1))).build()
    incompressible = "".join(chr(33 + number * number * 7919 % 9973 % 94) for number in range(2500))
    with pytest.raises(ValueError, match="2047 characters"):
        builder().add_service(RtmService(user=incompressible)).build()
    assert TEXT_MAX == 2047


# --- names with wildcards --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("", "anything", True),
        ("*", "anything", True),
        ("**", "anything", True),
        ("1*a*2", "1a2", True),
        ("1*a*2", "1xxaxx2", True),
        ("1*a*2", "1a", False),
        ("1*a*2", "12", False),
        ("1*a*2", "x1a2", False),
        ("1*a*2", "1a2x", False),
        ("1*1", "1", False),
        ("ab*ba", "aba", False),
        ("ab*ba", "abba", True),
        ("a*b*a*b", "ab", False),
        ("a*b*a*b", "abab", True),
        ("*aa*aa*", "aaa", False),
        ("*aa*aa*", "aaaa", True),
        ("*ab*bc*", "abc", False),
        ("room-*", "room-", True),
        ("*-room", "the-room", True),
        ("a.c*", "abc", False),
        ("[a]*", "a", False),
        ("1001", "1001", True),
        ("1001", "100", False),
    ],
)
def test_a_pattern_matches_as_documented(pattern: str, name: str, matches: bool) -> None:
    assert name_matches(pattern, name) is matches


@given(st.text("ab*", max_size=12), st.text("ab", max_size=12))
@settings(max_examples=500, deadline=None)
def test_a_pattern_matches_as_the_slow_and_obvious_way_does(pattern: str, name: str) -> None:
    obvious = re.compile(".*".join(re.escape(piece) for piece in pattern.split("*")))
    assert name_matches(pattern, name) is (not pattern or bool(obvious.fullmatch(name)))


def test_only_an_empty_name_or_a_star_is_a_wildcard() -> None:
    assert [is_wildcard(name) for name in ("", "*", "a*", "a", "0", "?")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    "pattern",
    [
        "*a" * 2000 + "*b",
        "a*" * 2000 + "b",
        "*" * 4000,
        "*a*" * 1300,
        "*" + "a" * 128 + "*" + "a" * 127 + "b*",
    ],
)
def test_a_hostile_pattern_costs_no_more_than_its_length(pattern: str) -> None:
    name = "a" * 255
    started = time.process_time()
    for _ in range(100):
        name_matches(pattern, name)
    # Backtracking would need longer than the age of the universe; this is about 10 ms on a slow core.
    assert time.process_time() - started < 2
