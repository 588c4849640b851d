"""What keeps people out: ban rules, revocations, blocked networks."""

from __future__ import annotations

from sqlalchemy import (
    String,
)
from sqlalchemy.orm import Mapped, mapped_column

from .apps import Table

__all__ = ["AddressBlock", "BanRow", "RevocationRow", "RuleVersion"]


class RuleVersion(Table):
    """How many changes of rules of a kind there have been; whoever changes one holds the row."""

    __tablename__ = "rule_versions"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    version: Mapped[int]
    purged: Mapped[int]
    """The newest change of those that cannot be read any more."""


class _RuleRow:
    """What ban rules and revocations have in common. Apps of the configuration have some, too: no key."""

    rule_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    app_id: Mapped[str] = mapped_column(String(32), index=True)
    channel: Mapped[str | None] = mapped_column(String(64))
    user: Mapped[str | None] = mapped_column(String(255))
    until: Mapped[float | None]
    reason: Mapped[str] = mapped_column(String(256))
    creator: Mapped[str] = mapped_column(String(320))
    created: Mapped[float]
    version: Mapped[int] = mapped_column(index=True)
    """The number of its last change."""
    lifted: Mapped[float | None]


class BanRow(_RuleRow, Table):
    """A ban rule."""

    __tablename__ = "bans"

    address: Mapped[str | None] = mapped_column(String(64))
    privileges: Mapped[list[str]]


class RevocationRow(_RuleRow, Table):
    """A revocation."""

    __tablename__ = "revocations"

    token_id: Mapped[str | None] = mapped_column(String(32))
    issued_before: Mapped[float | None]


class AddressBlock(Table):
    """A network that an operator keeps out."""

    __tablename__ = "address_blocks"

    network: Mapped[str] = mapped_column(String(64), primary_key=True)
    reason: Mapped[str] = mapped_column(String(200))
    created: Mapped[float]
    until: Mapped[float | None]
    actor: Mapped[str] = mapped_column(String(128))
