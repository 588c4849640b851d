"""The process's registry: apps, their channels and connections. The App ID is the first key of everything."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sealcast.protocol.controls import Directed

from .absent import Absent
from .access import Access
from .auth import Rights
from .channel import Channel
from .clock import Clock, TimingWheel
from .config import AppConfig, AppLimits, Config
from .fanout import Outlet
from .interfaces import Broker, ChannelKey
from .limits import Quotas
from .member import Member
from .metrics import Metrics
from .presence import PresencePolicy
from .sharing import Sharing
from .spans import Tracer
from .tally import History, Tally
from .turns import Tick, Turns
from .visitor import Visitor
from .warden import Warden
from .witness import Nobody, Witness

__all__ = ["App", "Full", "Hub"]


class Full(Exception):
    """There is no room; ``name`` is the reply code that says where."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class App:
    """One tenant: its configuration, its channels on this node, and what its connections share.

    Args:
        config: what the operator says of it.
        now: the present, in monotonic seconds.
        tick: what delays its turns, if anything does.

    """

    __slots__ = ("began", "channels", "config", "connections", "history", "quotas", "tick", "usage")

    def __init__(self, config: AppConfig, now: float, tick: Tick | None) -> None:
        self.config = config
        self.began = now
        """When it began to be counted, in monotonic seconds."""
        self.quotas = Quotas(config.rates, now)
        self.tick = tick
        self.channels: dict[str, Channel] = {}
        self.connections = 0
        self.usage = Tally()
        """What its channels have handed on so far, and what was refused."""
        self.history = History(now)


