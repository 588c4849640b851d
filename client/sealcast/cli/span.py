"""Moments as options: a date, a date and time, or how long ago."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated

import typer

from sealcast.protocol.quantities import seconds

from .failure import Failure, Status

__all__ = ["FromOption", "ToOption", "span"]

FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="From then on: 2026-12-24, 2026-12-24T18:00, or 2d for two days ago.",
        show_default=False,
    ),
]
ToOption = Annotated[str | None, typer.Option("--to", help="Until then, likewise.", show_default=False)]


def span(since: str | None, until: str | None) -> dict[str, str | int]:
    """Return both as the API takes them. Raises Failure."""
    found: dict[str, str | int] = {}
    for name, text in (("from", since), ("to", until)):
        if text is not None:
            found[name] = repr(_moment(name, text))
    return found


def _moment(option: str, text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        pass
    try:
        return time.time() - seconds(text)
    except ValueError:
        raise Failure(
            f"--{option} is no moment", "2026-12-24, 2026-12-24T18:00, or 2d for two days ago", Status.USAGE
        ) from None
