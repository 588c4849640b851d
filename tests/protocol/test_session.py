"""The session machine, sentence by sentence: who may say what and when, and what time brings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.protocol.codes import ENDS, REPLIES, end, reply
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
    ANSWERS,
    CONNECTION,
    EXPIRY_WARNING,
    MEMBERSHIP,
    PENDING_MAX,
    Due,
    EndDue,
    GrantEnded,
    GrantExpiring,
    Machine,
    Phase,
    PingDue,
    RequestExpired,
    Standing,
)

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


ONE_OF_EACH: dict[str, Control] = {
    control.NAME: control
    for control in (
        join(),
        Leave(channel=1),
        Renew(channel=1, token="t"),
        Direct(channel=1, member=2, data=b"x"),
        Directed(channel=1, member=2, data=b"x"),
        Sent(channel=1),
        History(channel=1, limit=1),
        Presence(channel=1),
        State(channel=1),
        Metadata(channel=1),
        SetMetadata(channel=1, name="k"),
        Lock(channel=1, name="n", ttl=1),
        Unlock(channel=1, name="n"),
        Ping(),
        welcome(),
        joined(),
        left(),
        renewed(),
        Ack(channel=1, offset=1),
        Error.of(reply("channel_full")),
        MemberJoined(channel=1, member=2, user="bob"),
        MemberLeft(channel=1, member=2, reason="left"),
        TokenExpiring(channel=1, seconds=30),
        Dropped(channel=1, counts={"video": 3}),
        Past(channel=1, epoch="e", offset=0, messages=(), authors=()),
        Present(channel=1, members=(), total=1),
        PresenceChanged(channel=1, total=1),
        MemberState(channel=1, member=2),
        Done(channel=1),
        MetadataItems(channel=1, revision=0),
        MetadataChanged(channel=1, name="k", revision=1, member=2),
        Locked(channel=1, name="n", fence=1, ttl=1),
        LockChanged(channel=1, name="n", fence=1, reason="expired"),
        Drain(delay=1),
        Pong(),
    )
}


def state(machine: Machine) -> dict[str, str]:
    """Everything a machine remembers, to compare before and after."""
    return {name: repr(getattr(machine, name)) for name in Machine.__slots__}


def standing(machine: Machine) -> dict[int, Standing]:
    return {number: membership.standing for number, membership in machine.memberships.items()}


def opened(side: Side, **kwargs: Any) -> Machine:
    machine = Machine(side, 0.0, **kwargs)
    if side is Side.CLIENT:
        machine.receive(encode(welcome()), 0.0)
    else:
        machine.send(welcome(), 0.0)
    return machine


def member_client(channel: int = 1, expires_in: float = 3600) -> Machine:
    machine = opened(Side.CLIENT)
    ref, _ = machine.request(join(), 0.0, 10)
    machine.receive(encode(joined(channel, expires_in), ref), 0.0)
    return machine


def member_server(channel: int = 1, expires_in: float = 3600, **kwargs: Any) -> Machine:
    machine = opened(Side.SERVER, **kwargs)
    machine.receive(encode(join(), 1), 0.0)
    machine.send(joined(channel, expires_in), 0.0, 1)
    return machine


# --- the tables ---


def test_every_control_stands_in_the_table_of_the_connection_for_its_side_only() -> None:
    sides: dict[type[Control], set[Side]] = {}
    for _, side, control in CONNECTION:
        sides.setdefault(control, set()).add(side)
    assert sides == {
        **{control: {Side.CLIENT} for control in CLIENT_CONTROLS.values()},
        **{control: {Side.SERVER} for control in SERVER_CONTROLS.values()},
    }


def test_the_connection_opens_once_drains_once_and_ends_without_a_control() -> None:
    moves = {(a, control, b) for (a, _, control), b in CONNECTION.items() if a is not b}
    assert moves == {(Phase.CONNECTING, Welcome, Phase.OPEN), (Phase.OPEN, Drain, Phase.DRAINING)}
    staying = {(a, control) for (a, _, control), b in CONNECTION.items() if a is b}
    always = {*CLIENT_CONTROLS.values(), *SERVER_CONTROLS.values()} - {Welcome, Drain}
    assert staying == {(phase, control) for phase in (Phase.OPEN, Phase.DRAINING) for control in always}


def test_a_membership_begins_changes_and_ends_as_documented() -> None:
    moves = {(a, control, b) for (a, _, control), b in MEMBERSHIP.items() if a is not b}
    assert moves == {
        (None, Join, Standing.JOINING),
        (Standing.JOINING, Joined, Standing.JOINED),
        (Standing.JOINING, Error, None),
        (Standing.JOINED, Leave, Standing.LEAVING),
        (Standing.JOINED, Left, None),
        (Standing.LEAVING, Left, None),
        (Standing.LEAVING, Error, Standing.JOINED),
    }
    answers = {Renewed, Sent, Past, Present, Done, MetadataItems, Locked}
    news = {*answers, Ack, Directed, MemberJoined, MemberLeft, TokenExpiring, Dropped}
    news |= {PresenceChanged, MemberState, MetadataChanged, LockChanged}
    asked = {Renew, Direct, History, Presence, State, Metadata, SetMetadata, Lock, Unlock}
    staying = {(a, control) for (a, _, control), b in MEMBERSHIP.items() if a is b}
    assert staying == {
        *((Standing.JOINED, request) for request in asked),
        *((standing, control) for standing in (Standing.JOINED, Standing.LEAVING) for control in news),
    }


def test_tables_name_the_side_that_may_send_a_control() -> None:
    for table in (CONNECTION, MEMBERSHIP):
        for _, side, control in table:
            assert control in (CLIENT_CONTROLS if side is Side.CLIENT else SERVER_CONTROLS).values()


def test_every_request_has_its_answers_and_may_be_refused() -> None:
    assert set(ANSWERS) == {*CLIENT_CONTROLS.values(), None}
    assert {request: set(answers) - {Error} for request, answers in ANSWERS.items()} == {
        Join: {Joined},
        Leave: {Left},
        Renew: {Renewed},
        Direct: {Sent},
        History: {Past},
        Presence: {Present},
        State: {Done},
        Metadata: {MetadataItems},
        SetMetadata: {Done},
        Lock: {Locked},
        Unlock: {Done},
        Ping: {Pong},
        None: {Ack},
    }
    assert all(Error in answers for answers in ANSWERS.values())


# --- who may say what, when: the sentences that readers look for ---


def test_nothing_is_legal_before_the_welcome() -> None:
    for name, control in ONE_OF_EACH.items():
        client, server = Machine(Side.CLIENT, 0.0), Machine(Side.SERVER, 0.0)
        if name != "welcome":
            with pytest.raises(LocalProtocolError):
                (client if name in CLIENT_CONTROLS else server).send(control, 0.0, 1)
    assert server.phase is Phase.CONNECTING


def test_nothing_is_legal_and_nothing_is_due_after_the_end() -> None:
    for machine in (member_client(), member_server(heartbeat=25, unauthenticated=10)):
        machine.close()
        assert machine.phase is Phase.CLOSED
        assert machine.memberships == {}
        assert machine.awaiting() == []
        assert machine.next_timeout() is None
        assert machine.handle_timeout(1e9) == []
        for control in ONE_OF_EACH.values():
            with pytest.raises(LocalProtocolError):
                machine.send(control, 0.0, 1)
            with pytest.raises(RemoteProtocolError):
                machine.receive(encode(control, 1), 0.0)


def test_a_draining_server_still_answers_and_its_members_may_still_join_and_leave() -> None:
    client = member_client()
    client.receive(encode(Drain(delay=5)), 0.0)
    assert client.phase is Phase.DRAINING
    ref, _ = client.request(Leave(channel=1), 0.0, 10)
    client.receive(encode(left(1), ref), 0.0)
    assert client.memberships == {}
    ref, _ = client.request(join(), 0.0, 10)
    client.receive(encode(Error.of(reply("draining")), ref), 0.0)
    assert client.awaiting() == []


def test_a_membership_exists_from_its_joined_to_its_left() -> None:
    server = opened(Side.SERVER)
    server.receive(encode(join(), 1), 0.0)
    assert server.memberships == {}
    server.send(joined(7), 0.0, 1)
    assert standing(server) == {7: Standing.JOINED}
    server.receive(encode(Leave(channel=7), 2), 0.0)
    assert standing(server) == {7: Standing.LEAVING}
    server.send(left(7), 0.0, 2)
    assert server.memberships == {}


def test_a_refused_join_leaves_no_trace() -> None:
    client = opened(Side.CLIENT)
    ref, _ = client.request(join(), 0.0, 10)
    got = client.receive(encode(Error.of(reply("channel_full")), ref), 0.0)
    assert got == (Error.of(reply("channel_full")), ref, False)
    assert client.memberships == {}
    assert client.awaiting() == []


def test_a_refused_leave_gives_the_membership_back() -> None:
    client, server = member_client(), member_server()
    ref, data = client.request(Leave(channel=1), 0.0, 10)
    server.receive(data, 0.0)
    client.receive(server.send(Error.of(reply("rate_limited"), retry_after=1), 0.0, ref), 0.0)
    for machine in (client, server):
        assert machine.memberships[1].standing is Standing.JOINED
    client.request(Leave(channel=1), 0.0, 10)


def test_a_refused_renewal_does_not_take_back_a_leave() -> None:
    client = member_client()
    renewal, _ = client.request(Renew(channel=1, token="t"), 0.0, 10)
    client.request(Leave(channel=1), 0.0, 10)
    client.receive(encode(Error.of(reply("invalid_token")), renewal), 0.0)
    assert client.memberships[1].standing is Standing.LEAVING


def test_a_kick_that_crosses_a_leave_is_followed_by_its_refusal_and_both_are_legal() -> None:
    client, server = member_client(), member_server()
    kick = server.send(left(1, "kicked"), 0.0)
    ref, leave = client.request(Leave(channel=1), 0.0, 10)
    with pytest.raises(RemoteProtocolError) as caught:
        server.receive(leave, 0.0)
    assert (caught.value.code, caught.value.ref, caught.value.fatal) == (reply("not_joined"), ref, False)
    client.receive(kick, 0.0)
    client.receive(server.send(Error.of(caught.value.code), 0.0, ref), 0.0)
    assert client.memberships == server.memberships == {}
    assert client.awaiting() == []


def test_an_answer_about_another_channel_than_asked_is_refused() -> None:
    client = member_client(1)
    ref, _ = client.request(join(), 0.0, 10)
    client.receive(encode(joined(2), ref), 0.0)
    for request, wrong in (
        (Renew(channel=1, token="t"), renewed(2)),
        (Direct(channel=1, member=2, data=b"x"), Sent(channel=2)),
        (Leave(channel=1), left(2)),
    ):
        ref, _ = client.request(request, 0.0, 10)
        before = state(client)
        with pytest.raises(RemoteProtocolError, match="another channel"):
            client.receive(encode(wrong, ref), 0.0)
        assert state(client) == before


def test_a_relay_may_answer_messages_whose_refs_its_machine_does_not_keep() -> None:
    server = member_server()
    server.send(Ack(channel=1, offset=1), 0.0, 77)
    server.send(Error.of(reply("not_permitted"), channel=1), 0.0, 78)
    for control in (Pong(), left(1), renewed(1), joined(2)):
        with pytest.raises(LocalProtocolError):
            server.send(control, 0.0, 77)


def test_a_control_that_does_not_answer_the_request_is_refused() -> None:
    client = opened(Side.CLIENT)
    for request, wrong in ((join(), Pong()), (Ping(), joined()), (Ping(), Ack(channel=1, offset=1))):
        ref, _ = client.request(request, 0.0, 10)
        with pytest.raises(RemoteProtocolError, match="does not answer") as caught:
            client.receive(encode(wrong, ref), 0.0)
        assert caught.value.fatal
        assert ref in client.awaiting()


@pytest.mark.parametrize("control", [joined(), Ack(channel=1, offset=1), Sent(channel=1), Pong()])
def test_an_answer_has_to_say_what_it_answers(control: Control) -> None:
    with pytest.raises(RemoteProtocolError, match="without a ref"):
        member_client(1).receive(encode(control, 0), 0.0)


def test_a_server_answers_and_never_asks() -> None:
    server = member_server()
    before = state(server)
    with pytest.raises(LocalProtocolError, match="never asks"):
        server.request(Error.of(reply("channel_full")), 0.0, 10)
    with pytest.raises(LocalProtocolError, match="never asks"):
        server.expect_ack(0.0, 10)
    assert state(server) == before


def test_a_message_waits_for_the_welcome() -> None:
    client = Machine(Side.CLIENT, 0.0)
    with pytest.raises(LocalProtocolError, match="while connecting"):
        client.expect_ack(0.0, 10)


def test_a_client_takes_no_answer_to_what_it_did_not_ask() -> None:
    client = member_client()
    for control in (Ack(channel=1, offset=1), Error.of(reply("draining")), Pong(), left(), renewed()):
        with pytest.raises(RemoteProtocolError, match="nobody asked") as caught:
            client.receive(encode(control, 99), 0.0)
        assert caught.value.fatal


@pytest.mark.parametrize(
    "control", [Leave(channel=1), Renew(channel=1, token="t"), Direct(channel=1, member=2, data=b"x")]
)
def test_a_membership_that_is_being_left_takes_no_more_requests(control: Control) -> None:
    client, server = member_client(), member_server()
    _, data = client.request(Leave(channel=1), 0.0, 10)
    server.receive(data, 0.0)
    with pytest.raises(LocalProtocolError, match="not joined"):
        client.request(control, 0.0, 10)
    with pytest.raises(RemoteProtocolError) as caught:
        server.receive(encode(control, 50), 0.0)
    assert (caught.value.code, caught.value.ref) == (reply("not_joined"), 50)


def test_a_channel_number_is_joined_once() -> None:
    client = member_client(1)
    ref, _ = client.request(join(), 0.0, 10)
    with pytest.raises(RemoteProtocolError, match="a membership already"):
        client.receive(encode(joined(1), ref), 0.0)
    client.receive(encode(joined(2), ref), 0.0)


def test_errors_without_a_ref_report_refused_frames_at_any_time() -> None:
    client = member_client()
    ref, _ = client.request(Ping(), 0.0, 10)
    client.receive(encode(Error.of(reply("counter_repeated"), channel=1, count=3)), 0.0)
    assert client.awaiting() == [ref]


# --- refs ---


def test_refs_are_never_zero_and_never_reused_while_open() -> None:
    client = member_client()
    refs = [client.expect_ack(0.0, 10) for _ in range(10)]
    refs += [client.request(Ping(), 0.0, 10)[0] for _ in range(10)]
    assert len(set(refs)) == 20
    assert 0 not in refs
    assert sorted(client.awaiting()) == sorted(refs)


def test_a_ref_is_not_used_again_as_soon_as_it_is_answered() -> None:
    client = member_client()
    first, _ = client.request(Ping(), 0.0, 10)
    client.receive(encode(Pong(), first), 0.0)
    second, _ = client.request(Ping(), 0.0, 10)
    assert second != first


def test_a_request_without_a_ref_is_refused() -> None:
    client, server = opened(Side.CLIENT), opened(Side.SERVER)
    with pytest.raises(LocalProtocolError):
        client.send(Ping(), 0.0)
    with pytest.raises(RemoteProtocolError) as caught:
        server.receive(encode(Ping(), 0), 0.0)
    assert (caught.value.code, caught.value.ref) == (reply("bad_request"), 0)
    assert server.awaiting() == []


def test_refs_begin_again_after_the_largest_and_step_over_open_ones() -> None:
    client = opened(Side.CLIENT)
    first = client.expect_ack(0.0, 10)
    assert first == 1
    client.last_ref = 2**32 - 2  # four billion messages later
    assert client.expect_ack(0.0, 10) == 2**32 - 1
    assert client.expect_ack(0.0, 10) == 2


def test_a_request_under_the_ref_of_an_open_one_cannot_disturb_it() -> None:
    server = opened(Side.SERVER)
    server.receive(encode(join(), 7), 0.0)
    for data in (encode(Ping(), 7), b"\0\x93\xa4what\x07\x80", b"\0\x93\xa5leave\x07\x80"):
        with pytest.raises(RemoteProtocolError) as caught:
            server.receive(data, 0.0)
        assert not caught.value.fatal
        server.send(Error.of(caught.value.code), 0.0, caught.value.ref)
    assert server.awaiting() == [7]
    server.send(joined(), 0.0, 7)


def test_a_refusal_carries_the_ref_of_a_request_that_is_not_open() -> None:
    server = opened(Side.SERVER)
    for data, code in (
        (b"\0\x93\xa4what\x07\x80", "unknown_control"),
        (b"\0\x93\xa5leave\x07\x80", "bad_request"),
        (encode(Leave(channel=3), 7), "not_joined"),
    ):
        with pytest.raises(RemoteProtocolError) as caught:
            server.receive(data, 0.0)
        assert (caught.value.code.name, caught.value.ref) == (code, 7)


def test_both_sides_bound_how_much_may_await_its_answer() -> None:
    client, server = opened(Side.CLIENT), opened(Side.SERVER)
    for _ in range(PENDING_MAX):
        _, data = client.request(Ping(), 0.0, 10)
        server.receive(data, 0.0)
    before = len(client.awaiting())
    for asking in (
        lambda: client.request(Ping(), 0.0, 10),
        lambda: client.expect_ack(0.0, 10),
        lambda: client.send(Ping(), 0.0, PENDING_MAX + 1),
    ):
        with pytest.raises(LocalProtocolError, match="await their answers"):
            asking()
    assert len(client.awaiting()) == before == PENDING_MAX
    with pytest.raises(RemoteProtocolError) as caught:
        server.receive(encode(Ping(), PENDING_MAX + 1), 0.0)
    assert (caught.value.code.name, caught.value.ref) == ("rate_limited", PENDING_MAX + 1)
    client.receive(server.send(Pong(), 0.0, 1), 0.0)
    client.request(Ping(), 0.0, 10)


# --- requests and time ---


def test_a_request_without_an_answer_expires_once_and_its_late_answer_is_known_as_such() -> None:
    client = opened(Side.CLIENT)
    ref, _ = client.request(join(), 100.0, 10)
    assert client.next_timeout() == 110
    assert client.handle_timeout(109.999) == []
    assert client.handle_timeout(110) == [RequestExpired(ref)]
    assert client.next_timeout() is None
    assert client.handle_timeout(1e9) == []
    assert client.awaiting() == []
    got = client.receive(encode(joined(), ref), 120.0)
    assert got.late
    assert client.memberships[1].standing is Standing.JOINED, "the shell has to leave it"
    with pytest.raises(RemoteProtocolError):
        client.receive(encode(joined(2), ref), 120.0)


def test_an_answer_in_time_is_not_late_and_nothing_expires() -> None:
    client = member_client()
    ref = client.expect_ack(0.0, 10)
    assert not client.receive(encode(Ack(channel=1, offset=1), ref), 9.0).late
    assert client.handle_timeout(1e9) == []


def test_an_abandoned_request_never_expires_and_its_ref_stays_taken() -> None:
    client = member_client()
    ref = client.expect_ack(0.0, 10)
    client.abandon(ref)
    client.abandon(424242)
    assert client.awaiting() == []
    assert client.next_timeout() is None
    client.last_ref = ref - 1
    assert client.expect_ack(0.0, 10) != ref


def test_a_message_goes_again_on_another_connection_under_its_own_ref() -> None:
    ref = member_client().expect_ack(0.0, 10)
    later = Machine(Side.CLIENT, 0.0, last_ref=ref)
    later.receive(encode(welcome()), 0.0)
    assert later.expect_ack(0.0, 10, again=ref) == ref
    assert later.expect_ack(0.0, 10) == ref + 1


def test_a_message_goes_again_on_the_same_connection_once_its_answer_is_abandoned() -> None:
    client = member_client()
    ref = client.expect_ack(0.0, 10)
    with pytest.raises(LocalProtocolError):
        client.expect_ack(0.0, 10, again=ref)
    client.abandon(ref)
    assert client.expect_ack(1.0, 10, again=ref) == ref
    assert client.next_timeout() == 11.0
    answers = [encode(Ack(channel=1, offset=1, repeated=repeated), ref) for repeated in (False, True)]
    assert [client.receive(answer, 1.0).late for answer in answers] == [False, True], "both may come"
    with pytest.raises(RemoteProtocolError):
        client.receive(answers[1], 1.0)


def test_what_was_asked_by_a_control_does_not_go_again_as_a_message() -> None:
    client = member_client()
    ref, _ = client.request(Ping(), 0.0, 10)
    client.abandon(ref)
    with pytest.raises(LocalProtocolError):
        client.expect_ack(0.0, 10, again=ref)


# --- the server's deadlines ---


def test_a_connection_without_a_membership_is_ended_once() -> None:
    server = opened(Side.SERVER, unauthenticated=10)
    assert server.next_timeout() == 10
    assert server.handle_timeout(9.99) == []
    assert server.handle_timeout(10) == [EndDue(end("unauthenticated"))]
    assert server.handle_timeout(1e9) == []


def test_a_connection_may_not_keep_silent_before_the_welcome_either() -> None:
    server = Machine(Side.SERVER, 0.0, unauthenticated=10)
    assert server.handle_timeout(10) == [EndDue(end("unauthenticated"))]


def test_joining_stops_the_clock_and_the_last_leave_starts_it_again() -> None:
    server = opened(Side.SERVER, unauthenticated=10)
    for ref, channel in ((1, 1), (2, 2)):
        server.receive(encode(join(), ref), 5.0)
        server.send(joined(channel, 3600), 5.0, ref)
    assert server.handle_timeout(1000) == []
    server.send(left(1, "kicked"), 1000.0)
    assert server.handle_timeout(2000) == []
    server.send(left(2, "kicked"), 2000.0)
    assert server.next_timeout() == 2010
    assert server.handle_timeout(2010) == [EndDue(end("unauthenticated"))]


def test_a_machine_without_deadlines_has_none() -> None:
    for side in Side:
        machine = opened(side)
        assert machine.next_timeout() is None
        assert machine.handle_timeout(1e9) == []


@pytest.mark.parametrize("side", Side)
def test_silence_is_answered_by_one_ping_and_then_by_the_end(side: Side) -> None:
    machine = opened(side, heartbeat=25)
    assert machine.next_timeout() == 25
    assert machine.handle_timeout(24.9) == []
    assert machine.handle_timeout(25) == [PingDue()]
    assert machine.handle_timeout(30) == []
    assert machine.next_timeout() == 50
    assert machine.handle_timeout(50) == [EndDue(end("heartbeat_timeout"))]
    assert machine.handle_timeout(50) == []


def test_anything_heard_starts_the_silence_anew() -> None:
    server = opened(Side.SERVER, heartbeat=25)
    assert server.handle_timeout(25) == [PingDue()]
    server.heard(26)
    assert server.next_timeout() == 51
    assert server.handle_timeout(50) == []
    assert server.handle_timeout(51) == [PingDue()]


def test_a_shell_that_overslept_both_deadlines_ends_the_connection_without_a_ping() -> None:
    server = opened(Side.SERVER, heartbeat=25)
    assert server.handle_timeout(60) == [EndDue(end("heartbeat_timeout"))]


def test_a_membership_is_warned_about_exactly_once_and_ends_exactly_once() -> None:
    server = member_server(expires_in=3600)
    assert server.next_timeout() == 3570
    assert server.handle_timeout(3569.9) == []
    assert server.handle_timeout(3570) == [GrantExpiring(1, 30)]
    assert server.handle_timeout(3571) == []
    assert server.next_timeout() == 3600
    assert server.handle_timeout(3599.9) == []
    assert server.handle_timeout(3600) == [GrantEnded(1)]
    assert server.handle_timeout(3601) == []
    assert server.next_timeout() is None
    server.send(left(1, "token_expired"), 3601.0)
    assert server.memberships == {}


def test_a_short_grant_is_warned_about_at_once_with_what_is_left() -> None:
    server = member_server(expires_in=12)
    assert server.handle_timeout(2) == [GrantExpiring(1, 10)]


def test_a_grant_that_has_ended_before_anybody_looked_is_not_warned_about() -> None:
    server = member_server(expires_in=12)
    assert server.handle_timeout(12) == [GrantEnded(1)]


@pytest.mark.parametrize("when", [10.0, 3580.0, 3600.0])
def test_a_renewal_starts_the_grant_anew_whenever_it_comes(when: float) -> None:
    server = member_server(expires_in=3600)
    server.handle_timeout(when)
    server.receive(encode(Renew(channel=1, token="t"), 2), when)
    server.send(renewed(1, 600), when, 2)
    assert server.next_timeout() == when + 570
    assert server.handle_timeout(when + 570) == [GrantExpiring(1, 30)]
    assert server.handle_timeout(when + 600) == [GrantEnded(1)]


def test_each_membership_ends_by_its_own_grant() -> None:
    server = member_server(1, expires_in=100)
    server.receive(encode(join(), 2), 0.0)
    server.send(joined(2, 50), 0.0, 2)
    told: list[Due] = []
    while (at := server.next_timeout()) is not None:
        told += server.handle_timeout(at)
    assert told == [GrantExpiring(2, 30), GrantEnded(2), GrantExpiring(1, 30), GrantEnded(1)]


def test_a_client_leaves_the_end_of_grants_to_the_server() -> None:
    client = member_client(expires_in=40)
    assert client.next_timeout() is None
    assert client.handle_timeout(1e9) == []


@given(st.floats(0, 1e9), st.floats(EXPIRY_WARNING, 1e6))
def test_the_warning_is_due_at_the_very_moment_that_was_announced(start: float, life: float) -> None:
    server = Machine(Side.SERVER, start)
    server.send(welcome(), start)
    server.receive(encode(join(), 1), start)
    server.send(joined(1, life), start, 1)
    at = server.next_timeout()
    assert at is not None
    (due,) = server.handle_timeout(at)
    assert isinstance(due, GrantExpiring)
    assert due.seconds == pytest.approx(EXPIRY_WARNING, abs=1e-6)


def test_codes_of_what_is_due_are_in_the_table() -> None:
    assert ENDS["unauthenticated"].number == 4502
    assert ENDS["heartbeat_timeout"].number == 4003
    assert {"bad_request", "not_joined", "rate_limited"} <= set(REPLIES)