class Hub:
    """What all sessions of a process share.

    Args:
        config: the apps, and the server's options.
        broker: places messages and carries turns.
        clock: the present.
        call_soon: runs a callable once, in the next turn of the event loop.
        call_later: runs a callable once, after so many seconds. By default apps have no flush tick.
        witness: hears of the life of channels and members.
        access: the ban rules and revocations; by default there are none until some are made.

    """

    def __init__(
        self,
        config: Config,
        broker: Broker,
        clock: Clock,
        call_soon: Callable[[Callable[[], None]], object],
        call_later: Callable[[float, Callable[[], None]], object] | None = None,
        witness: Witness | None = None,
        access: Access | None = None,
    ) -> None:
        self.config = config
        self.clock = clock
        self.metrics = Metrics()
        self.wheel = TimingWheel(clock.monotonic(), tick=0.05, slots=2048)
        self.draining = False
        self.witness: Witness = witness or Nobody()
        self.tracer: Tracer | None = None
        """Hears of joins, where they are traced."""
        self.access = access or Access(clock.wall)
        self.wheel.schedule(self.access, clock.monotonic())
        self.warden = Warden(config.guard, clock, self.metrics, self.witness.address_blocked)
        self._turns = Turns(call_soon, clock.monotonic, self.metrics)
        self._apps: dict[str, App] = {}
        self.former = Tally()
        """What apps have used that were removed."""
        self._call_later = call_later
        for app in config.apps:
            self.put(app)
        self._broker = broker
        self.sharing = Sharing(broker, clock, self.wheel, self._limits_of, self._find)
        self.call_soon = call_soon
        self._next_channel = 0
        self._told: set[int] = set()
        """Channels, by number, whose birth the witness has heard of."""

    def app(self, app_id: str) -> App | None:
        """Return an enabled app, or None: unknown and disabled look the same."""
        app = self._apps.get(app_id)
        return app if app is not None and app.config.enabled else None

    def any_app(self, app_id: str) -> App | None:
        """Return an app, a disabled one too."""
        return self._apps.get(app_id)

    def apps(self) -> Iterable[App]:
        """Return all apps, disabled ones too."""
        return self._apps.values()

    def put(self, config: AppConfig) -> App:
        """Add an app, or let one be as this says from now on; what its channels are opened with they keep.

        Only the encryption that is asked for is asked for at once in channels that are open, too.
        """
        delay = config.limits.flush_tick
        tick = Tick(self._turns, delay, self._call_later) if delay and self._call_later else None
        app = self._apps.get(config.app_id)
        if app is None:
            app = self._apps[config.app_id] = App(config, self.clock.monotonic(), tick)
            return app
        before, app.config = app.config, config
        if before.limits.flush_tick != delay:
            app.tick = tick
        if before.rates != config.rates:
            app.quotas = Quotas(config.rates, self.clock.monotonic())
        for channel in app.channels.values():
            channel.encryption_required = config.policy.encryption == "required"
        return app

    def remove(self, app_id: str) -> None:
        """Forget an app whose members are gone."""
        app = self._apps.pop(app_id, None)
        if app is not None:
            self.former.add(app.usage)

    def join(
        self,
        app: App,
        name: str,
        user: str,
        hello: bytes | None,
        rights: Rights,
        outlet: Outlet,
        run: bytes = b"",
        visitor: Visitor | None = None,
    ) -> Member:
        """Make *user* a member of the channel called *name*, which is born with its first member.

        The caller has ended the same user's older membership.

        Raises:
            Full: the app has too many channels, or the channel too many members.
            EngineDown: the engine cannot say where the channel stands.

        """
        limits = app.config.limits
        channel = app.channels.get(name)
        if channel is None:
            if len(app.channels) >= limits.channels:
                raise Full("app_full")
            channel = self._open(app, name)
        elif len(channel.members) >= limits.members or not channel.fits(user, hello):
            raise Full("channel_full")
        member = channel.add(user, hello, rights, outlet, self.clock.wall(), run)
        member.visitor = visitor
        member.since = self.clock.wall()
        channel.traffic.came(self.clock.monotonic())
        if visitor is None or not visitor.publishes:
            self._tell_join(member)
        return member

    def _tell_join(self, member: Member) -> None:
        # A channel that has only been published to was nowhere that somebody has been.
        channel = member.channel
        if channel.number not in self._told:
            self._told.add(channel.number)
            self.witness.channel_opened(channel.key, channel.number)
        self.witness.member_joined(member)

    def lose(self, app: App, member: Member, reason: str) -> None:
        """End a membership whose connection has ended, or let it linger for a moment, as the app says."""
        linger = member.channel.policy.linger
        if reason != "connection_lost" or not linger or self.draining:
            self.leave(app, member, reason)
            return
        until = self.clock.monotonic() + linger
        member.part()
        absent = Absent(member, self.wheel, until, lambda member, reason: self.leave(app, member, reason))
        member.channel.part(member, absent)

    def come_back(self, app: App, member: Member, rights: Rights, outlet: Outlet) -> list[Directed]:
        """Let a member that lingers be there again; return what was sent to it alone meanwhile."""
        absent = member.outlet
        assert isinstance(absent, Absent), "it lingers"
        member.channel.back(member, rights, outlet, self.clock.wall())
        return absent.take()

    def leave(self, app: App, member: Member, reason: str) -> None:
        """End a membership; a channel dies with its last member."""
        channel = member.channel
        channel.traffic.went(member, self.clock.monotonic())
        channel.remove(member, reason)
        if member.visitor is None or not member.visitor.publishes:
            self.witness.member_left(member, reason)
        if channel.over:
            self._close(channel)

    def _limits_of(self, app_id: str) -> AppLimits:
        app = self._apps.get(app_id)
        return AppLimits() if app is None else app.config.limits  # removed: what is left of it still ends

    def _find(self, key: ChannelKey) -> Channel | None:
        app = self._apps.get(key.app_id)
        return None if app is None else app.channels.get(key.channel)

    def _open(self, app: App, name: str) -> Channel:
        # A number is used once in a process's life, so a frame in flight cannot reach a later channel.
        self._next_channel += 1
        channel = Channel(
            ChannelKey(app.config.app_id, name),
            self._next_channel,
            encryption_required=app.config.policy.encryption == "required",
            delivery=app.config.delivery_of(name),
            keep=app.config.keep_of(name),
            presence=PresencePolicy(*(value for _, value in app.config.presence)),
            wheel=self.wheel,
            broker=self._broker,
            metrics=self.metrics,
            now=self.clock.monotonic,
            turns=self._turns,
            collecting=app.tick.add if app.tick is not None else None,
            finished=self._close,
        )
        channel.traffic.since = self.clock.wall()
        app.channels[name] = channel
        return channel

    def erase(self, key: ChannelKey, upto: int | None = None) -> int:
        """Throw away the kept messages of a channel up to an offset, or all; return how many."""
        return self._broker.erase(key, upto)

    def flush(self) -> None:
        """Hand over what every channel has collected."""
        for app in self._apps.values():
            for channel in tuple(app.channels.values()):
                channel.flush()

    def _close(self, channel: Channel) -> None:
        app = self._apps.get(channel.key.app_id)
        if app is not None and app.channels.get(channel.key.channel) is not channel:
            return
        if channel.over:
            if app is not None:
                del app.channels[channel.key.channel]
                app.usage.add(channel.traffic.take((), self.clock.monotonic()))
            channel.close()
            if channel.number in self._told:
                self._told.remove(channel.number)
                self.witness.channel_closed(channel.key, channel.number)
