"""The database and its repositories as one object."""

from __future__ import annotations

from collections.abc import Callable

from .accounts import Accounts
from .answers import Answers
from .apps import Apps
from .audit import AuditLog
from .blocks import Blocks
from .calls import Calls
from .chores import Chores
from .database import Database
from .deliveries import Deliveries
from .keys import Keys
from .migrate import migrate, require_current
from .people import People
from .rules import BanTable, RevocationTable
from .webhooks import Webhooks

__all__ = ["Store"]


class Store:
    """What the relay keeps of what operators set.

    Args:
        url: the database's.
        now: Unix time.

    Raises:
        StoreUnusable: the URL cannot be used.

    """

    def __init__(self, url: str, now: Callable[[], float]) -> None:
        self.database = Database(url)
        self.apps = Apps(self.database, now)
        self.keys = Keys(self.database, now)
        self.accounts = Accounts(self.database, now)
        self.answers = Answers(self.database, now)
        self.bans = BanTable(self.database, now)
        self.revocations = RevocationTable(self.database, now)
        self.webhooks = Webhooks(self.database, now)
        self.deliveries = Deliveries(self.database)
        self.blocks = Blocks(self.database, now)
        self.audit = AuditLog(self.database, now)
        self.calls = Calls(self.database)
        self.people = People(self.database, now)
        self.chores = Chores(self.database, now)

    async def open(self) -> None:
        """Open the database. An embedded one is migrated.

        Raises:
            StoreUnusable: it cannot be used, or another one has not been migrated (MigrationNeeded).
            StoreDown: it does not answer.

        """
        await self.database.open()
        if self.database.embedded:
            await self.migrate("relay")
        else:
            await require_current(self.database)

    async def migrate(self, actor: str) -> tuple[str | None, str]:
        """Bring it to the schema of this version; return the step before and the one after.

        That it was done stands in the audit log.

        Raises:
            StoreUnusable: it is of a newer version.
            StoreDown: it does not answer.

        """
        before, after = await migrate(self.database)
        if before != after:
            await self.audit.add(actor, "database.migrated", "database", {"before": before, "after": after})
        return before, after

    async def close(self) -> None:
        """Let go of it."""
        await self.database.close()
