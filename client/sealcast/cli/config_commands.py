"""``sealcast genconfig``, ``checkconfig`` and ``defaultenv``: written and checked."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from .failure import Failure, Status, missing_extra
from .output import note

__all__ = ["checkconfig", "defaultenv", "genconfig"]


def genconfig(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write it here, readable by you alone; never over a file."),
    ] = None,
) -> None:
    """Print a configuration with every option, and one app with a new App ID and certificate.

    \b
    Example:  sealcast genconfig --output sealcast.toml
              sealcast serve --config sealcast.toml
    """
    try:
        from sealcast.server.config_sample import sample
    except ModuleNotFoundError as error:
        raise missing_extra("genconfig", error) from None
    text = sample(secrets.token_hex(16), secrets.token_hex(16))
    if output is None:
        print(text, end="")
        return
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Failure(f"{output} exists already", "another name, or remove it") from None
    except OSError as error:
        raise Failure(f"{output} cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    note(f"wrote {output}; try `sealcast serve --config {output}`")


def checkconfig(
    file: Annotated[Path, typer.Argument(help="The configuration file.", metavar="FILE", show_default=False)],
) -> None:
    """Say what is wrong with a configuration, everything at once, with the environment laid over it.

    Ends with 0 when `sealcast serve` would take it, and with 3 when not.

    \b
    Example:  sealcast checkconfig sealcast.toml
    """
    try:
        from sealcast.server.config_file import ConfigError, load
    except ModuleNotFoundError as error:
        raise missing_extra("checkconfig", error) from None
    try:
        config = load(file, os.environ, warn=lambda text: note(f"warning: {text}"))
    except ConfigError as error:
        for problem in error.problems:
            note(problem)
        raise typer.Exit(Status.CONFIGURATION) from None
    apps = "1 app" if len(config.apps) == 1 else f"{len(config.apps)} apps"
    print(f"{file}: good: {apps}, listening on {config.server.host}:{config.server.port}")


def defaultenv() -> None:
    """Print the environment variables of the relay with their defaults.

    \b
    Example:  sealcast defaultenv > sealcast.env
    """
    try:
        from sealcast.server.config_sample import environment
    except ModuleNotFoundError as error:
        raise missing_extra("defaultenv", error) from None
    sys.stdout.write(environment())
