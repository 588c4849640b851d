"""Addresses that are kept out: list, block, lift. They are the relay's: keys for one app do nothing."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ...networks import Network, network_of, spelled
from ...store.records import BlockRecord
from ...warden import KeptOut
from ..api_keys import Caller, CallerOf
from ..errors import ApiError
from ..paging import Page, PageAskedOf
from ..route import ApiRoute, scoped
from ..services import ServicesOf

__all__ = [
    "BlockView",
    "NewBlock",
    "block",
    "lift_block",
    "list_blocks",
    "router",
]

router = APIRouter(tags=["blocks"], route_class=ApiRoute)

_LEAST_BITS: Final = {4: 8, 6: 16}
_DAYS_MAX: Final = 3660


def _checked(text: str) -> str:
    return spelled(_bounded(network_of(text)))


def _bounded(network: Network) -> Network:
    least = _LEAST_BITS[network.version]
    if network.prefixlen < least:
        raise ValueError(f"should have a prefix of {least} bits or more: this would keep out the world")
    return network


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("should have printable characters only")
    return text


_Network = Annotated[
    str,
    Field(min_length=2, max_length=64, description="an address, or a network such as 192.0.2.0/24"),
    AfterValidator(_checked),
]


class BlockView(BaseModel):
    """A network that is kept out."""

    network: str
    origin: Literal["automatic", "operator", "configuration"] = Field(
        description="`automatic`: on this node, for what came from there"
    )
    reason: str = Field(description="for `automatic`: the offence that was one too many")
    since: float | None = Field(description="null for one of the configuration")
    until: float | None = Field(description="null: until it is lifted")

    @classmethod
    def of(cls, found: KeptOut) -> BlockView:
        """Return the view of one."""
        return cls(
            network=found.network,
            origin=found.origin,
            reason=found.reason,
            since=found.since,
            until=found.until,
        )


class NewBlock(BaseModel):
    """A network to be kept out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    network: _Network
    seconds: float | None = Field(
        None, gt=0, le=_DAYS_MAX * 86_400, description="how long; null: until it is lifted"
    )
    reason: Annotated[str, Field(max_length=200), AfterValidator(_printable)] = ""


@router.get("/blocks", openapi_extra=scoped("blocks:write"))
async def list_blocks(services: ServicesOf, caller: CallerOf, asked: PageAskedOf) -> Page[BlockView]:
    """List what is kept out: by itself, by operators, by the configuration."""
    _for_all(caller)
    views = sorted(map(BlockView.of, services.hub.warden.kept_out()), key=_place)
    behind = [view for view in views if _place(view) > asked.after]
    return Page.of(behind[: asked.most], asked, _place)


@router.post("/blocks", status_code=201, openapi_extra=scoped("blocks:write"))
async def block(services: ServicesOf, caller: CallerOf, new: NewBlock) -> BlockView:
    """Keep a network out from now on; who is inside stays. Replaces a block of the same network."""
    _for_all(caller)
    now = services.clock.wall()
    until = None if new.seconds is None else now + new.seconds
    record = BlockRecord(new.network, new.reason, now, until, caller.actor)
    if not services.hub.warden.room_for(new.network):
        raise ApiError("too_many_blocks")
    if services.store is not None:
        await services.store.blocks.put(record)
    detail = {"seconds": new.seconds, "reason": new.reason}
    await services.audit(
        caller.actor, "block.created", f"network {new.network}", detail, address=caller.address
    )
    services.hub.warden.put(record)
    return BlockView.of(KeptOut(record.network, "operator", record.reason, record.created, record.until))


@router.delete("/blocks/{network:path}", status_code=204, openapi_extra=scoped("blocks:write"))
async def lift_block(
    services: ServicesOf, caller: CallerOf, network: Annotated[str, Path(min_length=1, max_length=64)]
) -> Response:
    """Let a network in again, and forget what was counted; an address lifts the network that it counts as."""
    _for_all(caller)
    try:
        named = spelled(network_of(network))
    except ValueError as error:
        raise ApiError("invalid", problems=[f"network: {error}"]) from None
    if named in services.hub.warden.rules.deny:
        raise ApiError("file_configured")
    stored = services.store is not None and await services.store.blocks.delete(named)
    if not services.hub.warden.holds(named) and not stored:
        raise ApiError("not_found", "this network is not kept out")
    await services.audit(caller.actor, "block.lifted", f"network {named}", {}, address=caller.address)
    services.hub.warden.lift(named)
    return Response(status_code=204)


def _place(view: BlockView) -> str:
    return f"{view.network} {view.origin}"


def _for_all(caller: Caller) -> None:
    if caller.app_id is not None:
        raise ApiError("forbidden", "blocks are the relay's, and the key is for one app")
