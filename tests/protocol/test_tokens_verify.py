"""What verify decides: lives, names, several entries, certificates, and the order of refusals."""

import ast
import dataclasses
import hmac
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealcast.protocol import errors, token_006, token_007, token_bytes, token_services, tokens
from sealcast.protocol.errors import (
    InvalidName,
    TokenAppMismatch,
    TokenBadSignature,
    TokenError,
    TokenExpired,
    TokenMalformed,
    TokenNotForChannel,
    TokenNotForUser,
    TokenNotPermitted,
    TokenNotYetValid,
    TokenVersionRefused,
)
from sealcast.protocol.names import Privilege
from sealcast.protocol.tokens import (
    LIFE_MAX,
    AccessToken,
    Grant,
    LoginGrant,
    Rtm2Service,
    RtmService,
    parse,
    verify,
    verify_login,
)

APP = "0123456789abcdef0123456789abcdef"
CERTIFICATE = "fedcba9876543210fedcba9876543210"
OTHER = "00112233445566778899aabbccddeeff"
THEN = 1_767_225_600
JOIN, AUDIO, VIDEO, DATA = Privilege

Entry = tuple[str, str, Mapping[Privilege, int]]


def token_of(*entries: Entry, expire: int = 3600, issued_at: int = THEN, signer: str = CERTIFICATE) -> str:
    builder = AccessToken(APP, signer, issued_at=issued_at, salt=7, expire=expire)
    for channel, user, privileges in entries:
        builder.add_rtc(channel, user, privileges)
    return builder.build()


def check(token: str, channel: str = "room", user: str = "alice", **changes: Any) -> Grant:
    arguments: dict[str, Any] = {"app_id": APP, "certificates": [CERTIFICATE], "now": THEN}
    return verify(token, channel=channel, user=user, **(arguments | changes))


ALICE: Entry = ("room", "alice", {JOIN: 0, AUDIO: 60})


# --- lives -----------------------------------------------------------------------------------------


def test_a_token_ends_expire_seconds_after_its_issue() -> None:
    token = token_of(ALICE)
    assert check(token, now=THEN + 3599.999).expires == THEN + 3600
    with pytest.raises(TokenExpired):
        check(token, now=THEN + 3600)


def test_no_token_lives_longer_than_a_day() -> None:
    token = token_of(("room", "alice", {JOIN: 2**32 - 1, DATA: 0}), expire=2**32 - 1)
    assert parse(token).expires == THEN + LIFE_MAX
    grant = check(token)
    assert grant.expires == THEN + LIFE_MAX
    assert grant.deadlines == {JOIN: THEN + LIFE_MAX, DATA: THEN + LIFE_MAX}


@pytest.mark.parametrize("now", [THEN - 1, THEN, THEN + 1])
def test_a_life_of_no_seconds_is_refused_whatever_the_clock_says(now: int) -> None:
    with pytest.raises(TokenExpired):
        check(token_of(ALICE, expire=0), now=now)


def test_a_token_from_the_future_is_refused_only_beyond_the_allowed_skew() -> None:
    token = token_of(ALICE, issued_at=THEN + 30)
    assert check(token)
    assert check(token, max_skew=30)
    with pytest.raises(TokenNotYetValid):
        check(token, max_skew=29)
    with pytest.raises(TokenNotYetValid):
        check(token, max_skew=0)


def test_a_clock_that_is_not_a_number_lets_nobody_in() -> None:
    with pytest.raises(TokenExpired):
        check(token_of(ALICE), now=math.nan)
    assert not check(token_of(ALICE)).allows(JOIN, math.nan)


def test_a_privilege_never_outlives_the_token_nor_the_membership() -> None:
    grant = check(token_of(("room", "alice", {JOIN: 100, AUDIO: 50, VIDEO: 9999, DATA: 0})))
    assert grant.deadlines == {JOIN: THEN + 100, AUDIO: THEN + 50, VIDEO: THEN + 3600, DATA: THEN + 3600}
    assert grant.expires == THEN + 100
    assert grant.allows(AUDIO, THEN + 49)
    assert not grant.allows(AUDIO, THEN + 50)
    assert grant.allows(VIDEO, THEN + 99.9)
    assert not grant.allows(VIDEO, THEN + 100)


