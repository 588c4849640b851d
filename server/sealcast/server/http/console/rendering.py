"""Templates, static files, and the headers that go with both."""

from __future__ import annotations

import datetime
import functools
import hashlib
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

__all__ = ["CONTENT_POLICY", "Rendering", "moment", "shown"]

CONTENT_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_POLICY,
    # Not no-referrer: with that a browser says of no form where it comes from.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_BYTES: Final = ("B/s", "kB/s", "MB/s", "GB/s")


class Rendering:
    """Everything is read once, at the start: a page waits for no file."""

    @classmethod
    @functools.cache
    def shared(cls) -> Rendering:
        """Return the one of this process: compiling the templates takes the most of a relay's start."""
        return cls()

    def __init__(self) -> None:
        place = Path(__file__).parent
        self._files = {path.name: path.read_bytes() for path in sorted((place / "static").iterdir())}
        self._versions = {name: hashlib.sha256(data).hexdigest()[:12] for name, data in self._files.items()}
        self._templates = Environment(
            loader=FileSystemLoader(place / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters.update(shown=shown, time=moment)
        self._templates.globals["static"] = self._static_path
        for name in self._templates.list_templates():
            self._templates.get_template(name)

    def page(self, template: str, status: int, **context: Any) -> Response:
        """Return a page."""
        text = self._templates.get_template(template).render(context)
        return HTMLResponse(text, status, _HEADERS)

    async def static(self, request: Request) -> Response:
        """Serve a file that anybody may have."""
        name = request.path_params["name"]
        data = self._files.get(name)
        if data is None:
            return Response(status_code=404)
        headers = {"Content-Security-Policy": "default-src 'none'"}
        if request.query_params.get("v") == self._versions[name]:  # this text has this address for ever
            headers["Cache-Control"] = "max-age=31536000, immutable"
        return Response(data, headers=headers, media_type=_TYPES[Path(name).suffix])

    def _static_path(self, name: str) -> str:
        return f"/console/static/{name}?v={self._versions[name]}"


def shown(value: Any, unit: str = "") -> str:
    """Write a figure for people; the script does the same."""
    if value is None or value == "":
        return "–"
    if isinstance(value, str):
        return value
    if unit == "%":
        return f"{100 * value:.0f} %" if value in (0, 1) else f"{100 * value:.2f} %"
    if unit == "ms":
        return f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"
    if unit == "B/s":
        step = 0
        while value >= 1000 and step < len(_BYTES) - 1:
            value, step = value / 1000, step + 1
        return f"{value:.1f} {_BYTES[step]}" if step and value < 100 else f"{value:.0f} {_BYTES[step]}"
    return f"{value:,.0f}"


def moment(seconds: float | None) -> str:
    """Write a time for people, in UTC."""
    if seconds is None:
        return "–"
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
