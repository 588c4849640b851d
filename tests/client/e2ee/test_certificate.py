"""Certificates: what the authority signed and nothing else, for one member, for a time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.e2ee.certificate import (
    CERTIFICATE_MAX,
    Certificate,
    read_certificate,
    role_bits,
    sign_certificate,
    verify_certificate,
)
from sealcast.client.e2ee.hello import Role
from sealcast.client.e2ee.identity import Identity
from sealcast.client.errors import (
    CertificateExpired,
    CertificateForged,
    CertificateMalformed,
    CertificateMissing,
    CertificateNotYetValid,
    CertificateRefused,
    HelloRefused,
)

# An Identity, because an Authority signs nothing that is malformed.
AUTHORITY = Identity.from_bytes(bytes(range(32)))
CTX, KEY = bytes(range(32)), bytes(range(100, 132))
CERTIFICATE = Certificate(CTX, "alice", KEY, role_bits(Role.MEMBER), 1000, 2000)
SENT = sign_certificate(CERTIFICATE, AUTHORITY.sign)
CLAIM: dict[str, Any] = {"ctx": CTX, "user": "alice", "identity": KEY, "role": Role.MEMBER, "wall": 1500.0}

USERS = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="*"), min_size=1, max_size=255
)
TIMES = st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=2, unique=True).map(sorted)


@given(
    ctx=st.binary(min_size=32, max_size=32),
    user=USERS,
    identity=st.binary(min_size=32, max_size=32),
    roles=st.integers(1, 15),
    times=TIMES,
)
def test_a_certificate_reads_as_what_was_signed(
    ctx: bytes, user: str, identity: bytes, roles: int, times: list[int]
) -> None:
    certificate = Certificate(ctx, user, identity, roles, *times)
    sent = sign_certificate(certificate, AUTHORITY.sign)
    assert len(sent) <= CERTIFICATE_MAX
    assert read_certificate(sent) == certificate


@given(st.integers(0, len(SENT) * 8 - 1))
def test_any_changed_bit_is_refused(bit: int) -> None:
    data = bytearray(SENT)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises((CertificateForged, CertificateMalformed)):
        verify_certificate(bytes(data), AUTHORITY.public, **CLAIM)


@pytest.mark.parametrize("size", range(1, len(SENT)))
def test_every_shorter_part_is_malformed(size: int) -> None:
    with pytest.raises(CertificateMalformed):
        verify_certificate(SENT[:size], AUTHORITY.public, **CLAIM)


@given(st.binary(max_size=500))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    for candidate in (data, b"SCM1" + data, SENT + data + b"\0", SENT[:36] + data):
        with pytest.raises(CertificateRefused):
            verify_certificate(candidate, AUTHORITY.public, **CLAIM)


def test_one_that_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(CertificateMalformed, match="too long"):
        read_certificate(bytes(CERTIFICATE_MAX + 1))


@pytest.mark.parametrize(
    ("wall", "refusal"),
    [
        (999.999, CertificateNotYetValid),
        (1000.0, None),
        (1999.999, None),
        (2000.0, CertificateExpired),
        (float("nan"), CertificateExpired),
    ],
)
def test_it_holds_from_its_first_second_to_before_its_last(
    wall: float, refusal: type[CertificateRefused] | None
) -> None:
    claim = {**CLAIM, "wall": wall}
    if refusal is None:
        assert verify_certificate(SENT, AUTHORITY.public, **claim) == CERTIFICATE
    else:
        with pytest.raises(refusal):
            verify_certificate(SENT, AUTHORITY.public, **claim)


def test_none_and_one_by_another_authority_are_told_apart() -> None:
    with pytest.raises(CertificateMissing):
        verify_certificate(b"", AUTHORITY.public, **CLAIM)
    with pytest.raises(CertificateForged):
        verify_certificate(SENT, Identity.generate().public, **CLAIM)


def test_every_refusal_is_a_refused_hello_and_repeats_nothing_of_the_certificate() -> None:
    for data in (b"", SENT[:-1], SENT[:-1] + b"\0", b"SCM2" + SENT[4:]):
        with pytest.raises(HelloRefused) as caught:
            verify_certificate(data, AUTHORITY.public, **CLAIM)
        assert "alice" not in str(caught.value)


def test_roles_are_bits() -> None:
    assert [role_bits(role) for role in Role] == [1, 2, 4, 8]
    assert role_bits([Role.MEMBER, Role.AUDIENCE, Role.MEMBER]) == 9
