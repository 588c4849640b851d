"""What ``/code`` says in a chat: the channel code as digits and QR code, and whether another one is the same.

Texts only, no output: names in them come from the network, and whoever prints them makes them safe.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .failure import Failure
from .qr import drawn

if TYPE_CHECKING:
    from sealcast.client import Channel

__all__ = ["compared", "picture", "spelled_out"]

_CLEAR = "without a key there is no channel code: the relay can be anybody here"


def spelled_out(room: Channel) -> list[str]:
    """Return the lines that show the code, who is in it, and what to do with it."""
    from sealcast.client.e2ee.safety import grouped

    if room.code is None:
        return [_CLEAR]
    members = room.members.values()
    others = sorted(member.user for member in members if member.verified)
    outside = sorted(member.user for member in members if not member.verified)
    lines = [f"the channel code of {room.name}, for {', '.join([f'{room.user} (you)', *others])}:"]
    lines += [f"    {line}" for line in grouped(room.code)]
    if outside:
        lines.append(f"not in it, because nothing of theirs opens: {', '.join(outside)}")
    if not room.joined:
        lines.append("the connection is interrupted; this is how it was before")
    return [*lines, "all of you must see the same; compare by a way that the relay is not on"]


def picture(room: Channel) -> list[str]:
    """Return the code as the lines of a QR code, which hold nothing that came from the network.

    Raises:
        Failure: there is none, or this output has no characters for it.

    """
    if room.code is None:
        raise Failure(_CLEAR)
    return drawn(room.code, sys.stdout)


def compared(room: Channel, text: str) -> str:
    """Say whether *text*, which somebody read out or scanned, is the code that is seen here."""
    from sealcast.client.e2ee.safety import read_digits, same_digits

    if room.code is None:
        return _CLEAR
    try:
        said = read_digits(text)
    except ValueError as error:
        return f"{error}: /code and all of them, /code qr, or /code alone"
    if same_digits(room.code, said):
        return "same: both of you see the same sessions, and whose they are"
    return (
        "different: somebody came or went meanwhile, or the relay shows you other members than them;"
        " compare the names, and the code once more"
    )
