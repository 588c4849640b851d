"""``sealcast doctor``."""

from __future__ import annotations

import contextlib
import functools
import json as encoder
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..at_database import DataOption
from ..failure import Status
from . import machine, places, setting
from .finding import Check, Finding, Level, examine, wrong

if TYPE_CHECKING:
    from sealcast.server.config import Config

__all__ = ["doctor"]

_MARKS = {Level.GOOD: "ok", Level.WARNING: "look", Level.WRONG: "WRONG"}


def doctor(
    config: Annotated[
        Path | None,
        typer.Option(help="The configuration file; or SEALCAST_CONFIG.", show_default=False),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--api",
            "--url",
            help="Look at a relay that runs, by its internal port: http://127.0.0.1:7701.",
            show_default=False,
        ),
    ] = None,
    data: DataOption = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Look whether this machine and this configuration are fit for a relay, and say what to do.

    Ends with 0 when nothing is wrong; what is only worth a look is no reason for another status.

    \b
    Example:  sealcast doctor --config /etc/sealcast.toml
              sealcast doctor --api http://127.0.0.1:7701
    """
    path = config or (Path(named) if (named := os.environ.get("SEALCAST_CONFIG")) else None)
    findings = _examined(path, url, data)
    if json:
        print(encoder.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        _show(findings)
    if any(finding.level is Level.WRONG for finding in findings):
        raise typer.Exit(Status.FAILED)


def _examined(path: Path | None, url: str | None, data: Path | None) -> list[Finding]:
    findings = list(examine({"python": machine.python, "clock": machine.clock}))
    if url is not None:
        findings += examine({"relay": functools.partial(setting.running, url)})
    if any(finding.what == "packages" and finding.level is Level.WRONG for finding in findings):
        return findings  # without them no configuration can be read
    if path is None and data is None and url is not None:
        return findings
    loaded, problems = _loaded(path, data)
    findings += problems
    if loaded is None:
        return findings
    server = loaded.server
    checks: dict[str, Check] = {
        "files": functools.partial(machine.files, server.connections, _file_limit()),
        "backlog": functools.partial(machine.backlog, server.backlog),
        "memory": functools.partial(machine.memory, server.connections),
        "TLS": functools.partial(setting.certificate, loaded),
        "internal port": functools.partial(setting.internal, loaded),
        "database": functools.partial(places.database, loaded),
        "storage": functools.partial(places.storage, loaded.storage),
    }
    if url is None:
        checks["port"] = functools.partial(setting.port, server.host, server.port)
        if server.internal:
            checks["internal port free"] = functools.partial(
                setting.port, server.internal_host, server.internal_port, "internal port"
            )
    if path is not None:
        checks["apps"] = functools.partial(setting.apps, loaded)
        checks["configuration"] = functools.partial(setting.readable_by, path, "configuration")
    return [*findings, *examine(checks)]


def _loaded(path: Path | None, data: Path | None) -> tuple[Config | None, list[Finding]]:
    from sealcast.server.config import Config
    from sealcast.server.config_file import ConfigError, load

    if path is None and data is None:
        return Config(apps=()), []
    try:
        flags = {"database.directory": None if data is None else str(data)}
        return load(path, os.environ, flags, warn=lambda text: None), []
    except ConfigError as error:
        return None, [wrong("configuration", problem, "mend it") for problem in error.problems]


def _file_limit() -> tuple[int, int] | None:
    with contextlib.suppress(ImportError):
        import resource

        return resource.getrlimit(resource.RLIMIT_NOFILE)
    return None


def _show(findings: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    styles = {Level.GOOD: "green", Level.WARNING: "yellow", Level.WRONG: "bold red"}
    for finding in findings:
        mark = f"[{styles[finding.level]}]{_MARKS[finding.level]}[/]"
        table.add_row(mark, finding.what, finding.found)
        if finding.advice:
            table.add_row("", "", f"→ {finding.advice}")
    Console(highlight=False).print(table)
    bad = sum(finding.level is Level.WRONG for finding in findings)
    odd = sum(finding.level is Level.WARNING for finding in findings)
    print(f"\n{bad} wrong, {odd} worth a look, {len(findings) - bad - odd} as it should be")
