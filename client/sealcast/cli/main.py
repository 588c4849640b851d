"""The table of commands, and the one place where a failure becomes a line and an exit status."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from sealcast.protocol.errors import InvalidName, SealcastError

from .failure import Failure, Status
from .output import note

__all__ = ["app", "main", "run"]

_COMMANDS: Final = {
    "serve": "serve:serve",
    "demo": "demo.command:demo",
    "verify-blind": "blind.command:verify_blind",
    "bench": "bench.command:bench",
    "join": "chat:join",
    "send": "pipes:send",
    "listen": "pipes:listen",
    "token": "token:app",
    "genkey": "keys:genkey",
    "apps": "apps:app",
    "channels": "live:channels",
    "members": "live:members",
    "kick": "live:kick",
    "keys": "api_keys:app",
    "ban": "ban:app",
    "revoke": "revoke:app",
    "webhooks": "webhooks:app",
    "blocks": "blocks:app",
    "calls": "calls:app",
    "users": "users:app",
    "audit": "audit:app",
    "retention": "retention:app",
    "admin": "admin:app",
    "migrate": "admin:migrate",
    "identity": "identity:app",
    "authority": "authority:app",
    "verify": "verify:verify",
    "genconfig": "config_commands:genconfig",
    "checkconfig": "config_commands:checkconfig",
    "defaultenv": "config_commands:defaultenv",
    "top": "top.command:top",
    "doctor": "doctor.command:doctor",
    "version": "version:version",
}
"""Where each command stands, as ``module:name`` below this package, in the order of the help."""

_EXTRA_ARGUMENT: Final = re.compile(r"(unexpected extra arguments?).*", re.DOTALL)


class _Commands(TyperGroup):
    """Imports a command when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name in _COMMANDS if _installed(name)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _COMMANDS or not _installed(cmd_name):
            near = difflib.get_close_matches(cmd_name, self.list_commands(ctx), 1)
            ctx.fail(f"no such command{f'; did you mean `sealcast {near[0]}`?' if near else ''}")
        if cmd_name not in self.commands:
            module, _, name = _COMMANDS[cmd_name].partition(":")
            found = getattr(importlib.import_module(f"{__package__}.{module}"), name)
            if not isinstance(found, typer.Typer):
                single = typer.Typer(add_completion=False, rich_markup_mode=None)
                single.command(cmd_name)(found)
                found = single
            self.commands[cmd_name] = typer.main.get_command(found)
        return self.commands[cmd_name]

    def make_context(self, *args: Any, **options: Any) -> Any:
        with _reader_watched():  # `--help` prints from here
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        with _reader_watched():
            return super().invoke(ctx)


class _ReaderGone(Exception):
    """Whoever read our output has stopped."""


@contextlib.contextmanager
def _reader_watched() -> Iterator[None]:
    # As an OSError it would be taken for a plain failure on its way through the library.
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise _ReaderGone from None


def _installed(name: str) -> bool:
    # The demo and the proof are packages of their own, which a small distribution may leave out.
    module = _COMMANDS[name].partition(":")[0]
    return "." not in module or importlib.util.find_spec(f"{__package__}.{module}") is not None


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _sealcast(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """A real-time channel server whose operator cannot listen.

    \b
    Try it:        sealcast serve --dev
    A real relay:  sealcast genconfig --output sealcast.toml
                   sealcast serve --config sealcast.toml
    """
    if version:
        from .version import version as show

        show()
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise Failure("no command given", "`sealcast serve --dev`, or `sealcast --help`", Status.USAGE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; what went wrong stands on standard error."""
    try:
        command = typer.main.get_command(app)
        result = command.main(
            args=list(sys.argv[1:] if arguments is None else arguments),
            prog_name="sealcast",
            standalone_mode=False,
        )
    except KeyboardInterrupt:
        return Status.INTERRUPTED
    except _ReaderGone:
        return _reader_gone()
    except Failure as failure:
        return _complain(str(failure), failure.status)
    except InvalidName as error:
        return _complain(str(error), Status.USAGE)
    except SealcastError as error:
        return _complain(str(error), Status.FAILED)
    except typer.TyperException as error:  # usage, as the library sees it
        return _complain(_usage(error), Status(error.exit_code))
    except OSError as error:
        return _complain(error.strerror or "the system refused", Status.FAILED)
    return result if isinstance(result, int) else Status.OK


def run() -> NoReturn:
    """Run the command that the process was started with, and exit."""
    sys.exit(main())


def _complain(text: str, status: Status) -> int:
    try:
        note(text)
    except BrokenPipeError:
        return _reader_gone()
    return status


def _reader_gone() -> int:
    # The interpreter flushes once more on its way out, which must not fail a second time.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return Status.BROKEN_PIPE


def _usage(error: typer.TyperException) -> str:
    """Return a usage error as one line that ends with where to read on."""
    # What stands where no argument is expected could be a token: it is not repeated.
    text = _EXTRA_ARGUMENT.sub(r"\1", " ".join(error.format_message().split()))
    text = text.replace(": Value error, ", ": ").rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "sealcast"
    return f"{text[:1].lower()}{text[1:]}; try `{path} --help`"
