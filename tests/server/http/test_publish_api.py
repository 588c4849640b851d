"""Messages that come by HTTP: sealed bytes only, by the rules of members, and what receivers get."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sealcast.protocol.controls import History as AskHistory
from sealcast.protocol.controls import Join, MemberJoined, MemberLeft, Past
from sealcast.protocol.names import Kind
from sealcast.server.config import AppHistory, StorageConfig
from sealcast.server.engine.sqlite import SqliteJournal

if TYPE_CHECKING:
    from ..conftest import Lab
    from .conftest import Operate, Operated

Refusal = Callable[[httpx.Response], tuple[int, str]]

APP = "0123456789abcdef0123456789abcdef"
API = f"/api/v1/apps/{APP}"


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def publish(api: httpx.AsyncClient, data: bytes, **more: Any) -> httpx.Response:
    body = {"channel": "standup", "user": "bot", "data": text(data), **more}
    return await api.post(f"{API}/messages", json=body)


@pytest.fixture
async def station(lab: Lab, operate: Operate) -> Operated:
    started: Operated = await operate(lab.app(history=AppHistory(messages=100)))
    return started


@pytest.fixture
async def api(station: Operated) -> httpx.AsyncClient:
    return await station.client()


async def test_a_message_is_introduced_delivered_and_its_sender_leaves(
    lab: Lab, station: Operated, api: httpx.AsyncClient
) -> None:
    ann = await lab.connect(station.station)
    room = await ann.join("standup", "ann")
    beacon = lab.sealed(Kind.CONTROL, 0)
    data = lab.sealed(Kind.MESSAGE, 1)
    answer = await publish(api, data, hello=text(b"hello"), controls=[text(beacon)])
    assert answer.status_code == 201, answer.text
    assert answer.json() == {"epoch": room.joined.epoch, "offset": 1, "repeated": False}
    joined = await ann.told(MemberJoined)
    assert (joined.user, joined.hello) == ("bot", b"hello")
    assert await ann.receive() == lab.Frame(room.number, joined.member, beacon)
    assert await ann.receive() == lab.Message(room.number, joined.member, 1, data)
    left = await ann.told(MemberLeft)
    assert (left.member, left.reason) == (joined.member, "left")
    shown = (await api.get(f"{API}/channel", params={"channel": "standup"})).json()
    assert (shown["members"], shown["offset"], shown["kinds"]["message"]["count"]) == (1, 1, 1)


async def test_a_channel_that_nobody_is_in_keeps_it_with_its_author(
    lab: Lab, station: Operated, api: httpx.AsyncClient
) -> None:
    data = lab.sealed(Kind.MESSAGE, 0)
    assert (await publish(api, data, hello=text(b"hello"))).json()["offset"] == 1
    ann = await lab.connect(station.station)
    room = await ann.join("standup", "ann")
    past = await ann.ask(AskHistory(channel=room.number, after=0, limit=10))
    assert isinstance(past, Past)
    assert [each.data for each in past.messages] == [data]
    assert [(each.user, each.hello) for each in past.authors] == [("bot", b"hello")]


async def test_what_a_member_may_not_send_is_refused_and_nobody_gets_it(
    lab: Lab, operate: Operate, refusal: Refusal
) -> None:
    station = await operate(lab.app(limits={"message": 500}, policy={"encryption": "optional"}))
    api = await station.client()
    ann = await lab.connect(station.station)
    await ann.join("standup", "ann")
    good, beacon = lab.sealed(Kind.MESSAGE, 5), lab.sealed(Kind.CONTROL, 4)
    same_key = lab.sealed(Kind.CONTROL, 5, key_id=9)
    for data, controls, status, name in (
        (lab.sealed(Kind.MESSAGE, 0, version=2), [], 422, "encryption_required"),
        (lab.sealed(Kind.MESSAGE, 0, payload=bytes(500)), [], 422, "too_big"),
        (lab.sealed(Kind.AUDIO, 0), [], 422, "bad_frame"),
        (b"\x14", [], 422, "bad_frame"),
        (lab.sealed(Kind.MESSAGE, 0)[:4], [], 422, "encryption_required"),
        (good, [good], 422, "bad_frame"),
        (good, [lab.sealed(Kind.AUDIO, 0)], 422, "bad_frame"),
        (good, [lab.sealed(Kind.CONTROL, 0, version=2)], 422, "encryption_required"),
        (good, [b"\x10"], 422, "bad_frame"),
        (good, [beacon, beacon], 409, "counter_repeated"),
        (
            lab.sealed(Kind.MESSAGE, 5, key_id=9),
            [same_key],
            409,
            "counter_repeated",
        ),
    ):
        answer = await publish(api, data, controls=[text(each) for each in controls])
        assert refusal(answer) == (status, name)
    told = await ann.settle()
    assert all(isinstance(item, lab.Told) for item in told), "nothing but comings and goings"
    assert (await publish(api, good)).json()["offset"] == 1
    total = (await api.get(f"{API}/usage")).json()["total"]
    assert (total["refused"]["bad_frame"], total["messages"]) == (5, 1)


async def test_what_is_no_request_is_refused(api: httpx.AsyncClient, lab: Lab, refusal: Refusal) -> None:
    good = {"channel": "standup", "user": "bot", "data": text(lab.sealed(Kind.MESSAGE, 0))}
    for change in (
        {"channel": "a/b"},
        {"user": ""},
        {"data": ""},
        {"data": "A"},
        {"data": "AA=A"},
        {"data": "AAA"},
        {"data": "AA\nAA"},
        {"data": "A" * 1_000_004},
        {"hello": ""},
        {"hello": text(bytes(20_000))},
        {"controls": "AAAA"},
        {"controls": ["AAAA"] * 17},
        {"run": text(bytes(16))},
        {"ref": 1},
        {"run": text(bytes(15)), "ref": 1},
        {"run": text(bytes(16)), "ref": 0},
        {"run": text(bytes(16)), "ref": 2**32},
        {"key": "secret"},
    ):
        answer = await api.post(f"{API}/messages", json={**good, **change})
        assert refusal(answer) == (422, "invalid"), change
        assert "secret" not in answer.text
    for missing in good:
        body = {name: value for name, value in good.items() if name != missing}
        assert refusal(await api.post(f"{API}/messages", json=body)) == (422, "invalid")


async def test_nobody_is_spoken_for_who_is_there(
    lab: Lab, station: Operated, api: httpx.AsyncClient, refusal: Refusal
) -> None:
    bot = await lab.connect(station.station)
    room = await bot.join("standup", "bot")
    assert refusal(await publish(api, lab.sealed(Kind.MESSAGE, 0))) == (409, "user_present")
    await bot.message(room)
    assert (await publish(api, lab.sealed(Kind.MESSAGE, 0), channel="other")).status_code == 201


async def test_the_same_run_and_ref_is_placed_once(
    lab: Lab, station: Operated, api: httpx.AsyncClient
) -> None:
    ann = await lab.connect(station.station)
    room = await ann.join("standup", "ann")
    same = {"run": text(b"r" * 16), "ref": 7}
    first = (await publish(api, lab.sealed(Kind.MESSAGE, 0), **same)).json()
    again = (await publish(api, lab.sealed(Kind.MESSAGE, 1), **same)).json()
    assert (first["offset"], first["repeated"]) == (1, False)
    assert (again["offset"], again["repeated"]) == (1, True)
    assert (await ann.message(room))[1] == 2
    messages = [item for item in await ann.settle() if isinstance(item, lab.Message)]
    assert [message.offset for message in messages] == [1]


async def test_many_at_once_get_a_place_each(lab: Lab, station: Operated, api: httpx.AsyncClient) -> None:
    ann = await lab.connect(station.station)
    await ann.join("standup", "ann")
    answers = await asyncio.gather(
        *(
            publish(api, lab.sealed(Kind.MESSAGE, 0, key_id=number), user=f"bot {number}")
            for number in range(20)
        )
    )
    assert sorted(answer.json()["offset"] for answer in answers) == list(range(1, 21))
    messages = [item for item in await ann.settle() if isinstance(item, lab.Message)]
    assert [message.offset for message in messages] == list(range(1, 21))


async def test_full_is_full(lab: Lab, operate: Operate, refusal: Refusal) -> None:
    station = await operate(lab.app(limits={"members": 1, "channels": 1}))
    api = await station.client()
    ann = await lab.connect(station.station)
    await ann.join("standup", "ann")
    data = lab.sealed(Kind.MESSAGE, 0)
    assert refusal(await publish(api, data)) == (409, "channel_full")
    assert refusal(await publish(api, data, channel="other")) == (409, "app_full")
    station.station.hub.draining = True
    assert refusal(await publish(api, data)) == (503, "not_ready")


# --- in whose name ---


@pytest.mark.parametrize("privilege", ["join", "data"])
async def test_nothing_is_published_in_the_name_of_a_banned_user(
    lab: Lab, station: Operated, api: httpx.AsyncClient, refusal: Refusal, privilege: str
) -> None:
    ann = await lab.connect(station.station)
    await ann.join("standup", "ann")
    made = await api.post(
        f"{API}/bans", json={"user": "bot", "channel": "standup", "privileges": [privilege]}
    )
    assert refusal(await publish(api, lab.sealed(Kind.MESSAGE, 0))) == (403, "banned")
    assert await ann.settle() == []
    assert (await publish(api, lab.sealed(Kind.MESSAGE, 0), channel="other")).status_code == 201
    assert (await publish(api, lab.sealed(Kind.MESSAGE, 0), user="other")).status_code == 201
    assert (await api.delete(f"{API}/bans/{made.json()['ban_id']}")).status_code == 204
    assert (await publish(api, lab.sealed(Kind.MESSAGE, 1))).status_code == 201


async def test_a_ban_that_takes_away_audio_lets_messages_through(
    lab: Lab, station: Operated, api: httpx.AsyncClient
) -> None:
    await api.post(f"{API}/bans", json={"user": "bot", "privileges": ["audio", "video"]})
    assert (await publish(api, lab.sealed(Kind.MESSAGE, 0))).status_code == 201


async def test_whoever_would_need_a_token_of_later_may_not_be_spoken_for(
    lab: Lab, station: Operated, api: httpx.AsyncClient, refusal: Refusal
) -> None:
    now = lab.clock.wall()
    revocations = f"{API}/revocations"
    past = await api.post(revocations, json={"user": "bot", "issued_before": now - 1})
    assert past.status_code == 201, past.text
    assert (await publish(api, lab.sealed(Kind.MESSAGE, 0))).status_code == 201
    later = await api.post(revocations, json={"user": "bot", "issued_before": now + 60})
    assert later.status_code == 201, later.text
    assert refusal(await publish(api, lab.sealed(Kind.MESSAGE, 1))) == (403, "banned")


async def test_what_all_of_an_app_may_send_counts_here_too(
    lab: Lab, operate: Operate, refusal: Refusal
) -> None:
    station = await operate(lab.app(rates={"messages_per_app": 1, "burst": 2}))
    api = await station.client()
    for number in range(2):
        assert (await publish(api, lab.sealed(Kind.MESSAGE, number))).status_code == 201
    answer = await publish(api, lab.sealed(Kind.MESSAGE, 2))
    assert refusal(answer) == (429, "rate_limited")
    assert int(answer.headers["retry-after"]) >= 1
    lab.later(1.0)
    assert (await publish(api, lab.sealed(Kind.MESSAGE, 2))).status_code == 201


async def test_who_publishes_is_nobody_who_comes_and_goes(
    lab: Lab, station: Operated, api: httpx.AsyncClient
) -> None:
    hook = {"url": "https://receiver.example/hook"}
    made = (await api.post(f"{API}/webhooks", json=hook)).json()["webhook"]

    async def known() -> tuple[list[Any], int, str]:
        """What the records, the webhook and the metrics have of anybody."""
        calls = (await api.get(f"{API}/calls")).json()["items"]
        await station.station.hooks.settled()
        waiting = (await api.get(f"{API}/webhooks/{made['webhook_id']}")).json()["waiting"]
        metrics = (await api.get("/metrics")).text
        lines = [line for line in metrics.splitlines() if line.startswith("sealcast_channels_opened_total")]
        return calls, waiting, lines[0].split()[1]

    assert (await publish(api, lab.sealed(Kind.MESSAGE, 0), channel="empty")).status_code == 201
    assert await known() == ([], 0, "0.0")
    ann = await lab.connect(station.station)
    await ann.join("standup", "ann")
    assert (await publish(api, lab.sealed(Kind.MESSAGE, 1))).status_code == 201
    await ann.until(lambda item: isinstance(item, lab.Message))
    calls, waiting, opened = await known()
    assert [(call["channel"], call["memberships"]) for call in calls] == [("standup", 1)]
    assert (waiting, opened) == (2, "1.0"), "a channel and ann"
    log = (await api.get("/api/v1/audit")).json()["items"]
    assert {entry["action"] for entry in log} & {"message.published", "members.kicked"} == set()


async def test_a_channel_that_began_with_a_publisher_is_told_with_its_first_member(
    lab: Lab, storing: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = await storing.client()
    held: list[Callable[[], None]] = []
    began = asyncio.Event()
    original = SqliteJournal.commit

    def commit(self: SqliteJournal, batch: Any, done: Callable[[Exception | None], None]) -> None:
        held.append(lambda: original(self, batch, done))
        began.set()

    with monkeypatch.context() as patch:
        patch.setattr(SqliteJournal, "commit", commit)
        publishing = asyncio.create_task(publish(api, lab.sealed(Kind.MESSAGE, 0)))
        await began.wait()
        ann = await lab.connect(storing.station)
        await ann.join("standup", "ann")
    for write in held:
        write()
    assert (await publishing).status_code == 201
    await ann.until(lambda item: isinstance(item, lab.Message))
    (call,) = (await api.get(f"{API}/calls")).json()["items"]
    assert (call["memberships"], call["peak"]) == (1, 1)


# --- where messages are stored ---


@pytest.fixture
async def storing(lab: Lab, operate: Operate, tmp_path: Any) -> Operated:
    started: Operated = await operate(
        lab.app(history=AppHistory(messages=100)),
        storage=StorageConfig(engine="sqlite", path=str(tmp_path / "messages.db")),
    )
    return started


async def test_a_message_that_is_answered_for_is_on_disk(lab: Lab, storing: Operated, tmp_path: Any) -> None:
    api = await storing.client()
    data = lab.sealed(Kind.MESSAGE, 0)
    answer = (await publish(api, data)).json()
    assert answer["offset"] == 1
    found = (tmp_path / "messages.db").read_bytes() + (tmp_path / "messages.db-wal").read_bytes()
    assert data in found


async def test_what_cannot_be_stored_is_said_and_nobody_gets_it(
    lab: Lab, storing: Operated, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = await storing.client()
    ann = await lab.connect(storing.station)
    await ann.join("standup", "ann")

    def commit(self: SqliteJournal, batch: Any, done: Callable[[Exception | None], None]) -> None:
        asyncio.get_running_loop().call_soon(done, OSError("the disk is full"))

    with monkeypatch.context() as patch:
        patch.setattr(SqliteJournal, "commit", commit)
        assert refusal(await publish(api, lab.sealed(Kind.MESSAGE, 0))) == (503, "not_stored")
    assert not [item for item in await ann.settle() if isinstance(item, lab.Message)]
    assert (await publish(api, lab.sealed(Kind.MESSAGE, 0))).json()["offset"] == 1


async def test_a_sender_that_is_put_out_while_it_waits_is_told_that_nothing_is_known(
    lab: Lab, storing: Operated, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = await storing.client()
    ann = await lab.connect(storing.station)
    await ann.join("standup", "ann")
    held: list[Callable[[], None]] = []
    began = asyncio.Event()
    original = SqliteJournal.commit

    def commit(self: SqliteJournal, batch: Any, done: Callable[[Exception | None], None]) -> None:
        held.append(lambda: original(self, batch, done))
        began.set()

    with monkeypatch.context() as patch:
        patch.setattr(SqliteJournal, "commit", commit)
        publishing = asyncio.create_task(publish(api, lab.sealed(Kind.MESSAGE, 0)))
        await began.wait()
        answer = await api.post(f"{API}/kick", json={"user": "bot"})
        assert answer.json() == {"kicked": 1}
        assert refusal(await publishing) == (409, "outcome_unknown")
    for write in held:
        write()
    await ann.until(lambda item: isinstance(item, lab.Message))


async def test_a_member_of_that_name_takes_the_place_of_a_sender_that_waits(
    lab: Lab, storing: Operated, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = await storing.client()
    held: list[Callable[[], None]] = []
    began = asyncio.Event()
    original = SqliteJournal.commit

    def commit(self: SqliteJournal, batch: Any, done: Callable[[Exception | None], None]) -> None:
        held.append(lambda: original(self, batch, done))
        began.set()

    bot = await lab.connect(storing.station)
    with monkeypatch.context() as patch:
        patch.setattr(SqliteJournal, "commit", commit)
        publishing = asyncio.create_task(publish(api, lab.sealed(Kind.MESSAGE, 0)))
        await began.wait()
        await bot.ask(Join(channel="standup", user="bot", token=lab.token("standup", "bot")))
        assert refusal(await publishing) == (409, "outcome_unknown")
    for write in held:
        write()
    await bot.until(lambda item: isinstance(item, lab.Message))
