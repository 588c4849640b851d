"""What is legal when: the states of a connection and of a membership, and the three tables over them.

Everything that changes what is legal lives here; ``session`` obeys these tables on both sides, and the
documentation's diagrams are drawn from them.

There are two small machines. The *connection* goes CONNECTING → OPEN → DRAINING → CLOSED. Each
*membership* goes JOINING → JOINED → LEAVING and is then forgotten. What no table shows: the end of the
transport leads from every phase to CLOSED.
"""

from __future__ import annotations

import enum
from typing import Final

from .controls import (
    Ack,
    Control,
    Direct,
    Directed,
    Drain,
    Dropped,
    Error,
    Join,
    Joined,
    Leave,
    Left,
    MemberJoined,
    MemberLeft,
    Ping,
    Pong,
    Renew,
    Renewed,
    Sent,
    Side,
    TokenExpiring,
    Welcome,
)

__all__ = ["ANSWERS", "CONNECTION", "MEMBERSHIP", "Phase", "Standing"]


class Phase(enum.Enum):
    """The state of a connection."""

    CONNECTING = "connecting"
    OPEN = "open"
    DRAINING = "draining"
    CLOSED = "closed"


class Standing(enum.Enum):
    """The state of a membership; a membership that has none does not exist."""

    JOINING = "joining"
    JOINED = "joined"
    LEAVING = "leaving"


_ANYTIME = {
    Side.CLIENT: (Join, Leave, Renew, Direct, Ping),
    Side.SERVER: (
        Joined,
        Left,
        Renewed,
        Ack,
        Directed,
        Sent,
        Error,
        MemberJoined,
        MemberLeft,
        TokenExpiring,
        Dropped,
        Pong,
    ),
}

CONNECTION: Final[dict[tuple[Phase, Side, type[Control]], Phase]] = {
    (Phase.CONNECTING, Side.SERVER, Welcome): Phase.OPEN,
    (Phase.OPEN, Side.SERVER, Drain): Phase.DRAINING,
    **{
        (phase, side, control): phase
        for phase in (Phase.OPEN, Phase.DRAINING)
        for side, controls in _ANYTIME.items()
        for control in controls
    },
}
"""Which control each side may send in each phase of the connection, and the phase it leads to."""

MEMBERSHIP: Final[dict[tuple[Standing | None, Side, type[Control]], Standing | None]] = {
    (None, Side.CLIENT, Join): Standing.JOINING,
    (Standing.JOINING, Side.SERVER, Joined): Standing.JOINED,
    (Standing.JOINING, Side.SERVER, Error): None,
    (Standing.JOINED, Side.CLIENT, Leave): Standing.LEAVING,
    (Standing.JOINED, Side.CLIENT, Renew): Standing.JOINED,
    (Standing.JOINED, Side.CLIENT, Direct): Standing.JOINED,
    **{
        (standing, Side.SERVER, control): standing
        for standing in (Standing.JOINED, Standing.LEAVING)
        for control in (Renewed, Ack, Directed, Sent, MemberJoined, MemberLeft, TokenExpiring, Dropped)
    },
    (Standing.JOINED, Side.SERVER, Left): None,
    (Standing.LEAVING, Side.SERVER, Left): None,
    (Standing.LEAVING, Side.SERVER, Error): Standing.JOINED,
}
"""Which control concerns a membership in each standing, and the standing it leads to.

An ``error`` concerns it only as the answer to the ``join`` or ``leave`` under way.
"""

ANSWERS: Final[dict[type[Control] | None, tuple[type[Control], ...]]] = {
    Join: (Joined, Error),
    Leave: (Left, Error),
    Renew: (Renewed, Error),
    Direct: (Sent, Error),
    Ping: (Pong, Error),
    None: (Ack, Error),
}
"""What may answer a request; None stands for a message (binary, type 2)."""
