"""The recipe for an application server: mint a token, with this machine's clock and randomness."""

import secrets
import time
from typing import Any

import pytest

from sealcast.client.tokens import mint
from sealcast.protocol.errors import InvalidName, TokenExpired, TokenNotForChannel, TokenNotForUser
from sealcast.protocol.names import Privilege
from sealcast.protocol.tokens import Grant, parse, verify

APP = "0123456789abcdef0123456789abcdef"
CERTIFICATE = "fedcba9876543210fedcba9876543210"


def check(token: str, **changes: Any) -> Grant:
    arguments: dict[str, Any] = {
        "app_id": APP,
        "certificates": [CERTIFICATE],
        "channel": "standup",
        "user": "alice",
        "now": time.time(),
        "max_skew": 1,
    }
    return verify(token, **(arguments | changes))


def test_a_publisher_may_join_and_send_everything_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_767_225_600.75)
    token = mint(APP, CERTIFICATE, "standup", "alice")
    grant = check(token, now=1_767_225_600.75)
    assert grant.issued_at == 1_767_225_600
    assert grant.expires == 1_767_229_200
    assert grant.deadlines == dict.fromkeys(Privilege, 1_767_229_200)
    with pytest.raises(TokenExpired):
        check(token, now=1_767_229_200)


def test_a_subscriber_may_only_join() -> None:
    grant = check(mint(APP, CERTIFICATE, "standup", "alice", role="subscriber", ttl=60))
    assert set(grant.deadlines) == {Privilege.JOIN}
    assert grant.expires == grant.issued_at + 60


def test_the_token_is_for_that_channel_and_user_alone() -> None:
    token = mint(APP, CERTIFICATE, "standup", "alice")
    with pytest.raises(TokenNotForChannel):
        check(token, channel="Standup")
    with pytest.raises(TokenNotForUser):
        check(token, user="bob")


def test_every_token_has_a_salt_of_its_own_from_the_systems_randomness(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = iter([0, 99_999_998])
    limits: list[int] = []

    def draw(limit: int) -> int:
        limits.append(limit)
        return next(drawn)

    monkeypatch.setattr(secrets, "randbelow", draw)
    salts = [parse(mint(APP, CERTIFICATE, "standup", "alice")).salt for _ in range(2)]
    assert salts == [1, 99_999_999]
    assert limits == [99_999_999] * 2


@pytest.mark.parametrize("ttl", [1, 86400])
def test_a_life_of_one_second_to_one_day_is_minted(ttl: int) -> None:
    assert parse(mint(APP, CERTIFICATE, "standup", "alice", ttl=ttl)).expire == ttl


@pytest.mark.parametrize("ttl", [0, -1, 86401, 60.0, "60", None])
def test_any_other_life_is_refused(ttl: Any) -> None:
    with pytest.raises(ValueError, match="from 1 to 86400"):
        mint(APP, CERTIFICATE, "standup", "alice", ttl=ttl)


@pytest.mark.parametrize("channel", ["", "*", "stand*", "a/b", "x" * 65])
def test_a_channel_from_a_request_cannot_smuggle_in_a_wildcard(channel: str) -> None:
    with pytest.raises(InvalidName):
        mint(APP, CERTIFICATE, channel, "alice")


@pytest.mark.parametrize("user", ["", "*", "a*", "ß", "x" * 256])
def test_a_user_from_a_request_cannot_smuggle_in_a_wildcard(user: str) -> None:
    with pytest.raises(InvalidName):
        mint(APP, CERTIFICATE, "standup", user)


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(ValueError, match="role"):
        mint(APP, CERTIFICATE, "standup", "alice", role="host")  # type: ignore[arg-type]


def test_a_bad_certificate_or_app_id_is_refused_without_repeating_it() -> None:
    with pytest.raises(InvalidName) as mistake:
        mint(APP, CERTIFICATE + "0", "standup", "alice")
    assert CERTIFICATE not in str(mistake.value)
    with pytest.raises(InvalidName):
        mint("my app", CERTIFICATE, "standup", "alice")
