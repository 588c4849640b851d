"""The small parts of the SDK, each alone: positions, grants, failures, members, tokens, codes, events."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.client import NotPermitted, Options, RequestTimeout, events
from sealcast.client.credentials import Credentials
from sealcast.client.e2ee import RefusedMember
from sealcast.client.errors import HelloRefused, KeyMissing, OpenFailed
from sealcast.client.failures import REPORT_EVERY, FailureCounts, Failures, reason_of
from sealcast.client.grant import Grant
from sealcast.client.payload import payload_bytes
from sealcast.client.position import Position
from sealcast.client.reasons import closed_with, ended_with, refused_with, returns_to_channel
from sealcast.client.roster import Member, Roster
from sealcast.protocol import controls
from sealcast.protocol.codes import ENDS, end, reply
from sealcast.protocol.errors import RemoteProtocolError
from sealcast.protocol.names import Kind
from sealcast.protocol.parts import Place

# --- position ---


def test_what_was_missed_is_the_difference_of_offsets_less_what_was_seen():
    position = Position()
    assert position.move_to("e", 10) is None, "the first join misses nothing that anybody promised"
    for offset in (11, 13, 12):
        position.delivered(offset)
    assert position.move_to("e", 17) == 4
    assert position.move_to("e", 17) == 0


def test_across_epochs_nothing_can_be_known():
    position = Position()
    position.move_to("e", 10)
    assert position.move_to("f", 12) is None
    assert position.move_to("f", 12) == 0


def test_a_place_keeps_its_epoch_when_the_channel_has_moved_on_and_places_sort_over_epochs():
    position = Position()
    position.move_to("e", 10)
    held = position.mark(11)
    position.move_to("f", 0)
    assert position.at(held) == ("e", 11)
    assert position.at(position.mark(1)) == ("f", 1)
    assert held < position.mark(1)


def test_a_late_ack_from_before_the_join_is_not_counted():
    position = Position()
    position.move_to("e", 10)
    position.delivered(10)
    assert position.move_to("e", 11) == 1


def test_offsets_that_contradict_what_was_delivered_prove_nothing():
    position = Position()
    position.move_to("e", 10)
    position.delivered(11)
    assert position.move_to("e", 10) is None


@given(total=st.integers(0, 200), seen=st.sets(st.integers(1, 200)))
def test_the_count_is_exact_whatever_the_order(total, seen):
    position = Position()
    position.move_to("e", 0)
    for offset in seen:
        if offset <= total:
            position.delivered(offset)
    assert position.move_to("e", total) == total - len([o for o in seen if o <= total])


def test_the_place_is_that_of_the_last_message_delivered():
    position = Position()
    assert position.place is None
    position.move_to("e", 10)
    assert position.place == Place(epoch="e", offset=10)
    position.delivered(11)
    position.delivered(15)
    assert position.place == Place(epoch="e", offset=15)
    position.delivered(12)
    assert position.place == Place(epoch="e", offset=15)


def test_an_ack_moves_the_place_only_over_what_has_come():
    position = Position()
    position.move_to("e", 10)
    position.acknowledged(11)
    assert position.place == Place(epoch="e", offset=11)
    position.acknowledged(14)
    position.acknowledged(13)
    assert position.place == Place(epoch="e", offset=11), "what another sent at 12 may be under way"
    position.delivered(12)
    assert position.place == Place(epoch="e", offset=14)
    position.acknowledged(5)
    assert position.place == Place(epoch="e", offset=14)


def test_what_is_recovered_is_counted_until_all_of_it_is_here():
    position = Position()
    position.move_to("e", 10)
    assert position.move_to("e", 13, recovered=True) == 3
    assert (position.until, position.missing) == (13, 3)
    assert position.place == Place(epoch="e", offset=10)
    position.delivered(11)
    position.acknowledged(12)
    position.delivered(14)
    assert position.missing == 1
    position.delivered(13)
    assert position.missing == 0
    assert position.settle() == 0
    assert (position.until, position.place) == (None, Place(epoch="e", offset=14))
    assert position.move_to("e", 15) == 1, "what was live meanwhile has been counted"


def test_what_is_given_up_is_told_once():
    position = Position()
    position.move_to("e", 10)
    position.move_to("e", 13, recovered=True)
    position.delivered(11)
    assert position.settle() == 2
    assert position.place == Place(epoch="e", offset=13)
    assert position.move_to("e", 13) == 0
    assert position.settle() == 0


def test_what_is_cut_off_is_still_missed():
    position = Position()
    position.move_to("e", 10)
    position.move_to("e", 13, recovered=True)
    position.delivered(11)
    position.delivered(14)
    position.abort()
    assert position.move_to("e", 14, recovered=True) == 2


def test_an_earlier_run_of_the_program_hands_its_place_over():
    position = Position(Place(epoch="e", offset=7))
    assert position.place == Place(epoch="e", offset=7)
    assert position.move_to("e", 9, recovered=True) == 2
    other = Position(Place(epoch="e", offset=7))
    assert other.move_to("f", 9) is None
    ahead = Position(Place(epoch="e", offset=7))
    assert ahead.move_to("e", 3) is None
    assert ahead.place == Place(epoch="e", offset=3)


def test_acks_that_are_ahead_are_kept_in_bounds():
    position = Position()
    position.move_to("e", 0)
    for offset in range(2, 10_000):
        position.acknowledged(offset)
    assert len(position._ahead) == 4096
    position.delivered(1)
    assert position.place == Place(epoch="e", offset=4097)


@given(
    others=st.sets(st.integers(1, 60)),
    seen_until=st.integers(0, 60),
    unanswered=st.sets(st.integers(1, 60)),
)
def test_a_replay_from_the_place_holds_what_was_missed_and_nothing_that_was_seen(
    others, seen_until, unanswered
):
    """Messages 1-60, *others* of which are not own: they are delivered in order up to some point."""
    position = Position()
    position.move_to("e", 0)
    for offset in range(1, 61):
        if offset in others:
            if offset <= seen_until:
                position.delivered(offset)
        elif offset not in unanswered:
            position.acknowledged(offset)
    assert position.place is not None
    replay = [offset for offset in range(position.place.offset + 1, 61) if offset in others]
    assert replay == [offset for offset in sorted(others) if offset > seen_until]
    missing = position.move_to("e", 60, recovered=True)
    own = {offset for offset in range(1, 61) if offset not in others} & unanswered
    assert missing == len(replay) + len(own)
    for offset in replay:
        position.delivered(offset)
    for offset in own:
        position.acknowledged(offset)
    assert position.settle() == 0
    assert position.place == Place(epoch="e", offset=60)


# --- grant ---


def test_a_privilege_holds_until_its_seconds_are_over():
    grant = Grant({"audio": 10.0, "data": 60.0}, 60.0, 100.0)
    assert grant.permits(Kind.AUDIO, 109.9)
    assert not grant.permits(Kind.AUDIO, 110.0)
    assert grant.permits(Kind.MESSAGE, 110.0)
    assert grant.permits(Kind.CUSTOM, 110.0)
    assert not grant.permits(Kind.VIDEO, 100.0)
    assert not grant.permits(Kind.SCREEN, 100.0)
    assert grant.left(110.0) == {"data": 50.0}
    assert grant.ends == 160.0


def test_a_missing_privilege_is_named_with_what_to_do():
    with pytest.raises(NotPermitted, match=r"'video'.*screen.*renew") as caught:
        Grant({}, 60.0, 0.0).require(Kind.SCREEN, 0.0)
    assert caught.value.privilege == "video"
    assert caught.value.code == reply("not_permitted")


# --- failures ---


def test_reasons_are_the_errors_names_in_lower_case():
    assert reason_of(KeyMissing()) == "key_missing"
    assert reason_of(OpenFailed()) == "open_failed"


def test_a_flood_of_failures_is_one_report_a_second_with_the_whole_count():
    counts = FailureCounts()
    assert counts.note(1, "bob", "replayed", 0.0) == Failures(1, "bob", "replayed", 1)
    for _ in range(500):
        assert counts.note(1, "bob", "replayed", 0.5) is None
    assert counts.due(0.5) == []
    assert counts.waiting == 500
    assert counts.due(REPORT_EVERY) == [Failures(1, "bob", "replayed", 500)]
    assert counts.waiting == 0
    assert counts.note(1, "bob", "replayed", 1.5 * REPORT_EVERY) is None
    assert counts.due(2 * REPORT_EVERY) == [Failures(1, "bob", "replayed", 1)]
    assert counts.note(1, "bob", "replayed", 3 * REPORT_EVERY) == Failures(1, "bob", "replayed", 1)


def test_members_and_reasons_are_reported_apart_and_forgotten_when_quiet():
    counts = FailureCounts()
    for member, reason in ((1, "replayed"), (1, "open_failed"), (2, "replayed")):
        assert counts.note(member, "somebody", reason, 0.0) == Failures(member, "somebody", reason, 1)
    assert counts.due(5.0) == []
    assert counts.note(1, "somebody else by now", "replayed", 5.0) == Failures(
        1, "somebody else by now", "replayed", 1
    )


# --- roster ---


class Crypto:
    """Notes what the roster tells the encryption; refuses hellos that say so."""

    def __init__(self) -> None:
        self.members: dict[int, str] = {}

    def joined(self, roster: Iterable[tuple[int, str, bytes | None]]) -> list[RefusedMember]:
        self.members.clear()
        refused = []
        for member, user, hello in roster:
            try:
                self.add_member(member, user, hello)
            except HelloRefused as error:
                refused.append(RefusedMember(member, error))
        return refused

    def add_member(self, member: int, user: str, hello: bytes | None) -> None:
        if hello == b"bad":
            raise HelloRefused
        self.members[member] = user

    def remove_member(self, member: int) -> None:
        self.members.pop(member, None)


def info(member: int, user: str, hello: bytes | None = b"hello") -> controls.MemberInfo:
    return controls.MemberInfo(member=member, user=user, hello=hello)


def test_a_roster_keeps_the_encryption_in_step():
    crypto = Crypto()
    roster = Roster(crypto, sealed=True)
    roster.replace([info(1, "alice"), info(2, "bob")])
    change = roster.replace([info(2, "bob"), info(3, "carol")])
    assert change == ([Member(1, "alice", True)], [Member(3, "carol", True)])
    assert dict(roster) == {2: Member(2, "bob", True), 3: Member(3, "carol", True)}
    assert crypto.members == {2: "bob", 3: "carol"}


@pytest.mark.parametrize(
    "other", [info(1, "eve"), info(1, "alice", b"another hello"), info(1, "alice", None)]
)
def test_the_same_number_with_another_user_or_hello_is_another_member(other):
    roster = Roster(Crypto(), sealed=True)
    roster.replace([info(1, "alice")])
    change = roster.replace([other])
    assert [m.number for m in change.left] == [1]
    assert [m.user for m in change.joined] == [other.user]


def test_a_refused_hello_makes_a_member_that_is_shown_and_not_verified():
    roster = Roster(Crypto(), sealed=True)
    roster.replace([info(1, "eve", b"bad")])
    assert not roster[1].verified
    [(member, error)] = roster.refused
    assert member is roster[1]
    assert isinstance(error, HelloRefused)


@pytest.mark.parametrize("name", ["", "e*ve", "\x1b[31mred", "\u00e9ve"])
def test_a_name_that_no_user_can_have_is_a_breach_of_the_protocol(name):
    with pytest.raises(RemoteProtocolError):
        Roster(Crypto(), sealed=True).replace([info(1, name)])


def test_without_a_hello_or_without_a_key_nobody_is_verified():
    roster = Roster(Crypto(), sealed=True)
    assert not roster.add(1, "alice", None).verified
    clear = Roster(Crypto(), sealed=False)
    assert not clear.add(1, "alice", b"hello").verified
    assert not roster.refused
    assert not clear.refused


def test_a_number_given_twice_is_a_breach_of_the_protocol():
    roster = Roster(Crypto(), sealed=True)
    with pytest.raises(RemoteProtocolError):
        roster.replace([info(1, "alice"), info(1, "bob")])
    roster.add(1, "alice", None)
    with pytest.raises(RemoteProtocolError):
        roster.add(1, "alice", None)


def test_more_members_than_a_channel_can_have_are_a_breach_of_the_protocol():
    roster = Roster(Crypto(), sealed=True)
    roster.replace(info(number, "bot") for number in range(65536))
    with pytest.raises(RemoteProtocolError):
        roster.add(70000, "one too many", None)


# --- credentials ---


async def test_a_text_is_the_token_and_cannot_be_renewed_by_itself():
    credentials = Credentials("secret token", "standup", "alice")
    assert await credentials.token() == "secret token"
    assert not credentials.renewable
    assert "secret" not in repr(credentials)
    credentials.replace("a later one")
    assert await credentials.token() == "a later one"


async def test_a_callback_is_asked_each_time_with_channel_and_user():
    asked = []

    async def later(channel: str, user: str) -> str:
        asked.append((channel, user))
        return f"token {len(asked)}"

    credentials = Credentials(later, "standup", "alice")
    assert [await credentials.token(), await credentials.token()] == ["token 1", "token 2"]
    assert asked == [("standup", "alice")] * 2
    assert credentials.renewable
    credentials.replace("given by hand")
    assert await credentials.token() == "token 3"
    assert await Credentials(lambda channel, user: f"{user}@{channel}", "c", "u").token() == "u@c"


@pytest.mark.parametrize(
    ("token", "error"), [("", ValueError), ("x" * 2048, ValueError), (b"bytes", TypeError), (7, TypeError)]
)
async def test_what_cannot_be_a_token_is_refused_and_not_shown(token, error):
    with pytest.raises(error, match="token") as caught:
        Credentials(token, "standup", "alice")
    assert "xxx" not in str(caught.value)
    with pytest.raises(error, match="token"):
        await Credentials(lambda channel, user: token, "standup", "alice").token()


async def test_a_callback_that_never_returns_is_given_up(monkeypatch):
    monkeypatch.setattr("sealcast.client.credentials.CALLBACK_TIMEOUT", 0.01)

    async def never(channel: str, user: str) -> str:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(RequestTimeout, match="callback"):
        await Credentials(never, "standup", "alice").token()


async def test_a_callbacks_own_timeout_is_its_own_error():
    async def failing(channel: str, user: str) -> str:
        raise TimeoutError("my database")

    with pytest.raises(TimeoutError, match="my database"):
        await Credentials(failing, "standup", "alice").token()


# --- codes ---


def test_known_codes_are_rows_of_the_table_whatever_the_server_calls_them():
    for code in ENDS.values():
        assert closed_with(code.number, "nonsense") is code
        assert ended_with(code.number, "nonsense") is code
        assert returns_to_channel(code.number) == (code.number < 4500)


def test_unknown_codes_keep_number_and_name_but_no_text():
    error = controls.Error(code=399, name="new_thing", message="<b>secret</b>", temporary=True)
    code = refused_with(error)
    assert (code.number, code.name, code.temporary) == (399, "new_thing", True)
    assert "secret" not in code.message
    assert ended_with(4444, "x" * 65).name == "unknown"
    assert ended_with(4444, "<script>").name == "unknown"


def test_standard_close_codes_have_names():
    assert closed_with(1000, "").name == "closed"
    assert closed_with(1006, "") == end("connection_lost")
    assert closed_with(1001, "whatever").name == "going_away"
    assert closed_with(3000, "!").name == "unknown"


def test_a_reply_code_never_makes_a_membership_come_back():
    assert not returns_to_channel(112)
    assert not returns_to_channel(1000)


# --- events, payloads, options ---

EVENTS = [c for _, c in inspect.getmembers(events, inspect.isclass) if issubclass(c, events.Event)]


def test_every_event_is_exported_frozen_and_described():
    assert {c.__name__ for c in EVENTS} == set(events.__all__)
    for kind in EVENTS:
        assert kind.__doc__
        assert dataclasses.fields(kind) is not None
        assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_events_show_sizes_and_never_payloads_or_what_an_application_raised():
    shown = [
        repr(events.Message(1, "bob", b"canary", 7, "e")),
        repr(events.Frame(1, "bob", "audio", 2, b"canary")),
        repr(events.RenewFailed(ValueError("canary"), True)),
    ]
    assert not any("canary" in text for text in shown)
    assert all("6 bytes" in text for text in shown[:2])
    assert "ValueError" in shown[2]


def test_payloads_are_bytes_and_copied_from_buffers():
    buffer = bytearray(b"abc")
    taken = payload_bytes(buffer)
    buffer[0] = 0
    assert taken == b"abc"
    assert payload_bytes(memoryview(b"xyz")[1:]) == b"yz"
    with pytest.raises(TypeError, match="encode"):
        payload_bytes("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="int"):
        payload_bytes(7)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["timeout", "connect_timeout", "heartbeat", "queue_bytes", "inbox_events"])
def test_options_that_are_not_above_zero_are_refused(name):
    with pytest.raises(ValueError, match=name):
        Options(**{name: 0})
