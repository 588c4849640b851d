"""What each member says of itself: one value, sealed like metadata, that goes with its membership."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sealcast.protocol import controls
from sealcast.protocol.controls import MemberInfo
from sealcast.protocol.parts import STATE_MAX

from .asking import ask
from .errors import SealcastError, SealError
from .events import MemberState
from .failures import reason_of

if TYPE_CHECKING:
    from .membership import Membership

__all__ = ["States"]

_LABEL: Final = b"state"


class States:
    """The states of one channel's members, over all its connections.

    This side's own is set again by itself after each interruption.
    """

    __slots__ = ("_membership", "_own", "_states")

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._own: bytes | None = None
        self._states: dict[int, bytes] = {}

    @property
    def view(self) -> Mapping[int, bytes]:
        """The others' states by member number, to look at; of those only that have one and can be read."""
        return MappingProxyType(self._states)

    async def set(self, data: bytes | None, timeout: float) -> None:
        """Set this side's state, or take it away; raises as ``ask``, LimitExceeded and SealError."""
        if data is not None:
            self._seal(data)  # what cannot be sealed is refused before anything is remembered
        self._own = data
        await ask(self._membership, lambda route: self._control(route.channel), timeout, controls.Done)

    def joined(self, members: Iterable[MemberInfo]) -> None:
        """Take the members that are there after a join, and tell them again what this side says."""
        states: dict[int, bytes] = {}
        for info in members:
            if info.state is not None and (opened := self._opened(info.member, info.state)[0]) is not None:
                states[info.member] = opened
        self._states = states
        route = self._membership.route
        if self._own is not None and route is not None:
            route.link.spawn(self._again())

    def told(self, number: int, sealed: bytes | None) -> None:
        """A member has set its state, or taken it away."""
        data, reason = None, None
        if sealed is None:
            if self._states.pop(number, None) is None:
                return
        else:
            data, reason = self._opened(number, sealed)
            if data is None:
                self._states.pop(number, None)
            else:
                self._states[number] = data
        member = self._membership.reception.roster.get(number)
        if member is not None:
            self._membership.reception.tell(MemberState(number, member.user, data, reason))

    def left(self, number: int) -> None:
        """A member has gone, and its state with it."""
        self._states.pop(number, None)

    async def _again(self) -> None:
        # It fails with its connection, and the next one tells it again.
        try:
            await self.set(self._own, self._membership.options.timeout)
        except SealcastError:
            self._membership.reception.stats.states_not_restored += 1

    def _control(self, channel: int) -> controls.State:
        return controls.State(channel=channel, data=None if self._own is None else self._seal(self._own))

    def _seal(self, data: bytes) -> bytes:
        return self._membership.sealing.seal_value(_LABEL, data, STATE_MAX)

    def _opened(self, number: int, sealed: bytes) -> tuple[bytes | None, str | None]:
        reception = self._membership.reception
        author = reception.roster.announced(number)
        if author is None:
            return None, None
        try:
            return self._membership.crypto.open_value(author, _LABEL, sealed), None
        except SealError as error:
            reason = reason_of(error)
            reception.stats.seal_failures[reason] += 1
            return None, reason
