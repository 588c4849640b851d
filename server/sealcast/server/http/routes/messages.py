"""Messages that come by HTTP: bytes that were sealed elsewhere, since the relay has no key to seal with."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from sealcast.protocol.controls import HELLO_MAX

from ...publishing import Declined, Outcome, Post, publish
from ...visitor import Visitor
from ..api_keys import CallerOf
from ..errors import PROBLEMS, ApiError
from ..live_views import ChannelName, UserName
from ..route import ApiRoute, scoped
from ..services import ServicesOf
from ..views import AppIdOf

__all__ = ["NewMessage", "Published", "publish_message", "router"]

router = APIRouter(tags=["messages"], route_class=ApiRoute)

_PATIENCE: Final = 20.0
"""Seconds that a message may take to get its place, as far as its publisher waits for it."""
_RUN: Final = 16
_DATA_MAX: Final = 1_000_000
_NAMES: Final = {"draining": "not_ready"}


def _is_sealed(text: str) -> str:
    if not _bytes(text):
        raise ValueError("should not be empty")
    return text


def _bytes(text: str | None) -> bytes:
    try:
        return base64.b64decode(text or "", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("should be base64, padded") from None


def _is_hello(text: str) -> str:
    if not 0 < len(_bytes(text)) <= HELLO_MAX:
        raise ValueError(f"should have 1 to {HELLO_MAX} bytes")
    return text


def _is_run(text: str) -> str:
    if len(_bytes(text)) != _RUN:
        raise ValueError(f"should have {_RUN} bytes")
    return text


_BYTES: Final[JsonDict] = {"format": "byte"}
_Sealed = Annotated[str, Field(max_length=_DATA_MAX, json_schema_extra=_BYTES), AfterValidator(_is_sealed)]
_Hello = Annotated[str, Field(max_length=100_000, json_schema_extra=_BYTES), AfterValidator(_is_hello)]
_Run = Annotated[str, Field(max_length=32, json_schema_extra=_BYTES), AfterValidator(_is_run)]


class NewMessage(BaseModel):
    """A message to be published."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"dependentRequired": {"run": ["ref"], "ref": ["run"]}}
    )

    channel: ChannelName
    user: UserName = Field(description="in whose name; not one that is a member")
    data: _Sealed = Field(description="base64 of descriptor and SFrame, of kind message, sealed")
    hello: _Hello | None = Field(
        None, description="base64; what introduces the sender to those who open the message"
    )
    controls: list[_Sealed] = Field(
        [],
        max_length=16,
        description="base64 of sealed control frames that go before it: the beacon that shows it is of now",
    )
    run: _Run | None = Field(
        None, description="base64 of 16 bytes; with `ref`, what makes it the same message when sent again"
    )
    ref: int | None = Field(None, ge=1, le=2**32 - 1)

    @model_validator(mode="after")
    def _both_or_none(self) -> NewMessage:
        if (self.run is None) is not (self.ref is None):
            raise ValueError("run and ref should be given together")
        return self


class Published(BaseModel):
    """The place of a message, which the members have been sent; with a storing engine it is on disk."""

    epoch: str
    offset: int
    repeated: bool = Field(description="whether it was placed before, under this run and ref")


@router.post("/apps/{app_id}/messages", status_code=201, openapi_extra=scoped("messages:write"))
async def publish_message(
    services: ServicesOf, caller: CallerOf, app_id: AppIdOf, new: NewMessage
) -> Published:
    """Publish a message that is sealed already; the sender joins for it, and leaves.

    Members see it come and go; webhooks, records of sessions and the audit log do not say so.
    """
    app = services.live(app_id)
    if not app.config.enabled:
        raise ApiError("not_found", "the app is disabled")
    outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    post = Post(
        new.channel,
        new.user,
        None if new.hello is None else _bytes(new.hello),
        [_bytes(each) for each in new.controls],
        _bytes(new.data),
        _bytes(new.run),
        new.ref or 0,
    )
    visitor = Visitor(0, app_id, caller.address, "API", services.clock.wall())

    def done(said: Outcome) -> None:
        if not outcome.done():
            outcome.set_result(said)

    try:
        publish(services.hub, app, post, visitor, done)
        channel = app.channels[new.channel]
        said = await asyncio.wait_for(outcome, _PATIENCE)
    except Declined as declined:
        raise _refusal(declined.name, declined.retry_after) from None
    except TimeoutError:
        said = "outcome_unknown"
    if isinstance(said, str):
        raise _refusal(said)
    return Published(epoch=channel.position.epoch, offset=said.offset, repeated=said.repeated)


def _refusal(name: str, retry_after: float | None = None) -> ApiError:
    if name == "outcome_unknown":
        return ApiError(
            name, "nothing is known of its place yet", hint="send it again with the same run and ref"
        )
    name = _NAMES.get(name, name)
    status = PROBLEMS[name].status
    return ApiError(name, retry_after=1.0 if status == 503 else retry_after)
