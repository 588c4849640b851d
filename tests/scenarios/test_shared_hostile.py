"""Metadata and locks at the hands of a relay that lies: what is false is not taken for true."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import pytest
import pytest_asyncio

from sealcast.client import (
    Channel,
    Disconnected,
    LockChanged,
    LockLost,
    MemberJoined,
    Message,
    MetadataChanged,
    SealFailure,
)
from sealcast.protocol import controls, envelope
from sealcast.protocol.controls import MetadataItems
from sealcast.protocol.parts import LockInfo

from .middle import Middle, Passing, Wire
from .sdk_lab import PATIENCE, E, Lab


class Case(NamedTuple):
    """Alice and Bob; all that Bob gets passes the middle."""

    alice: Channel
    bob: Channel
    wire: Wire

    def told(self, control: controls.Control) -> bytes:
        """Return a control of Bob's channel, as the relay could make it."""
        return controls.encode(replace(control, channel=self.wire.channel))  # type: ignore[call-arg]


@pytest_asyncio.fixture
async def case() -> AsyncIterator[Case]:
    async with contextlib.AsyncExitStack() as stack:
        lab = Lab(stack)
        stack.push_async_callback((await lab.serve()).stop)
        middle = Middle(lab.port)
        await middle.start()
        stack.push_async_callback(middle.stop)
        alice = await lab.join(await lab.client(), "stage", "alice")
        bob = await lab.join(await lab.client(middle.url), "stage", "bob")
        await until(alice, MemberJoined)
        yield Case(alice, bob, middle.wire("bob"))


async def until(room: Channel, kind: type[E]) -> E:
    """Return the next event of this kind."""
    async with asyncio.timeout(PATIENCE):
        while not isinstance(event := await anext(room), kind):
            pass
    return event


def items(change: Callable[[MetadataItems], MetadataItems]) -> Callable[[Passing], Iterable[bytes]]:
    """Return a rule that changes what is answered to ``metadata``."""

    def rule(passing: Passing) -> Iterable[bytes]:
        control = passing.control
        if isinstance(control, MetadataItems):
            return [controls.encode(change(control), passing.ref)]
        return [passing.data]

    return rule


def swapped(found: MetadataItems) -> MetadataItems:
    one, two = found.items
    return replace(found, items=(replace(one, value=two.value), replace(two, value=one.value)))


def others(found: MetadataItems) -> MetadataItems:
    """Say that Bob has set what Alice has, and the other way round."""
    one, two = found.authors
    return replace(
        found,
        authors=(
            replace(one, user=two.user, hello=two.hello),
            replace(two, user=one.user, hello=one.hello),
        ),
    )


def renamed(found: MetadataItems) -> MetadataItems:
    one, two = found.authors
    return replace(found, authors=(replace(one, user=two.user), replace(two, user=one.user)))


def nobodys(found: MetadataItems) -> MetadataItems:
    return replace(found, authors=())


def cut(found: MetadataItems) -> MetadataItems:
    return replace(found, items=tuple(replace(item, value=item.value[:-1]) for item in found.items))


def empty(found: MetadataItems) -> MetadataItems:
    return replace(found, items=tuple(replace(item, value=b"") for item in found.items))


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (swapped, "open_failed"),
        (others, "open_failed"),
        (renamed, "hello_refused"),
        (nobodys, "key_missing"),
        (cut, "open_failed"),
        (empty, "open_failed"),
    ],
    ids=lambda what: getattr(what, "__name__", what),
)
async def test_what_is_not_as_its_author_set_it_has_no_value(
    case: Case, lie: Callable[[MetadataItems], MetadataItems], reason: str
) -> None:
    # Nobody has opened these before, so nothing is remembered of them.
    case.wire.rule = lambda passing: (
        [] if isinstance(passing.control, controls.MetadataChanged) else [passing.data]
    )
    await case.alice.set_metadata("title", b"one")
    await case.alice.set_metadata("agenda", b"two")
    mine = await case.bob.set_metadata("mine", b"three")
    case.wire.rule = items(lie if lie in (nobodys, cut, empty) else lambda found: lie(_two(found)))
    found = await case.bob.metadata()
    # What this side has set itself it knows, whatever is said of it, if it is what it sent.
    foreign = {name: item for name, item in found.items() if not (name == "mine" and item.value == b"three")}
    assert foreign
    assert {(item.value, item.reason) for item in foreign.values()} == {(None, reason)}
    assert case.bob.stats.seal_failures[reason] >= len(foreign)
    case.wire.rule = None
    values = {name: item.value for name, item in (await case.bob.metadata()).items()}
    assert values == {"title": b"one", "agenda": b"two", "mine": b"three"}
    assert mine == 3


