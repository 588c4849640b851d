"""How this program was started, as somebody would type it in another terminal."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["command_of", "invocation"]


def invocation() -> str:
    """Return the command that starts this program in a fresh shell, quoted where it must be."""
    return shlex.join(command_of(sys.argv[0], sys.executable, os.environ))


def command_of(program: str, interpreter: str, environment: Mapping[str, str]) -> Sequence[str]:
    """Return the words of the command for a *program* (``argv[0]``) that *interpreter* runs.

    ``sealcast`` where a fresh shell finds the same file by that name; else the full path, because another
    terminal stands in another directory, and has not activated this one's virtual environment.
    """
    path = Path(program)
    if path.name == "__main__.py":
        return (interpreter, "-m", "sealcast.cli")
    full = Path(os.path.abspath(program if os.sep in program else shutil.which(program) or program))
    activated = environment.get("VIRTUAL_ENV")
    if activated and full.is_relative_to(activated):
        return (str(full),)
    found = shutil.which(path.name, path=environment.get("PATH"))
    return (path.name,) if found and Path(found).absolute() == full else (str(full),)
