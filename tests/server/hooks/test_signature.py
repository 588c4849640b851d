"""The signature of a delivery: Standard Webhooks, checked against that specification's own example."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.server.hooks.signature import TOLERANCE, Forged, headers, new_secret, verify

# From the specification's reference implementations.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, STAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_example_of_the_specification_is_signed_as_it_says() -> None:
    assert headers(ID, STAMP, BODY, [SECRET]) == {
        "webhook-id": ID,
        "webhook-timestamp": str(STAMP),
        "webhook-signature": SIGNATURE,
    }


def test_what_is_signed_is_accepted_with_its_id() -> None:
    key = new_secret()
    assert verify(headers("evt_1", 1000, b"{}", [key]), b"{}", key, 1000.0) == "evt_1"


def test_every_good_secret_signs_while_one_is_changed() -> None:
    old, new = new_secret(), new_secret()
    sent = headers("evt_1", 1000, b"{}", [new, old])
    assert verify(sent, b"{}", old, 1000.0) == verify(sent, b"{}", new, 1000.0) == "evt_1"


def test_secrets_differ() -> None:
    assert len({new_secret() for _ in range(100)}) == 100


@given(st.binary(), st.binary(), st.text(st.characters(codec="ascii"), max_size=20))
def test_another_body_or_id_is_forged(body: bytes, other: bytes, name: str) -> None:
    key = new_secret()
    sent = headers("evt_1", 1000, body, [key])
    if other != body:
        with pytest.raises(Forged):
            verify(sent, other, key, 1000.0)
    if name != "evt_1":
        with pytest.raises(Forged):
            verify(sent | {"webhook-id": name}, body, key, 1000.0)


def test_another_secret_is_forged() -> None:
    with pytest.raises(Forged):
        verify(headers("evt_1", 1000, b"{}", [new_secret()]), b"{}", new_secret(), 1000.0)


@pytest.mark.parametrize("now", [1000 - TOLERANCE - 1, 1000 + TOLERANCE + 1])
def test_a_delivery_of_another_time_is_refused(now: float) -> None:
    key = new_secret()
    with pytest.raises(Forged):
        verify(headers("evt_1", 1000, b"{}", [key]), b"{}", key, now)


@given(
    st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text(max_size=40)
    )
)
def test_headers_of_a_stranger_are_forged_and_nothing_else(sent: dict[str, str]) -> None:
    with pytest.raises(Forged):
        verify(sent, b"{}", new_secret(), 1000.0)
