"""What a relay refuses to serve where others can reach it, unless it is asked for by name."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from pydantic import ValidationError

from sealcast.server.config import AppConfig, Config, ServerConfig, unsafe_app
from sealcast.server.directory import BadSettings, Directory
from sealcast.server.placeholder import is_placeholder
from sealcast.server.store.records import AppRecord, CertificateRecord

APP, PLACEHOLDER = "a3f1c9d27be0485695d2e71c0b8f6a34", "0123456789abcdef0123456789abcdef"
REAL = "8e1d5b0c7f92a4363bd0e9f1572c8a6d"


def relay(host: str = "0.0.0.0", *, certificate: str = REAL, enabled: bool = True, **server: Any) -> Config:
    only_id = server.pop("allow_app_id_only", False)
    app = AppConfig(
        app_id=APP,
        certificate=certificate,  # type: ignore[arg-type]
        enabled=enabled,
        policy={"allow_app_id_only": only_id},  # type: ignore[arg-type]
    )
    return Config(server=ServerConfig(host=host, **server), apps=(app,))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "relay.example", ""])
def test_an_app_without_tokens_is_not_served_to_others(host: str) -> None:
    with pytest.raises(ValidationError, match=r"apps\[0\]: policy.allow_app_id_only lets everybody in"):
        relay(host, allow_app_id_only=True)
    assert relay(host, allow_app_id_only=True, unsafe_app_id_only=True).apps


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_this_machine_alone_may_try_everything(host: str) -> None:
    assert relay(host, allow_app_id_only=True, certificate=PLACEHOLDER).apps


def test_a_placeholder_is_not_taken_for_a_certificate_where_others_could_use_it() -> None:
    with pytest.raises(ValidationError, match="a certificate is a placeholder") as caught:
        relay(certificate=PLACEHOLDER)
    assert PLACEHOLDER not in str(caught.value.errors()[0]["msg"])
    assert relay(certificate=PLACEHOLDER, unsafe_secrets=True).apps
    assert relay(certificate=PLACEHOLDER, enabled=False).apps, "nobody is let in by it"


def test_one_permission_does_not_stand_for_the_other() -> None:
    with pytest.raises(ValidationError, match="placeholder"):
        relay(certificate=PLACEHOLDER, unsafe_app_id_only=True)
    with pytest.raises(ValidationError, match="lets everybody in"):
        relay(allow_app_id_only=True, unsafe_secrets=True)


def test_the_internal_ports_key_is_no_placeholder_either() -> None:
    for key in ("change-me-change-me-change-me-change-me", "0" * 40):
        with pytest.raises(ValidationError, match="internal_key is a placeholder") as caught:
            ServerConfig(internal_host="0.0.0.0", internal_clear=True, internal_key=key)  # type: ignore[arg-type]
        assert key not in str(caught.value.errors()[0]["msg"])
        assert ServerConfig(internal_key=key)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "0" * 32,
        "deadbeef" * 4,
        PLACEHOLDER,
        "fedcba9876543210fedcba9876543210",
        "00112233445566778899aabbccddeeff",
        "00112233445566770011223344556677",
        "5CFd2fd1755d40ecb72977518be15d3b",
        "12345678901234567890123456789012",
        "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb",
    ],
)
def test_what_people_type_to_have_something_is_known(text: str) -> None:
    assert is_placeholder(text)


def test_what_was_drawn_is_not_taken_for_it() -> None:
    assert not any(is_placeholder(secrets.token_hex(16)) for _ in range(20_000))
    assert not is_placeholder(REAL)


def test_an_app_of_the_database_is_held_to_it_too() -> None:
    server = ServerConfig(host="0.0.0.0")
    directory = Directory((), None, lambda app: unsafe_app(server, app))
    settings = {"policy": {"allow_app_id_only": True}}
    key = CertificateRecord("c", REAL, "primary", enabled=True, created=0)
    directory.apply(AppRecord(APP, "", True, settings, (key,), 1, 0, 0))
    assert directory.get(APP) is None
    directory.apply(AppRecord(APP, "", True, {}, (key,), 2, 0, 0))
    assert directory.get(APP) is not None
    with pytest.raises(BadSettings, match="lets everybody in"):
        directory.check(relay("127.0.0.1", allow_app_id_only=True).apps[0])
