"""What the members of a channel share beside frames and messages, as the application asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lock import Lock
from .metadata import Metadata
from .payload import Payload, payload_bytes

if TYPE_CHECKING:
    from .membership import Membership

__all__ = ["Shared"]


class Shared:
    """The part of a ``Channel`` that is about metadata and locks."""

    __slots__ = ()

    _membership: Membership

    async def metadata(self, *, timeout: float | None = None) -> Metadata:
        """Return the channel's metadata: an ``Item`` for each name, and who holds which lock.

        Raises:
            ChannelClosed: the membership has ended.
            NotConnected: no connection came back in time.
            RequestRefused: the server refused it, and says why.
            RequestTimeout: the server did not answer in time.

        """
        return await self._membership.metadata.read(self._timeout(timeout))

    async def set_metadata(
        self, name: str, value: Payload, *, revision: int | None = None, timeout: float | None = None
    ) -> int:
        """Set an item of the channel's metadata; return the number of the change, its revision.

        It waits while the connection is interrupted. When the connection ends before the answer, it is found
        out whether the change was made, and if not it is made then.

        Args:
            name: 1-64 printable ASCII characters. The relay can read it.
            value: sealed when there is a key: under 4 KiB, with what sealing adds.
            revision: only if this is the item's revision; 0: only if there is no such item.
            timeout: seconds for the whole of it; the client's ``timeout`` when None.

        Raises:
            RevisionConflict: somebody else has changed it meanwhile: read it again.
            InvalidName: nothing can be called so.
            LimitExceeded: the value is too large.
            NotPermitted: the grant does not include ``data``.
            ChannelClosed: the membership has ended.
            NotConnected: no connection came back in time.
            RequestRefused: the server refused it, and says why: ``too_many_items``, for example.
            RequestTimeout: the server did not answer in time; whether it was set is not known.
            Disconnected: nor is it then, because others have changed the item since. Only with a revision.
            SealError: it could not be sealed.

        """
        return await self._membership.metadata.change(
            name, payload_bytes(value), revision, self._timeout(timeout)
        )

    async def delete_metadata(
        self, name: str, *, revision: int | None = None, timeout: float | None = None
    ) -> int:
        """Take an item of the channel's metadata away, if there is one; raises like ``set_metadata``."""
        return await self._membership.metadata.change(name, None, revision, self._timeout(timeout))

    def lock(self, name: str, *, ttl: float = 30.0, timeout: float | None = None) -> Lock:
        """Return a lock for ``async with``: inside, this user has it and nobody else in the channel.

        ::

            async with room.lock("deploy") as lock:
                write(..., fence=lock.fence)

        It waits while somebody else has the lock, and says by itself that it goes on. Another part of this
        program that wants the same lock waits too.

        Args:
            name: 1-64 printable ASCII characters. The relay can read it.
            ttl: seconds after which the lock ends when the relay hears nothing of this side, from 1 to what
                the relay allows (``client.limits["lock_ttl"]``).
            timeout: seconds to wait while somebody else has it: then LockHeld. None: as long as it takes.

        Raises:
            InvalidName: nothing can be called so.
            ValueError: the ttl is too short.

        """
        return Lock(self._membership, self._membership.locks, name, ttl, timeout, False)

    def take_lock(self, name: str, *, ttl: float = 30.0) -> Lock:
        """Return a lock as ``lock`` does, which is taken from whoever has it."""
        return Lock(self._membership, self._membership.locks, name, ttl, None, True)

    def _timeout(self, timeout: float | None) -> float:
        return self._membership.options.timeout if timeout is None else timeout
