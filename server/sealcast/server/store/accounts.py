"""The accounts of the console in the database: who may sign in, with the hash of a password."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import get_args

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from .database import Database
from .records import AccountRecord, Missing, Role, Taken
from .schema import Account

__all__ = ["Accounts"]


class Accounts:
    """The accounts of a database, by e-mail without regard to case. All methods raise StoreDown.

    Args:
        database: where they are.
        now: Unix time.

    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def page(self, after: str = "", limit: int = 100) -> list[AccountRecord]:
        """Return accounts in the order of their e-mails, behind *after*."""
        query = select(Account).where(Account.email > after).order_by(Account.email).limit(limit)
        async with self._database.transaction() as session:
            return [_record(account) for account in await session.scalars(query)]

    async def count(self) -> int:
        """Return how many there are."""
        async with self._database.transaction() as session:
            return await session.scalar(select(func.count()).select_from(Account)) or 0

    async def get(self, account_id: str) -> AccountRecord:
        """Return one account. Raises Missing."""
        async with self._database.transaction() as session:
            account = await session.get(Account, account_id)
            if account is None:
                raise Missing("account")
            return _record(account)

    async def by_email(self, email: str) -> AccountRecord | None:
        """Return the account of that e-mail, if there is one."""
        query = select(Account).where(Account.email == email.lower())
        async with self._database.transaction() as session:
            account = await session.scalar(query)
            return None if account is None else _record(account)

    async def create(self, email: str, password_hash: str, role: Role = "admin") -> AccountRecord:
        """Make an account. Raises Taken when there is one of that e-mail."""
        account = Account(
            account_id=secrets.token_hex(8),
            email=email.lower(),
            password_hash=password_hash,
            role=role,
            disabled=False,
            created=self._now(),
        )
        try:
            async with self._database.transaction() as session:
                session.add(account)
        except IntegrityError:
            raise Taken("account") from None
        return _record(account)

    async def update(
        self,
        account_id: str,
        *,
        password_hash: str | None = None,
        role: Role | None = None,
        disabled: bool | None = None,
    ) -> AccountRecord:
        """Change what is given. Raises Missing."""
        async with self._database.transaction() as session:
            account = await session.get(Account, account_id, with_for_update=True)
            if account is None:
                raise Missing("account")
            if password_hash is not None:
                account.password_hash = password_hash
            if role is not None:
                account.role = role
            if disabled is not None:
                account.disabled = disabled
            return _record(account)

    async def delete(self, account_id: str) -> None:
        """Delete an account. Raises Missing."""
        async with self._database.transaction() as session:
            gone = await session.execute(
                delete(Account).where(Account.account_id == account_id).returning(Account.account_id)
            )
            if gone.first() is None:
                raise Missing("account")


def _record(account: Account) -> AccountRecord:
    (role,) = (known for known in get_args(Role) if known == account.role)
    return AccountRecord(
        account_id=account.account_id,
        email=account.email,
        password_hash=account.password_hash,
        role=role,
        disabled=account.disabled,
        created=account.created,
    )
