"""Members who are not there, and members who are there and are not shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from sealcast.client import Authority, Identity, Key
from sealcast.client.e2ee import ChannelCrypto, ControlFrame
from sealcast.protocol import controls, envelope
from sealcast.protocol.controls import Directed, Joined, MemberInfo, MemberLeft
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.names import Kind

from ..middle import Passing
from .keys import APP
from .meeting import INVENTED, Meeting, Script
from .standing import the_loop
from .tamper import stranger, withheld

shared_kinds = pytest.mark.parametrize("kind", ["raw", "passphrase"])
every_kind = pytest.mark.parametrize("kind", ["raw", "passphrase", "managed"])


async def haunt(meeting: Meeting, crypto: ChannelCrypto, number: int = INVENTED) -> None:
    """Let the relay's own member hand out keys, and speak."""
    bob = meeting.bob
    said = crypto.seal(Descriptor(Kind.MESSAGE, stream=1), b"a false message")
    sound = crypto.seal(Descriptor(Kind.AUDIO, stream=2), b"a false sound")
    crypto.joined([(bob.member, "bob", meeting.middle.wire("alice").hello("bob"))], 0.0)
    for item in crypto.outgoing(0.0):
        if isinstance(item, ControlFrame):
            await bob.put(envelope.frame(bob.channel, number, item.data))
        else:
            given = Directed(channel=bob.channel, member=number, data=item.data)
            await bob.put(controls.encode(given))
    await bob.put(
        envelope.frame(bob.channel, number, sound), envelope.delivered(bob.channel, number, 1000, said)
    )


@shared_kinds
async def test_ghost_member_with_another_secret(trial: Any, kind: str) -> None:
    async def begin(meeting: Meeting) -> None:
        crypto = stranger("ghost")
        await meeting.announce("ghost", crypto.hello)
        await haunt(meeting, crypto)

    minutes = await trial.attack("ghost member", kind, begin, unlike="a newcomer", accused={"ghost"})
    assert minutes.members["ghost"], "who holds the secret cannot be told before it speaks"
    assert minutes.failures == {"open_failed": 3}


def ghosts() -> dict[int, tuple[str, ChannelCrypto]]:
    """Return a member without a certificate, and one whom the relay has certified itself."""
    uncertified, certified, now = Identity.generate(), Identity.generate(), int(the_loop().wall())
    certified.hold(
        Authority.generate().certify(
            APP, "room", "phantom", certified.public, not_before=now - 60, not_after=now + 3600
        )
    )
    named = {"ghost": uncertified, "phantom": certified}
    return {
        number: (user, Key.managed(identity, trust="first_use").bind(APP, "room", user))
        for number, (user, identity) in enumerate(named.items(), INVENTED)
    }


@pytest.mark.parametrize("listed", [False, True], ids=["announced", "listed"])
async def test_ghost_member_without_a_certificate_and_with_a_false_one(trial: Any, listed: bool) -> None:
    made: dict[int, tuple[str, ChannelCrypto]] = {}

    async def start(meeting: Meeting) -> None:
        made.update(ghosts())
        infos = [
            MemberInfo(member=number, user=user, hello=crypto.hello)
            for number, (user, crypto) in made.items()
        ]

        def among_the_first(passing: Passing) -> Iterable[bytes]:
            if not isinstance(passing.control, Joined):
                return [passing.data]
            joined = replace(passing.control, members=(*passing.control.members, *infos))
            return [controls.encode(joined, passing.ref)]

        if listed:
            meeting.middle.rules["bob"] = among_the_first
            meeting.middle.invented.update(made)

    async def begin(meeting: Meeting) -> None:
        for number, (user, crypto) in made.items():
            if not listed:
                await meeting.announce(user, crypto.hello, number)
            await haunt(meeting, crypto, number)

    minutes = await trial.attack("ghost member", "managed", begin, start=start, accused={"ghost", "phantom"})
    assert [minutes.members[user] for user in ("ghost", "phantom")] == [False, False]


@pytest.mark.parametrize(
    ("kind", "name", "user"),
    [("callback", "ghost member, callback", "ghost"), ("first_use", "ghost member, first use", "carol")],
)
async def test_ghost_member_under_other_policies_of_trust(
    trial: Any, kind: str, name: str, user: str
) -> None:
    async def begin(meeting: Meeting) -> None:
        crypto = Key.managed(Identity.generate(), trust="first_use").bind(APP, "room", user)
        await meeting.announce(user, crypto.hello)
        await haunt(meeting, crypto)

    await trial.attack(name, kind, begin, accused={user})


@every_kind
async def test_split_roster(trial: Any, kind: str) -> None:
    hidden: list[bytes] = []

    async def start(meeting: Meeting) -> None:
        meeting.middle.rules["bob"] = lambda passing: withheld(meeting.bob, "carol", hidden)(passing)

    script = Script(seconds=20)
    only_alice = Script(("alice", "bob"), seconds=20)
    await trial.attack("split roster", kind, start=start, script=script, unlike_script=only_alice)
    assert len(hidden) > 80


@every_kind
async def test_hidden_leave(trial: Any, kind: str) -> None:
    hidden: list[bytes] = []

    async def start(meeting: Meeting) -> None:
        def hide(passing: Passing) -> Iterable[bytes]:
            if not isinstance(passing.control, MemberLeft):
                return [passing.data]
            hidden.append(passing.data)
            return []

        meeting.middle.rules["bob"] = hide

    minutes = await trial.attack(
        "hidden leave",
        kind,
        start=start,
        script=Script(seconds=20, carol="leaves"),
        unlike_script=Script(seconds=20, carol="falls silent"),
        # Alice, who knows, changes her key, and Bob says that he has it.
        beside="direct 2 to alice",
        accused={"alice", "carol"},
    )
    assert len(hidden) == 1
    assert "carol" in minutes.members
