"""``sealcast identity``: make the key that says who you are, or look at its public half."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .failure import Failure
from .output import printable
from .public_keys import default_identity, load_pair, save_pair

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.callback()
def _identity() -> None:
    """Make the key that says who you are, or look at its public half.

    \b
    Example:  sealcast identity new
              sealcast identity show --user alice
    """


@app.command()
def new(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write it here; otherwise sealcast/identity in your configuration's folder.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make an identity, and print its public key.

    Its file is readable by you alone, and never written over another one. Whoever has it is you.

    \b
    Example:  sealcast identity new
              sealcast identity new --output alice.identity > alice.pub
    """
    from sealcast.client.e2ee.identity import Identity

    path = output if output is not None else _default_with_its_folder()
    made = Identity.generate()
    save_pair(made, path)
    print(made.public.hex())


@app.command()
def show(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="The identity's file; otherwise where `identity new` puts it.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(help="Also this user's half of every safety number.", show_default=False),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="The public key alone.")] = False,
) -> None:
    """Show an identity's public key and its fingerprint, and never the private key.

    \b
    Example:  sealcast identity show --user alice
              sealcast identity show --public > alice.pub
    """
    from sealcast.client.e2ee.identity import Identity
    from sealcast.client.e2ee.safety import Holder, grouped, key_fingerprint, member_fingerprint

    identity = load_pair(Identity, default_identity() if file is None else file).public
    if public:
        print(identity.hex())
        return
    half = member_fingerprint(Holder(user, identity)) if user is not None else None
    print(f"public key   {identity.hex()}")
    print(f"fingerprint  {grouped(key_fingerprint(identity))[0]}")
    if half is not None:
        print(f"safety half  {grouped(half)[0]}  of {user}")


def _default_with_its_folder() -> Path:
    path = default_identity()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        shown = printable(str(path.parent))
        raise Failure(f"{shown} cannot be made: {error.strerror}", "--output") from None
    return path
