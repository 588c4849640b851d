"""Calls the API of a relay's internal port: what ``sealcast apps`` and ``sealcast keys`` stand on."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

import typer

from .context import read_context
from .failure import Failure, Status
from .secret import from_environment, from_flags

__all__ = ["Api", "ApiKeyFileOption", "ApiKeyOption", "ApiUrlOption", "ContextOption", "place", "reach"]

ApiUrlOption = Annotated[
    str | None,
    typer.Option(
        "--api", help="The relay's internal port; or SEALCAST_API_URL.", show_default=False, metavar="URL"
    ),
]
ApiKeyOption = Annotated[
    str | None,
    typer.Option("--api-key", help="A key of the API; or SEALCAST_API_KEY.", show_default=False),
]
ApiKeyFileOption = Annotated[
    str | None,
    typer.Option(
        "--api-key-file",
        help="A file with the key, - for stdin; or SEALCAST_API_KEY_FILE.",
        show_default=False,
    ),
]
ContextOption = Annotated[
    str | None,
    typer.Option("--context", help="A file with both; or SEALCAST_CONTEXT.", show_default=False),
]

_DEFAULT: Final = "http://127.0.0.1:7701"
_ANSWER_MAX: Final = 8 * 1024 * 1024
_TIMEOUT: Final = 30.0


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The key is for the address that was named, and for no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Api:
    """A relay's API.

    Args:
        url: of the internal port.
        key: sent with every request.

    """

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._key = key
        # No proxy: the internal port is on this machine or in this network.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str | int) -> Any:
        """Make a request; return the body of the answer, None for an empty one. Raises Failure."""
        url = f"{self._url}/api/v1{urllib.parse.quote(path)}"
        if query:
            url += "?" + urllib.parse.urlencode(query)
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - checked by `reach`
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as answer:
                content = answer.read(_ANSWER_MAX)
            return json.loads(content) if content else None
        except urllib.error.HTTPError as error:
            raise _refusal(error) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            said = getattr(reason, "strerror", None) or type(reason).__name__
            raise Failure(
                f"{self._url} does not answer: {said}", "`sealcast serve`, or another --api"
            ) from None

    def pages(self, path: str, **query: str | int) -> Iterator[dict[str, Any]]:
        """Return everything in a list that comes in pages; *query* narrows it."""
        cursor = ""
        while True:
            page = self.ask("GET", path, None, limit=200, cursor=cursor, **query)
            yield from page["items"]
            cursor = page["next"]
            if not cursor:
                return


def reach(url: str | None, key: str | None, key_file: str | None, context: str | None) -> Api:
    """Return the API that flags, environment or a context file name. Raises Failure."""
    address, secret = place(url, key, key_file, context)
    if not secret:
        raise Failure("no API key", "`sealcast admin key`, and then --api-key-file", Status.USAGE)
    return Api(address, secret)


def place(url: str | None, key: str | None, key_file: str | None, context: str | None) -> tuple[str, str]:
    """Return the address, and the key or an empty text, that flags, environment or a context file name.

    Raises:
        Failure: the address is none of an API.

    """
    named = context or os.environ.get("SEALCAST_CONTEXT")
    fields = read_context(named) if named else {}
    address = url or os.environ.get("SEALCAST_API_URL") or fields.get("api") or _DEFAULT
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise Failure(f"{address} is no URL of an API", _DEFAULT, Status.USAGE)
    secret = (
        from_flags("api-key", key, key_file)
        or from_environment("SEALCAST_API_KEY", os.environ)
        or fields.get("api_key")
    )
    return address, secret or ""


def _refusal(error: urllib.error.HTTPError) -> Failure:
    try:
        body = json.loads(error.read(_ANSWER_MAX))
        problems = "; ".join(body.get("problems", []))
        if problems:
            return Failure(f"{body['message']}: {problems} ({body['name']})")
        return Failure(f"{body['message']} ({body['name']}); {body['hint']}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Failure(f"the API answers {error.code}, and not as an API of sealcast does", "another --api")
