"""``sealcast version``."""

from __future__ import annotations

from typing import Annotated

import typer

from sealcast.protocol.version import __version__

__all__ = ["version"]

_PACKAGES = ("websockets", "cryptography", "uvloop")


def version(
    json: Annotated[
        bool, typer.Option("--json", help="As JSON, with the versions of what it stands on.")
    ] = False,
) -> None:
    """Print the version.

    \b
    Example:  sealcast version --json
    """
    if not json:
        print(f"sealcast {__version__}")
        return
    import json as encoder
    import platform

    versions = {"sealcast": __version__, "python": platform.python_version()}
    print(encoder.dumps(versions | {name: _installed(name) for name in _PACKAGES}, indent=2))


def _installed(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
