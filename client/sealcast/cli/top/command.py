"""``sealcast top``: what a relay is doing."""

from __future__ import annotations

import contextlib
import json as encoder
import os
import time
from collections.abc import Iterator
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live

from sealcast.protocol.quantities import seconds

from ..api import ApiKeyFileOption, ApiKeyOption, ApiUrlOption, ContextOption, place
from ..failure import Failure, Status
from .figures import Figures, figures
from .keyboard import keyboard
from .scrape import Away, Scrape, Scraper
from .screen import drawn

__all__ = ["top"]

_LEAST: Final = 0.1
_WIDE: Final = 120
"""Columns of what goes into a file: nothing is cut off."""


def top(
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
    every: Annotated[str, typer.Option(help="How often to look, as in 2s.")] = "2s",
    once: Annotated[
        bool, typer.Option("--once", help="Look twice, print what was between, and end.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON, a line each time.")] = False,
) -> None:
    """Watch what a relay is doing: connections, rates, drops, refusals, turn lengths, the busiest apps.

    q or Ctrl-C ends it. When the relay goes away it waits until it is back; with --once it fails.
    A key is needed only where metrics.open is off.

    \b
    Example:  sealcast top
              sealcast top --once --json --every 10s | jq .turn_p99
    """
    url, key = place(api, api_key, api_key_file, context)
    interval = _interval(every)
    scraper = Scraper(url, key, timeout=max(interval, 2.0))
    if once:
        _print(url, _once(scraper, url, interval), json)
    elif json:
        _stream(scraper, interval)
    else:
        _watch(scraper, url, interval)


def _interval(text: str) -> float:
    try:
        interval = seconds(text)
    except ValueError as error:
        raise Failure(f"--every is {error}", status=Status.USAGE) from None
    if interval < _LEAST:
        raise Failure(f"--every should be {_LEAST} s or more", "--every 2s", Status.USAGE)
    return interval


def _once(scraper: Scraper, url: str, interval: float) -> Figures:
    try:
        before = scraper.ask()
        time.sleep(interval)
        return figures(before, scraper.ask(), time.time())
    except Away as away:
        raise Failure(f"{url} does not answer: {away}", "`sealcast serve`, or another --api") from None


def _looks(scraper: Scraper) -> Iterator[tuple[Figures | None, str]]:
    """Look again and again; yield what is known, and why there is nothing new if there is not."""
    before: Scrape | None = None
    known: Figures | None = None
    while True:
        try:
            after = scraper.ask()
        except Away as away:
            before = None  # rates over a gap would be of two processes, or of no use
            yield known, str(away)
            continue
        # The first time there is no rate yet, but everything else.
        known = figures(before or after, after, time.time())
        before = after
        yield known, ""


def _stream(scraper: Scraper, interval: float) -> None:
    for found, away in _looks(scraper):
        line = {"away": away} if found is None or away else found.tree()
        print(encoder.dumps(line), flush=True)
        time.sleep(interval)


def _print(url: str, found: Figures, json: bool) -> None:
    if json:
        print(encoder.dumps(found.tree(), indent=2))
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = max(console.width, _WIDE)
        console.print(drawn(url, found, "", 10_000))


def _watch(scraper: Scraper, url: str, interval: float) -> None:
    console = Console(highlight=False)
    alone = console.is_terminal and os.environ.get("TERM", "dumb") != "dumb"
    if not alone:
        raise Failure("top needs a terminal", "--once or --json", Status.USAGE)
    with (
        contextlib.suppress(KeyboardInterrupt),
        keyboard() as keys,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        for found, away in _looks(scraper):
            live.update(drawn(url, found, away, console.height), refresh=True)
            if keys.pressed(b"qQ", interval):
                return