def test_what_was_not_granted_is_not_allowed() -> None:
    grant = check(token_of(("room", "alice", {JOIN: 0})))
    assert grant.deadlines == {JOIN: THEN + 3600}
    assert [privilege for privilege in Privilege if grant.allows(privilege, THEN)] == [JOIN]


def test_a_publish_right_that_has_ended_does_not_keep_a_member_out() -> None:
    grant = check(token_of(ALICE), now=THEN + 61)
    assert not grant.allows(AUDIO, THEN + 61)
    assert grant.allows(JOIN, THEN + 61)


def test_a_grant_cannot_be_changed() -> None:
    grant = check(token_of(ALICE))
    with pytest.raises(dataclasses.FrozenInstanceError):
        grant.expires = THEN + 10**6  # type: ignore[misc]
    with pytest.raises(TypeError):
        grant.deadlines[VIDEO] = THEN + 10**6  # type: ignore[index]
    assert not hasattr(grant, "__dict__")


# --- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "user", "admitted"),
    [
        ("room", "", True),
        ("room", "*", True),
        ("*", "alice", True),
        ("", "alice", True),
        ("*", "*", True),
        ("ro*", "a*c*", True),
        ("r*x", "alice", False),
        ("room", "a*b", False),
        ("ROOM", "alice", False),
        ("room", "Alice", False),
    ],
)
def test_a_wildcard_stands_for_what_it_matches(channel: str, user: str, admitted: bool) -> None:
    token = token_of((channel, user, {JOIN: 0}))
    if admitted:
        grant = check(token)
        assert (grant.channel, grant.user) == ("room", "alice")
    else:
        with pytest.raises((TokenNotForChannel, TokenNotForUser)):
            check(token)


def test_uid_0_means_any_user_but_a_user_called_0_is_only_itself() -> None:
    anyone = AccessToken(APP, CERTIFICATE, issued_at=THEN, salt=7).add_rtc("room", 0, {JOIN: 0}).build()
    assert check(anyone, user="bob")
    zero = token_of(("room", "0", {JOIN: 0}))
    assert check(zero, user="0")
    with pytest.raises(TokenNotForUser):
        check(zero, user="bob")


@pytest.mark.parametrize("channel", ["", "*", "ro*", "a/b", "ß", "x" * 65])
def test_no_token_lets_anyone_into_a_channel_that_cannot_exist(channel: str) -> None:
    with pytest.raises(TokenNotForChannel):
        check(token_of(("*", "*", {JOIN: 0})), channel=channel)


@pytest.mark.parametrize("user", ["", "*", "a*", "ß", "x" * 256])
def test_no_token_is_for_a_user_who_cannot_exist(user: str) -> None:
    with pytest.raises(TokenNotForUser):
        check(token_of(("*", "*", {JOIN: 0})), user=user)


# --- several entries -------------------------------------------------------------------------------


def test_every_entry_is_searched() -> None:
    entries = [(f"room-{number}", "alice", {JOIN: 0}) for number in range(20)]
    token = token_of(*entries)
    assert {check(token, channel=channel).channel for channel, _, _ in entries} == {
        channel for channel, _, _ in entries
    }
    with pytest.raises(TokenNotForChannel):
        check(token, channel="room-20")


SUBSCRIBE = {JOIN: 0}
PUBLISH = {JOIN: 0, AUDIO: 0, VIDEO: 0, DATA: 0}


