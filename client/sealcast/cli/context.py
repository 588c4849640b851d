"""Context files: how to reach a channel, in one file instead of five options.

A TOML file with any of ``url``, ``app_id``, ``token``, ``certificate`` and ``key``; for operators also
``api``, the URL of the internal port, and ``api_key``. It holds secrets, so it is written for its owner's
eyes only, and `sealcast serve --dev` makes one that goes when it stops.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .failure import Failure, Status
from .output import printable

__all__ = ["FIELDS", "read_context", "write_context"]

FIELDS: Final = ("url", "app_id", "token", "certificate", "key", "api", "api_key")

_SIZE_MAX: Final = 16 * 1024


def read_context(path: str) -> dict[str, str]:
    """Return the fields of a context file. Raises Failure, which shows none of them."""
    try:
        with Path(path).open("rb") as file:
            tree = tomllib.loads(file.read(_SIZE_MAX).decode())
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from None
    except ValueError:  # not TOML, or not UTF-8
        raise _refused(path, "is not TOML") from None
    for name, value in tree.items():
        if name not in FIELDS:
            near = difflib.get_close_matches(name, FIELDS, 1, 0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise _refused(path, f"has an unknown field {printable(name[:40])}{hint}")
        if not isinstance(value, str):
            raise _refused(path, f"should have a text as {name}")
    return tree


def write_context(path: Path, fields: Mapping[str, str]) -> None:
    """Write a new file that its owner alone can read. Raises OSError, also when there is one already."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())


def _refused(path: str, problem: str) -> Failure:
    return Failure(f"the context file {printable(path)} {problem}", status=Status.CONFIGURATION)
