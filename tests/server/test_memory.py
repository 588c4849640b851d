"""What an idle connection may hold on to."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from websockets.http11 import Request

if TYPE_CHECKING:
    from .conftest import Lab


async def test_a_connection_does_not_keep_the_headers_of_its_handshake(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    await ann.join("standup", "ann")
    kept = [item for item in gc.get_objects() if type(item) is Request]
    # The client in this process keeps its own request; the relay's was parsed and names the upgrade key.
    parsed = [item for item in kept if item is not ann.ws.request]
    assert parsed, "the library keeps the request: when it no longer does, this can go"
    assert [item for item in parsed if len(item.headers)] == []