@pytest.mark.parametrize(
    ("entries", "rights"),
    [
        # An exact channel before a wildcard, whichever grants more and wherever it stands.
        ([("*", "alice", PUBLISH), ("room", "alice", SUBSCRIBE)], {JOIN}),
        ([("room", "alice", PUBLISH), ("*", "alice", SUBSCRIBE)], set(Privilege)),
        ([("room", "*", SUBSCRIBE), ("*", "alice", PUBLISH)], {JOIN}),
        # Then an exact user before a wildcard.
        ([("room", "*", PUBLISH), ("room", "alice", SUBSCRIBE)], {JOIN}),
        ([("*", "*", PUBLISH), ("*", "alice", SUBSCRIBE)], {JOIN}),
        # Then the later end, and of two that end together the first.
        ([("room", "alice", {JOIN: 60, VIDEO: 0}), ("room", "alice", {JOIN: 61, AUDIO: 0})], {JOIN, AUDIO}),
        ([("room", "alice", {JOIN: 60, VIDEO: 0}), ("room", "alice", {JOIN: 60, AUDIO: 0})], {JOIN, VIDEO}),
        # An entry that does not let her in does not count, however exact.
        ([("*", "alice", SUBSCRIBE), ("room", "alice", {VIDEO: 0})], {JOIN}),
    ],
)
def test_one_entry_is_used_and_rights_are_never_added_up(
    entries: list[Entry], rights: set[Privilege]
) -> None:
    assert set(check(token_of(*entries)).deadlines) == rights


def test_an_entry_that_has_ended_gives_way_to_one_that_lives() -> None:
    token = token_of(("room", "alice", {JOIN: 10, DATA: 0}), ("*", "alice", {JOIN: 20}))
    assert check(token, now=THEN + 9).expires == THEN + 10
    later = check(token, now=THEN + 10)
    assert later.expires == THEN + 20
    assert set(later.deadlines) == {JOIN}
    with pytest.raises(TokenExpired):
        check(token, now=THEN + 20)


def test_channel_and_user_must_be_named_by_the_same_entry() -> None:
    token = token_of(("room", "bob", {JOIN: 0}), ("other", "alice", {JOIN: 0}))
    with pytest.raises(TokenNotForUser):
        check(token)


def test_services_before_an_unknown_one_still_count() -> None:
    class FutureService(RtmService):
        type_id = 77

    builder = AccessToken(APP, CERTIFICATE, issued_at=THEN, salt=7).add_rtc(*ALICE)
    token = builder.add_service(FutureService(user="alice", privileges={1: 0})).build()
    assert parse(token).stopped_at == 77
    assert parse(token).service_count == 2
    assert len(parse(token).services) == 1
    assert check(token)
    with pytest.raises(TokenBadSignature):  # what could not be read is signed all the same
        check(token, certificates=[OTHER])


# --- certificates ----------------------------------------------------------------------------------


def test_any_certificate_of_the_app_may_have_signed() -> None:
    for signer in (CERTIFICATE, OTHER):
        assert check(token_of(ALICE, signer=signer), certificates=[CERTIFICATE, OTHER])
    with pytest.raises(TokenBadSignature):
        check(token_of(ALICE, signer=OTHER))


def test_an_app_without_certificates_accepts_no_token() -> None:
    with pytest.raises(TokenBadSignature):
        check(token_of(ALICE), certificates=[])


def test_the_case_of_a_certificate_matters() -> None:
    with pytest.raises(TokenBadSignature):
        check(token_of(ALICE), certificates=[CERTIFICATE.upper()])


@pytest.mark.parametrize("certificates", [CERTIFICATE, [CERTIFICATE[:-1]], [CERTIFICATE, "*"]])
def test_a_certificate_that_is_none_is_the_callers_mistake(certificates: Any) -> None:
    with pytest.raises(InvalidName) as mistake:
        check(token_of(ALICE), certificates=certificates)
    assert CERTIFICATE[:-1] not in str(mistake.value)


def test_every_certificate_is_compared_in_constant_time_even_after_a_match(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def watched(one: bytes, two: bytes) -> bool:
        compared.append((one, two))
        return compare(one, two)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    assert check(token_of(ALICE), certificates=[CERTIFICATE, OTHER, OTHER])
    assert len(compared) == 3
    assert len({candidate for _, candidate in compared}) == 2
    with pytest.raises(TokenBadSignature):
        check(token_of(ALICE), certificates=[OTHER, OTHER])
    assert len(compared) == 5


def test_the_verdict_on_a_signature_is_compare_digests_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hmac, "compare_digest", lambda one, two: False)
    with pytest.raises(TokenBadSignature):
        check(token_of(ALICE))
    monkeypatch.setattr(hmac, "compare_digest", lambda one, two: True)
    assert check(token_of(ALICE, signer=OTHER))


