"""What the SDK made a member's keys from is told apart by use; what is missing is noticed."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from sealcast.cli.blind.draws import DrawingKey, Draws, recognise, signing_secrets
from sealcast.cli.blind.material import Managed, Material
from sealcast.cli.blind.providers import PROVIDERS, Provider, offered
from sealcast.client.e2ee import Identity
from sealcast.client.e2ee.context import Sender, context_id
from sealcast.client.e2ee.hello import Hello, read_hello
from sealcast.client.errors import CopyRefused

from .speakers import APP, CHANNEL, make

CTX = context_id(APP, CHANNEL)
every_provider = pytest.mark.parametrize("provider", offered(), ids=lambda provider: provider.name)


def bound(material: Material) -> tuple[list[bytes], Hello]:
    """Bind a key; return what its session was made from, and the hello."""
    key = material.key("ann")
    assert isinstance(key, DrawingKey)
    hello = key.bind(APP, CHANNEL, "ann").hello
    assert hello is not None
    return key.draws.made, read_hello(hello, CTX)


def test_draws_are_random_and_remembered_in_order() -> None:
    draws = Draws()
    made = [draws(size) for size in (16, 32, 8)]
    assert [len(data) for data in made] == [16, 32, 8]
    assert draws.made == made
    assert made[1] != Draws()(32)
    assert repr(draws) == "Draws(3)"


@every_provider
def test_all_that_was_drawn_is_a_secret_but_for_what_the_hello_tells(provider: Provider) -> None:
    material = make(provider)
    drawn, hello = bound(material)
    session = material.session(hello, Sender(CTX, material.suite, "ann", hello.session))
    assert session is not None
    held = {value for _, value in session.secrets} | {base.key for base in session.base_keys.values()}
    assert {data for data in drawn if data not in held} == {hello.session, hello.challenge}
    assert (session.kem is not None) == isinstance(material, Managed)


@every_provider
def test_without_the_private_half_of_the_hello_a_session_is_a_strangers(provider: Provider) -> None:
    material = make(provider)
    drawn, hello = bound(material)
    sender = Sender(CTX, material.suite, "ann", hello.session)
    for index, data in enumerate(drawn[:]):
        if data in (hello.session, hello.challenge):
            continue
        drawn[index] = secrets.token_bytes(len(data))
        session = material.session(hello, sender)
        if session is not None:  # it was a base key then: nothing of that is in a hello
            assert isinstance(material, Managed)
            assert session.base_keys[0].key == drawn[index] != data
        drawn[index] = data
    assert material.session(hello, sender) is not None
    other = dataclasses.replace(hello, identity=Identity.generate().public)
    assert material.session(other, sender) is None


def test_a_draw_that_nobody_has_thought_of_is_a_secret_too() -> None:
    drawn, hello = bound(make(PROVIDERS[0]))
    found = recognise([*drawn, b"something new"], hello)
    assert found is not None
    assert (f"draw {len(drawn) + 1}", b"something new") in found.secrets


def test_an_ed25519_key_is_split_as_rfc_8032_says() -> None:
    private = secrets.token_bytes(32)
    (_, whole), (_, scalar), (_, prefix) = signing_secrets("key", private)
    assert whole == private
    assert prefix == hashlib.sha512(private).digest()[32:]
    # The same scalar times the same base point, in the other coordinates of the curve (RFC 7748 §4.1).
    prime = 2**255 - 19
    y = int.from_bytes(Identity.from_bytes(private).public, "little") & ~(1 << 255)
    u = (1 + y) * pow(1 - y, -1, prime) % prime
    public = X25519PrivateKey.from_private_bytes(scalar).public_key().public_bytes_raw()
    assert int.from_bytes(public, "little") == u


def test_a_key_that_draws_is_copied_no_more_than_any_other() -> None:
    with pytest.raises(CopyRefused):
        copy.copy(make(PROVIDERS[0]).key("ann"))
