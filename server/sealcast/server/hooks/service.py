"""Webhooks of a running relay: the courier, what crashed processes left open, and the housekeeping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ..config import HooksConfig
from ..logs import logger
from ..store.hook_records import EventRecord, OpenRecord, WebhookRecord
from ..store.records import StoreDown
from .courier import Courier
from .event import ENDS_OF, Event, Kind, of_mapping
from .kept import KeptOutbox, endpoint_of, event_record
from .outbox import Delivery
from .sender import Answer, HttpSender
from .sequence import Sequence as Numbers

if TYPE_CHECKING:
    from ..store.deliveries import Deliveries
    from ..store.webhooks import Webhooks

__all__ = ["CRASHED", "Hooks"]

CRASHED: Final = "connection_lost"
"""The reason of a leave whose relay was gone."""
_GRACE: Final = 2.0
"""Seconds in which what is due is delivered when the relay stops."""
_CLOSE: Final = 10.0
_GONE: Final = 300.0
"""Seconds of silence after which a process is taken to be gone, and others end what was open on it."""
_SETTLE: Final = 5.0
_REFRESH: Final = 5.0
_BEAT: Final = 30.0


class Hooks:
    """Webhooks of a running relay.

    The counts are plain numbers since the start, but for ``waiting``, which is from a moment ago.

    Args:
        webhooks: those of the database.
        deliveries: those of the database.
        config: the options.
        node: this process's name.
        alone: whether no other process works on this database.
        wall: Unix time.

    """

    def __init__(
        self,
        webhooks: Webhooks,
        deliveries: Deliveries,
        config: HooksConfig,
        node: str,
        *,
        alone: bool,
        wall: Callable[[], float],
    ) -> None:
        self.config = config
        self.node = node
        self.sequence = Numbers(wall)
        self.withheld = 0
        """Events about strangers that were not told because there were too many."""
        self.waiting = 0
        """Deliveries that wait in the database, those of other processes too."""
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._alone = alone
        self._wall = wall
        self._wanted: dict[str, frozenset[Kind]] = {}
        self._sender = HttpSender(
            private=config.private, timeout=config.timeout, authorities=config.authorities
        )
        self._courier = Courier(KeptOutbox(deliveries, node), self._sender, wall)
        self._keeping: asyncio.Task[None] | None = None

    @property
    def delivered(self) -> int:
        """Deliveries that were made."""
        return self._courier.delivered

    @property
    def failed(self) -> int:
        """Tries that failed."""
        return self._courier.failed

    @property
    def given_up(self) -> int:
        """Deliveries that were given up."""
        return self._courier.given_up

    @property
    def lost(self) -> int:
        """Events that never got to the database."""
        return self._courier.lost

    @property
    def queued(self) -> int:
        """Events that wait to be written down."""
        return self._courier.queued

    async def start(self) -> None:
        """End what this node left open when it was here before, and begin to work. Raises StoreDown."""
        for record in await self._deliveries.nodes():
            self.sequence.beyond(record.sequence)
        mine = None if self._alone else [self.node]
        ended = await self._deliveries.end(mine, self._ends)
        await self._deliveries.release(None if self._alone else self.node)
        if self._alone:
            others = [record.node for record in await self._deliveries.nodes() if record.node != self.node]
            await self._deliveries.forget(others)
        if ended:
            logger.warning("what was open when the relay ended without a word was ended", number=ended)
        await self._beat()
        await self.refresh()
        self._courier.start()
        self._keeping = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Write down what was told, make what is due in a moment, and stop."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        try:
            async with asyncio.timeout(_CLOSE):
                await self._courier.close(_GRACE)
                await self._beat()
        except (StoreDown, TimeoutError) as error:
            logger.error("the database was away at the end", reason=type(error).__name__, lost=self.queued)
        await self._sender.close()

    def wants(self, app_id: str, kind: Kind) -> bool:
        """Say whether anybody wants to be told that; what begins is kept for who wants to know its end."""
        wanted = self._wanted.get(app_id)
        return wanted is not None and (kind in wanted or ENDS_OF.get(kind) in wanted)

    def apps(self, kind: Kind) -> list[str]:
        """Return the apps that want to be told that."""
        return [app_id for app_id, kinds in self._wanted.items() if kind in kinds]

    def tell(self, event: Event) -> None:
        """Note that something happened. Never waits, never fails."""
        self._courier.tell(event)

    async def settled(self) -> None:
        """Return when what was told until now is written down. Raises StoreDown when that takes too long."""
        try:
            async with asyncio.timeout(_SETTLE):
                await self._courier.settled()
        except TimeoutError:
            raise StoreDown("the database does not take what webhooks are told") from None

    async def refresh(self) -> None:
        """Take over what was changed of the webhooks. Raises StoreDown."""
        wanted: dict[str, frozenset[Kind]] = {}
        now = self._wall()
        for record in await self._webhooks.enabled():
            kinds = endpoint_of(record, now).kinds
            wanted[record.app_id] = wanted.get(record.app_id, frozenset()) | kinds
        self._wanted = wanted
        self._courier.nudge()

    async def test(self, webhook: WebhookRecord) -> Answer:
        """Send an event that says nothing, once and now; return what came of it."""
        now = self._wall()
        event = Event(Kind.WEBHOOK_TEST, webhook.app_id, now, self.sequence.next(), node=self.node)
        return await self._sender.send(Delivery(0, endpoint_of(webhook, now), event))

    def _ends(self, records: Sequence[OpenRecord], seen: Mapping[str, float]) -> list[EventRecord]:
        """Return the events that end what is open on processes that are gone."""
        events = []
        for record in records:
            began = of_mapping(record.event)
            at = max(seen.get(record.node, began.at), began.at)
            ended = Event(
                ENDS_OF[began.kind],
                began.app_id,
                at,
                self.sequence.next(),
                channel=began.channel,
                user=began.user,
                member=began.member,
                reason=CRASHED if began.kind is Kind.MEMBER_JOINED else "",
                seconds=at - began.at,
                reconciled=True,
                node=record.node,
            )
            events.append(event_record(ended))
        return events

    async def _beat(self) -> None:
        await self._deliveries.beat(self.node, self._wall(), self.sequence.last)

    async def _keep(self) -> None:
        """Keep house until the end: what is wanted, the sign of life, bounds, processes that are gone."""
        down, since_beat = False, 0.0
        while True:
            await asyncio.sleep(_REFRESH)
            since_beat += _REFRESH
            try:
                await self.refresh()
                self.waiting = await self._deliveries.waiting()
                if since_beat >= _BEAT:
                    since_beat = 0.0
                    await self.keep_house()
            except Exception as error:  # whatever it is, it may be over the next time
                if not down:
                    logger.error("webhooks are not kept up", reason=type(error).__name__)
                down = True
            else:
                down = False

    async def keep_house(self) -> None:
        """Do what has to be done now and then. Raises StoreDown."""
        await self._beat()
        now = self._wall()
        config = self.config
        given_up = await self._deliveries.tidy(now, config.keep, config.waiting)
        if given_up:
            self._courier.given_up += given_up
            logger.warning("deliveries were given up, too many wait", number=given_up)
        gone = [
            each.node
            for each in await self._deliveries.nodes()
            if each.node != self.node and each.seen < now - _GONE
        ]
        if gone:
            ended = await self._deliveries.end(gone, self._ends)
            await self._deliveries.forget(gone)
            logger.warning("processes that are gone", nodes=gone[:20], ended=ended)
