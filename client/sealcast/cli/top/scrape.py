"""Fetches a relay's numbers and reads them; what answers may be anybody, so everything is bounded."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ..failure import Failure, Status

__all__ = ["Away", "Scrape", "Scraper", "parse"]

_TEXT_MOST: Final = 8 * 1024 * 1024
_LINES_MOST: Final = 100_000
_LINE: Final = re.compile(r"(sealcast_\w{1,100}|process_\w{1,100})(?:\{(.{0,1000})\})? (\S{1,40})")
_LABEL: Final = re.compile(r'(\w{1,40})="((?:[^"\\]|\\.)*)"')

Series: TypeAlias = dict[tuple[tuple[str, str], ...], float]


@dataclass(frozen=True, slots=True)
class Scrape:
    """The numbers of one moment."""

    at: float
    """When they were asked for, in monotonic seconds."""
    series: Mapping[str, Series] = field(repr=False)

    def get(self, name: str, **labels: str) -> float | None:
        """Return the sum of the series with these labels; None when there is none."""
        wanted = labels.items()
        found = [value for has, value in self.series.get(name, {}).items() if wanted <= dict(has).items()]
        return sum(found) if found else None

    def by(self, name: str, label: str) -> dict[str, float]:
        """Return the sums of a metric by the values of one label."""
        sums: dict[str, float] = {}
        for labels, value in self.series.get(name, {}).items():
            key = dict(labels).get(label, "")
            sums[key] = sums.get(key, 0.0) + value
        return sums


class Away(Exception):
    """The relay does not answer now; the text says why."""


def parse(text: str, at: float) -> Scrape:
    """Read the text format of Prometheus, as far as it is ours. Raises Away for what is none of ours."""
    series: dict[str, Series] = {}
    for match in _lines(text):
        labels = tuple(_LABEL.findall(match[2] or ""))
        try:
            series.setdefault(match[1], {})[labels] = float(match[3])
        except ValueError:
            continue
    if "sealcast_connections" not in series:
        raise Away("it does not answer as a relay does")
    return Scrape(at, series)


def _lines(text: str) -> Iterator[re.Match[str]]:
    for number, line in enumerate(text.splitlines()):
        if number >= _LINES_MOST:
            return
        match = _LINE.fullmatch(line)
        if match is not None:
            yield match


class Scraper:
    """Asks a relay for its numbers.

    Args:
        url: of its internal port.
        key: of the API, where the numbers are not open; empty for none.
        timeout: seconds to wait for an answer.

    """

    def __init__(self, url: str, key: str = "", timeout: float = 5.0) -> None:
        self._url = f"{url.rstrip('/')}/metrics"
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout = timeout
        # No proxy: the internal port is on this machine or in this network.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())

    def ask(self) -> Scrape:
        """Return the numbers of now.

        Raises:
            Away: it does not answer, which may pass.
            Failure: it answers that this key may not read them, which will not.

        """
        request = urllib.request.Request(self._url, headers=self._headers)  # noqa: S310 - checked by the command
        at = time.monotonic()
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                text = answer.read(_TEXT_MOST).decode(errors="replace")
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise Failure(
                    "the relay shows its numbers to keys with metrics:read only",
                    "--api-key-file",
                    Status.FAILED,
                ) from None
            raise Away(f"it answers {error.code}") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise Away(getattr(reason, "strerror", None) or type(reason).__name__) from None
        return parse(text, at)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The key is for the address that was named, and for no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None
