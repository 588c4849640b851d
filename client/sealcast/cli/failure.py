"""How a command fails: one line that says what to do next, and an exit status that means something."""

from __future__ import annotations

import enum
import importlib.util
from typing import Final

from sealcast.protocol.errors import SealcastError

__all__ = ["Failure", "Status", "missing_extra", "require_extra"]

_RELAY_NEEDS: Final = ("pydantic", "structlog")


class Status(enum.IntEnum):
    """The exit statuses of ``sealcast``; docs/cli.md has the table."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIGURATION = 3
    ADDRESS_IN_USE = 4
    INTERRUPTED = 130
    """128 + SIGINT, as a shell reports it."""
    BROKEN_PIPE = 141
    """128 + SIGPIPE: whoever read our output has stopped."""


class Failure(SealcastError):
    """An expected failure of a command.

    Args:
        problem: what is wrong.
        advice: what to do next, without the word "try"; empty when *problem* says so.
        status: what the process ends with.

    """

    def __init__(self, problem: str, advice: str = "", status: Status = Status.FAILED) -> None:
        super().__init__(f"{problem}; try {advice}" if advice else problem)
        self.status = status


def missing_extra(command: str, error: ModuleNotFoundError) -> Failure:
    """Return the failure of a command of the relay where the relay's packages are not installed."""
    if error.name is None or error.name.partition(".")[0] == "sealcast":
        raise error
    return Failure(
        f"`sealcast {command}` needs the package {error.name}, which is not installed",
        "pip install 'sealcast[server]'",
    )


def require_extra(command: str) -> None:
    """Raise Failure where a command that starts a relay lacks the relay's packages."""
    for name in _RELAY_NEEDS:
        if importlib.util.find_spec(name) is None:
            raise missing_extra(command, ModuleNotFoundError(name=name))