def _two(found: MetadataItems) -> MetadataItems:
    """Leave two items, by the two authors where there are two."""
    by_name = {item.name: item for item in found.items}
    if len(found.authors) == 2:
        return replace(found, items=(by_name["title"], by_name["agenda"]))
    return found


async def test_a_value_that_is_shown_as_a_message_or_a_frame_is_not_delivered(case: Case) -> None:
    await case.alice.set_metadata("title", b"one")
    await until(case.bob, MetadataChanged)
    value = next(
        passing.control.value
        for passing in case.wire.tape
        if isinstance(passing.control, controls.MetadataChanged)
    )
    assert value is not None
    number = case.wire.number("alice")
    await case.wire.put(envelope.delivered(case.wire.channel, number, 1, value))
    assert (await until(case.bob, SealFailure)).reason == "wrong_envelope"
    await case.wire.put(envelope.frame(case.wire.channel, number, value))
    assert (await until(case.bob, SealFailure)).reason == "open_failed"
    await case.alice.send(b"a message")
    assert (await until(case.bob, Message)).data == b"a message"


async def test_a_message_that_is_shown_as_a_value_is_none(case: Case) -> None:
    await case.alice.send(b"\x02\x00\x0emetadata/title\x00\x03one")
    await until(case.bob, Message)
    (message,) = case.wire.of("alice")[-1:]
    number = case.wire.number("alice")
    lie = controls.MetadataChanged(channel=0, name="title", value=message.sealed, revision=1, member=number)
    await case.wire.put(case.told(lie))
    changed = await until(case.bob, MetadataChanged)
    assert (changed.value, changed.reason) == (None, "open_failed")


async def test_a_change_by_somebody_who_is_not_there_has_no_value(case: Case) -> None:
    lie = controls.MetadataChanged(channel=0, name="title", value=b"anything", revision=1, member=99)
    await case.wire.put(case.told(lie))
    changed = await until(case.bob, MetadataChanged)
    assert (changed.user, changed.value, changed.reason) == ("", None, "open_failed")


@pytest.mark.parametrize(
    "lie",
    [
        controls.MetadataChanged(channel=0, name="bell\a", value=b"", revision=1, member=1),
        controls.MetadataChanged(channel=0, name="", value=None, revision=1, member=1),
        controls.LockChanged(channel=0, name="é", fence=1, reason="expired"),
    ],
    ids=range(3),
)
async def test_a_name_that_nothing_can_have_ends_the_connection(case: Case, lie: controls.Control) -> None:
    await case.wire.put(case.told(lie))
    assert (await until(case.bob, Disconnected)).name == "protocol_error"


async def test_what_is_told_of_a_lock_is_made_harmless(case: Case) -> None:
    lie = controls.LockChanged(channel=0, name="mic", fence=7, reason="\x1b[2J", user="\x1b[2J", member=1)
    await case.wire.put(case.told(lie))
    assert await until(case.bob, LockChanged) == LockChanged("mic", 7, "unknown", "", 1)
    held = LockInfo(name="\x1b[2J", fence=1, user="eve", ttl=1)
    case.wire.rule = items(
        lambda found: replace(found, locks=(held, replace(held, name="mic", user="\x1b[2J")))
    )
    found = await case.bob.metadata()
    assert {name: lock.user for name, lock in found.locks.items()} == {"mic": ""}


async def test_a_lock_that_goes_on_under_another_fence_was_lost_in_between(case: Case) -> None:
    def rule(passing: Passing) -> Iterable[bytes]:
        locked = passing.control
        if isinstance(locked, controls.Locked):
            return [controls.encode(replace(locked, fence=locked.fence + 1), passing.ref)]
        return [passing.data]

    lock = case.bob.lock("mic", ttl=1)
    with pytest.raises(LockLost):  # noqa: PT012
        async with lock:
            case.wire.rule = rule
            async with asyncio.timeout(PATIENCE):
                await lock.lost.wait()