@pytest.mark.parametrize("module", [tokens, token_006, token_007, token_bytes, token_services])
def test_no_signature_is_compared_with_an_operator(module: Any) -> None:
    about_its_length = {"len(signature) != SIGNATURE_SIZE", "self.signature_size == SIGNATURE_SIZE"}
    comparisons = {
        ast.unparse(node)
        for node in ast.walk(ast.parse(Path(module.__file__).read_text("utf-8")))
        if isinstance(node, ast.Compare)
    }
    assert not [text for text in comparisons - about_its_length if "signature" in text.lower()]


# --- the order of refusals and what they say -------------------------------------------------------


def test_the_first_thing_wrong_is_the_one_that_is_named() -> None:
    right = {
        "app_id": APP,
        "certificates": [CERTIFICATE],
        "channel": "room",
        "user": "alice",
        "now": THEN + 9,
    }
    wrong = {
        "app_id": APP.upper(),
        "certificates": [OTHER],
        "channel": "other",
        "user": "bob",
        "now": THEN + 9000,
    }
    token = token_of(("room", "alice", {JOIN: 10}))
    cause = {
        "app_id": TokenAppMismatch,
        "certificates": TokenBadSignature,
        "now": TokenExpired,
        "channel": TokenNotForChannel,
        "user": TokenNotForUser,
    }
    arguments: dict[str, Any] = dict(wrong)
    with pytest.raises(TokenMalformed):
        verify(token + "=", **arguments)
    for name, expected in cause.items():
        with pytest.raises(TokenError) as refusal:
            verify(token, **arguments)
        assert type(refusal.value) is expected
        arguments[name] = right[name]
    assert verify(token, **arguments)
    with pytest.raises(TokenExpired):
        verify(token, **(arguments | {"now": THEN + 10}))
    with pytest.raises(TokenNotPermitted):
        verify(token_of(("room", "alice", {AUDIO: 10})), **arguments)
    with pytest.raises(TokenNotForChannel):
        verify(token_of(), **arguments)
    with pytest.raises(TokenNotYetValid):
        verify(token_of(issued_at=THEN + 60), **arguments, max_skew=50)


def refusals() -> dict[str, Callable[[], object]]:
    token = token_of(("room", "alice", {JOIN: 10}))
    return {
        "TokenMalformed": lambda: check(token[:-8]),
        "TokenVersionRefused": lambda: check("006" + token[3:]),
        "TokenAppMismatch": lambda: check(token, app_id=APP.upper()),
        "TokenBadSignature": lambda: check(token, certificates=[OTHER]),
        "TokenExpired": lambda: check(token, now=THEN + 10),
        "TokenNotYetValid": lambda: check(token, now=THEN - 9, max_skew=8),
        "TokenNotForChannel": lambda: check(token, channel="other"),
        "TokenNotForUser": lambda: check(token, user="bob"),
        "TokenNotPermitted": lambda: check(token_of(("room", "alice", {DATA: 0}))),
    }


@pytest.mark.parametrize("name", list(refusals()))
def test_a_refusal_says_the_cause_in_words_and_nothing_else(name: str) -> None:
    with pytest.raises(TokenError) as refusal:
        refusals()[name]()
    assert type(refusal.value).__name__ == name
    said = str(refusal.value) + repr(refusal.value)
    assert "token" in said or "privilege" in said
    for secret in (CERTIFICATE, OTHER, "room", "alice", APP, "007", token_of(ALICE)[3:12]):
        assert secret not in said.replace("007 only", "")
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def test_the_documented_table_of_refusals_is_the_true_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tokens.md").read_text("utf-8")
    documented = dict(re.findall(r"^\| `(Token\w+)` \| `(\w+)` \|", page, re.MULTILINE))
    family = {name: getattr(errors, name) for name in errors.__all__ if name.startswith("Token")}
    del family["TokenError"]
    assert documented == {name: kind.code.name for name, kind in family.items()}
    assert set(documented) == set(refusals())


# --- logging in ------------------------------------------------------------------------------------


def login(
    *services: RtmService | Rtm2Service, user: str = "alice", now: float = THEN, **more: Any
) -> LoginGrant:
    builder = AccessToken(APP, CERTIFICATE, issued_at=THEN, salt=7, expire=3600).add_rtc(*ALICE)
    for service in services:
        builder.add_service(service)
    return verify_login(
        builder.build(), app_id=APP, certificates=[OTHER, CERTIFICATE], user=user, now=now, **more
    )


