"""AccessToken2, the format whose text begins with ``007``: text to fields, fields to text, signature.

::

    text     "007" + base64 of one zlib stream of: text signature, SIGNED
    SIGNED   text app_id, u32 issued_at, u32 expire, u32 salt, u16 count, services (token_services)

    k1        = HMAC-SHA256(key = u32 issued_at, message = certificate)
    k2        = HMAC-SHA256(key = u32 salt, message = k1)
    signature = HMAC-SHA256(key = k2, message = SIGNED)

The certificate goes in as the 32 ASCII characters it is written in, case included. The signature is
over the bytes as they arrived, never over a second encoding of what was understood.

This module is a part of ``sealcast.protocol.tokens``, which is the public one.
"""

from __future__ import annotations

import binascii
import hmac
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from .errors import InvalidName, TokenMalformed
from .names import AppId, Privilege, channel_name, user_id
from .names import app_id as check_app_id
from .names import certificate as check_certificate
from .token_bytes import Reader, decode_base64, pack_data, pack_text, pack_u16, pack_u32
from .token_services import RtcService, Service, read_services

__all__ = [
    "PAYLOAD_MAX",
    "PREFIX",
    "SERVICES_MAX",
    "SIGNATURE_SIZE",
    "TEXT_MAX",
    "AccessToken",
    "Envelope",
    "decode",
    "read_app_id",
    "sign",
]

PREFIX: Final = "007"

TEXT_MAX: Final = 2047
"""The longest token in characters; the field's clients send no longer one."""

PAYLOAD_MAX: Final = 4096
"""The most bytes a token may inflate to.

The public builders' tokens hold 92 to 165 bytes, and a text of TEXT_MAX carries 1533 compressed ones.
4096 leaves room for dozens of services and keeps the work per unverified token to microseconds.
"""

SERVICES_MAX: Final = 32
"""The most services in one token; the public builders put in three."""

SIGNATURE_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class Envelope:
    """The fields of a 007 token, none of them verified.

    ``issued_at`` is in Unix seconds and ``expire`` in seconds after it, as signed. ``stopped_at`` is
    the unknown service type at which reading stopped, if any. ``signed`` are the bytes that
    ``signature`` is about.
    """

    app_id: AppId
    issued_at: int
    expire: int
    salt: int
    service_count: int
    services: tuple[Service, ...]
    stopped_at: int | None
    signature: bytes = field(repr=False)
    signed: bytes = field(repr=False)


def decode(token: str) -> Envelope:
    """Take a token apart without verifying it. Raises TokenMalformed.

    *token* begins with PREFIX and has TEXT_MAX characters at most: the caller has looked.
    """
    reader = Reader(_inflate(decode_base64(token[len(PREFIX) :])))
    signature = reader.data()
    signed = reader.rest()
    app = read_app_id(reader.text())
    issued_at, expire, salt, count = reader.u32(), reader.u32(), reader.u32(), reader.u16()
    if count > SERVICES_MAX:
        raise TokenMalformed(f"the token holds more than {SERVICES_MAX} services")
    services, stopped_at = read_services(reader, count)
    return Envelope(app, issued_at, expire, salt, count, services, stopped_at, signature, signed)


def sign(certificate: str, issued_at: int, salt: int, signed: bytes) -> bytes:
    """Return the 32-byte signature that *certificate* makes over *signed*."""
    key = hmac.digest(pack_u32(issued_at, "issued_at"), certificate.encode("ascii"), "sha256")
    key = hmac.digest(pack_u32(salt, "salt"), key, "sha256")
    return hmac.digest(key, signed, "sha256")


