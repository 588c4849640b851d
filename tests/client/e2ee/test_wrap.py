"""Wraps: from one session to one other, signed before sealed, classic or hybrid."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import mlkem
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.e2ee import kem as kem_module
from sealcast.client.e2ee.context import BaseKey
from sealcast.client.e2ee.direct import DIRECT_MAX, Ack, Direct, encode_ack, encode_wrap, read_direct
from sealcast.client.e2ee.hello import KEM_NONE, KEM_X25519, KEM_X_WING
from sealcast.client.e2ee.identity import Identity
from sealcast.client.e2ee.kem import KEM_OVERHEAD, PrivateKem, PublicKem, kem_by_name
from sealcast.client.e2ee.suites import AES_128_GCM, AES_256_GCM, Suite
from sealcast.client.e2ee.wrap import Pair, Party, make_wrap, read_wrap
from sealcast.client.errors import (
    CopyRefused,
    HelloRefused,
    KemRefused,
    WrapForged,
    WrapMalformed,
    WrapRefused,
    WrapUnopened,
)

KEMS = (KEM_X25519, KEM_X_WING)
SUITES = (AES_128_GCM, AES_256_GCM)
CTX = bytes(range(32))
ALICE, BOB = Identity.from_bytes(b"a" * 32), Identity.from_bytes(b"b" * 32)


class Setting(NamedTuple):
    """Alice wraps to Bob."""

    pair: Pair
    private: PrivateKem

    @property
    def suite(self) -> Suite:
        return self.pair.suite

    def base(self, epoch: int = 3, step: int = 2) -> BaseKey:
        return BaseKey(epoch, step, bytes(range(self.suite.hash_size)))

    def wrap(self, base: BaseKey | None = None) -> bytes:
        to = PublicKem(self.private.kem, self.private.public)
        return make_wrap(base or self.base(), self.pair, to, ALICE)

    def open(self, wrap: bytes, pair: Pair | None = None, private: PrivateKem | None = None) -> BaseKey:
        pair = pair or self.pair
        identity = Ed25519PublicKey.from_public_bytes(pair.sender.identity)
        return (
            read_wrap(wrap, self.suite, self.private.kem).verify(pair, identity).open(private or self.private)
        )


def setting(suite: Suite, kem: int) -> Setting:
    private = PrivateKem.generate(kem)
    alice, bob = Party("alice", b"A" * 16, ALICE.public), Party("bob", b"B" * 16, BOB.public)
    return Setting(Pair(CTX, suite, alice, bob, kem, private.public), private)


SETTINGS = {(suite.id, kem): setting(suite, kem) for suite in SUITES for kem in KEMS}


@pytest.fixture(params=SETTINGS, ids=lambda key: f"suite {key[0]} kem {key[1]:#06x}")
def case(request: pytest.FixtureRequest) -> Setting:
    return SETTINGS[request.param]


def test_a_wrap_opens_at_its_receiver_and_two_wraps_of_one_key_differ(case: Setting) -> None:
    one, two = case.wrap(), case.wrap()
    assert one != two
    assert case.open(one) == case.open(two) == case.base()
    assert len(one) == 70 + KEM_OVERHEAD[case.private.kem] + case.suite.hash_size
    assert len(encode_wrap(one)) <= DIRECT_MAX


@given(data=st.data(), which=st.sampled_from(sorted(SETTINGS)))
def test_any_changed_bit_is_refused(data: st.DataObject, which: tuple[int, int]) -> None:
    case = SETTINGS[which]
    wrap = bytearray(case.wrap())
    bit = data.draw(st.integers(0, len(wrap) * 8 - 1))
    wrap[bit // 8] ^= 1 << bit % 8
    with pytest.raises((WrapForged, WrapMalformed)):
        case.open(bytes(wrap))


@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    for case in SETTINGS.values():
        good = case.wrap()
        for candidate in (data, good + data + b"\0", good[: len(data)], data + good[len(data) :]):
            if candidate != good:
                with pytest.raises(WrapRefused):
                    case.open(candidate)


def variants(pair: Pair) -> Iterator[tuple[str, Pair]]:
    sender, receiver = pair.sender, pair.receiver
    yield "another channel", pair._replace(ctx=bytes(32))
    yield "another suite", pair._replace(suite=AES_256_GCM if pair.suite is AES_128_GCM else AES_128_GCM)
    yield "another sending user", pair._replace(sender=sender._replace(user="alicf"))
    yield "another sending session", pair._replace(sender=sender._replace(session=b"C" * 16))
    yield "another receiving user", pair._replace(receiver=receiver._replace(user="bo"))
    yield "another receiving session", pair._replace(receiver=receiver._replace(session=b"C" * 16))
    yield "another receiving identity", pair._replace(receiver=receiver._replace(identity=ALICE.public))
    yield "another kem", pair._replace(kem=pair.kem ^ 1)
    yield "another kem key", pair._replace(kem_public=bytes(len(pair.kem_public)))
    yield "sender and receiver exchanged", pair._replace(sender=receiver, receiver=sender)


def test_a_wrap_made_for_anything_else_is_forged(case: Setting) -> None:
    wrap = case.wrap()
    for what, pair in variants(case.pair):
        with pytest.raises(WrapForged):
            case.open(wrap, pair)
        assert pair.info(1, 1) != case.pair.info(1, 1), what
    infos = {pair.info(epoch, step) for _, pair in variants(case.pair) for epoch in (0, 1) for step in (0, 1)}
    assert len(infos) == 40


USERS = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="*"), min_size=1, max_size=8
)


@given(st.tuples(USERS, USERS), st.tuples(USERS, USERS))
def test_no_two_pairs_of_names_share_an_info(one: tuple[str, str], two: tuple[str, str]) -> None:
    def info(names: tuple[str, str]) -> bytes:
        pair = SETTINGS[4, KEM_X25519].pair
        sender, receiver = (
            party._replace(user=name) for party, name in zip((pair.sender, pair.receiver), names, strict=True)
        )
        return pair._replace(sender=sender, receiver=receiver).info(0, 0)

    assert (info(one) == info(two)) is (one == two)


def test_nothing_is_decrypted_before_the_signature_is_verified(
    case: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[bytes] = []

    def spy(self: PrivateKem, suite: Suite, info: bytes, box: bytes) -> bytes:
        opened.append(box)
        return bytes(suite.hash_size)

    wrap = case.wrap()
    monkeypatch.setattr(PrivateKem, "open", spy)
    for at in (6, 69, 70, len(wrap) - 1):
        changed = bytearray(wrap)
        changed[at] ^= 1
        with pytest.raises(WrapForged):
            case.open(bytes(changed))
    assert opened == []
    case.open(wrap)
    assert opened == [wrap[70:]]
    # And a wrap that was only read has no way to its key.
    assert not hasattr(read_wrap(wrap, case.suite, case.private.kem), "open")


def test_a_wrap_for_another_key_of_the_receiver_does_not_open(case: Setting) -> None:
    with pytest.raises(WrapUnopened):
        case.open(case.wrap(), private=PrivateKem.generate(case.private.kem))


def test_a_key_of_another_suite_in_a_signed_wrap_is_refused() -> None:
    case = SETTINGS[4, KEM_X25519]
    with pytest.raises(WrapMalformed):
        case.open(case.wrap(BaseKey(0, 0, bytes(64))))


@pytest.mark.parametrize("grant", range(1, 256))
def test_every_other_grant_is_refused(grant: int) -> None:
    case = SETTINGS[4, KEM_X25519]
    with pytest.raises(WrapMalformed, match="reserved"):
        case.open(bytes([grant]) + case.wrap()[1:])


def test_nothing_shows_a_key(case: Setting) -> None:
    wrap = case.wrap()
    signed = read_wrap(wrap, case.suite, case.private.kem)
    verified = signed.verify(case.pair, Ed25519PublicKey.from_public_bytes(ALICE.public))
    assert repr(signed) == "SignedWrap(epoch=3, step=2)"
    assert repr(verified) == "VerifiedWrap(epoch=3, step=2)"
    assert repr(case.private) == f"PrivateKem(0x{case.private.kem:04x})"
    assert repr(Direct(7, wrap)) == f"Direct(member=7, {len(wrap)} bytes)"
    with pytest.raises(CopyRefused):
        copy.copy(case.private)


# Key encapsulation


@pytest.mark.parametrize(
    ("sender", "receiver"), list(itertools.product(KEMS, KEMS)), ids=lambda kem: f"{kem:#06x}"
)
def test_a_wrap_is_read_by_its_receivers_key_encapsulation_only(sender: int, receiver: int) -> None:
    wrap, other = SETTINGS[4, sender].wrap(), SETTINGS[4, receiver]
    if sender == receiver:
        assert other.open(wrap) == other.base()
    else:
        with pytest.raises(WrapMalformed):
            other.open(wrap)


@pytest.mark.parametrize("kem", KEMS)
def test_a_pair_comes_from_its_seed(kem: int) -> None:
    one, two = PrivateKem(kem, bytes(range(32))), PrivateKem(kem, bytes(range(32)))
    assert one.public == two.public
    box = PublicKem(kem, one.public).seal(AES_128_GCM, b"info", b"secret")
    assert two.open(AES_128_GCM, b"info", box) == b"secret"
    with pytest.raises(WrapUnopened):
        two.open(AES_128_GCM, b"other info", box)
    with pytest.raises(ValueError, match="32 bytes"):
        PrivateKem(kem, bytes(31))


def test_the_x_wing_pair_of_the_drafts_first_test_vector() -> None:
    """draft-connolly-cfrg-xwing-kem, appendix: seed 7f9c2ba4…, the first 16 bytes of its public key."""
    seed = bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
    public = PrivateKem(KEM_X_WING, seed).public
    assert len(public) == 1216
    assert public[:16].hex() == "e2236b35a8c24b39b10aa1323a96a919"


@pytest.mark.parametrize("length", [0, 1, 31, 33, 1215, 1216])
def test_a_key_of_the_wrong_size_is_no_x25519_key(length: int) -> None:
    with pytest.raises(HelloRefused):
        PublicKem(KEM_X25519, b"\x09" * length)


LOW_ORDER = (
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
)


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:8])
@pytest.mark.parametrize("kem", KEMS)
def test_a_key_whose_secrets_everybody_knows_is_refused_before_anything_is_sealed(
    point: bytes, kem: int
) -> None:
    public = point if kem == KEM_X25519 else PrivateKem.generate(kem).public[:-32] + point
    with pytest.raises(HelloRefused, match="usable"):
        PublicKem(kem, public)


@pytest.mark.parametrize("public", [b"\xff" * 1216, b"\x09" * 32, b""], ids=["not reduced", "short", "empty"])
def test_bytes_that_are_no_hybrid_key_are_refused(public: bytes) -> None:
    with pytest.raises(HelloRefused):
        PublicKem(KEM_X_WING, public)


def test_key_encapsulations_have_names() -> None:
    assert (kem_by_name("x25519"), kem_by_name("x-wing")) == KEMS
    for name in ("", "X25519", "rsa"):
        with pytest.raises(KemRefused):
            kem_by_name(name)
    for unknown in (KEM_NONE, 1, 0xFFFF):
        with pytest.raises(KemRefused):
            PrivateKem.generate(unknown)
        with pytest.raises(KemRefused):
            PublicKem(unknown, bytes(32))


def test_a_library_without_the_hybrid_refuses_it_by_name_and_still_has_the_classic_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = SimpleNamespace(KEM=SimpleNamespace(X25519=hpke.KEM.X25519))
    monkeypatch.setattr(kem_module, "hpke", old)
    assert kem_by_name("x25519") == KEM_X25519
    for attempt in (lambda: kem_by_name("x-wing"), lambda: PrivateKem.generate(KEM_X_WING)):
        with pytest.raises(KemRefused, match="newer cryptography"):
            attempt()


def test_a_backend_without_ml_kem_refuses_the_hybrid(monkeypatch: pytest.MonkeyPatch) -> None:
    public = PrivateKem.generate(KEM_X_WING).public

    def unsupported(data: bytes) -> Any:
        raise UnsupportedAlgorithm("no ML-KEM here")

    monkeypatch.setattr(mlkem, "MLKEM768PrivateKey", SimpleNamespace(from_seed_bytes=unsupported))
    monkeypatch.setattr(mlkem, "MLKEM768PublicKey", SimpleNamespace(from_public_bytes=unsupported))
    with pytest.raises(KemRefused):
        PrivateKem.generate(KEM_X_WING)
    with pytest.raises(KemRefused):
        PublicKem(KEM_X_WING, public)


# Direct payloads


@given(epoch=st.integers(0, 2**32 - 1), step=st.integers(0, 15))
def test_an_ack_reads_as_what_was_written(epoch: int, step: int) -> None:
    assert read_direct(encode_ack(epoch, step)) == Ack(epoch, step)


@given(st.binary(max_size=300))
def test_a_direct_payload_is_a_wrap_an_ack_or_refused(data: bytes) -> None:
    try:
        read = read_direct(data)
    except WrapMalformed:
        return
    written = encode_ack(*read) if isinstance(read, Ack) else encode_wrap(read)
    assert written == data