def test_either_kind_of_signalling_entry_logs_in() -> None:
    assert login(RtmService(user="alice", privileges={1: 60})).expires == THEN + 60
    granted = login(Rtm2Service(user="alice", privileges={1: 0}))
    assert granted == LoginGrant(granted.app_id, granted.user, THEN, THEN + 3600)
    assert (granted.app_id, granted.user) == (APP, "alice")


def test_of_several_logins_the_one_that_ends_last_counts() -> None:
    entries = (
        RtmService(user="alice", privileges={1: 60}),
        RtmService(user="alice", privileges={}),
        Rtm2Service(user="alice", privileges={1: 90}),
        RtmService(user="bob", privileges={1: 0}),
    )
    assert login(*entries).expires == THEN + 90
    with pytest.raises(TokenExpired):
        login(*entries, now=THEN + 90)
    with pytest.raises(TokenExpired):
        login(*entries, now=THEN + 3600)


@pytest.mark.parametrize("name", ["", "*", "al*", "bob", "Alice"])
def test_a_login_name_is_compared_exactly(name: str) -> None:
    with pytest.raises(TokenNotForUser):
        login(RtmService(user=name, privileges={1: 0}))
    with pytest.raises(TokenNotForUser):
        login(RtmService(user="alice", privileges={1: 0}), user=name)


def test_a_login_needs_its_entry_and_its_privilege() -> None:
    with pytest.raises(TokenNotPermitted):
        login()
    with pytest.raises(TokenNotPermitted):
        login(RtmService(user="alice", privileges={2: 0}))


def test_a_login_obeys_the_allowed_skew_and_takes_007_only() -> None:
    service = RtmService(user="alice", privileges={1: 0})
    assert login(service, now=THEN - 5, max_skew=5)
    with pytest.raises(TokenNotYetValid):
        login(service, now=THEN - 6, max_skew=5)
    with pytest.raises(TokenVersionRefused):
        verify_login("006" + APP, app_id=APP, certificates=[CERTIFICATE], user="alice", now=THEN)


# --- round trips -----------------------------------------------------------------------------------

CHANNEL_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 !#$%&()+-:;<=.>?@[]^_{}|~,"
channels = st.text(CHANNEL_ALPHABET, min_size=1, max_size=64)
users = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="*"), min_size=1, max_size=255
)
certificates = st.text("0123456789abcdefABCDEF", min_size=32, max_size=32)


@given(
    certificate=certificates,
    channel=channels,
    user=users,
    rights=st.dictionaries(st.sampled_from(Privilege), st.integers(0, 2**32 - 1)),
    issued_at=st.integers(0, 2**32 - 1),
    salt=st.integers(0, 2**32 - 1),
    expire=st.integers(0, 2**32 - 1),
    age=st.integers(-10, 90_000),
)
@settings(deadline=None)
def test_what_is_built_is_granted_as_long_as_it_lives(
    certificate: str,
    channel: str,
    user: str,
    rights: dict[Privilege, int],
    issued_at: int,
    salt: int,
    expire: int,
    age: int,
) -> None:
    builder = AccessToken(APP, certificate, issued_at=issued_at, salt=salt, expire=expire)
    token = builder.add_rtc(channel, user, rights).build()
    parsed = parse(token)
    assert (parsed.issued_at, parsed.salt, parsed.expire) == (issued_at, salt, expire)

    end = issued_at + min(expire, 86400)
    ends = {right: min(end, issued_at + seconds) if seconds else end for right, seconds in rights.items()}
    now = issued_at + age
    try:
        grant = verify(token, app_id=APP, certificates=[certificate], channel=channel, user=user, now=now)
    except TokenExpired:
        assert expire == 0 or now >= end or now >= ends[JOIN]
    except TokenNotPermitted:
        assert JOIN not in rights
    else:
        assert expire > 0
        assert now < grant.expires == ends[JOIN]
        assert grant.deadlines == ends
        assert (grant.channel, grant.user, grant.issued_at) == (channel, user, issued_at)
