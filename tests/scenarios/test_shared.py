"""Metadata and locks, the SDK and the relay together: what an application may rely on, whatever breaks."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sealcast.client import (
    Authority,
    Channel,
    ChannelClosed,
    DisconnectedError,
    Held,
    Identity,
    Key,
    Left,
    LimitExceeded,
    Lock,
    LockChanged,
    LockHeld,
    LockLost,
    MemberJoined,
    Message,
    MetadataChanged,
    NotPermitted,
    RequestRefused,
    RevisionConflict,
)
from sealcast.protocol.errors import InvalidName
from sealcast.server.interfaces import ChannelKey

from .sdk_lab import APP, PATIENCE, E, Lab, Wire, rest, told


@pytest_asyncio.fixture
async def lab() -> AsyncIterator[Lab]:
    async with contextlib.AsyncExitStack() as stack:
        lab = Lab(stack)
        limits = {"changes_per_minute": 10_000, "requests_per_minute": 10_000}
        lab.relay = await lab.serve(more={"limits": limits})
        stack.push_async_callback(lab.relay.stop)
        yield lab


async def pair(lab: Lab, url: str | None = None) -> tuple[Channel, Channel]:
    """Alice, perhaps through a wire, and Bob."""
    alice = await lab.join(await lab.client(url), "stage", "alice")
    bob = await lab.join(await lab.client(), "stage", "bob")
    await told(alice, MemberJoined)
    return alice, bob


async def until(room: Channel, kind: type[E]) -> E:
    """Return the next event of this kind."""
    async with asyncio.timeout(PATIENCE):
        while not isinstance(event := await anext(room), kind):
            pass
    return event


# --- metadata ---


async def test_what_one_sets_all_can_read_and_the_relay_cannot(lab):
    alice, bob = await pair(lab)
    assert await alice.set_metadata("title", b"the plan") == 1
    changed = await told(bob, MetadataChanged)
    assert changed == MetadataChanged(alice.member, "alice", "title", b"the plan", 1)
    found = await bob.metadata()
    assert (dict(found), found.revision, found.locks) == (dict(await alice.metadata()), 1, {})
    item = found["title"]
    assert (item.value, item.revision, item.member, item.user) == (b"the plan", 1, alice.member, "alice")
    assert not item.sealed
    kept = lab.relay.hub._broker.get_items(ChannelKey(APP, "stage")).items
    assert [item.name for item in kept] == ["title"]
    assert b"plan" not in kept[0].value


async def test_a_change_can_depend_on_what_was_read(lab):
    alice, bob = await pair(lab)
    first = await alice.set_metadata("title", b"one", revision=0)
    with pytest.raises(RevisionConflict) as caught:
        await bob.set_metadata("title", b"two", revision=0)
    assert caught.value.code.name == "revision_conflict"
    second = await bob.set_metadata("title", b"two", revision=first)
    assert second > first
    with pytest.raises(RevisionConflict):
        await alice.delete_metadata("title", revision=first)
    await alice.delete_metadata("title", revision=second)
    assert len(await bob.metadata()) == 0
    await told(bob, MetadataChanged)
    assert await told(bob, MetadataChanged) == MetadataChanged(alice.member, "alice", "title", None, 3)


async def test_who_joins_later_reads_what_was_set_by_who_has_left(lab):
    alice, bob = await pair(lab)
    await alice.set_metadata("title", b"one")
    await alice.leave()
    await bob.leave()
    carol = await lab.join(await lab.client(), "stage", "carol")
    item = (await carol.metadata())["title"]
    assert (item.value, item.user) == (b"one", "alice")


async def test_with_another_key_there_is_a_value_and_it_cannot_be_read(lab):
    alice, _ = await pair(lab)
    await alice.set_metadata("title", b"one")
    client = await lab.client()
    eve = await client.join("stage", user="eve", token=lab.token("stage", "eve"), key=Key.raw(bytes(32)))
    item = (await eve.metadata())["title"]
    assert (item.value, item.sealed, item.reason, item.user) == (None, True, "open_failed", "alice")
    await told(alice, MemberJoined)
    await alice.set_metadata("title", b"two")
    changed = await told(eve, MetadataChanged)
    assert (changed.value, changed.reason, changed.revision) == (None, "open_failed", 2)


async def test_with_managed_keys_who_was_there_goes_on_reading_and_who_comes_later_does_not(lab):
    authority = Authority.generate()

    async def join(user: str) -> Channel:
        identity = Identity.generate()
        span = {"not_before": int(time.time()) - 60, "not_after": 2_000_000_000}
        identity.hold(authority.certify(APP, "stage", user, identity.public, **span))
        key = Key.managed(identity, authority.public)
        return await (await lab.client()).join("stage", user=user, token=lab.token("stage", user), key=key)

    alice, bob = await join("alice"), await join("bob")
    await until(alice, MemberJoined)
    await alice.send(b"ready")
    await until(bob, Message)
    await alice.set_metadata("title", b"one")
    assert (await until(bob, MetadataChanged)).value == b"one"
    carol = await join("carol")
    await until(alice, MemberJoined)
    await alice.send(b"welcome")
    await until(carol, Message)
    for room, value, reason in ((alice, b"one", None), (bob, b"one", None), (carol, None, "key_missing")):
        item = (await room.metadata())["title"]
        assert (item.value, item.reason) == (value, reason)
    await alice.set_metadata("title", b"two")
    assert (await carol.metadata())["title"].value == b"two"


async def test_without_a_key_metadata_is_clear_text_where_that_is_allowed():
    async with contextlib.AsyncExitStack() as stack:
        lab = Lab(stack)
        stack.push_async_callback((await lab.serve(encryption="optional")).stop)
        rooms = [
            await (await lab.client()).join(
                "stage", user=user, token=lab.token("stage", user), key=Key.none()
            )
            for user in ("alice", "bob")
        ]
        await rooms[0].set_metadata("title", b"one")
        assert (await told(rooms[1], MetadataChanged)).value == b"one"
        item = (await rooms[1].metadata())["title"]
        assert (item.value, item.user) == (b"one", "alice")


async def test_what_cannot_be_set_is_refused_before_or_by_the_relay(lab):
    alice, _ = await pair(lab)
    for name in ("", "x" * 65, "tab\t", "é"):
        with pytest.raises(InvalidName):
            await alice.set_metadata(name, b"x")
    with pytest.raises(LimitExceeded) as caught:
        await alice.set_metadata("title", bytes(5000))
    await alice.set_metadata("title", bytes(caught.value.limit))
    with pytest.raises(TypeError):
        await alice.set_metadata("title", "text")
    for number in range(1, 64):
        with contextlib.suppress(RequestRefused):
            await alice.set_metadata(str(number), b"x")
    with pytest.raises(RequestRefused, match="too_many_items"):
        await alice.set_metadata("one more", b"x")
    eve = await lab.join(await lab.client(), "stage", "eve", role="subscriber")
    with pytest.raises(NotPermitted):
        await eve.set_metadata("title", b"x")
    with pytest.raises(NotPermitted):
        async with eve.lock("mic"):
            pass
    assert (await eve.metadata()).revision == 64
    await eve.leave()
    with pytest.raises(ChannelClosed):
        await eve.metadata()


async def add(room: Channel, mark: bytes) -> None:
    """Append *mark* to a list that all share."""
    while True:
        item = (await room.metadata()).get("marks")
        before, revision = (b"", 0) if item is None else (item.value, item.revision)
        try:
            await room.set_metadata("marks", before + mark, revision=revision)
        except RevisionConflict:
            continue
        return


async def test_of_ten_members_that_change_the_same_at_once_nobody_overwrites_another(lab):
    rooms = [await lab.join(await lab.client(), "stage", f"user{n}") for n in range(10)]

    async def work(number: int, room: Channel) -> None:
        for step in range(10):
            await add(room, bytes((number, step)))

    await asyncio.gather(*(work(number, room) for number, room in enumerate(rooms)))
    found = (await rooms[0].metadata())["marks"]
    assert found.revision == 100
    marks = [found.value[at : at + 2] for at in range(0, 200, 2)]
    assert sorted(marks) == [bytes((number, step)) for number in range(10) for step in range(10)]
    for number in range(10):
        assert [mark for mark in marks if mark[0] == number] == [bytes((number, step)) for step in range(10)]


@pytest.mark.parametrize("seed", range(3))
async def test_every_change_counts_once_or_is_said_to_be_uncertain_when_connections_break(lab, seed):
    rng = random.Random(seed)
    wires = [await lab.wire() for _ in range(4)]
    rooms = [await lab.join(await lab.client(w.url), "stage", f"user{n}") for n, w in enumerate(wires)]
    known: dict[bytes, bool] = {}

    async def work(number: int, room: Channel, wire: Wire) -> None:
        for step in range(12):
            mark = bytes((number, step))
            if rng.random() < 0.4:
                asyncio.get_running_loop().call_later(rng.random() * 0.01, wire.cut)
            try:
                await add(room, mark)
            except DisconnectedError:
                known[mark] = False
            else:
                known[mark] = True

    async with asyncio.timeout(6 * PATIENCE):
        await asyncio.gather(
            *(work(n, room, wire) for n, (room, wire) in enumerate(zip(rooms, wires, strict=True)))
        )
    value = (await rooms[0].metadata())["marks"].value
    marks = [value[at : at + 2] for at in range(0, len(value), 2)]
    assert len(set(marks)) == len(marks), "a change was made twice"
    assert {mark for mark, certain in known.items() if certain} <= set(marks), "a change was lost"
    assert set(marks) <= set(known)


# --- locks ---


async def test_inside_the_block_nobody_else_has_the_lock(lab):
    alice, bob = await pair(lab)
    async with alice.lock("mic") as lock:
        assert not lock.lost.is_set()
        changed = await told(bob, LockChanged)
        assert changed == LockChanged("mic", lock.fence, "acquired", "alice", alice.member)
        held = (await bob.metadata()).locks["mic"]
        assert held == Held(lock.fence, "alice", held.ttl, alice.member)
        assert 0 < held.ttl <= 30
        with pytest.raises(LockHeld):
            async with bob.lock("mic", timeout=0):
                pass
        async with bob.lock("other"):
            pass
    assert (await told(bob, LockChanged)).reason == "released"
    async with bob.lock("mic", timeout=0) as mine:
        assert mine.fence > lock.fence


async def test_who_waits_gets_the_lock_when_it_is_given_back(lab):
    alice, bob = await pair(lab)
    order: list[str] = []

    async def wait() -> None:
        async with bob.lock("mic", ttl=300):
            order.append("bob")

    async with alice.lock("mic", ttl=300):
        waiting = asyncio.create_task(wait())
        with pytest.raises(LockHeld):
            async with bob.lock("mic", timeout=0.05):
                pass
        order.append("alice")
    async with asyncio.timeout(PATIENCE):
        await waiting
    assert order == ["alice", "bob"]


async def test_parts_of_one_program_exclude_each_other_too(lab):
    alice, _ = await pair(lab)
    inside = 0

    async def work() -> int:
        nonlocal inside
        async with alice.lock("mic") as lock:
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            inside -= 1
            return lock.fence

    fences = await asyncio.gather(*(work() for _ in range(5)))
    assert fences == sorted(set(fences))
    async with alice.lock("mic"):
        with pytest.raises(LockHeld):
            async with alice.lock("mic", timeout=0):
                pass


async def test_a_lock_that_is_taken_is_lost_and_that_is_said(lab):
    alice, bob = await pair(lab)
    with pytest.raises(LockLost):  # noqa: PT012
        async with alice.lock("mic") as lock, bob.take_lock("mic") as mine:
            async with asyncio.timeout(PATIENCE):
                await lock.lost.wait()
            assert mine.fence > lock.fence
            with pytest.raises(LockLost):
                lock.check()
    assert (await told(alice, LockChanged)).reason == "taken"


async def test_what_is_raised_inside_comes_out_and_the_lock_is_given_back(lab):
    alice, bob = await pair(lab)
    with pytest.raises(ZeroDivisionError):
        async with alice.lock("mic"):
            raise ZeroDivisionError
    async with bob.lock("mic", timeout=0):
        pass


async def test_a_lock_that_nobody_waits_for_any_more_is_not_held(lab):
    alice, bob = await pair(lab)

    async def wait() -> None:
        async with bob.lock("mic"):
            raise AssertionError

    async with alice.lock("mic"):
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with alice.lock("mic", timeout=0):
        pass
    assert (await alice.metadata()).locks == {}


@pytest.mark.parametrize("turns", range(12))
async def test_a_request_for_a_lock_that_is_cancelled_at_any_time_leaves_none(lab, turns):
    alice, bob = await pair(lab)
    entering = asyncio.create_task(alice.lock("mic").__aenter__())
    for _ in range(turns):
        await asyncio.sleep(0)
    if entering.done():
        await (await entering).__aexit__(None, None, None)
    entering.cancel()
    await asyncio.gather(entering, return_exceptions=True)
    await alice.metadata()
    async with bob.lock("mic", timeout=0):
        pass


async def test_a_lock_goes_on_for_longer_than_its_ttl_and_over_a_broken_connection(lab):
    wire = await lab.wire()
    alice, bob = await pair(lab, wire.url)
    async with alice.lock("mic", ttl=1) as lock:
        wire.cut()
        end = asyncio.get_running_loop().time() + 1.5
        while asyncio.get_running_loop().time() < end:
            with pytest.raises(LockHeld):
                async with bob.lock("mic", timeout=0.2):
                    pass
            lock.check()
    async with bob.lock("mic", timeout=PATIENCE):
        pass


async def test_a_lock_whose_owner_is_cut_off_is_lost_before_somebody_else_gets_it(lab):
    wire = await lab.wire()
    alice, bob = await pair(lab, wire.url)
    with pytest.raises(LockLost):  # noqa: PT012
        async with alice.lock("mic", ttl=1) as lock:
            wire.flowing.clear()
            async with bob.lock("mic", timeout=PATIENCE) as mine:
                assert lock.lost.is_set()
                assert mine.fence > lock.fence
            wire.flowing.set()


async def test_a_lock_ends_with_the_membership(lab):
    alice, _ = await pair(lab)
    with pytest.raises(LockLost):  # noqa: PT012
        async with alice.lock("mic") as lock:
            await alice.leave()
            assert lock.lost.is_set()
    assert isinstance((await rest(alice))[-1], Left)
    with pytest.raises(ChannelClosed):
        async with alice.lock("mic"):
            pass


async def test_a_lock_of_a_user_that_comes_back_with_another_program_has_another_fence(lab):
    alice, bob = await pair(lab)
    with pytest.raises(LockLost):  # noqa: PT012
        async with alice.lock("mic", ttl=300) as lock:
            again = await lab.join(await lab.client(), "stage", "alice")
            async with again.lock("mic", timeout=0) as mine:
                assert mine.fence > lock.fence
                assert lock.lost.is_set()
    assert [(await until(bob, LockChanged)).reason for _ in range(2)] == ["acquired", "taken"]


async def test_a_lock_is_used_as_it_should_be(lab):
    alice, _ = await pair(lab)
    for ttl in (0, 0.9, float("nan")):
        with pytest.raises(ValueError, match="a second"):
            alice.lock("mic", ttl=ttl)
    with pytest.raises(InvalidName):
        alice.lock("")
    with pytest.raises(RequestRefused, match="bad_request"):
        async with alice.lock("mic", ttl=301):
            pass
    lock = alice.lock("mic")
    with pytest.raises(RuntimeError):
        assert lock.fence
    async with lock:
        with pytest.raises(RuntimeError):
            await lock.__aenter__()
    with pytest.raises(RuntimeError):
        await lock.__aenter__()


class Resource:
    """What a lock protects: it refuses a fence that is older than one that it has seen.

    Where nobody takes a lock, who has it no more knows that before another one has it.
    """

    def __init__(self, *, exclusive: bool) -> None:
        self.exclusive = exclusive
        self.fence = 0
        self.lock: Lock | None = None
        self.used = self.refused = 0

    def use(self, lock: Lock) -> None:
        if self.exclusive:
            assert self.lock in (None, lock) or self.lock.lost.is_set(), "two have it"
            assert lock.fence >= self.fence
        if lock.fence < self.fence:
            self.refused += 1
            return
        self.fence, self.lock = lock.fence, lock
        self.used += 1


@pytest.mark.parametrize("taking", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(3))
async def test_two_never_use_what_a_lock_protects_whatever_breaks(lab, seed, taking):
    rng = random.Random(seed)
    resource = Resource(exclusive=not taking)
    wires = [await lab.wire() for _ in range(4)]
    rooms = [await lab.join(await lab.client(w.url), "stage", f"user{n}") for n, w in enumerate(wires)]
    lost = 0

    async def work(room: Channel, wire: Wire) -> None:
        nonlocal lost
        for _ in range(8):
            lock = room.take_lock("mic", ttl=1) if rng.random() < taking else room.lock("mic", ttl=1)
            try:
                async with lock:
                    if rng.random() < 0.4:
                        wire.cut()
                    for _ in range(3):
                        if lock.lost.is_set():
                            break
                        resource.use(lock)
                        await asyncio.sleep(rng.random() * 0.01)
                    if resource.lock is lock:
                        resource.lock = None
            except LockLost:
                lost += 1

    async with asyncio.timeout(6 * PATIENCE), asyncio.TaskGroup() as group:
        for room, wire in zip(rooms, wires, strict=True):
            group.create_task(work(room, wire))
    assert resource.used >= 32 - lost - resource.refused
    assert taking or not lost
