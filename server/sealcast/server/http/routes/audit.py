"""The audit log: list its entries, and name its head, which somebody should keep elsewhere."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from ...audit import Entry, Head
from ...store.audit import Asked
from ..api_keys import Caller, CallerOf
from ..errors import ApiError
from ..moments import SpanOf
from ..paging import Page, PageAskedOf
from ..route import ApiRoute, scoped
from ..services import ServicesOf

__all__ = [
    "EntryView",
    "HeadView",
    "LogView",
    "audit_head",
    "list_audit",
    "router",
]

router = APIRouter(tags=["audit"], route_class=ApiRoute)

_SEQ_MAX: Final = 2**63 - 1
_Filter = Annotated[str | None, Query(max_length=255)]


class EntryView(BaseModel):
    """One change."""

    seq: int
    at: float = Field(description="Unix seconds")
    actor: str = Field(description="an account, a key by its id, the command line, or the relay itself")
    address: str
    action: str
    target: str
    detail: dict[str, Any]
    previous: str = Field(description="the hash of the entry before it, in hexadecimal")
    hash: str

    @classmethod
    def of(cls, entry: Entry) -> EntryView:
        """Return the view of an entry."""
        return cls(
            seq=entry.seq,
            at=entry.at_ms / 1000,
            actor=entry.actor,
            address=entry.address,
            action=entry.action,
            target=entry.target,
            detail=_object(entry.detail),
            previous=entry.previous.hex(),
            hash=entry.hash.hex(),
        )


class HeadView(BaseModel):
    """One end of the log."""

    seq: int = Field(description="0: before the first entry")
    hash: str

    @classmethod
    def of(cls, head: Head) -> HeadView:
        """Return the view of an end."""
        return cls(seq=head.seq, hash=head.hash.hex())


class LogView(BaseModel):
    """Both ends of the log."""

    head: HeadView = Field(description="the last entry; kept elsewhere, it shows later that nothing is gone")
    begin: HeadView = Field(description="the last entry that was purged, which the first one follows")


@router.get("/audit", openapi_extra=scoped("audit:read"))
async def list_audit(
    services: ServicesOf,
    caller: CallerOf,
    asked: PageAskedOf,
    span: SpanOf,
    actor: _Filter = None,
    action: _Filter = None,
    target: Annotated[str | None, Query(max_length=255, description="what it begins with")] = None,
) -> Page[EntryView]:
    """List changes by operators, the newest first."""
    _whole(caller)
    try:
        before = int(asked.after) if asked.after else None
        if before is not None and not 0 <= before <= _SEQ_MAX:
            raise ValueError
    except ValueError:
        raise ApiError("invalid", problems=["cursor: should be the `next` of another page"]) from None
    what = Asked(_clean(actor), _clean(action), _clean(target), span.since, span.until)
    entries = await services.kept.audit.page(what, before, asked.most)
    return Page.of([EntryView.of(entry) for entry in entries], asked, lambda entry: str(entry.seq))


@router.get("/audit/head", openapi_extra=scoped("audit:read"))
async def audit_head(services: ServicesOf, caller: CallerOf) -> LogView:
    """Show the last entry's number and hash, to be kept where the log's database cannot be reached."""
    _whole(caller)
    begin, head = await services.kept.audit.ends()
    return LogView(head=HeadView.of(head), begin=HeadView.of(begin))


def _whole(caller: Caller) -> None:
    if caller.app_id is not None:
        raise ApiError("forbidden", "the key is for one app, and the audit log is about all of them")


def _clean(text: str | None) -> str | None:
    # No entry has it, and PostgreSQL takes no such text.
    return None if text is None else text.replace("\0", "?")


def _object(detail: str) -> dict[str, Any]:
    try:
        found = json.loads(detail)
    except ValueError:  # somebody has changed it; the check says so
        return {}
    return found if isinstance(found, dict) else {}
