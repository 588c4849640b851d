"""``sealcast serve``: run a relay until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .failure import Failure, Status, missing_extra
from .output import note

if TYPE_CHECKING:
    from sealcast.server.config import Config
    from sealcast.server.relay import Relay

__all__ = ["serve"]

_WHAT_TO_DO = (
    "`sealcast serve --dev`, or `sealcast genconfig --output sealcast.toml`"
    " and then `sealcast serve --config sealcast.toml`"
)


def serve(
    dev: Annotated[
        bool,
        typer.Option("--dev", help="Try it out: this machine only, an app and a key made up for the run."),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(help="The configuration file; or SEALCAST_CONFIG.", show_default=False),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Listen here instead of server.host.", show_default=False)
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Listen here instead of server.port; 0 takes a free one.", show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Keep apps and keys in a database in this directory; or database.url.", show_default=False
        ),
    ] = None,
    internal: Annotated[
        bool | None,
        typer.Option("--internal/--no-internal", help="Serve the API for operators.", show_default=False),
    ] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(help="Write this and what is worse instead of log.level.", show_default=False),
    ] = None,
) -> None:
    """Run a relay until SIGTERM or Ctrl-C.

    Options come from the file, over it the environment (SEALCAST_SECTION_KEY), over that the flags.

    \b
    Example:  sealcast serve --dev
              sealcast serve --config /etc/sealcast.toml --port 7700
    """
    path = config or (Path(named) if (named := os.environ.get("SEALCAST_CONFIG")) else None)
    flags = {
        "server.host": host,
        "server.port": port,
        "server.internal": internal,
        "database.directory": None if data is None else str(data),
        "log.level": log_level,
    }
    if dev:
        if config is not None:
            raise Failure("--dev and --config exclude each other", "one of them", Status.USAGE)
        path = None
    try:
        from sealcast.server.config_file import load as load_again
        from sealcast.server.logs import configure, logger
        from sealcast.server.station import Station

        from . import dev_mode
    except ModuleNotFoundError as error:
        raise missing_extra("serve", error) from None
    warnings: list[str] = []
    loaded = dev_mode.load(os.environ, flags) if dev else _load(path, flags, warnings)
    configure(loaded.log)
    for warning in warnings:
        logger.warning(warning)
    _raise_file_limit()

    def reread() -> Config:
        return load_again(path, os.environ, flags, warn=logger.warning)

    with dev_mode.relay(loaded) if dev else contextlib.nullcontext(Station(loaded, reread=reread)) as relay:
        _run(relay, loaded)


def _load(path: Path | None, flags: Mapping[str, object], warnings: list[str]) -> Config:
    from sealcast.server.config_file import ConfigError, NoApp, load

    try:
        return load(path, os.environ, flags, warn=warnings.append)
    except NoApp as error:
        if path is None:
            raise Failure("no app to serve", _WHAT_TO_DO, Status.CONFIGURATION) from None
        raise Failure(str(error), "`sealcast genconfig` for an example", Status.CONFIGURATION) from None
    except ConfigError as error:
        *others, last = error.problems
        for problem in others:
            note(problem)
        raise Failure(last, status=Status.CONFIGURATION) from None


def _raise_file_limit() -> None:
    """Take as many files, and so connections, as the system allows this process."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _run(relay: Relay, config: Config) -> None:
    from sealcast.server.directory import AppsClash
    from sealcast.server.engine.sqlite import JournalUnusable
    from sealcast.server.logs import logger
    from sealcast.server.relay import main_loop
    from sealcast.server.spans import TracesUnavailable
    from sealcast.server.station import InternalPortUnavailable
    from sealcast.server.store.records import StoreError, StoreUnusable
    from sealcast.server.transport.tls import CertificateUnusable

    loop = main_loop()
    if loop is None:
        logger.warning("uvloop is not installed: this will be slow; try pip install 'sealcast[server]'")
    address = f"{config.server.host}:{config.server.port}"
    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(relay.run())
    except CertificateUnusable as error:
        raise Failure(
            str(error), "other server.tls_certificate, server.tls_key", Status.CONFIGURATION
        ) from None
    except JournalUnusable as error:
        raise Failure(str(error), "another storage.path", Status.CONFIGURATION) from None
    except ModuleNotFoundError as error:  # what is loaded only where it is needed
        raise missing_extra("serve", error) from None
    except (AppsClash, StoreUnusable, TracesUnavailable) as error:
        raise Failure(str(error), status=Status.CONFIGURATION) from None
    except StoreError as error:
        raise Failure(str(error), "another database.url, once it is well") from None
    except InternalPortUnavailable as error:
        status = Status.ADDRESS_IN_USE if error.in_use else Status.FAILED
        raise Failure(str(error), "another server.internal_port, or --no-internal", status) from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Failure(
                f"{address} is in use", "another --port, or 0 for a free one", Status.ADDRESS_IN_USE
            ) from None
        reason = error.strerror or "no such address"
        raise Failure(f"cannot listen on {address}: {reason}", "another --host or --port") from None
