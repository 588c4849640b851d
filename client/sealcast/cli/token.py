"""``sealcast token``: make an access token, or look into one."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import typer

from .access import AppIdOption
from .failure import Failure, Status
from .quantity import duration
from .secret import from_environment, from_flags, read_secret

__all__ = ["app"]

_Certificate = Annotated[
    str | None,
    typer.Option(help="The app's certificate; or SEALCAST_CERTIFICATE.", show_default=False),
]
_CertificateFile = Annotated[
    str | None,
    typer.Option(
        help="A file with the certificate, - for stdin; or SEALCAST_CERTIFICATE_FILE.", show_default=False
    ),
]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.callback()
def _token() -> None:
    """Make an access token, or look into one.

    \b
    Example:  sealcast token create --channel standup --user alice
              sealcast token inspect 007eJx…
    """


@app.command()
def create(
    channel: Annotated[str, typer.Option(help="The channel that it admits to.", show_default=False)],
    user: Annotated[str, typer.Option(help="The user that it admits.", show_default=False)],
    role: Annotated[
        Literal["publisher", "subscriber"],
        typer.Option(help="A publisher may send everything, a subscriber nothing."),
    ] = "publisher",
    ttl: Annotated[str, typer.Option(help="How long it lives: seconds, or 30m, 1h; at most 24h.")] = "1h",
    app_id: AppIdOption = None,
    certificate: _Certificate = None,
    certificate_file: _CertificateFile = None,
) -> None:
    """Print a new access token, and nothing else.

    \b
    Example:  export SEALCAST_APP_ID=… SEALCAST_CERTIFICATE_FILE=app.cert
              sealcast token create --channel standup --user alice --ttl 30m
    """
    from sealcast.client.tokens import mint

    seconds = duration("--ttl", ttl)
    secret = _signer(certificate, certificate_file)
    named = app_id or os.environ.get("SEALCAST_APP_ID")
    if not named:
        raise Failure("no App ID", "--app-id, or SEALCAST_APP_ID", Status.USAGE)
    if secret is None:
        raise Failure("no certificate to sign with", "--certificate-file", Status.USAGE)
    assert seconds is not None, "it has a default"
    try:
        print(mint(named, secret, channel, user, role=role, ttl=_whole(seconds)))
    except ValueError as error:
        raise Failure(str(error), status=Status.USAGE) from None


@app.command()
def inspect(
    token: Annotated[
        str, typer.Argument(help="The token, or - for stdin.", metavar="TOKEN", show_default=False)
    ],
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    certificate: _Certificate = None,
    certificate_file: _CertificateFile = None,
    channel: Annotated[
        str | None, typer.Option(help="With --user: would it admit to this channel?", show_default=False)
    ] = None,
    user: Annotated[str | None, typer.Option(help="The user to ask that for.", show_default=False)] = None,
) -> None:
    """Show what a token says; with a certificate, whether that one has signed it.

    \b
    Example:  sealcast token inspect - < alice.token
              sealcast token inspect - --certificate-file app.cert < alice.token
    """
    import time

    from sealcast.protocol.tokens import parse

    from .token_report import as_json, as_table, report

    if token == certificate_file == "-":  # noqa: S105 - a dash is no password
        raise Failure("standard input can hold one of the two only", "a file", Status.USAGE)
    text = read_secret("-") if token == "-" else token.strip()  # noqa: S105
    secret = _signer(certificate, certificate_file)
    if (channel is None) != (user is None):
        raise Failure("--channel and --user belong together", "both", Status.USAGE)
    names = (channel, user) if channel is not None and user is not None else None
    if names is not None and secret is None:
        raise Failure("whom it admits depends on its signature", "--certificate-file too", Status.USAGE)
    told = report(parse(text), text, secret, time.time(), names)
    print(as_json(told) if json else as_table(told), end="")
    if told["signature"] == "wrong":
        raise Failure("the signature is not by this certificate", "another certificate, or a new token")
    if told.get("admits") is False:
        raise Failure("this token does not admit them")


def _signer(certificate: str | None, file: str | None) -> str | None:
    given = from_flags("certificate", certificate, file)
    return given or from_environment("SEALCAST_CERTIFICATE", os.environ)


def _whole(seconds: float) -> int:
    if not seconds.is_integer():
        raise ValueError("a token lives a whole number of seconds")
    return int(seconds)
