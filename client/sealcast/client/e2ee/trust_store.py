"""Identity keys that were seen first, on disk: a JSON file that several processes may share.

::

    {"sealcast trust": 1, "apps": {APP_ID: {USER: {"identity": HEX, "since": UNIX SECONDS}}}}

Changes are made under a lock file beside it: read again, change, replace. So no process undoes what
another wrote, and no reader sees half a file. All of it is short blocking I/O.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from sealcast.client.errors import IdentityChanged, MemberNotTrusted, PrivateFileRefused, TrustStoreBusy
from sealcast.protocol.names import app_id as check_app_id
from sealcast.protocol.names import user_id

from .private_files import read_private, replace_private

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["LOCK_WAIT", "USERS_MAX", "Known", "TrustStore"]

USERS_MAX: Final = 10_000
"""Users that a store remembers. A relay can invent users; the store must not grow without end."""
LOCK_WAIT: Final = 2.0
"""How many seconds to wait for another process."""

_FILE_MAX: Final = 8 * 1024 * 1024
_FORMAT: Final = "sealcast trust"
_IDENTITY: Final = 32


class Known(NamedTuple):
    """What is known of a user: the identity key, and since when (Unix seconds)."""

    identity: bytes
    since: int


_Users = dict[tuple[str, str], Known]


class TrustStore:
    """Remembers the first identity key of each (app, user). Several threads and processes may share it.

    Without a path it remembers until the process ends. A file is read again whenever it has changed.
    """

    __slots__ = ("_lock", "_lock_wait", "_path", "_seen", "_users")

    def __init__(self, path: str | os.PathLike[str] | None = None, *, lock_wait: float = LOCK_WAIT) -> None:
        """Open the store at *path*; a file that does not exist yet is made by the first change.

        Raises:
            PrivateFileRefused: others may read or change the file, or it is not a trust store.
            OSError: it cannot be read.

        """
        self._path = None if path is None else Path(path)
        self._lock_wait = lock_wait
        self._lock = threading.Lock()
        self._users: _Users = {}
        self._seen: tuple[int, int, int] | None = None
        self._refresh()

    def __repr__(self) -> str:
        return f"TrustStore({len(self._users)} users)"

    def known(self, app_id: str, user: str) -> Known | None:
        """Return what is known of a user, or None."""
        with self._lock:
            self._refresh()
            return self._users.get((app_id, user))

    def check(self, app_id: str, user: str, identity: bytes, wall: float) -> None:
        """Return if *identity* is the one known of *user*, or the first one seen, which is remembered.

        Raises:
            ValueError: the identity does not have 32 bytes, or a name is not one.
            IdentityChanged: another one is known.
            MemberNotTrusted: the user is new and the store is full.
            TrustStoreBusy: another process holds the store.
            PrivateFileRefused, OSError: the file cannot be used; nothing is trusted.

        """
        entry = _entry(app_id, user, identity, int(wall))
        with self._lock:
            self._refresh()
            known = self._users.get((app_id, user))
            if known is None:
                with self._exclusive():
                    known = self._users.get((app_id, user))
                    if known is None:
                        self._write({**self._users, (app_id, user): entry})
                        return
            if known.identity != identity:
                raise IdentityChanged

    def accept(self, app_id: str, user: str, identity: bytes, wall: float) -> None:
        """Take *identity* for *user* from now on, in place of another: a person has compared them.

        Raises:
            ValueError: the identity does not have 32 bytes, or a name is not one.
            MemberNotTrusted: the user is new and the store is full.
            TrustStoreBusy: another process holds the store.

        """
        entry = _entry(app_id, user, identity, int(wall))
        with self._lock, self._exclusive():
            self._write({**self._users, (app_id, user): entry})

    def forget(self, app_id: str, user: str) -> bool:
        """Forget *user*: the next identity seen will be the first one. Returns whether one was known.

        Raises:
            TrustStoreBusy: another process holds the store.

        """
        with self._lock, self._exclusive():
            left = dict(self._users)
            if left.pop((app_id, user), None) is None:
                return False
            self._write(left)
            return True

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Hold the lock against other processes, with what they wrote before."""
        if self._path is None:
            yield
            return
        beside = self._path.with_name(self._path.name + ".lock")
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            deadline = time.monotonic() + self._lock_wait
            while not _try_lock(descriptor):
                if time.monotonic() >= deadline:
                    raise TrustStoreBusy
                time.sleep(0.005)
            self._seen = None
            self._refresh()
            yield
        finally:
            os.close(descriptor)  # which unlocks

    def _refresh(self) -> None:
        """Read the file again if it is another than the one seen last."""
        if self._path is None:
            return
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._users, self._seen = {}, None
            return
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if seen != self._seen:
            self._users = _read(read_private(self._path, _FILE_MAX))
            self._seen = seen

    def _write(self, users: _Users) -> None:
        if len(users) > max(USERS_MAX, len(self._users)):
            raise MemberNotTrusted("the trust store is full, so no new users are trusted; forget some")
        if self._path is not None:
            replace_private(self._path, _text(users))
        # What the file now is will be seen at the next look; another process may write in between.
        self._users, self._seen = users, None


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _entry(app_id: str, user: str, identity: bytes, since: int) -> Known:
    """Check all that goes into a store, on its way in and on its way back."""
    check_app_id(app_id)
    user_id(user)
    if len(identity) != _IDENTITY:
        raise ValueError(f"an identity key has {_IDENTITY} bytes")
    return Known(bytes(identity), since)


def _text(users: _Users) -> bytes:
    apps: dict[str, dict[str, Any]] = {}
    for (app, user), known in sorted(users.items()):
        apps.setdefault(app, {})[user] = {"identity": known.identity.hex(), "since": known.since}
    return json.dumps({_FORMAT: 1, "apps": apps}, indent=1).encode("ascii") + b"\n"


def _read(data: bytes) -> _Users:
    """Read a store. It is written by us alone, so whatever does not fit refuses all of it."""
    users: _Users = {}
    try:
        document = json.loads(data)
        if document[_FORMAT] != 1:
            raise ValueError("another version")
        for app, entries in document["apps"].items():
            for user, entry in entries.items():
                if type(entry["since"]) is not int:
                    raise ValueError("not an entry")
                users[app, user] = _entry(app, user, bytes.fromhex(entry["identity"]), entry["since"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise PrivateFileRefused("this file is not a trust store; move it away to begin a new one") from None
    return users
