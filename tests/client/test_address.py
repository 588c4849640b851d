"""URLs and App IDs, checked before anything is opened."""

from __future__ import annotations

import pytest

from sealcast.client import Client, InvalidUrl
from sealcast.client.address import Address
from sealcast.protocol.errors import InvalidName

APP = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("ws://127.0.0.1:7700", f"ws://127.0.0.1:7700/v1/{APP}"),
        ("wss://relay.example", f"wss://relay.example/v1/{APP}"),
        ("wss://relay.example/", f"wss://relay.example/v1/{APP}"),
        ("wss://relay.example/talk/", f"wss://relay.example/talk/v1/{APP}"),
        ("ws://[::1]:7700", f"ws://[::1]:7700/v1/{APP}"),
    ],
)
def test_a_url_becomes_the_apps_address(url, uri):
    assert Address.of(url, APP).uri == uri


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("http://relay.example", "ws://"),
        ("https://relay.example", "wss://"),
        ("relay.example:7700", "ws://host:port"),
        ("ws://", "ws://host:port"),
        ("ws://relay.example:0", "ws://host:port"),
        ("ws://relay.example:70000", "port"),
        ("ws://[::1", "malformed"),
        ("ws://alice:hunter2@relay.example", "user or password"),
        ("ws://relay.example/?token=007abc", "query"),
        ("ws://relay.example/#x", "fragment"),
        ("ws://relay example", "characters"),
        ("ws://relay.example/\n", "characters"),
        ("ws://r\u00e9lay.example", "characters"),
        ("ws://" + "a" * 4096, "too long"),
    ],
)
def test_a_url_that_names_no_server_is_refused_with_what_to_change_and_not_repeated(url, hint):
    with pytest.raises(InvalidUrl, match=hint) as caught:
        Client(url, app_id=APP)
    assert "hunter2" not in str(caught.value)
    assert "007abc" not in str(caught.value)


@pytest.mark.parametrize("app_id", ["", "xyz", APP + "0", APP[:-1] + "g"])
def test_an_app_id_that_is_none_is_refused(app_id):
    with pytest.raises(InvalidName):
        Client("ws://127.0.0.1:7700", app_id=app_id)


def test_an_ssl_context_for_an_unencrypted_url_is_refused():
    import ssl

    with pytest.raises(ValueError, match="wss"):
        Client("ws://127.0.0.1:7700", app_id=APP, ssl=ssl.create_default_context())


def test_an_alternative_has_the_same_app_and_never_less_protection():
    plain, secure = Address.of("ws://one.example", APP), Address.of("wss://one.example", APP)
    assert plain.alternative("ws://two.example:7700") == Address.of("ws://two.example:7700", APP)
    assert plain.alternative("wss://two.example") == Address.of("wss://two.example", APP)
    assert secure.alternative("wss://two.example") == Address.of("wss://two.example", APP)
    assert secure.alternative("ws://two.example") is None
    assert secure.alternative("https://two.example") is None
    assert secure.alternative("") is None
