"""Two session machines back to back, an adversary between them, and a model that knows no tables."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import msgpack
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sealcast.protocol.codes import end, reply
from sealcast.protocol.controls import (
    CLIENT_CONTROLS,
    SERVER_CONTROLS,
    Ack,
    Control,
    Direct,
    Directed,
    Done,
    Drain,
    Dropped,
    Error,
    History,
    Join,
    Joined,
    Leave,
    Left,
    Lock,
    LockChanged,
    Locked,
    MemberJoined,
    MemberLeft,
    MemberState,
    Metadata,
    MetadataChanged,
    MetadataItems,
    Past,
    Ping,
    Pong,
    Presence,
    PresenceChanged,
    Present,
    Renew,
    Renewed,
    Sent,
    SetMetadata,
    Side,
    State,
    TokenExpiring,
    Unlock,
    Welcome,
    encode,
)
from sealcast.protocol.errors import LocalProtocolError, RemoteProtocolError
from sealcast.protocol.session import (
    EXPIRY_WARNING,
    EndDue,
    GrantEnded,
    GrantExpiring,
    Machine,
    RequestExpired,
)

NEVER = math.inf

# --- one of each control ---


def join() -> Join:
    return Join(channel="standup", user="alice", token="t")


def joined(channel: int = 1, expires_in: float = 3600) -> Joined:
    return Joined(
        channel=channel,
        member=1,
        epoch="e",
        offset=0,
        members=(),
        grant={},
        expires_in=expires_in,
        policy={},
    )


def left(channel: int = 1, why: str = "left") -> Left:
    return Left(channel=channel, code=end(why).number, name=why)


def renewed(channel: int = 1, expires_in: float = 3600) -> Renewed:
    return Renewed(channel=channel, grant={}, expires_in=expires_in)


def welcome() -> Welcome:
    return Welcome(server="s", node="n", heartbeat=25, limits={})


OF_CHANNEL: dict[str, Callable[[int], Control]] = {
    "leave": lambda channel: Leave(channel=channel),
    "renew": lambda channel: Renew(channel=channel, token="t"),
    "joined": joined,
    "left": left,
    "renewed": renewed,
    "direct": lambda channel: Direct(channel=channel, member=2, data=b"x"),
    "directed": lambda channel: Directed(channel=channel, member=2, data=b"x"),
    "sent": lambda channel: Sent(channel=channel),
    "ack": lambda channel: Ack(channel=channel, offset=1),
    "member_joined": lambda channel: MemberJoined(channel=channel, member=2, user="bob"),
    "member_left": lambda channel: MemberLeft(channel=channel, member=2, reason="left"),
    "token_expiring": lambda channel: TokenExpiring(channel=channel, seconds=30),
    "dropped": lambda channel: Dropped(channel=channel, counts={"video": 3}),
    "history": lambda channel: History(channel=channel, limit=1),
    "presence": lambda channel: Presence(channel=channel),
    "state": lambda channel: State(channel=channel),
    "metadata": lambda channel: Metadata(channel=channel),
    "set_metadata": lambda channel: SetMetadata(channel=channel, name="k"),
    "lock": lambda channel: Lock(channel=channel, name="n", ttl=1),
    "unlock": lambda channel: Unlock(channel=channel, name="n"),
    "past": lambda channel: Past(channel=channel, epoch="e", offset=0, messages=(), authors=()),
    "present": lambda channel: Present(channel=channel, members=(), total=1),
    "presence_changed": lambda channel: PresenceChanged(channel=channel, total=1),
    "member_state": lambda channel: MemberState(channel=channel, member=2),
    "done": lambda channel: Done(channel=channel),
    "metadata_items": lambda channel: MetadataItems(channel=channel, revision=0),
    "metadata_changed": lambda channel: MetadataChanged(channel=channel, name="k", revision=1, member=2),
    "locked": lambda channel: Locked(channel=channel, name="n", fence=1, ttl=1),
    "lock_changed": lambda channel: LockChanged(channel=channel, name="n", fence=1, reason="expired"),
}
OF_CONNECTION: dict[str, Callable[[], Control]] = {
    "join": join,
    "ping": Ping,
    "welcome": welcome,
    "error": lambda: Error.of(reply("channel_full")),
    "drain": lambda: Drain(delay=1),
    "pong": Pong,
}


def state(machine: Machine) -> dict[str, str]:
    """Everything a machine remembers, to compare before and after."""
    return {name: repr(getattr(machine, name)) for name in Machine.__slots__}


# --- the model: what the documentation says, without a table ---


ASKED = {
    "renew": "renewed",
    "direct": "sent",
    "history": "past",
    "presence": "present",
    "state": "done",
    "metadata": "metadata_items",
    "set_metadata": "done",
    "lock": "locked",
    "unlock": "done",
}


@dataclass
class Asked:
    name: str
    channel: int | None
    deadline: float = NEVER
    abandoned: bool = False


@dataclass
class Model:
    """One side's view, as a reader of docs/protocol.md would keep it on paper."""

    side: Side
    phase: str = "connecting"
    standing: dict[int, str] = field(default_factory=dict)
    asked: dict[int, Asked] = field(default_factory=dict)

    def objection(self, control: Control, ref: int) -> tuple[str, int] | None:
        """None when the control is legal now; else the code and the ref of the refusal."""
        name, channel = control.NAME, getattr(control, "channel", None)
        breach = ("protocol_error", 0)
        if self.phase == "closed":
            return breach
        if (self.phase == "connecting") is not (name == "welcome"):
            return breach
        if name == "drain" and self.phase == "draining":
            return breach
        if name in CLIENT_CONTROLS:
            if ref == 0 or ref in self.asked:
                return ("bad_request", 0)
            if name in (*ASKED, "leave") and self.standing.get(channel or 0) != "joined":
                return ("not_joined", ref)
            return None
        return self._objection_to_answer(name, channel, ref)

    def _objection_to_answer(self, name: str, channel: Any, ref: int) -> tuple[str, int] | None:
        breach = ("protocol_error", 0)
        # The server says `renewed` by itself when it has taken rights away or given them back.
        if ref == 0 and name in ("joined", *ASKED.values(), "ack", "pong") and name != "renewed":
            return breach
        asked = self.asked.get(ref)
        if ref and asked:
            fits = {"join": "joined", "leave": "left", **ASKED, "ping": "pong", "message": "ack"}
            if name not in (fits[asked.name], "error"):
                return breach
            if name in ("left", *ASKED.values()) and channel != asked.channel:
                return breach
        elif ref and not (self.side is Side.SERVER and name in ("ack", "error")):
            return breach
        if name == "joined":
            return breach if channel in self.standing else None
        if name in OF_CHANNEL and channel not in self.standing:
            return ("not_joined", ref)
        return None

    def follow(self, control: Control, ref: int) -> None:
        """Do what a legal control does."""
        name, channel = control.NAME, getattr(control, "channel", 0)
        if name in CLIENT_CONTROLS:
            self.asked[ref] = Asked(name, channel if isinstance(channel, int) else None)
            if name == "leave":
                self.standing[channel] = "leaving"
            return
        asked = self.asked.pop(ref, None)
        if name == "welcome":
            self.phase = "open"
        elif name == "drain":
            self.phase = "draining"
        elif name == "joined":
            self.standing[channel] = "joined"
        elif name == "left":
            del self.standing[channel]
        elif name == "error" and asked and asked.name == "leave" and asked.channel in self.standing:
            self.standing[asked.channel] = "joined"

    def close(self) -> None:
        self.phase = "closed"
        self.standing.clear()
        self.asked.clear()


