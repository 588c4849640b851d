"""Content keys on the command line: ``sealcast genkey``, and how a key is written.

A key is 32 random bytes, written as 64 hexadecimal characters or as base64. All members of a channel
are given the same one; the relay is given none.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .failure import Failure, Status

if TYPE_CHECKING:
    from sealcast.client import Key

__all__ = ["CLEAR", "genkey", "parse_key"]

_SIZE: Final = 32

CLEAR: Final = "none"
"""Stands for the absence of a key: clear text, where the app allows it."""

_HEX: Final = re.compile("[0-9a-fA-F]{64}")
_BASE64: Final = re.compile("[0-9A-Za-z+/_-]{43}=?")


def genkey(
    base64_text: Annotated[
        bool, typer.Option("--base64", help="As base64 instead of hexadecimal characters.")
    ] = False,
) -> None:
    """Print a new content key: 32 random bytes, in hexadecimal.

    Give all members of a channel the same key, by your own means. The relay never gets it.

    \b
    Example:  sealcast genkey > standup.key && chmod 600 standup.key
    """
    key = secrets.token_bytes(_SIZE)
    print(base64.b64encode(key).decode() if base64_text else key.hex())


def parse_key(text: str) -> Key:
    """Return the key that *text* writes down, or the absence of one for ``none``.

    Raises Failure, which does not repeat the text.
    """
    from sealcast.client import Key

    bare = text.strip()
    if bare == CLEAR:
        return Key.none()
    return Key.raw(_secret(bare))


def _secret(text: str) -> bytes:
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    if _BASE64.fullmatch(text):
        try:
            return base64.b64decode(
                text.rstrip("=").translate(str.maketrans("-_", "+/")) + "=", validate=True
            )
        except binascii.Error:
            pass
    raise Failure(
        "the key is not 64 hexadecimal characters, nor the base64 of 32 bytes",
        "`sealcast genkey` for a new one",
        Status.USAGE,
    )
