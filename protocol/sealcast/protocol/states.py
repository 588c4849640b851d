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
    Done,
    Drain,
    Dropped,
    Error,
    History,
    Join,
    Joined,
    Leave,
    Left,
    Lock,
    LockChanged,
    Locked,
    MemberJoined,
    MemberLeft,
    MemberState,
    Metadata,
    MetadataChanged,
    MetadataItems,
    Past,
    Ping,
    Pong,
    Presence,
    PresenceChanged,
    Present,
    Renew,
    Renewed,
    Sent,
    SetMetadata,
    Side,
    State,
    TokenExpiring,
    Unlock,
    Welcome,
)

__all__ = ["ANSWERS", "CONNECTION", "EVENTS", "MEMBERSHIP", "REQUESTS", "Phase", "Standing"]

REQUESTS: Final[dict[type[Control], type[Control]]] = {
    Renew: Renewed,
    Direct: Sent,
    History: Past,
    Presence: Present,
    State: Done,
    Metadata: MetadataItems,
    SetMetadata: Done,
    Lock: Locked,
    Unlock: Done,
}
"""What a member may ask about its channel, and what answers it."""

EVENTS: Final[tuple[type[Control], ...]] = (
    Ack,
    Directed,
    MemberJoined,
    MemberLeft,
    PresenceChanged,
    MemberState,
    MetadataChanged,
    LockChanged,
    TokenExpiring,
    Dropped,
)
"""What a member is told of its channel."""


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
    Side.CLIENT: (Join, Leave, *REQUESTS, Ping),
    Side.SERVER: (Joined, Left, *dict.fromkeys(REQUESTS.values()), Error, *EVENTS, Pong),
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
    **{(Standing.JOINED, Side.CLIENT, request): Standing.JOINED for request in REQUESTS},
    **{
        (standing, Side.SERVER, control): standing
        for standing in (Standing.JOINED, Standing.LEAVING)
        for control in (*dict.fromkeys(REQUESTS.values()), *EVENTS)
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
    **{request: (answer, Error) for request, answer in REQUESTS.items()},
    Ping: (Pong, Error),
    None: (Ack, Error),
}
"""What may answer a request; None stands for a message (binary, type 2)."""
