"""``sealcast demo``: the command."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from ..failure import Failure, Status, require_extra
from . import wav

__all__ = ["demo"]

_CLIP: Final = Path(__file__).with_name("clip.wav")
_MEMBERS_MAX: Final = 16


def demo(
    seconds: Annotated[
        float, typer.Option(min=0, max=86_400, help="How long the members talk; 0: until Ctrl-C.")
    ] = 12.0,
    participants: Annotated[
        int, typer.Option(min=2, max=_MEMBERS_MAX, help="How many members there are.")
    ] = 4,
    audio: Annotated[
        Path | None,
        typer.Option(help="A WAV file to play instead of the clip that comes with it.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write what a listener heard to this WAV file.", show_default=False)
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep it running until Ctrl-C.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result alone, for machines, and nothing while it runs.")
    ] = False,
) -> None:
    """Start a relay and a conversation on this machine, and prove that the relay could not listen.

    Ends with status 0 only if everything that it claims was found to be true.

    \b
    Example:  sealcast demo --participants 6 --audio voice.wav --out heard.wav
    """
    require_extra("demo")
    from .conductor import NAMES, Plan
    from .performance import perform

    if 0 < seconds < 1:
        raise Failure("--seconds is below 1", "1 or more, or 0 to run until Ctrl-C", Status.USAGE)
    sound = (audio or _CLIP).absolute()
    _require_playable(sound)
    if out is not None:
        out = out.absolute()
        _require_writable(out, sound)
    # A terminal that cannot show a character gets another one, not a traceback.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    plan = Plan(NAMES[:participants], sound, 0.0 if keep else seconds, out)
    raise typer.Exit(perform(plan, as_json=as_json))


def _require_playable(path: Path) -> None:
    try:
        with wav.WaveFile(path):
            pass
    except (wav.NotPlayable, OSError) as error:
        reason = str(error) if isinstance(error, wav.NotPlayable) else error.strerror
        raise Failure(f"--audio {path.name}: {reason}", "another WAV file", Status.USAGE) from None


def _require_writable(path: Path, sound: Path) -> None:
    if path.exists() and path.samefile(sound):
        raise Failure("--out is the file that is played", "another file", Status.USAGE)
    try:
        path.open("ab").close()
    except OSError as error:
        raise Failure(f"--out {path.name}: {error.strerror}", "another file", Status.USAGE) from None
