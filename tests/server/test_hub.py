"""The registry without sockets: what is born with the first member and dies with the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from sealcast.protocol import controls
from sealcast.protocol.codes import Code
from sealcast.protocol.controls import Control
from sealcast.protocol.names import Privilege
from sealcast.server.auth import Rights
from sealcast.server.clock import SystemClock
from sealcast.server.config import AppConfig, AppLimits, Config
from sealcast.server.engine.memory import MemoryBroker
from sealcast.server.hub import App, Full, Hub
from sealcast.server.member import Member
from sealcast.server.shedding import Waiting

ONE, TWO = "1" * 32, "2" * 32
RIGHTS = Rights(2e9, dict.fromkeys(Privilege, 2e9))


class Sink:
    """An outlet that counts what is written to it."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)

    def queue(self, items: Sequence[Waiting]) -> None:
        raise AssertionError

    def tell(self, control: Control, ref: int = 0) -> None:
        raise AssertionError

    def leave(self, channel: int, code: Code) -> None:
        raise AssertionError

    def drops(self, channel: int) -> Mapping[tuple[str, str], int]:
        return {}

    def hold(self) -> None:
        raise AssertionError

    def release(self) -> None:
        raise AssertionError


def make(**limits: int) -> Hub:
    apps = [
        AppConfig(app_id=app_id, certificate="3" * 32, enabled=app_id == ONE, limits=AppLimits(**limits))  # type: ignore[arg-type]
        for app_id in (ONE, TWO)
    ]
    return Hub(Config(apps=tuple(apps)), MemoryBroker(), SystemClock(), lambda call: None)


@pytest.fixture
def hub() -> Hub:
    return make()


def app_of(hub: Hub, app_id: str = ONE) -> App:
    return next(app for app in hub.apps() if app.config.app_id == app_id)


def join(hub: Hub, name: str, user: str, hello: bytes | None = None, app_id: str = ONE) -> Member:
    return hub.join(app_of(hub, app_id), name, user, hello, RIGHTS, Sink())


def test_a_disabled_app_looks_like_an_unknown_one(hub: Hub) -> None:
    assert hub.app(ONE) is app_of(hub)
    assert hub.app(TWO) is None
    assert hub.app("4" * 32) is None
    assert hub.app(ONE.upper() + " ") is None


def test_a_channel_dies_with_its_last_member(hub: Hub) -> None:
    ann, bob = join(hub, "room", "ann"), join(hub, "room", "bob")
    assert ann.channel is bob.channel
    hub.leave(app_of(hub), ann, "left")
    assert app_of(hub).channels == {"room": bob.channel}
    hub.leave(app_of(hub), bob, "left")
    assert app_of(hub).channels == {}


def test_a_channel_number_is_never_used_twice(hub: Hub) -> None:
    numbers = set()
    for app_id in (ONE, TWO, ONE, TWO, ONE):
        member = join(hub, "room", "ann", app_id=app_id)
        numbers.add(member.channel.number)
        hub.leave(app_of(hub, app_id), member, "left")
    assert len(numbers) == 5


def test_a_full_channel_and_a_full_app_say_which(hub: Hub) -> None:
    hub = make(members=1, channels=1)
    join(hub, "room", "ann")
    with pytest.raises(Full) as full:
        join(hub, "room", "bob")
    assert full.value.name == "channel_full"
    with pytest.raises(Full) as full:
        join(hub, "other", "bob")
    assert full.value.name == "app_full"
    join(hub, "room", "ann", app_id=TWO)


def test_a_channel_is_full_when_its_members_would_not_fit_in_one_answer() -> None:
    """A control has a largest size, and ``joined`` lists everybody with their hello."""
    hub = make(members=60_000)
    user, hello = "u" * 251, bytes(6600)
    members = [join(hub, "room", f"{user}{number:04}", hello) for number in range(1200)]
    while (channel := members[0].channel).fits(f"{user}{len(members):04}", hello):
        members.append(join(hub, "room", f"{user}{len(members):04}", hello))
    with pytest.raises(Full, match="channel_full"):
        join(hub, "room", user + "last", hello)
    assert len(channel.members) == len(members)
    answer = controls.encode(members[-1].joined(0, {"encryption": "required"}), 2**32 - 1)
    assert len(answer) > controls.SERVER_CONTROL_MAX - 32 * 1024, "no room is given away"
    hub.leave(app_of(hub), members[0], "left")
    join(hub, "room", user + "late", hello)