class AccessToken:
    """Builds one 007 token::

        token = (
            AccessToken(app_id, certificate, issued_at=now, salt=salt, expire=3600)
            .add_rtc("standup", "alice", {Privilege.JOIN: 3600, Privilege.DATA: 600})
            .build()
        )

    ``issued_at`` is in whole Unix seconds, ``expire`` in seconds after it; ``salt`` is any u32, fresh
    for every token. Several entries of one type are legal, such as two RTC entries for two channels.
    Numbers are only checked to fit: ``verify`` refuses an ``expire`` of 0 and caps one above LIFE_MAX.

    Raises InvalidName for an App ID or a certificate that is none, ValueError for a number that does
    not fit; neither error, nor the repr, has the certificate in it.
    """

    __slots__ = ("_app_id", "_certificate", "_expire", "_issued_at", "_salt", "_services")

    def __init__(
        self, app_id: str, certificate: str, *, issued_at: int, salt: int, expire: int = 900
    ) -> None:
        self._app_id = check_app_id(app_id)
        self._certificate = check_certificate(certificate)
        for value, what in ((issued_at, "issued_at"), (salt, "salt"), (expire, "expire")):
            pack_u32(value, what)
        self._issued_at = issued_at
        self._salt = salt
        self._expire = expire
        self._services: list[Service] = []

    def __repr__(self) -> str:
        services = ", ".join(service.label for service in self._services)
        return (
            f"<AccessToken app_id={self._app_id} issued_at={self._issued_at} "
            f"expire={self._expire} services=[{services}]>"
        )

    def add_rtc(self, channel: str, user: str | int, privileges: Mapping[Privilege, int]) -> Self:
        """Add an entry that lets *user* into *channel*; return the builder.

        *privileges* maps each granted privilege to its seconds after ``issued_at``; 0 means that it
        ends with the token. A ``*`` in *channel* or *user* is a wildcard, and so is an empty name; a
        number as *user* is the same as its decimal text, except 0, which means any user. **Never pass
        names from a request on unchecked**; ``mint`` checks them and refuses wildcards.

        Raises InvalidName when the rest of a name is not legal, ValueError for a bad privilege.
        """
        if isinstance(user, int):
            pack_u32(user, "a numeric user")
            user = str(user) if user else ""
        for name, check in ((channel, channel_name), (user, user_id)):
            literal = name.replace("*", "")
            if literal:
                check(literal)
        rights: dict[int, int] = {Privilege(key): seconds for key, seconds in privileges.items()}
        return self.add_service(RtcService(channel=channel, user=user, privileges=rights))

    def add_service(self, service: Service) -> Self:
        """Add an entry of any type as it is; return the builder. Raises ValueError when one does not fit."""
        service.encode()
        self._services.append(service)
        return self

    def build(self) -> str:
        """Return the signed text, services ascending by type, repeated ones in the order of adding.

        Raises ValueError when the token would be over a cap.
        """
        services = sorted(self._services, key=lambda service: service.type_id)
        if len(services) > SERVICES_MAX:
            raise ValueError(f"a token holds {SERVICES_MAX} services at most")
        signed = b"".join(
            [
                pack_text(self._app_id, "an App ID"),
                pack_u32(self._issued_at, "issued_at"),
                pack_u32(self._expire, "expire"),
                pack_u32(self._salt, "salt"),
                pack_u16(len(services), "the number of services"),
                *(service.encode() for service in services),
            ]
        )
        signature = sign(self._certificate, self._issued_at, self._salt, signed)
        payload = pack_data(signature, "a signature") + signed
        token = PREFIX + binascii.b2a_base64(zlib.compress(payload), newline=False).decode("ascii")
        if len(payload) > PAYLOAD_MAX or len(token) > TEXT_MAX:
            raise ValueError(
                f"the token would be over {TEXT_MAX} characters, or {PAYLOAD_MAX} bytes when inflated"
            )
        return token


def read_app_id(text: str) -> AppId:
    """Check the App ID found inside a token of either version. Raises TokenMalformed."""
    try:
        return check_app_id(text)
    except InvalidName:
        raise TokenMalformed("the token's App ID is not 32 hexadecimal characters") from None


def _inflate(data: bytes) -> bytes:
    """Inflate exactly one zlib stream, stopping one byte past the cap, however much it promises."""
    inflater = zlib.decompressobj()
    try:
        payload = inflater.decompress(data, PAYLOAD_MAX + 1)
    except zlib.error:
        raise TokenMalformed("the token's content is not a zlib stream") from None
    if len(payload) > PAYLOAD_MAX:
        raise TokenMalformed(f"the token's content inflates to more than {PAYLOAD_MAX} bytes")
    if not inflater.eof or inflater.unused_data:
        raise TokenMalformed("the token's content is not one whole zlib stream")
    return payload
