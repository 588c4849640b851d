"""Who may come in from where: what operators say, what the guard has found, and how often one may knock.

One for the process. Sessions and the public port tell it what an address did, and ask it about one; it writes
down, counts and tells of each block.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from .clock import Clock
from .config import GuardConfig
from .guard import OFFENCES, Guard
from .limits import Bucket, Shortage
from .logs import logger
from .metrics import Metrics
from .networks import Address, Networks, address_of, key_of
from .store.records import BlockRecord

__all__ = ["OPERATOR_BLOCKS_MAX", "KeptOut", "Standing", "Warden"]

OPERATOR_BLOCKS_MAX: Final = 10_000
_NO_ROOM: Final = 5.0
"""Seconds after which an address with too many connections may ask again."""


class Standing(NamedTuple):
    """How it stands with an address."""

    key: str
    """What it is counted under; empty when it is not counted."""
    refusal: str
    """Empty, ``denied`` or ``blocked``."""


_FREE: Final = Standing("", "")


@dataclass(frozen=True, slots=True)
class KeptOut:
    """A network that is kept out, for people to look at. Times are Unix seconds."""

    network: str
    origin: Literal["automatic", "operator", "configuration"]
    reason: str
    since: float | None
    until: float | None


class Warden:
    """Judges addresses.

    Args:
        rules: the options.
        clock: the present.
        metrics: where blocks are counted.
        tell: called with app, address, reason and seconds of each block.

    """

    def __init__(
        self,
        rules: GuardConfig,
        clock: Clock,
        metrics: Metrics,
        tell: Callable[[str, str, str, float], None],
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._tell = tell
        self._guard = Guard(rules)
        self._inside: dict[str, int] = {}
        self._knocks: OrderedDict[str, Bucket] = OrderedDict()
        self._ordered: dict[str, BlockRecord] = {}
        self._ordered_networks = Networks()
        self.changes = 0
        """Grows with every change of the blocks that operators make."""
        self.configure(rules)

    @property
    def rules(self) -> GuardConfig:
        """The options."""
        return self._guard.rules

    def configure(self, rules: GuardConfig) -> None:
        """Go by these options from now on; what is known of addresses stays."""
        self._guard.rules = rules
        self._allowed = Networks(rules.allow)
        self._denied = Networks(rules.deny)
        self._trusted = Networks(rules.trusted_proxies)
        self._knocks.clear()

    # --- what the public port asks ---

    @property
    def trusted(self) -> Networks:
        """The proxies that are believed."""
        return self._trusted

    def trusts(self, text: str) -> bool:
        """Whether this is the address of a proxy that is believed."""
        address = address_of(text) if self._trusted else None
        return address is not None and address in self._trusted

    def standing(self, text: str) -> Standing:
        """Say how it stands with an address."""
        address = address_of(text)
        if address is None:
            return _FREE
        rules = self._guard.rules
        key = key_of(address, rules.ipv4_prefix, rules.ipv6_prefix)
        if address in self._denied:
            return Standing(key, "denied")
        if self._ordered and self._ordered_out(address):
            return Standing(key, "blocked")
        if address in self._allowed or address in self._trusted:
            return _FREE
        blocked = self._guard.block_of(key, self._clock.monotonic()) is not None
        return Standing(key, "blocked" if blocked else "")

    def free(self, text: str) -> bool:
        """Whether an address is neither blocked by itself nor limited."""
        return not self.standing(text).key

    def knock(self, key: str) -> Shortage | None:
        """Ask for one more connection of an address; None: it may come in."""
        if not key:
            return None
        rules = self._guard.rules
        if 0 < rules.connections_per_address <= self._inside.get(key, 0):
            return Shortage(_NO_ROOM, "connections_per_address")
        if not rules.connects_per_address:
            return None
        now = self._clock.monotonic()
        bucket = self._knocks.pop(key, None)
        if bucket is None:
            most = rules.connects_per_address
            bucket = Bucket(most / 60, most, now, "connects_per_address")
        self._knocks[key] = bucket
        if len(self._knocks) > rules.addresses:
            self._knocks.popitem(last=False)
        wait = bucket.take(now)
        return Shortage(wait, bucket.name) if wait else None

    def enter(self, key: str) -> None:
        """Count a connection that is open now."""
        if key:
            self._inside[key] = self._inside.get(key, 0) + 1

    def leave(self, key: str) -> None:
        """Count one that is closed."""
        if key:
            left = self._inside.get(key, 0) - 1
            if left > 0:
                self._inside[key] = left
            else:
                self._inside.pop(key, None)

    # --- what is told of an address ---

    def offend(self, text: str, offence: str, app_id: str = "") -> bool:
        """Note what an address did; return whether it is kept out now."""
        if offence not in OFFENCES:
            return False
        key, refusal = self.standing(text)
        if not key or refusal:
            return bool(refusal)
        block = self._guard.offend(key, offence, self._clock.monotonic())
        if block is None:
            return False
        seconds = block.until - block.since
        self._metrics.address_blocks[offence] += 1
        logger.warning(
            "address blocked", address=key, reason=offence, seconds=seconds, times=block.level, app=app_id
        )
        self._tell(app_id, key, offence, seconds)
        return True

    def credit(self, text: str) -> None:
        """Note that somebody joined from there with a good token."""
        key, refusal = self.standing(text)
        if key and not refusal:
            self._guard.credit(key, self._clock.monotonic())

    # --- what operators ask and say ---

    def kept_out(self) -> Iterator[KeptOut]:
        """Return everything that is kept out now."""
        for network in self._guard.rules.deny:
            yield KeptOut(network, "configuration", "", None, None)
        now = self._clock.wall()
        for record in self._ordered.values():
            if record.until is None or record.until > now:
                yield KeptOut(record.network, "operator", record.reason, record.created, record.until)
        skew = now - self._clock.monotonic()
        for block in self._guard.blocks(self._clock.monotonic()):
            yield KeptOut(block.key, "automatic", block.reason, block.since + skew, block.until + skew)

    def counts(self) -> Mapping[str, int]:
        """Return how many networks are kept out now, by who does it."""
        self._forget_over()
        automatic = sum(1 for _ in self._guard.blocks(self._clock.monotonic()))
        return {
            "configuration": len(self._guard.rules.deny),
            "operator": len(self._ordered),
            "automatic": automatic,
        }

    def room_for(self, network: str) -> bool:
        """Say whether one more network can be kept out."""
        self._forget_over()
        return network in self._ordered or len(self._ordered) < OPERATOR_BLOCKS_MAX

    def put(self, record: BlockRecord) -> None:
        """Keep a network out, or differently."""
        self._ordered[record.network] = record
        self._ordered_changed()

    def holds(self, network: str) -> bool:
        """Say whether there is something to ``lift``."""
        now, rules = self._clock.monotonic(), self._guard.rules
        keys = [network]
        address = address_of(network)
        if address is not None:
            keys.append(key_of(address, rules.ipv4_prefix, rules.ipv6_prefix))
        return network in self._ordered or any(self._guard.block_of(key, now) is not None for key in keys)

    def lift(self, network: str) -> bool:
        """Let a network in again, and forget what it did; return whether it was kept out.

        An address lifts the block that the guard has put on the network that it counts as.
        """
        ordered = self._ordered.pop(network, None) is not None
        if ordered:
            self._ordered_changed()
        lifted = self._guard.lift(network)
        address = address_of(network)
        if address is not None:
            rules = self._guard.rules
            lifted = self._guard.lift(key_of(address, rules.ipv4_prefix, rules.ipv6_prefix)) or lifted
        return ordered or lifted

    def take(self, records: Iterable[BlockRecord], changes: int) -> None:
        """Let the operators' blocks be these, unless there were *changes* since they were read."""
        if changes != self.changes:
            return
        now = self._clock.wall()
        kept = {each.network: each for each in records if each.until is None or each.until > now}
        if kept != self._ordered:
            self._ordered = kept
            self._ordered_changed()

    def _ordered_out(self, address: Address) -> bool:
        now = self._clock.wall()
        while (found := self._ordered_networks.find(address)) is not None:
            until = self._ordered[found].until
            if until is None or until > now:
                return True
            self._forget_over()
        return False

    def _forget_over(self) -> None:
        now = self._clock.wall()
        over = [
            each.network for each in self._ordered.values() if each.until is not None and each.until <= now
        ]
        for network in over:
            del self._ordered[network]
        if over:
            self._ordered_changed()

    def _ordered_changed(self) -> None:
        self._ordered_networks = Networks(self._ordered)
        self.changes += 1
