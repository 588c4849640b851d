"""How `join`, `send` and `listen` reach a channel: their common options, and what those come to.

Each value is taken from the flag, else from the environment, else from the context file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from .context import read_context
from .failure import Failure, Status
from .secret import from_environment, from_flags

if TYPE_CHECKING:
    from sealcast.client import Client, Key

__all__ = [
    "DEFAULT_URL",
    "Access",
    "AppIdOption",
    "CertificateFileOption",
    "CertificateOption",
    "ChannelArgument",
    "ContextOption",
    "KeyFileOption",
    "KeyOption",
    "TokenFileOption",
    "TokenOption",
    "UrlOption",
    "UserOption",
    "reach",
]

DEFAULT_URL: Final = "ws://127.0.0.1:7700"

_MINTED_TTL: Final = 3600

Text: TypeAlias = str | None

ChannelArgument: TypeAlias = Annotated[
    str, typer.Argument(help="The channel's name.", metavar="CHANNEL", show_default=False)
]
UserOption: TypeAlias = Annotated[
    str, typer.Option(help="Who you are in the channel, as the token says.", show_default=False)
]
UrlOption: TypeAlias = Annotated[
    Text, typer.Option(help=f"The relay; or SEALCAST_URL. Otherwise {DEFAULT_URL}.", show_default=False)
]
AppIdOption: TypeAlias = Annotated[
    Text, typer.Option("--app-id", help="The App ID; or SEALCAST_APP_ID.", show_default=False)
]
TokenOption: TypeAlias = Annotated[
    Text, typer.Option(help="An access token; or SEALCAST_TOKEN.", show_default=False)
]
TokenFileOption: TypeAlias = Annotated[
    Text,
    typer.Option(help="A file with the token, - for stdin; or SEALCAST_TOKEN_FILE.", show_default=False),
]
CertificateOption: TypeAlias = Annotated[
    Text,
    typer.Option(
        help="The app's certificate, to mint a token here; or SEALCAST_CERTIFICATE. For tests.",
        show_default=False,
    ),
]
CertificateFileOption: TypeAlias = Annotated[
    Text,
    typer.Option(
        help="A file with the certificate, - for stdin; or SEALCAST_CERTIFICATE_FILE.", show_default=False
    ),
]
KeyOption: TypeAlias = Annotated[
    Text,
    typer.Option(
        help="The content key, the same for all members, or none for clear text; or SEALCAST_KEY.",
        show_default=False,
    ),
]
KeyFileOption: TypeAlias = Annotated[
    Text, typer.Option(help="A file with the key, - for stdin; or SEALCAST_KEY_FILE.", show_default=False)
]
ContextOption: TypeAlias = Annotated[
    Text,
    typer.Option(
        help="A TOML file with url, app_id, token or certificate, key; or SEALCAST_CONTEXT.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Access:
    """Everything that is needed to join."""

    url: str
    app_id: str
    token: str | Callable[[str, str], str] | None = field(repr=False)
    """A token, or what mints one for a channel and a user; None where the App ID alone may do."""
    key: Key
    sealed: bool
    """Whether there is a key: False for clear text."""

    def client(self) -> Client:
        """Return a client that is not connected yet. Raises Failure for what no client can be made of."""
        from sealcast.client import Client

        try:
            return Client(self.url, app_id=self.app_id, token=self.token)
        except ValueError as error:  # the URL, the App ID or the token; the text says which
            raise Failure(str(error), status=Status.USAGE) from None


def reach(
    environment: Mapping[str, str],
    *,
    url: Text = None,
    app_id: Text = None,
    token: Text = None,
    token_file: Text = None,
    certificate: Text = None,
    certificate_file: Text = None,
    key: Text = None,
    key_file: Text = None,
    context: Text = None,
) -> Access:
    """Return what flags, environment and context file come to.

    Raises Failure when something is missing, unreadable or given twice.
    """
    from .keys import CLEAR, parse_key

    if [token_file, certificate_file, key_file].count("-") > 1:
        raise Failure("standard input can hold one secret only", "a file for the others", Status.USAGE)
    path = context or environment.get("SEALCAST_CONTEXT")
    kept = read_context(path) if path else {}

    app = app_id or environment.get("SEALCAST_APP_ID") or kept.get("app_id")
    if not app:
        raise Failure("no App ID", "--app-id, or --context with a file that has it", Status.USAGE)
    secret = (
        from_flags("key", key, key_file) or from_environment("SEALCAST_KEY", environment) or kept.get("key")
    )
    if not secret:
        raise Failure(
            "no content key",
            "`sealcast genkey` for one, and --key with it for all members (--key none sends clear text,"
            " where the app allows it)",
            Status.USAGE,
        )
    return Access(
        url=url or environment.get("SEALCAST_URL") or kept.get("url") or DEFAULT_URL,
        app_id=app,
        token=_token(
            app,
            (
                from_flags("token", token, token_file),
                from_flags("certificate", certificate, certificate_file),
            ),
            (
                from_environment("SEALCAST_TOKEN", environment),
                from_environment("SEALCAST_CERTIFICATE", environment),
            ),
            (kept.get("token"), kept.get("certificate")),
        ),
        key=parse_key(secret),
        sealed=secret.strip() != CLEAR,
    )


def _token(app_id: str, *sources: tuple[Text, Text]) -> str | Callable[[str, str], str] | None:
    """Return the token or the certificate's minter of the first source that has one of them."""
    for token, certificate in sources:
        if token and certificate:
            raise Failure("a token and a certificate are both given", "one of them", Status.USAGE)
        if token:
            return token
        if certificate:
            return _minter(app_id, certificate)
    return None


def _minter(app_id: str, certificate: str) -> Callable[[str, str], str]:
    from sealcast.client.tokens import mint

    return lambda channel, user: mint(app_id, certificate, channel, user, ttl=_MINTED_TTL)
