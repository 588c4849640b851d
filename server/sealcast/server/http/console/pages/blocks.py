"""Addresses that are kept out of the whole relay: list, block, let in again."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from ...routes.blocks import NewBlock, block, lift_block, list_blocks
from ..forms import UNITS, seconds_of
from ..visit import PageRoute, Section, Visit

__all__ = ["SECTION"]


async def _list(visit: Visit) -> Response:
    page = await list_blocks(visit.services, visit.caller, visit.paged())
    return visit.page(
        "blocks.html",
        blocks=page.items,
        further=visit.further(page.next),
        units=list(UNITS),
        kept=visit.services.store is not None,
    )


async def _block(visit: Visit) -> Response:
    seconds = seconds_of(visit.field("amount"), visit.field("unit"))
    new = NewBlock(network=visit.field("network"), seconds=seconds, reason=visit.field("reason"))
    made = await block(visit.services, visit.caller, new)
    return visit.back("/blocks", f"{made.network} is kept out.")


async def _lift(visit: Visit) -> Response:
    network = visit.field("network")
    await lift_block(visit.services, visit.caller, network)
    return visit.back("/blocks", f"{network} is let in again.")


_NEEDS: Final = "blocks:write"
_BLOCK: Final = "Nobody can connect from there, to any app. Who is inside stays."
_LIFTED: Final = "Who comes from there is let in again, and what was counted against them is forgotten."

SECTION: Final = Section(
    "Blocks",
    "/blocks",
    _NEEDS,
    (
        PageRoute("/blocks", _list, _NEEDS),
        PageRoute("/blocks", _block, _NEEDS, "POST", ask=_BLOCK, back="/blocks"),
        PageRoute("/blocks/lift", _lift, _NEEDS, "POST", ask=_LIFTED, back="/blocks"),
    ),
)
