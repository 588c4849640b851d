"""When a certificate ends, as the relay reads it; compared with what OpenSSL says of the same file."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.server.transport.validity import end_of, not_after

TLS = Path(__file__).parents[1] / "vectors" / "tls"
CERTIFICATES = sorted(TLS.glob("*.pem"))


@pytest.mark.parametrize("path", CERTIFICATES, ids=lambda path: path.name)
def test_it_is_what_openssl_says(path: Path) -> None:
    said = ssl._ssl._test_decode_cert(str(path))["notAfter"]  # type: ignore[attr-defined]
    assert end_of(str(path)) == ssl.cert_time_to_seconds(said)


def der(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text("ascii"))


@given(st.data())
def test_anything_else_is_refused_by_name_and_never_fails_otherwise(data: st.DataObject) -> None:
    whole = der(TLS / "relay.pem")
    place = data.draw(st.integers(0, 200))
    changed = whole[:place] + data.draw(st.binary(max_size=3)) + whole[place + 1 :]
    for der_ in (changed, whole[:place], data.draw(st.binary(max_size=64))):
        try:
            assert isinstance(not_after(der_), float)
        except ValueError:
            continue


def test_a_file_that_is_none_has_no_end(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    assert end_of(str(tmp_path / "empty.pem")) is None
    assert end_of(str(tmp_path / "not there.pem")) is None
