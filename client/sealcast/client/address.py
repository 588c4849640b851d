"""Where to connect: the URL an application gives, checked before anything is opened."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from sealcast.protocol.errors import SealcastError
from sealcast.protocol.names import AppId
from sealcast.protocol.names import app_id as check_app_id

__all__ = ["Address", "InvalidUrl"]

_URL_MAX = 2048
_HTTP = {"http": "ws", "https": "wss"}


class InvalidUrl(SealcastError, ValueError):
    """A URL that does not name a server; the text says what to change and never repeats the URL."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server and an app: ``{base}/v1/{app_id}``."""

    base: str
    """``ws://host:port`` or ``wss://host:port``, perhaps with a path before ``/v1``; no slash at the end."""
    app_id: AppId

    @classmethod
    def of(cls, url: str, app_id: str) -> Address:
        """Check a URL and an App ID.

        Raises:
            InvalidUrl: not a ``ws`` or ``wss`` URL, or it has a user, a query or a fragment: nothing
                secret may travel in it.
            InvalidName: the App ID is not one.

        """
        return cls(_checked(url), check_app_id(app_id))

    @property
    def uri(self) -> str:
        """What is connected to."""
        return f"{self.base}/v1/{self.app_id}"

    @property
    def secure(self) -> bool:
        """Whether the connection is encrypted by TLS."""
        return self.base.startswith("wss:")

    def alternative(self, url: str) -> Address | None:
        """Return the same app at a URL that the server named, or None when it must not be followed.

        A server may send its clients elsewhere, but not from TLS to clear text.
        """
        try:
            other = Address(_checked(url), self.app_id)
        except InvalidUrl:
            return None
        return other if other.secure or not self.secure else None


def _checked(url: str) -> str:
    if len(url) > _URL_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidUrl("the server's URL is too long or has characters that no URL has")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidUrl("the server's URL has a malformed host or port") from None
    if parts.scheme in _HTTP:
        raise InvalidUrl(f"the server's URL starts with {_HTTP[parts.scheme]}://, not {parts.scheme}://")
    if parts.scheme not in _HTTP.values() or not parts.hostname or port == 0:
        raise InvalidUrl("the server's URL looks like ws://host:port or wss://host:port")
    if parts.username is not None or parts.password is not None:
        raise InvalidUrl("the server's URL has a user or password in it; tokens are given to join()")
    if "?" in url or "#" in url:
        raise InvalidUrl("the server's URL has a query or fragment in it; leave them out")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
