"""``sealcast verify``: the safety number of two members, to be compared by people."""

from __future__ import annotations

from typing import Annotated

import typer

from .failure import Failure, Status
from .output import note
from .public_keys import default_identity, load_pair, public_key
from .qr import print_qr

__all__ = ["verify"]


def verify(
    user: Annotated[str, typer.Option(help="Who you are in the channel.", show_default=False)],
    theirs: Annotated[
        str,
        typer.Option(
            help="The public key that you have for the other, or a file with it.",
            metavar="KEY",
            show_default=False,
        ),
    ],
    their_user: Annotated[
        str, typer.Option(help="Who the other is in the channel.", metavar="USER", show_default=False)
    ],
    mine: Annotated[
        str | None,
        typer.Option(
            help="Your identity's file, or your public key; otherwise where `identity new` puts it.",
            metavar="KEY",
            show_default=False,
        ),
    ] = None,
    qr: Annotated[bool, typer.Option("--qr", help="As a QR code too, for the other to scan.")] = False,
    compare: Annotated[
        str | None,
        typer.Option(
            help="Say whether it is this one, which the other has: same (0) or different (1).",
            metavar="DIGITS",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print the safety number of you and another member.

    Both of you compute it. If the numbers are the same, each of you has the other's true key. Compare
    them by a way that the relay is not on: face to face, or by a call in which you know the voice.

    \b
    Example:  sealcast verify --user alice --their-user bob --theirs bob.pub --qr
              sealcast verify --user alice --their-user bob --theirs bob.pub --compare "12345 67890 …"
    """
    from sealcast.client.e2ee.identity import Identity
    from sealcast.client.e2ee.safety import Holder, grouped, read_digits, safety_number, same_digits

    if qr and compare is not None:
        raise Failure("--compare shows no number", "--qr without it", Status.USAGE)
    own = load_pair(Identity, default_identity()).public if mine is None else public_key("--mine", mine)
    try:
        number = safety_number(Holder(user, own), Holder(their_user, public_key("--theirs", theirs)))
        said = None if compare is None else read_digits(compare)
    except ValueError as error:
        raise Failure(str(error), status=Status.USAGE) from None
    if said is None:
        if qr:
            print_qr(number)
        print("\n".join(grouped(number)))
        note(f"{their_user} must see the same number; compare them by a way that the relay is not on")
        return
    if not same_digits(number, said):
        print("different")
        raise Failure(
            f"one of you has a wrong key for the other, or the numbers are of other members than {user}"
            f" and {their_user}; trust neither key until you know"
        )
    print("same")
