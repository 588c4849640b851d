"""Channels and members over the API, while they talk; and those that an operator puts out."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from structlog.testing import capture_logs

from sealcast.protocol.controls import MemberLeft, State
from sealcast.protocol.names import Kind, Privilege
from sealcast.server.config import AppHistory, AppPresence, StorageConfig
from sealcast.server.http.api_keys import SCOPES

if TYPE_CHECKING:
    from ..conftest import Lab
    from .conftest import Operate, Operated

Refusal = Callable[[httpx.Response], tuple[int, str]]

APP, OTHER = "0123456789abcdef0123456789abcdef", "abcdef0123456789abcdef0123456789"
OTHER_CERTIFICATE = "00112233445566778899aabbccddeeff"
API = f"/api/v1/apps/{APP}"
CHARACTERS = string.ascii_letters + string.digits + " !#$%&()+-:;<=.>?@[]^_{}|~,"
HOSTILE = [
    "..",
    ".",
    "a?b#c%2F",
    "%00",
    "%",
    "+ +",
    "a&channel=b",
    "{app_id}",
    CHARACTERS[:45],
    CHARACTERS[45:],
]


async def get(api: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await api.get(f"{API}/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def kicked(api: httpx.AsyncClient, **whom: str) -> int:
    answer = await api.post(f"{API}/kick", json=whom)
    assert answer.status_code == 200, answer.text
    count: int = answer.json()["kicked"]
    return count


@pytest.fixture
async def talking(lab: Lab, operate: Operate) -> Operated:
    """A station with two apps."""
    started: Operated = await operate(
        lab.app(history=AppHistory(messages=100)), lab.app(OTHER), database=True
    )
    return started


@pytest.fixture
async def api(talking: Operated) -> httpx.AsyncClient:
    return await talking.guest(*SCOPES, rate=1_000_000)


# --- channels ---


async def test_a_channel_is_shown_with_what_was_sent_in_it(
    lab: Lab, talking: Operated, api: httpx.AsyncClient
) -> None:
    ann, bob = await lab.connect(talking.station), await lab.connect(talking.station)
    room = await ann.join("standup", "ann")
    await bob.join("standup", "bob")
    lab.later(100)
    for _ in range(3):
        await ann.frame(room, payload=bytes(100))
    body, offset = await ann.message(room)
    shown = await get(api, "channel", channel="standup")
    assert (shown["channel"], shown["members"], shown["offset"]) == ("standup", 2, offset)
    assert shown["epoch"] == room.joined.epoch
    assert lab.clock.wall() - shown["since"] == pytest.approx(100.05)
    assert shown["kinds"]["audio"]["count"] == 3
    assert shown["kinds"]["audio"]["bytes"] > 300
    assert shown["kinds"]["message"]["count"] == 1
    assert set(shown["kinds"]) == {"audio", "message"}
    assert shown["encrypted"] == 1.0
    assert shown["member_seconds"] == pytest.approx(200.1)
    assert (shown["history"]["messages"], shown["history"]["most_messages"]) == (1, 100)
    assert shown["history"]["bytes"] >= len(body)
    assert (shown["policy"]["encryption"], shown["policy"]["delivery"]) == ("required", "realtime")


async def test_rates_are_those_of_the_last_seconds(
    lab: Lab, talking: Operated, api: httpx.AsyncClient
) -> None:
    ann = await lab.connect(talking.station)
    room = await ann.join("standup", "ann")
    for _ in range(40):
        await ann.frame(room)
    await ann.settle()
    for _ in range(3):
        lab.later(10)
    for _ in range(5):
        await ann.frame(room)
    await ann.settle()
    lab.later(5)
    audio = (await get(api, "channel", channel="standup"))["kinds"]["audio"]
    assert audio["count"] == 45
    assert 0.2 < audio["per_second"] < 0.6
    assert audio["bytes_per_second"] > 10 * audio["per_second"]


async def test_who_has_left_still_counts_in_the_channel(
    lab: Lab, talking: Operated, api: httpx.AsyncClient
) -> None:
    ann, bob = await lab.connect(talking.station), await lab.connect(talking.station)
    room = await ann.join("standup", "ann")
    await bob.join("standup", "bob")
    await ann.frame(room)
    await ann.settle()
    lab.later(10)
    await ann.ws.close()
    await bob.told(MemberLeft)
    lab.later(10)
    shown = await get(api, "channel", channel="standup")
    assert (shown["members"], shown["kinds"]["audio"]["count"]) == (1, 1)
    assert shown["member_seconds"] == pytest.approx(10.05 * 2 + 10.05)


async def test_channels_are_listed_in_pages_by_name_and_prefix(
    lab: Lab, talking: Operated, api: httpx.AsyncClient
) -> None:
    ann = await lab.connect(talking.station)
    names = ["b", "team 2", "team 10", "Z", "team 1"]
    for name in names:
        await ann.join(name, "ann")
    other = await lab.connect(talking.station, OTHER)
    await other.join("elsewhere", "ann")
    seen, cursor = [], ""
    while cursor is not None:
        page = await get(api, "channels", limit=2, cursor=cursor)
        seen += [each["channel"] for each in page["items"]]
        cursor = page["next"]
    assert seen == sorted(names)
    found = await get(api, "channels", prefix="team 1")
    assert [each["channel"] for each in found["items"]] == ["team 1", "team 10"]
    assert [each["members"] for each in found["items"]] == [1, 1]


async def test_a_name_of_any_legal_characters_finds_its_channel(
    lab: Lab, talking: Operated, api: httpx.AsyncClient
) -> None:
    assert len(set(CHARACTERS)) == 89
    for name in dict.fromkeys([*HOSTILE, *CHARACTERS]):
        ann = await lab.connect(talking.station)
        await ann.message(await ann.join(name, "a/n?n&#%"))
        shown = await get(api, "channel", channel=name)
        assert (shown["channel"], shown["members"]) == (name, 1)
        assert (await get(api, "member", channel=name, user="a/n?n&#%"))["channel"] == name
        for path in ("members", "presence"):
            (each,) = (await get(api, path, channel=name))["items"]
            assert each["user"] == "a/n?n&#%"
        assert [each["channel"] for each in (await get(api, "channels", prefix=name))["items"]] == [name]
        (each,) = (await get(api, "memberships", user="a/n?n&#%"))["items"]
        assert each["channel"] == name
        done = await api.delete(f"{API}/channel/history", params={"channel": name})
        assert done.json() == {"erased": 1}
        assert await kicked(api, channel=name, user="a/n?n&#%") == 1
        assert (await ann.ended())[1] == "kicked"


async def test_what_is_not_there_is_not_found(
    lab: Lab, talking: Operated, api: httpx.AsyncClient, refusal: Refusal
) -> None:
    ann = await lab.connect(talking.station)
    await ann.join("standup", "ann")
    for path, query in (
        ("channel", {"channel": "nowhere"}),
        ("members", {"channel": "nowhere"}),
        ("presence", {"channel": "nowhere"}),
        ("member", {"channel": "standup", "user": "nobody"}),
        ("member", {"channel": "nowhere", "user": "ann"}),
    ):
        assert refusal(await api.get(f"{API}/{path}", params=query)) == (404, "not_found")
    for path in ("channels", "members?channel=standup", "usage", "memberships?user=ann"):
        assert refusal(await api.get(f"/api/v1/apps/{'9' * 32}/{path}")) == (404, "not_found")
    assert await kicked(api, channel="nowhere") == 0
    assert await kicked(api, user="nobody") == 0


async def test_names_that_are_none_are_refused(api: httpx.AsyncClient, refusal: Refusal) -> None:
    for name in ("", "*", "a/b", "é", "x" * 65, "a\nb", "\x00"):
        assert refusal(await api.get(f"{API}/channel", params={"channel": name})) == (422, "invalid")
        assert refusal(await api.post(f"{API}/kick", json={"channel": name})) == (422, "invalid")
    for body in ({}, {"channel": None}, {"user": "*"}, {"user": "x" * 256}, {"user": 5}, {"who": "ann"}, []):
        assert refusal(await api.post(f"{API}/kick", json=body)) == (422, "invalid")
    assert refusal(await api.get(f"{API}/channels", params={"prefix": "*"})) == (422, "invalid")


# --- members ---


async def test_a_member_is_shown_with_its_rights_its_key_and_what_it_sent(
    lab: Lab, talking: Operated, api: httpx.AsyncClient
) -> None:
    ann = await lab.connect(talking.station, user_agent_header="Opera/9 (\u00fc)")
    rights = {Privilege.JOIN: 3600, Privilege.AUDIO: 60, Privilege.DATA: 7200}
    room = await ann.join("standup", "ann", rights=rights, hello=b"h" * 40)
    joined = lab.clock.wall()
    await ann.frame(room, key_id=0x1234, payload=bytes(50))
    await ann.message(room, key_id=0x0325)
    await ann.ask(State(channel=room.number, data=b"secret state"))
    lab.later(5)
    shown = await get(api, "member", channel="standup", user="ann")
    assert (shown["user"], shown["member"], shown["channel"]) == ("ann", room.member, "standup")
    assert shown["since"] == joined
    assert shown["address"] == "127.0.0.1"
    assert shown["agent"].startswith("Opera/9 (")
    assert shown["rights"] == {"join": joined + 3600, "audio": joined + 60, "data": joined + 3600}
    assert {kind: each["count"] for kind, each in shown["kinds"].items()} == {"audio": 1, "message": 1}
    assert (shown["frames"], shown["clear"], shown["encrypted"], shown["dropped"]) == (2, 0, 1.0, {})
    assert shown["bytes"] == sum(each["bytes"] for each in shown["kinds"].values())
    assert shown["key"] == {"key_id": 0x0325, "stream": 3, "epoch": 2, "step": 5, "counter": 1}
    assert (shown["has_state"], shown["lingering"]) == (True, False)
    await ann.frame(room, key_id=0x1234)
    await ann.settle()
    shown = await get(api, "member", channel="standup", user="ann")
    assert shown["key"]["key_id"] == 0x1234
    assert "secret" not in str(shown)


async def test_what_is_sent_in_clear_is_seen(lab: Lab, operate: Operate) -> None:
    operated = await operate(lab.app(policy={"encryption": "optional"}))
    api = await operated.client()
    ann = await lab.connect(operated.station)
    room = await ann.join("standup", "ann")
    for version in (1, 2, 2, 2):
        await ann.frame(room, version=version)
    await ann.settle()
    shown = await get(api, "member", channel="standup", user="ann")
    assert (shown["frames"], shown["clear"], shown["encrypted"]) == (4, 3, 0.25)
    assert (await get(api, "channel", channel="standup"))["encrypted"] == 0.25
    assert (await get(api, "usage"))["total"]["encrypted"] == 0.25


async def test_members_are_listed_in_the_order_in_which_they_joined(
    lab: Lab, talking: Operated, api: httpx.AsyncClient, refusal: Refusal
) -> None:
    users = ["zoe", "ann", "bob", "eve", "al"]
    for user in users:
        await (await lab.connect(talking.station)).join("standup", user, hello=user.encode())
    for path in ("members", "presence"):
        seen, cursor = [], ""
        while cursor is not None:
            page = await get(api, path, channel="standup", limit=2, cursor=cursor)
            seen += page["items"]
            cursor = page["next"]
        assert [each["user"] for each in seen] == users
    assert [each["hello"] for each in seen][:2] == ["em9l", "YW5u"]
    for cursor in ("YW5u", "LTE", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAx", "wrk"):
        query = {"channel": "standup", "cursor": cursor}
        assert refusal(await api.get(f"{API}/members", params=query)) == (422, "invalid")


async def test_a_user_is_found_in_all_its_channels(
    lab: Lab, talking: Operated, api: httpx.AsyncClient
) -> None:
    ann = await lab.connect(talking.station)
    for name in ("c", "a", "b"):
        await ann.join(name, "ann")
    await (await lab.connect(talking.station)).join("a", "bob")
    await (await lab.connect(talking.station, OTHER)).join("d", "ann")
    page = await get(api, "memberships", user="ann", limit=2)
    assert [each["channel"] for each in page["items"]] == ["a", "b"]
    page = await get(api, "memberships", user="ann", limit=2, cursor=page["next"])
    assert [each["channel"] for each in page["items"]] == ["c"]
    assert (await get(api, "memberships", user="nobody"))["items"] == []


async def test_drops_are_seen_at_the_member_the_channel_and_the_app(lab: Lab, operate: Operate) -> None:
    operated = await operate(lab.app(limits={"outbox": 16 * 1024, "outbox_age": 1.0}))
    api = await operated.client()
    slow = await lab.wire(operated.station, room_for=4096)
    await slow.join("standup", "slow")
    ann = await lab.connect(operated.station)
    room = await ann.join("standup", "ann")
    dropped: dict[str, Any] = {}
    for _ in range(200):
        for _ in range(20):
            await ann.frame(room, payload=bytes(8000))
        await ann.settle()
        dropped = (await get(api, "member", channel="standup", user="slow"))["dropped"]
        if dropped:
            break
    assert sum(dropped["audio"].values()) > 0
    assert set(dropped["audio"]) <= {"age", "room"}
    for path in ("channel", "usage"):
        query = {"channel": "standup"} if path == "channel" else {}
        shown = await get(api, path, **query)
        assert sum(shown.get("total", shown)["dropped"]["audio"].values()) >= sum(dropped["audio"].values())
    assert (await get(api, "member", channel="standup", user="ann"))["dropped"] == {}


# --- kick ---


async def test_a_member_that_is_kicked_goes_and_the_others_are_told(
    lab: Lab, talking: Operated, api: httpx.AsyncClient
) -> None:
    ann, bob = await lab.connect(talking.station), await lab.connect(talking.station)
    await ann.join("standup", "ann")
    room = await bob.join("standup", "bob")
    async with lab.undisturbed(talking.station):
        assert await kicked(api, channel="standup", user="bob") == 1
        assert await bob.ended() == (4507, "kicked")
    left = await ann.told(MemberLeft)
    assert (left.member, left.reason) == (room.member, "kicked")
    assert await kicked(api, channel="standup", user="bob") == 0
    assert [each["user"] for each in (await get(api, "members", channel="standup"))["items"]] == ["ann"]


async def test_a_user_is_kicked_out_of_all_channels_of_the_app(
    lab: Lab, talking: Operated, api: httpx.AsyncClient
) -> None:
    ann, again = await lab.connect(talking.station), await lab.connect(talking.station)
    for name in ("a", "b"):
        await ann.join(name, "ann")
    await again.join("c", "ann")
    bob = await lab.connect(talking.station)
    await bob.join("a", "bob")
    elsewhere = await lab.connect(talking.station, OTHER)
    await elsewhere.join("a", "ann")
    assert await kicked(api, user="ann") == 3
    assert (await ann.ended())[1] == (await again.ended())[1] == "kicked"
    await bob.settle()
    await elsewhere.settle()


async def test_a_whole_channel_is_kicked_however_many_are_in_it(
    lab: Lab, talking: Operated, api: httpx.AsyncClient, refusal: Refusal
) -> None:
    clients = [await lab.connect(talking.station) for _ in range(70)]
    for number, client in enumerate(clients):
        await client.join("standup", f"user {number}")
    assert await kicked(api, channel="standup") == 70
    assert {(await client.ended())[1] for client in clients} == {"kicked"}
    assert refusal(await api.get(f"{API}/channel", params={"channel": "standup"})) == (404, "not_found")


async def test_who_lingers_is_seen_to_and_kicked_too(lab: Lab, operate: Operate) -> None:
    operated = await operate(lab.app(presence=AppPresence(linger=30)))
    api = await operated.client()
    bob = await lab.connect(operated.station)
    await bob.join("standup", "bob")
    wire = await lab.wire(operated.station)
    room = await wire.join("standup", "ann")
    wire.close()
    for _ in range(500):
        shown = await get(api, "member", channel="standup", user="ann")
        if shown["lingering"]:
            break
    assert shown["lingering"]
    assert await kicked(api, user="ann") == 1
    left = await bob.told(MemberLeft)
    assert (left.member, left.reason) == (room.member, "kicked")


async def test_a_kick_and_a_deletion_are_written_down(
    lab: Lab, talking: Operated, api: httpx.AsyncClient
) -> None:
    await (await lab.connect(talking.station)).join("standup", "ann")
    with capture_logs() as logs:
        await kicked(api, user="ann")
        await api.delete(f"{API}/channel/history", params={"channel": "standup", "upto": 7})
    first, second = [each for each in logs if each["event"] == "changed"]
    assert first["actor"].startswith("key ")
    assert (first["action"], first["target"]) == ("members.kicked", f"app {APP}")
    assert (first["user"], first["kicked"], first["address"]) == ("ann", 1, "127.0.0.1")
    assert (second["action"], second["target"]) == ("history.deleted", f"app {APP} channel standup")
    assert second["upto"] == 7


# --- history ---


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
async def test_history_is_deleted_while_somebody_is_there_and_afterwards(
    lab: Lab, operate: Operate, engine: Any, tmp_path: Any
) -> None:
    app = lab.app(history=AppHistory(messages=100))
    operated = await operate(app, storage=StorageConfig(engine=engine, path=str(tmp_path / "messages.db")))
    api = await operated.client()

    async def erase(**query: int) -> int:
        answer = await api.delete(f"{API}/channel/history", params={"channel": "standup", **query})
        count: int = answer.json()["erased"]
        return count

    assert await erase() == 0
    ann = await lab.connect(operated.station)
    room = await ann.join("standup", "ann")
    for _ in range(5):
        _, offset = await ann.message(room)
    assert await erase(upto=2) == 2
    assert await erase(upto=2) == 0
    shown = await get(api, "channel", channel="standup")
    assert (shown["history"]["messages"], shown["offset"]) == (3, 5)
    await ann.ws.close()
    await gone(api)
    assert await erase() == 3
    assert await erase() == 0
    again = await lab.connect(operated.station)
    room = await again.join("standup", "ann")
    assert room.joined.offset == offset
    assert (await get(api, "channel", channel="standup"))["history"]["messages"] == 0
    assert (await again.message(room))[1] == offset + 1


async def gone(api: httpx.AsyncClient) -> None:
    """Wait until nobody is in any channel."""
    for _ in range(1000):
        if not (await get(api, "channels"))["items"]:
            return
    raise AssertionError("somebody is still there")


# --- whose keys ---


async def test_a_key_for_one_app_sees_that_app_only(lab: Lab, operate: Operate, refusal: Refusal) -> None:
    operated = await operate(lab.app())
    made = {"app_id": OTHER, "certificate": OTHER_CERTIFICATE}
    await (await operated.client()).post("/api/v1/apps", json=made)
    await (await lab.connect(operated.station)).join("standup", "ann")
    await (await lab.connect(operated.station, OTHER)).join("standup", "eve")
    scopes = ("channels:read", "members:write", "messages:write", "history:write", "nodes:read", "usage:read")
    guest = await operated.guest(*scopes, app_id=OTHER)
    for method, path, body in (
        ("GET", "channels", None),
        ("GET", "channel?channel=standup", None),
        ("GET", "members?channel=standup", None),
        ("GET", "member?channel=standup&user=ann", None),
        ("GET", "presence?channel=standup", None),
        ("GET", "memberships?user=ann", None),
        ("GET", "usage", None),
        ("POST", "kick", {"user": "ann"}),
        ("POST", "messages", {"channel": "standup", "user": "x", "data": "AAAA"}),
        ("DELETE", "channel/history?channel=standup", None),
    ):
        answer = await guest.request(method, f"{API}/{path}", json=body)
        assert refusal(answer) == (404, "not_found"), path
    for path in ("nodes", "usage"):
        assert refusal(await guest.get(f"/api/v1/{path}")) == (403, "forbidden")
    own = await guest.get(f"/api/v1/apps/{OTHER}/members", params={"channel": "standup"})
    assert [each["user"] for each in own.json()["items"]] == ["eve"]
    assert len((await get(await operated.client(), "channels"))["items"]) == 1


async def test_a_disabled_app_has_nobody(operated: Operated, refusal: Refusal) -> None:
    api = await operated.client()
    await api.post("/api/v1/apps", json={"app_id": APP, "enabled": False})
    assert (await get(api, "channels"))["items"] == []
    assert await kicked(api, user="ann") == 0
    new = {"channel": "standup", "user": "x", "data": "AAAA"}
    assert refusal(await api.post(f"{API}/messages", json=new)) == (404, "not_found")


async def test_kinds_have_the_names_that_clients_use(
    lab: Lab, talking: Operated, api: httpx.AsyncClient
) -> None:
    ann = await lab.connect(talking.station)
    room = await ann.join("standup", "ann")
    for kind in (Kind.AUDIO, Kind.VIDEO, Kind.SCREEN, Kind.DATA, Kind.CUSTOM, Kind.CONTROL):
        await ann.frame(room, kind)
    await ann.settle()
    shown = await get(api, "member", channel="standup", user="ann")
    assert set(shown["kinds"]) == {"audio", "video", "screen", "data", "custom", "control"}
