"""Identity keys on the command line: how the public half is written, and the files of both halves.

A public key is 64 hexadecimal characters, as the commands here print it. Where one is asked for, a
file may be named instead: one with that line in it, or an identity's own file, of which only the public
half is used.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from .failure import Failure, Status
from .output import note, printable

if TYPE_CHECKING:
    from sealcast.client.e2ee.identity import Authority, Identity

    Pair = TypeVar("Pair", Authority, Identity)

__all__ = ["default_identity", "load_pair", "public_key", "save_pair"]

_HEX: Final = re.compile("[0-9a-fA-F]{64}")
_LINE_MAX: Final = 256


def default_identity(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where the user's identity is kept unless told otherwise.

    That is ``sealcast/identity`` in $XDG_CONFIG_HOME if that is an absolute path, else in %APPDATA% on
    Windows, else in ~/.config. Raises Failure where there is no such place.
    """
    named = environment.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(named):
        named = environment.get("APPDATA", "") if os.name == "nt" else ""
    try:
        place = Path(named) if named else Path.home() / ".config"
    except RuntimeError:
        raise Failure("it is not known where your files are", "a file by name", Status.USAGE) from None
    return place / "sealcast" / "identity"


def public_key(option: str, text: str) -> bytes:
    """Return the 32 bytes of the public key that *text* writes down, or that is in the file it names.

    Raises Failure, which names the file but does not repeat what is in it.
    """
    from sealcast.client.e2ee.identity import Identity

    written = _written(text.strip())
    if written is not None:
        return written
    path = Path(text)
    try:
        with path.open("rb") as file:
            head = file.read(_LINE_MAX + 1)
    except FileNotFoundError:
        raise Failure(
            f"{option} is not a public key of 64 hexadecimal characters, and no file of that name exists",
            "`sealcast identity show --public`",
            Status.USAGE,
        ) from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    written = _written(head.decode("ascii", "replace").strip()) if len(head) <= _LINE_MAX else None
    return written if written is not None else load_pair(Identity, path).public


def load_pair(kind: type[Pair], path: Path) -> Pair:
    """Return the key pair in a file. Raises Failure, which names the file."""
    from sealcast.client.e2ee.identity import Authority
    from sealcast.client.errors import PrivateFileRefused

    try:
        return kind.load(path)
    except PrivateFileRefused as error:
        raise Failure(f"{printable(str(path))}: {error}") from None
    except FileNotFoundError:
        command = "authority" if kind is Authority else "identity"
        raise Failure(
            f"{printable(str(path))} cannot be read: there is no such file", f"`sealcast {command} new`"
        ) from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def save_pair(pair: Authority | Identity, path: Path) -> None:
    """Write a new key pair to a file that only the user can read, and say so. Raises Failure."""
    shown = printable(str(path))
    try:
        pair.save(path)
    except FileExistsError:
        raise Failure(
            f"{shown} exists already, and a key that is overwritten is lost", "another name"
        ) from None
    except (OSError, ValueError) as error:
        raise Failure(f"{shown} cannot be written: {_reason(error)}") from None
    note(f"wrote {shown}, readable by you alone; its public half goes to standard output")


def _written(text: str) -> bytes | None:
    return bytes.fromhex(text) if _HEX.fullmatch(text) else None


def _unreadable(path: Path, error: OSError | ValueError) -> Failure:
    return Failure(f"{printable(str(path))} cannot be read: {_reason(error)}")


def _reason(error: OSError | ValueError) -> str:
    # A name with a null byte in it is a ValueError to the system's calls.
    return (error.strerror if isinstance(error, OSError) else None) or "the system refused"
