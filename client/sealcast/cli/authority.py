"""``sealcast authority``: the key that says who is a member of which channel, and its certificates.

This belongs on the customer's own machines. The relay needs neither half of the key.
"""

from __future__ import annotations

import base64
import enum
import os
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from .access import AppIdOption
from .failure import Failure, Status
from .output import printable
from .public_keys import load_pair, public_key, save_pair
from .quantity import duration

__all__ = ["app"]

_SKEW: Final = 300
"""Seconds by which certificates are dated back: the members' clocks may be slow by that much."""


class _RoleName(enum.StrEnum):
    MEMBER = "member"
    GATEWAY = "gateway"
    RECORDER = "recorder"
    AUDIENCE = "audience"


_AuthorityFile = Annotated[
    Path, typer.Option("--authority", help="The authority's file.", metavar="FILE", show_default=False)
]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.callback()
def _authority() -> None:
    """Make the key that says who is a member, and the members' certificates.

    \b
    Example:  sealcast authority new --output authority.key > authority.pub
              sealcast authority certify --authority authority.key --channel standup \\
                  --user alice --identity alice.pub
    """


@app.command()
def new(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Write it here.", metavar="FILE", show_default=False)
    ],
) -> None:
    """Make an authority, and print its public key.

    The members need the public key. The file is readable by you alone, and never written over another
    one. Whoever has it decides who is a member: keep it where certificates are made, away from the relay.

    \b
    Example:  sealcast authority new --output authority.key > authority.pub
    """
    from sealcast.client.e2ee.identity import Authority

    made = Authority.generate()
    save_pair(made, output)
    print(made.public.hex())


@app.command()
def show(authority: _AuthorityFile) -> None:
    """Print an authority's public key, and never the private key.

    \b
    Example:  sealcast authority show --authority authority.key > authority.pub
    """
    from sealcast.client.e2ee.identity import Authority

    print(load_pair(Authority, authority).public.hex())


@app.command()
def certify(
    authority: _AuthorityFile,
    channel: Annotated[str, typer.Option(help="The channel.", show_default=False)],
    user: Annotated[str, typer.Option(help="The user, as in the token.", show_default=False)],
    identity: Annotated[
        str,
        typer.Option(help="The user's public key, or a file with it.", metavar="KEY", show_default=False),
    ],
    app_id: AppIdOption = None,
    role: Annotated[
        list[_RoleName] | None,
        typer.Option(
            help="What the user may be; can be given several times. Otherwise member.",
            metavar="ROLE",
            show_default=False,
        ),
    ] = None,
    ttl: Annotated[str, typer.Option(help="How long it holds: seconds, or 12h, 30d.")] = "30d",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write it here instead; never over a file.", show_default=False),
    ] = None,
) -> None:
    """Print a certificate of membership, in base64.

    It says that whoever holds this key is this user, and a member of the channel. Be sure first that the
    key is the user's: compare it, or its fingerprint, by a way that the relay is not on.

    \b
    Example:  export SEALCAST_APP_ID=…
              sealcast authority certify --authority authority.key --channel standup \\
                  --user alice --identity alice.pub --ttl 7d
    """
    from sealcast.client.e2ee.hello import Role
    from sealcast.client.e2ee.identity import Authority

    named = app_id or os.environ.get("SEALCAST_APP_ID")
    if not named:
        raise Failure("no App ID", "--app-id, or SEALCAST_APP_ID", Status.USAGE)
    life = _life(ttl)
    key = public_key("--identity", identity)
    signer = load_pair(Authority, authority)
    if key == signer.public:
        raise Failure("--identity is the authority's own key", "the user's public key", Status.USAGE)
    now = int(time.time())
    try:
        certificate = signer.certify(
            named,
            channel,
            user,
            key,
            role=[Role[name.name] for name in role or [_RoleName.MEMBER]],
            not_before=now - _SKEW,
            not_after=now + life,
        )
    except ValueError as error:
        raise Failure(str(error), status=Status.USAGE) from None
    text = base64.b64encode(certificate).decode()
    if output is None:
        print(text)
    else:
        _write(output, text)


def _life(ttl: str) -> int:
    seconds = duration("--ttl", ttl)
    assert seconds is not None, "it has a default"
    if seconds < 1 or not seconds.is_integer():
        raise Failure("a certificate holds for a whole number of seconds", "--ttl 30d", Status.USAGE)
    return int(seconds)


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="ascii") as file:
            print(text, file=file)
    except FileExistsError:
        raise Failure(f"{printable(str(path))} exists already", "another name, or remove it") from None
    except OSError as error:
        raise Failure(f"{printable(str(path))} cannot be written: {error.strerror}") from None
