"""The kinds of records about a user: how a part of them is read, how some are deleted, which have to stay.

A rule that is in force is kept when everything else about its user goes: to forget it would let in who was
put out. It goes when it ends, or is lifted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from .rules import BanTable, RevocationTable, delete_ended, in_force
from .schema import Call, CallMember, Webhook, WebhookDelivery, WebhookOpen

__all__ = ["KINDS", "Asked", "Item", "Kind"]

_NUMBER_MAX: Final = 18
"""Digits of the number of a delivery."""


class Asked(NamedTuple):
    """Whose records, and when."""

    app_id: str
    user: str
    now: float


class Item(NamedTuple):
    """One record about a user."""

    key: str
    """Its place among the others of its kind."""
    fields: dict[str, Any]
    """What is kept, as JSON takes it."""


async def _none(session: AsyncSession, asked: Asked) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of records about users."""

    name: str
    read: Callable[[AsyncSession, Asked, str, int], Awaitable[list[Item]]]
    """Given the last key before and a bound: the next items, in order of their keys."""
    delete: Callable[[AsyncSession, Asked, int], Awaitable[int]]
    """Given a bound: deletes so many at most, and says how many."""
    staying: Callable[[AsyncSession, Asked], Awaitable[int]] = _none
    """How many there are that cannot be deleted now."""


# --- sessions ---


async def _sessions(session: AsyncSession, asked: Asked, after: str, most: int) -> list[Item]:
    query = (
        select(CallMember, Call.channel, Call.node)
        .join(Call, Call.call_id == CallMember.call_id)
        .where(CallMember.app_id == asked.app_id, CallMember.user_id == asked.user)
        .where(CallMember.record_id > after)
        .order_by(CallMember.record_id)
        .limit(most)
    )
    names = ("call_id", "member", "address", "agent", "system", "joined", "ended", "reason")
    return [
        Item(
            row.record_id,
            {
                "channel": channel,
                "node": node,
                **{name: getattr(row, name) for name in (*names, "frames_in", "bytes_in")},
            },
        )
        for row, channel, node in await session.execute(query)
    ]


async def _delete_sessions(session: AsyncSession, asked: Asked, most: int) -> int:
    some = (
        select(CallMember.record_id)
        .where(CallMember.app_id == asked.app_id, CallMember.user_id == asked.user)
        .limit(most)
    )
    gone = await session.scalars(
        delete(CallMember).where(CallMember.record_id.in_(some)).returning(CallMember.record_id)
    )
    return len(gone.all())


# --- rules that name the user; who made one is not about the user, and stands in the audit log ---


def _rules(name: str, table: type[BanTable] | type[RevocationTable], fields: tuple[str, ...]) -> Kind:
    row: Any = table.row
    names = ("channel", *fields, "created", "until", "lifted", "reason")

    async def read(session: AsyncSession, asked: Asked, after: str, most: int) -> list[Item]:
        query = (
            select(row)
            .where(row.app_id == asked.app_id, row.user == asked.user, row.rule_id > after)
            .order_by(row.rule_id)
            .limit(most)
        )
        return [
            Item(each.rule_id, {field: getattr(each, field) for field in names})
            for each in await session.scalars(query)
        ]

    async def remove(session: AsyncSession, asked: Asked, most: int) -> int:
        some = (
            select(row.rule_id)
            .where(row.app_id == asked.app_id, row.user == asked.user, ~in_force(row, asked.now))
            .limit(most)
        )
        return await delete_ended(session, table, row.rule_id.in_(some))

    async def staying(session: AsyncSession, asked: Asked) -> int:
        query = (
            select(func.count())
            .select_from(row)
            .where(row.app_id == asked.app_id, row.user == asked.user, in_force(row, asked.now))
        )
        return await session.scalar(query) or 0

    return Kind(name, read, remove, staying)


# --- what webhooks are told ---


def _about(asked: Asked) -> tuple[Any, ...]:
    hooks = select(Webhook.webhook_id).where(Webhook.app_id == asked.app_id)
    return (
        WebhookDelivery.webhook_id.in_(hooks),
        WebhookDelivery.event["user"].as_string() == asked.user,
    )


async def _deliveries(session: AsyncSession, asked: Asked, after: str, most: int) -> list[Item]:
    number = int(after) if after.isascii() and after.isdigit() and len(after) <= _NUMBER_MAX else 0
    query = (
        select(WebhookDelivery)
        .where(*_about(asked), WebhookDelivery.delivery_id > number)
        .order_by(WebhookDelivery.delivery_id)
        .limit(most)
    )
    names = ("webhook_id", "event", "since", "failures", "dead", "died")
    return [
        Item(str(each.delivery_id), {name: getattr(each, name) for name in names})
        for each in await session.scalars(query)
    ]


async def _delete_deliveries(session: AsyncSession, asked: Asked, most: int) -> int:
    some = select(WebhookDelivery.delivery_id).where(*_about(asked)).limit(most)
    gone = await session.scalars(
        delete(WebhookDelivery)
        .where(WebhookDelivery.delivery_id.in_(some))
        .returning(WebhookDelivery.delivery_id)
    )
    return len(gone.all())


def _open_of(asked: Asked) -> tuple[Any, ...]:
    return (
        WebhookOpen.event["app_id"].as_string() == asked.app_id,
        WebhookOpen.event["user"].as_string() == asked.user,
    )


async def _open(session: AsyncSession, asked: Asked, after: str, most: int) -> list[Item]:
    query = (
        select(WebhookOpen)
        .where(*_open_of(asked), WebhookOpen.event_id > after)
        .order_by(WebhookOpen.event_id)
        .limit(most)
    )
    return [
        Item(each.event_id, {"node": each.node, "event": each.event}) for each in await session.scalars(query)
    ]


async def _delete_open(session: AsyncSession, asked: Asked, most: int) -> int:
    some = select(WebhookOpen.event_id).where(*_open_of(asked)).limit(most)
    gone = await session.scalars(
        delete(WebhookOpen).where(WebhookOpen.event_id.in_(some)).returning(WebhookOpen.event_id)
    )
    return len(gone.all())


KINDS: Final[tuple[Kind, ...]] = (
    Kind("session", _sessions, _delete_sessions),
    _rules("ban", BanTable, ("address", "privileges")),
    _rules("revocation", RevocationTable, ("token_id", "issued_before")),
    # Before the deliveries: what has no beginning there is told no end.
    Kind("webhook_open", _open, _delete_open),
    Kind("webhook_delivery", _deliveries, _delete_deliveries),
)
"""All kinds, in the order in which they are handed out."""