@dataclass
class End:
    """A machine, the model that watches it, and the bytes on their way to it."""

    machine: Machine
    model: Model
    arriving: list[bytes] = field(default_factory=list)


small_refs = st.integers(0, 6)
channels = st.integers(1, 3)
lives = st.floats(0, 100) | st.sampled_from([0.0, 29.9, 30.0, 30.1, 60.0])


def controls_of(side: Side) -> st.SearchStrategy[Control]:
    table = CLIENT_CONTROLS if side is Side.CLIENT else SERVER_CONTROLS
    plain = [make for name, make in OF_CONNECTION.items() if name in table]
    numbered = [make for name, make in OF_CHANNEL.items() if name in table]
    return st.one_of(
        st.builds(lambda make, channel: make(channel), st.sampled_from(numbered), channels),
        st.builds(lambda make: make(), st.sampled_from(plain)),
    )


client_controls = controls_of(Side.CLIENT)
server_controls = st.one_of(
    controls_of(Side.SERVER), st.builds(joined, channels, lives), st.builds(renewed, channels, lives)
)
any_control = client_controls | server_controls


class TwoMachines(RuleBasedStateMachine):
    """A client and a server joined by bytes, which an adversary may reorder, forge and keep back."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        timing = {"heartbeat": 25.0, "unauthenticated": 30.0}
        self.client = End(Machine(Side.CLIENT, 0.0), Model(Side.CLIENT))
        self.server = End(Machine(Side.SERVER, 0.0, **timing), Model(Side.SERVER))

    def other(self, one: End) -> End:
        return self.server if one is self.client else self.client

    def send(self, sender: End, control: Control, ref: int) -> None:
        before = state(sender.machine)
        ours = CLIENT_CONTROLS if sender is self.client else SERVER_CONTROLS
        if control.NAME in ours and sender.model.objection(control, ref) is None:
            data = sender.machine.send(control, self.now, ref)
            assert data == encode(control, ref)
            sender.model.follow(control, ref)
            self.other(sender).arriving.append(data)
        else:
            with pytest.raises(LocalProtocolError):
                sender.machine.send(control, self.now, ref)
            assert state(sender.machine) == before

    def receive(self, receiver: End, control: Control, ref: int, data: bytes) -> None:
        before = state(receiver.machine)
        theirs = SERVER_CONTROLS if receiver is self.client else CLIENT_CONTROLS
        objection = receiver.model.objection(control, ref)
        if control.NAME not in theirs:
            objection = ("unknown_control", 0 if ref in receiver.model.asked else ref)
        if objection is None:
            asked = receiver.model.asked.get(ref)
            got = receiver.machine.receive(data, self.now)
            assert (got.control, got.ref) == (control, ref)
            assert got.late is (asked is not None and asked.abandoned)
            receiver.model.follow(control, ref)
            return
        with pytest.raises(RemoteProtocolError) as caught:
            receiver.machine.receive(data, self.now)
        assert state(receiver.machine) == before
        assert (caught.value.code.name, caught.value.ref) == objection
        assert caught.value.fatal is (objection[0] == "protocol_error")
        if (
            receiver is self.server
            and not caught.value.fatal
            and receiver.model.phase in ("open", "draining")
        ):
            # Whatever a client does, its refusal can be sent and answers no other request of its.
            open_requests = set(receiver.machine.awaiting())
            self.send(receiver, Error.of(caught.value.code), caught.value.ref)
            assert set(receiver.machine.awaiting()) == open_requests

    @initialize(greeting=st.integers(0, 7), members=st.integers(0, 3))
    def start(self, greeting: int, members: int) -> None:
        if greeting:
            self.send(self.server, welcome(), 0)
            self.arrives(self.client, 0)
            for channel in range(1, members + 1):
                self.client_requests(join(), NEVER)
                self.arrives(self.server, 0)
                self.send(self.server, joined(channel, 25.0 * channel), max(self.server.model.asked))
                self.arrives(self.client, 0)

    # Left to chance alone, most controls would be illegal: these rules do what honest peers do.

    @rule(data=st.data())
    def client_asks(self, data: st.DataObject) -> None:
        joined_channels = [n for n, standing in self.client.model.standing.items() if standing == "joined"]
        requests: list[Control] = [join(), Ping()]
        for channel in joined_channels:
            requests += [
                Leave(channel=channel),
                Renew(channel=channel, token="t"),
                Direct(channel=channel, member=2, data=b"x"),
            ]
        self.client_requests(data.draw(st.sampled_from(requests)), data.draw(lives))

    @precondition(lambda self: self.server.model.asked)
    @rule(data=st.data(), refused=st.booleans(), channel=channels, life=lives)
    def server_answers(self, data: st.DataObject, refused: bool, channel: int, life: float) -> None:
        ref = data.draw(st.sampled_from(sorted(self.server.model.asked)))
        asked = self.server.model.asked[ref]
        about = asked.channel or channel
        answers = {
            "join": joined(about, life),
            "leave": left(about),
            "renew": renewed(about, life),
            "direct": Sent(channel=about),
        }
        answer: Control = answers.get(asked.name, Pong())
        self.send(self.server, Error.of(reply("draining")) if refused else answer, ref)

    @precondition(lambda self: self.server.model.standing)
    @rule(
        data=st.data(), make=st.sampled_from(["left", "member_joined", "member_left", "directed", "dropped"])
    )
    def server_tells_a_member(self, data: st.DataObject, make: str) -> None:
        channel = data.draw(st.sampled_from(sorted(self.server.model.standing)))
        self.send(self.server, OF_CHANNEL[make](channel), 0)

    @precondition(lambda self: self.client.model.asked)
    @rule(data=st.data(), control=server_controls)
    def server_answers_something_else(self, data: st.DataObject, control: Control) -> None:
        ref = data.draw(st.sampled_from(sorted(self.client.model.asked)))
        self.receive(self.client, control, ref, encode(control, ref))

    @precondition(lambda self: self.server.model.asked)
    @rule(data=st.data(), control=client_controls)
    def client_asks_under_an_open_ref(self, data: st.DataObject, control: Control) -> None:
        ref = data.draw(st.sampled_from(sorted(self.server.model.asked)))
        self.receive(self.server, control, ref, encode(control, ref))

    @rule(control=client_controls | any_control, ref=small_refs)
    def client_sends(self, control: Control, ref: int) -> None:
        self.send(self.client, control, ref)

    @rule(control=server_controls | any_control, ref=small_refs)
    def server_sends(self, control: Control, ref: int) -> None:
        self.send(self.server, control, ref)

    @rule(to_server=st.booleans(), place=st.integers(0, 3))
    def arrives_in_any_order(self, to_server: bool, place: int) -> None:
        self.arrives(self.server if to_server else self.client, place)

    @rule(to_server=st.booleans())
    def everything_arrives_in_order(self, to_server: bool) -> None:
        receiver = self.server if to_server else self.client
        for _ in range(len(receiver.arriving)):
            self.arrives(receiver, 0)

    def arrives(self, receiver: End, place: int) -> None:
        if place < len(receiver.arriving):
            data = receiver.arriving.pop(place)
            name, ref, _ = _parts(data)
            self.receive(receiver, _control(data, name), ref, data)

    @rule(control=client_controls | any_control, ref=small_refs)
    def forged_by_a_client(self, control: Control, ref: int) -> None:
        self.receive(self.server, control, ref, encode(control, ref))

    @rule(control=server_controls | any_control, ref=small_refs)
    def forged_by_a_server(self, control: Control, ref: int) -> None:
        self.receive(self.client, control, ref, encode(control, ref))

    @rule(to_server=st.booleans(), data=st.binary(max_size=30))
    def garbage(self, to_server: bool, data: bytes) -> None:
        machine = (self.server if to_server else self.client).machine
        before = state(machine)
        with pytest.raises(RemoteProtocolError):
            machine.receive(b"\0" + data, self.now)
        assert state(machine) == before

    @rule(control=any_control, timeout=lives)
    def client_requests(self, control: Control, timeout: float) -> None:
        before, model = state(self.client.machine), self.client.model
        if control.NAME in CLIENT_CONTROLS and model.objection(control, 99_999) is None:
            ref, data = self.client.machine.request(control, self.now, timeout)
            assert ref > 0
            assert ref not in model.asked
            model.follow(control, ref)
            model.asked[ref].deadline = self.now + timeout
            self.server.arriving.append(data)
        else:
            with pytest.raises(LocalProtocolError):
                self.client.machine.request(control, self.now, timeout)
            assert state(self.client.machine) == before

    @rule(timeout=lives)
    def client_sends_a_message(self, timeout: float) -> None:
        model = self.client.model
        if model.phase in ("open", "draining"):
            ref = self.client.machine.expect_ack(self.now, timeout)
            assert ref > 0
            assert ref not in model.asked
            model.asked[ref] = Asked("message", None, self.now + timeout)
        else:
            with pytest.raises(LocalProtocolError):
                self.client.machine.expect_ack(self.now, timeout)

    @rule(control=any_control)
    def server_never_asks(self, control: Control) -> None:
        before = state(self.server.machine)
        with pytest.raises(LocalProtocolError):
            self.server.machine.request(control, self.now, 1)
        with pytest.raises(LocalProtocolError):
            self.server.machine.expect_ack(self.now, 1)
        assert state(self.server.machine) == before

    @precondition(lambda self: self.client.model.asked)
    @rule(data=st.data())
    def client_gives_up(self, data: st.DataObject) -> None:
        ref = data.draw(st.sampled_from(sorted(self.client.model.asked)))
        self.client.machine.abandon(ref)
        self.client.model.asked[ref] = replace(self.client.model.asked[ref], abandoned=True, deadline=NEVER)

    @rule(seconds=st.floats(0, 5) | st.sampled_from([0.0, 1.0, 5.0, 29.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.server.machine.heard(self.now)
        self.client_time()
        self.server_time()

    def client_time(self) -> None:
        late = {ref for ref, asked in self.client.model.asked.items() if asked.deadline <= self.now}
        due = self.client.machine.handle_timeout(self.now)
        assert sorted(due, key=str) == sorted((RequestExpired(ref) for ref in late), key=str)
        for ref in late:
            self.client.model.asked[ref] = replace(
                self.client.model.asked[ref], abandoned=True, deadline=NEVER
            )

    def server_time(self) -> None:
        for due in self.server.machine.handle_timeout(self.now):
            match due:
                case GrantExpiring(channel, seconds):
                    assert 0 < seconds <= EXPIRY_WARNING + 1e-9
                    self.send(self.server, TokenExpiring(channel=channel, seconds=seconds), 0)
                case GrantEnded(channel):
                    self.send(self.server, left(channel, "token_expired"), 0)
                case EndDue(code):
                    assert code is end("unauthenticated"), "bytes have just been heard"
                    assert not self.server.model.standing
                    self.server.machine.close()
                    self.server.model.close()
                case _:
                    pytest.fail(f"{due} is not due")

    @precondition(lambda self: self.client.model.phase != "closed")
    @rule(which=st.integers(0, 19))
    def transport_ends(self, which: int) -> None:
        for number, one in enumerate((self.client, self.server)):
            if which == number:
                one.machine.close()
                one.model.close()

    @invariant()
    def machine_and_model_agree(self) -> None:
        for one in (self.client, self.server):
            assert one.machine.phase.value == one.model.phase
            standing = {n: membership.standing.value for n, membership in one.machine.memberships.items()}
            assert standing == one.model.standing
            waiting = sorted(ref for ref, asked in one.model.asked.items() if not asked.abandoned)
            assert sorted(one.machine.awaiting()) == waiting

    @invariant()
    def a_shell_that_obeys_next_timeout_never_spins_and_never_oversleeps(self) -> None:
        for one in (self.client, self.server):
            shell, at = copy.deepcopy(one.machine), one.machine.next_timeout()
            if at is None:
                assert shell.handle_timeout(self.now + 1e9) == []
                continue
            assert shell.handle_timeout(math.nextafter(at, -NEVER)) == []
            assert state(shell) == state(one.machine)
            due = shell.handle_timeout(at)
            assert due, "the shell was woken for nothing"
            again = shell.next_timeout()
            assert again is None or again > at or any(isinstance(item, EndDue) for item in due)


def _parts(data: bytes) -> tuple[str, int, Any]:
    name, ref, body = msgpack.unpackb(data[1:], use_list=False)
    return name, ref, body


def _control(data: bytes, name: str) -> Control:
    return {**CLIENT_CONTROLS, **SERVER_CONTROLS}[name].from_body(_parts(data)[2])


TwoMachines.TestCase.settings = settings(max_examples=100, stateful_step_count=30)
test_two_machines_and_their_models_agree_whatever_an_adversary_does = TwoMachines.TestCase
