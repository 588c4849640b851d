"""Managed keys between a few members: who gets which key, and what of a hostile relay is refused."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.e2ee import lifetime, peers
from sealcast.client.e2ee.certificate import Certificate, sign_certificate
from sealcast.client.e2ee.context import BaseKey, Sender, context_id, unpack_kid
from sealcast.client.e2ee.direct import Direct, encode_ack, encode_wrap
from sealcast.client.e2ee.hello import KEM_X25519, KEM_X_WING, Hello, Role
from sealcast.client.e2ee.identity import Authority, Identity
from sealcast.client.e2ee.kem import PublicKem
from sealcast.client.e2ee.managed import NOTICES_MAX, ManagedKeys
from sealcast.client.e2ee.notices import KeySwitched, OldWrapIgnored, TrustEnded
from sealcast.client.e2ee.opener import Opener
from sealcast.client.e2ee.peers import Introduction
from sealcast.client.e2ee.sealer import Sealer
from sealcast.client.e2ee.suites import AES_128_GCM, AES_256_GCM, Suite
from sealcast.client.e2ee.trust import AuthorityTrust, CallbackTrust, FirstUseTrust, TrustPolicy
from sealcast.client.e2ee.trust_store import TrustStore
from sealcast.client.e2ee.wrap import Pair, Party, make_wrap
from sealcast.client.errors import (
    CertificateExpired,
    CertificateForged,
    CertificateMissing,
    CertificateNotYetValid,
    CertificateOfChannel,
    CertificateOfIdentity,
    CertificateOfRole,
    CertificateOfUser,
    ContextPoisoned,
    CopyRefused,
    HelloRefused,
    IdentityChanged,
    KeyMissing,
    MemberNotTrusted,
    SealError,
    WrapConflict,
    WrapForged,
    WrapMalformed,
    WrapRefused,
    WrapUnopened,
)
from sealcast.protocol.descriptor import BYTES, Descriptor
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import read_header

APP, CHANNEL, WALL = "0123456789abcdef0123456789abcdef", "standup", 1_790_000_000.0
CTX = context_id(APP, CHANNEL)
AUDIO = Descriptor(Kind.AUDIO, stream=2)
AUTHORITY = Authority.generate()
TRUST = AuthorityTrust(AUTHORITY.public)
IDENTITIES = {user: Identity.generate() for user in ("alice", "bob", "carol", "dave", "mallory")}
SESSIONS = itertools.count(1)


def certify(user: str, identity: Identity | None = None, **changes: Any) -> bytes:
    times = {"not_before": int(WALL) - 300, "not_after": int(WALL) + 3600}
    public = (identity or IDENTITIES[user]).public
    return AUTHORITY.certify(
        changes.pop("app", APP), changes.pop("channel", CHANNEL), user, public, **{**times, **changes}
    )


class Device:
    """One member's keys with a sealer and an opener, wired as the module's docstring says."""

    def __init__(
        self,
        user: str,
        *,
        suite: Suite = AES_128_GCM,
        kem: int = KEM_X25519,
        trust: TrustPolicy = TRUST,
        identity: Identity | None = None,
    ) -> None:
        self.identity = identity or IDENTITIES.get(user) or Identity.generate()
        self.sender = Sender(CTX, suite, user, next(SESSIONS).to_bytes(16, "big"))
        self.keys = ManagedKeys(APP, CHANNEL, self.sender, self.identity, trust, kem=kem)
        self.base = self.keys.sending(self.sender)
        self.sealer = Sealer(self.sender, self.base)
        self.opener = Opener(self.keys.receiving)
        self.members: dict[int, Sender] = {}

    @property
    def hello(self) -> Hello:
        return Hello(
            Role.MEMBER,
            self.sender.suite.id,
            self.sender.user,
            self.sender.session,
            self.identity.public,
            self.keys.kem,
            self.keys.kem_public,
            0,
            bytes(8),
        )

    def introduction(self, member: int, certificate: bytes | None = None, **changes: Any) -> Introduction:
        hello = self.hello
        if changes:
            hello = Hello(**{name: getattr(hello, name) for name in Hello.__slots__} | changes)
        user = self.sender.user
        return Introduction(
            member, hello, certify(user, self.identity) if certificate is None else certificate
        )

    def know(self, member: int, sender: Sender) -> None:
        self.members[member] = sender
        self.opener.admit(member, sender, sender.session)

    def take(self) -> list[Direct]:
        """Do what an owner does after each call; return what is to be sent."""
        for stale in self.keys.stale():
            self.opener.forget_epoch(stale.epoch)
        base = self.keys.sending(self.sender)
        if base != self.base:
            self.base = base
            self.sealer.rekey(base)
        return self.keys.outgoing()

    def seal(self, payload: bytes = b"payload") -> bytes:
        self.keys.mark_used(self.base)
        return self.sealer.seal(AUDIO, payload)

    def open(self, member: int, data: bytes, now: float = 0.0) -> bytes:
        opened = self.opener.open(member, data)
        _, epoch, step = unpack_kid(read_header(data, BYTES)[0])
        self.keys.opened(self.members[member], epoch, step, now)
        self.take()
        return opened.payload

    def opens(self, member: int, data: bytes, now: float = 0.0) -> bool:
        try:
            self.open(member, data, now)
        except KeyMissing:
            return False
        return True


class Room:
    """An honest relay without delay. Member numbers are given in the order of joins."""

    def __init__(self) -> None:
        self.devices: dict[int, Device] = {}
        self.now = 0.0
        self.sent: list[tuple[int, Direct]] = []
        self.deliver_acks = True

    def join(self, device: Device) -> int:
        number = max(self.devices, default=0) + 1
        roster = [other.introduction(member) for member, other in self.devices.items()]
        for member, other in self.devices.items():
            device.know(member, other.sender)
            other.know(number, device.sender)
        self.devices[number] = device
        assert device.keys.joined(roster, self.now, WALL) == []
        for member, other in self.devices.items():
            if member != number:
                other.keys.add_member(device.introduction(number), self.now, WALL)
        self.pump()
        return number

    def leave(self, number: int) -> Device:
        gone = self.devices.pop(number)
        for other in self.devices.values():
            other.keys.remove_member(number, self.now)
            other.opener.dismiss(number)
        self.pump()
        return gone

    def pump(self) -> None:
        moved = True
        while moved:
            moved = False
            for number, device in list(self.devices.items()):
                for direct in device.take():
                    moved = True
                    self.sent.append((number, direct))
                    if direct.member in self.devices and (self.deliver_acks or direct.data[0] != 2):
                        self.devices[direct.member].keys.receive_direct(number, direct.data, self.now)

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            due = [
                t for d in self.devices.values() if (t := d.keys.next_timeout()) is not None and t <= until
            ]
            if not due:
                break
            self.now = min(due)
            for device in self.devices.values():
                device.keys.handle_timeout(self.now)
            self.pump()
        self.now = until

    def number_of(self, device: Device) -> int:
        return next(number for number, other in self.devices.items() if other is device)

    def hear(self, sender: Device) -> list[bool]:
        """Seal one frame; return who of the others opens it, in the order of their numbers."""
        data, number = sender.seal(), self.number_of(sender)
        return [d.opens(number, data, self.now) for d in self.devices.values() if d is not sender]


def room_of(*users: str, **options: Any) -> tuple[Room, list[Device]]:
    room, devices = Room(), [Device(user, **options) for user in users]
    for device in devices:
        room.join(device)
    return room, devices


def wraps_to(directs: Iterable[Direct], member: int) -> list[bytes]:
    return [direct.data for direct in directs if direct.member == member and direct.data[0] == 1]


@pytest.mark.parametrize("suite", [AES_128_GCM, AES_256_GCM], ids=str)
@pytest.mark.parametrize("kem", [KEM_X25519, KEM_X_WING], ids=["x25519", "x-wing"])
def test_members_hear_each_other(suite: Suite, kem: int) -> None:
    room, devices = room_of("alice", "bob", "carol", suite=suite, kem=kem)
    for _ in range(3):
        for device in devices:
            assert room.hear(device) == [True, True]


def test_a_newcomer_hears_nothing_from_before_and_the_others_follow_by_themselves() -> None:
    room, (alice, bob) = room_of("alice", "bob")
    before = alice.seal()
    assert bob.open(1, before) == b"payload"
    carol = Device("carol")
    sent = len(room.sent)
    room.join(carol)
    assert alice.base.step == 1
    assert bob.base.step == 0  # it has sealed nothing, so there is nothing to hide
    assert [d.member for n, d in room.sent[sent:] if n == 1 and d.data[0] == 1] == [3]
    assert carol.opens(1, before) is False
    assert room.hear(alice) == [True, True]
    assert bob.keys.held(alice.sender) == alice.base == alice.keys.held(alice.sender)


def test_who_leaves_hears_nothing_a_second_and_a_quarter_later_even_without_acks() -> None:
    room, (alice, bob, carol) = room_of("alice", "bob", "carol")
    room.hear(alice)
    room.deliver_acks = False
    room.leave(3)
    room.wait(1.24)
    assert carol.opens(1, alice.seal()) is True
    room.wait(0.01)
    frame = alice.seal()
    assert bob.opens(1, frame) is True
    assert carol.opens(1, frame) is False
    assert KeySwitched(1, 0) in alice.keys.notices()


def test_with_all_acks_the_new_key_is_used_after_the_quarter() -> None:
    room, (alice, bob, _) = room_of("alice", "bob", "carol")
    gone = room.leave(3)
    room.wait(0.25)
    assert (alice.base.epoch, bob.base.epoch) == (1, 1)
    assert gone.opens(1, alice.seal()) is False
    assert room.hear(bob) == [True]


def test_forty_epochs_come_round_the_four_bits_and_all_are_heard() -> None:
    room, (alice, bob) = room_of("alice", "bob")
    for epoch in range(40):
        assert alice.base.epoch == epoch
        assert room.hear(alice) == [True]
        room.leave(room.join(Device("carol")))
        room.wait(0.3)
    assert alice.keys.held(bob.sender) == bob.base
    assert room.hear(bob) == [True]


def test_old_epochs_are_gone_ten_seconds_after_the_new_one_is_heard() -> None:
    room, (alice, bob, _) = room_of("alice", "bob", "carol")
    late = alice.seal(), alice.seal()
    room.leave(3)
    room.wait(1.0)
    assert room.hear(alice) == [True]
    room.wait(9.9)
    assert bob.opens(1, late[0], room.now) is True
    room.wait(0.2)
    assert bob.opens(1, late[1], room.now) is False


# Who gets no keys


class Ghost(NamedTuple):
    why: str
    certificate: Callable[[], bytes]
    refusal: type[HelloRefused]
    role: Role = Role.MEMBER


MALLORY = IDENTITIES["mallory"]
OTHER_AUTHORITY = Identity.generate()
GHOSTS = [
    Ghost("no certificate", lambda: b"", CertificateMissing),
    Ghost(
        "another authority",
        lambda: sign_certificate(
            Certificate(CTX, "mallory", MALLORY.public, 1, 0, 2**60), OTHER_AUTHORITY.sign
        ),
        CertificateForged,
    ),
    Ghost("expired", lambda: certify("mallory", not_after=int(WALL)), CertificateExpired),
    Ghost("not yet valid", lambda: certify("mallory", not_before=int(WALL) + 1), CertificateNotYetValid),
    Ghost("another channel", lambda: certify("mallory", channel="lobby"), CertificateOfChannel),
    Ghost("another app", lambda: certify("mallory", app="f" * 32), CertificateOfChannel),
    Ghost("another user's", lambda: certify("alice", IDENTITIES["alice"]), CertificateOfUser),
    Ghost("another identity", lambda: certify("mallory", Identity.generate()), CertificateOfIdentity),
    Ghost("another role", lambda: certify("mallory", role=Role.AUDIENCE), CertificateOfRole),
    Ghost("a member as recorder", lambda: certify("mallory"), CertificateOfRole, Role.RECORDER),
]


@pytest.mark.parametrize("ghost", GHOSTS, ids=lambda ghost: ghost.why)
def test_a_ghost_gets_no_wrap_and_gives_none(ghost: Ghost) -> None:
    room, (alice, bob) = room_of("alice", "bob")
    room.hear(alice)
    mallory = Device("mallory")
    introduction = mallory.introduction(9, ghost.certificate(), role=ghost.role)
    with pytest.raises(ghost.refusal):
        alice.keys.add_member(introduction, 0.0, WALL)
    assert alice.keys.untrusted == [9]
    assert alice.take() == []
    assert alice.base.step == 0

    # It knows who is there, and sends its keys.
    mallory.keys.joined([alice.introduction(1)], 0.0, WALL)
    for direct in mallory.take():
        with pytest.raises(KeyMissing):
            alice.keys.receive_direct(9, direct.data, 0.0)
    assert alice.keys.held(mallory.sender) is None

    # The keys of others do not reach it either, whatever happens to them.
    alice.keys.remove_member(2, 0.0)
    for now in (0.25, 1.25, 601.25, 602.25):
        alice.keys.handle_timeout(now)
        alice.take()
        alice.seal()
        assert wraps_to(alice.take(), 9) == []
    alice.keys.remove_member(9, 603.0)
    assert alice.keys.untrusted == []
    # A certificate that is missing in a roster is found just so.
    refusals = alice.keys.joined([introduction, bob.introduction(2)], 700.0, WALL)
    assert [(refusal.member, type(refusal.error)) for refusal in refusals] == [(9, ghost.refusal)]
    assert [direct.member for direct in alice.take()] == [2]


def test_a_certified_gateway_is_heard_and_given_no_senders_key() -> None:
    _, (alice,) = room_of("alice")
    gateway = Device("dave")
    certificate = certify("dave", role=Role.GATEWAY)
    alice.keys.add_member(gateway.introduction(2, certificate, role=Role.GATEWAY), 0.0, WALL)
    assert alice.take() == []
    gateway.keys.joined([alice.introduction(1)], 0.0, WALL)
    (wrap,) = wraps_to(gateway.take(), 1)
    assert alice.keys.receive_direct(2, wrap, 0.0) is True
    alice.keys.remove_member(2, 1.0)
    alice.keys.handle_timeout(2.0)
    assert alice.base.epoch == 0


@pytest.mark.parametrize("role", [Role.RECORDER, Role.AUDIENCE])
def test_a_certified_recorder_or_listener_is_wrapped_to_like_anyone(role: Role) -> None:
    _, (alice,) = room_of("alice")
    other = Device("dave")
    alice.keys.add_member(other.introduction(2, certify("dave", role=role), role=role), 0.0, WALL)
    assert len(wraps_to(alice.take(), 2)) == 1


def test_the_applications_check_decides_alone_when_it_is_the_policy() -> None:
    trust = CallbackTrust(lambda claim: claim.user == "bob" and claim.channel == CHANNEL)
    alice = Device("alice", trust=trust)
    alice.keys.joined([], 0.0, WALL)
    alice.keys.add_member(Device("bob").introduction(2, b""), 0.0, WALL)
    with pytest.raises(MemberNotTrusted):
        alice.keys.add_member(Device("mallory").introduction(3, certify("mallory")), 0.0, WALL)
    assert [direct.member for direct in alice.take()] == [2]


def test_a_changed_identity_gets_no_keys_until_it_is_accepted_and_then_has_missed_none() -> None:
    store = TrustStore()
    alice = Device("alice", trust=FirstUseTrust(store))
    store.check(APP, "bob", Identity.generate().public, 1.0)
    alice.keys.joined([], 0.0, WALL)
    bob = Device("bob", trust=CallbackTrust(lambda claim: True))
    alice.know(2, bob.sender)
    with pytest.raises(IdentityChanged):
        alice.keys.add_member(bob.introduction(2, b""), 0.0, WALL)
    assert alice.take() == []

    bob.keys.joined([alice.introduction(1)], 0.0, WALL)
    bob.keys.add_member(Device("carol").introduction(3), 0.0, WALL)
    bob.keys.remove_member(3, 0.0)
    bob.keys.handle_timeout(0.25)
    bob.keys.handle_timeout(1.25)
    for wrap in wraps_to(bob.take(), 1):
        with pytest.raises(KeyMissing):
            alice.keys.receive_direct(2, wrap, 0.0)
    assert alice.keys.reconsider(1.0, WALL) == []
    assert alice.keys.untrusted == [2]
    frame = bob.seal()
    assert alice.opens(2, frame) is False

    store.accept(APP, "bob", bob.identity.public, WALL)
    assert alice.keys.reconsider(2.0, WALL) == [2]
    assert alice.keys.untrusted == []
    directs = alice.take()
    assert len(wraps_to(directs, 2)) == 1
    assert alice.opens(2, frame) is True
    assert alice.keys.reconsider(3.0, WALL) == []


def test_what_is_kept_of_members_that_are_not_trusted_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "REFUSED_MAX", 3)
    alice = Device("alice", trust=CallbackTrust(lambda claim: False))
    alice.keys.joined([], 0.0, WALL)
    mallory = Device("mallory")
    for member in range(2, 8):
        with pytest.raises(MemberNotTrusted):
            alice.keys.add_member(mallory.introduction(member), 0.0, WALL)
        for _ in range(50):
            with pytest.raises(KeyMissing):
                alice.keys.receive_direct(member, encode_wrap(bytes(150)), 0.0)
    assert alice.keys.untrusted == [5, 6, 7]


def test_when_a_certificate_runs_out_its_bearer_is_out() -> None:
    room, (alice, _) = room_of("alice", "bob")
    carol = Device("carol")
    alice.know(3, carol.sender)
    short = certify("carol", not_after=int(WALL) + 60)
    alice.keys.add_member(carol.introduction(3, short), 100.0, WALL)
    room.hear(alice)
    assert alice.keys.next_timeout() == 160.0
    alice.keys.handle_timeout(159.9)
    assert alice.keys.notices() == []
    alice.keys.handle_timeout(160.0)
    assert alice.keys.notices() == [TrustEnded(3, "carol")]
    assert alice.keys.next_timeout() == 160.25
    alice.take()
    alice.keys.handle_timeout(160.25)
    assert [direct.member for direct in alice.take()] == [2]
    with pytest.raises(KeyMissing):
        alice.keys.receive_direct(3, encode_ack(1, 0), 161.0)


def test_a_newer_certificate_under_the_same_number_extends_the_time_and_costs_no_new_key() -> None:
    _, (alice, _) = room_of("alice", "bob")
    device = Device("carol")
    alice.keys.add_member(device.introduction(3, certify("carol", not_after=int(WALL) + 60)), 0.0, WALL)
    alice.keys.add_member(device.introduction(3, certify("carol", not_after=int(WALL) + 90)), 30.0, WALL + 30)
    assert (alice.keys.next_timeout(), alice.base.epoch) == (90.0, 0)
    alice.keys.handle_timeout(89.0)
    assert alice.keys.notices() == []
    with pytest.raises(CertificateExpired):
        alice.keys.add_member(
            device.introduction(3, certify("carol", not_after=int(WALL) + 90)), 95.0, WALL + 95
        )
    assert alice.keys.next_timeout() == 95.25


# A relay that replays, reorders and misattributes


def recorded(room: Room, sender: int, receiver: int) -> list[bytes]:
    return [d.data for n, d in room.sent if n == sender and d.member == receiver and d.data[0] == 1]


def rotated(rounds: int = 3) -> tuple[Room, list[Device]]:
    """Alice and Bob after some epochs, with every wrap on record."""
    room, devices = room_of("alice", "bob")
    for _ in range(rounds):
        room.leave(room.join(Device("carol")))
        room.wait(0.3)
    return room, devices


def test_an_old_wrap_again_is_ignored_and_told() -> None:
    room, (alice, bob) = rotated()
    wraps = recorded(room, 1, 2)
    assert len(wraps) == 4
    held = bob.keys.held(alice.sender)
    bob.keys.notices()
    for wrap in [*wraps[:-1], *reversed(wraps[:-1])]:
        assert bob.keys.receive_direct(1, wrap, room.now) is False
    notices = bob.keys.notices()
    assert notices == [OldWrapIgnored(1, epoch, 0) for epoch in (0, 1, 2, 2, 1, 0)]
    assert bob.take() == []
    # The present one again changes nothing either, and is acknowledged again.
    assert bob.keys.receive_direct(1, wraps[-1], room.now) is False
    assert bob.take() == [Direct(1, encode_ack(3, 0))]
    assert bob.keys.held(alice.sender) == held
    assert room.hear(alice) == [True]


def test_wraps_that_come_in_another_order_leave_the_newest_in_place() -> None:
    _, (alice, bob) = room_of("alice", "bob")
    alice.keys.remove_member(2, 0.0)
    wraps = []
    for round_ in range(4):
        alice.keys.add_member(bob.introduction(2), round_ * 2.0, WALL)
        wraps += wraps_to(alice.take(), 2)
        alice.keys.handle_timeout(round_ * 2.0 + 0.25)
        alice.keys.handle_timeout(round_ * 2.0 + 1.25)
        wraps += wraps_to(alice.take(), 2)
        alice.keys.remove_member(2, round_ * 2.0 + 1.5)
    epochs = [int.from_bytes(wrap[2:6], "big") for wrap in wraps]
    assert epochs == sorted(epochs)
    assert len(set(epochs)) >= 4
    for order in (wraps[::-1], wraps[2:] + wraps[:2]):
        other = Device("bob")
        other.keys.joined([alice.introduction(1)], 0.0, WALL)
        # Made for bob's first session, so none of them is anything to the second.
        for wrap in order:
            with pytest.raises(WrapForged):
                other.keys.receive_direct(1, wrap, 0.0)
    for wrap in wraps[::-1]:
        bob.keys.receive_direct(1, wrap, 0.0)
    held = bob.keys.held(alice.sender)
    assert held is not None
    assert held.epoch == max(epochs)


def test_a_wrap_for_or_from_somebody_else_is_forged() -> None:
    room, (alice, bob, carol) = room_of("alice", "bob", "carol")
    to_bob, to_carol = recorded(room, 1, 2)[0], recorded(room, 1, 3)[0]
    from_bob = recorded(room, 2, 3)[0]
    for device, member, wrap in (
        (carol, 1, to_bob),  # for another receiver
        (bob, 1, to_carol),
        (carol, 2, to_carol),  # under another sender's number
        (carol, 1, from_bob),
        (alice, 2, to_bob),  # sent back
    ):
        before = repr(device.keys)
        with pytest.raises(WrapForged):
            device.keys.receive_direct(member, wrap, 0.0)
        assert (repr(device.keys), device.take()) == (before, [])


def test_a_wrap_whose_epoch_or_step_was_changed_is_forged() -> None:
    room, (_, bob) = rotated()
    wrap = recorded(room, 1, 2)[-1]
    for changed in (
        wrap[:2] + (9).to_bytes(4, "big") + wrap[6:],
        wrap[:6] + b"\1" + wrap[7:],
    ):
        with pytest.raises(WrapForged):
            bob.keys.receive_direct(1, changed, 0.0)


def test_a_wrap_of_an_earlier_run_of_the_senders_program_is_forged() -> None:
    room, (_, bob) = room_of("alice", "bob")
    old = recorded(room, 1, 2)[0]
    room.leave(1)
    alice = Device("alice")
    number = room.join(alice)
    held = bob.keys.held(alice.sender)
    with pytest.raises(WrapForged):
        bob.keys.receive_direct(number, old, 0.0)
    assert bob.keys.held(alice.sender) == held == alice.base


def crafted(alice: Device, bob: Device, base: BaseKey) -> bytes:
    """What only Alice could make: a signed wrap of a key of her choice for Bob."""
    sender = Party("alice", alice.sender.session, alice.identity.public)
    receiver = Party("bob", bob.sender.session, bob.identity.public)
    pair = Pair(CTX, alice.sender.suite, sender, receiver, bob.keys.kem, bob.keys.kem_public)
    return encode_wrap(make_wrap(base, pair, PublicKem(pair.kem, pair.kem_public), alice.identity))


@pytest.mark.parametrize("step", [0, 1, 15])
def test_a_second_key_for_the_same_epoch_is_refused_though_its_sender_signed_it(step: int) -> None:
    room, (alice, bob) = room_of("alice", "bob")
    wrap = crafted(alice, bob, BaseKey(0, step, b"another key".ljust(32)))
    before = bob.keys.held(alice.sender)
    with pytest.raises(WrapConflict):
        bob.keys.receive_direct(1, wrap, 0.0)
    assert bob.take() == []
    assert bob.keys.held(alice.sender) == before
    assert room.hear(alice) == [True]


def test_a_signed_wrap_that_does_not_open_is_refused_and_changes_nothing() -> None:
    _, (alice, bob) = room_of("alice", "bob")
    elsewhere = Device("bob")
    sender = Party("alice", alice.sender.session, alice.identity.public)
    receiver = Party("bob", bob.sender.session, bob.identity.public)
    pair = Pair(CTX, AES_128_GCM, sender, receiver, bob.keys.kem, bob.keys.kem_public)
    to = PublicKem(elsewhere.keys.kem, elsewhere.keys.kem_public)
    with pytest.raises(WrapUnopened):
        bob.keys.receive_direct(
            1, encode_wrap(make_wrap(BaseKey(5, 0, bytes(32)), pair, to, alice.identity)), 0.0
        )
    held = bob.keys.held(alice.sender)
    assert held is not None
    assert held.epoch == 0


ROOM, (ALICE, BOB) = room_of("alice", "bob")


@given(st.binary(max_size=400))
def test_whatever_arrives_is_refused_as_an_error_of_ours_and_changes_nothing(data: bytes) -> None:
    good = recorded(ROOM, 1, 2)[0]
    before = (repr(BOB.keys), BOB.keys.held(ALICE.sender))
    for candidate in (data, b"\1" + data, good[: len(data)], data + good[len(data) :], good + data + b"\0"):
        if candidate == good or candidate[:1] == b"\2":
            continue
        with pytest.raises(WrapRefused):
            BOB.keys.receive_direct(1, candidate, 0.0)
        for stranger in (0, 2, 77):
            with pytest.raises(SealError):
                BOB.keys.receive_direct(stranger, candidate, 0.0)
    assert (repr(BOB.keys), BOB.keys.held(ALICE.sender)) == before


@given(epoch=st.integers(0, 2**32 - 1), step=st.integers(0, 15))
def test_an_ack_that_nobody_waits_for_does_nothing(epoch: int, step: int) -> None:
    before = repr(BOB.keys)
    assert BOB.keys.receive_direct(1, encode_ack(epoch, step), 0.0) is False
    assert (repr(BOB.keys), BOB.keys.outgoing()) == (before, [])


def test_a_direct_payload_that_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(WrapMalformed, match="too long"):
        BOB.keys.receive_direct(1, b"\1" * 4097, 0.0)


# Hellos that do not fit


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"suite": 5}, "suite"),
        ({"kem": KEM_X_WING, "kem_public": bytes(1216)}, "key encapsulation"),
        ({"kem": 0, "kem_public": b""}, "key encapsulation"),
        ({"kem_public": bytes(32)}, "usable"),
    ],
)
def test_a_trusted_member_whose_hello_does_not_fit_gets_nothing(change: dict[str, Any], text: str) -> None:
    _, (alice,) = room_of("alice")
    with pytest.raises(HelloRefused, match=text):
        alice.keys.add_member(Device("bob").introduction(2, **change), 0.0, WALL)
    assert alice.take() == []


def test_ones_own_hello_sent_back_is_refused() -> None:
    _, (alice,) = room_of("alice")
    with pytest.raises(HelloRefused, match="own session"):
        alice.keys.add_member(alice.introduction(2), 0.0, WALL)


def test_a_session_is_introduced_by_one_set_of_keys_only() -> None:
    _, (alice, bob) = room_of("alice", "bob")
    other = Identity.generate()
    for changes in (
        {"identity": other.public},
        {"kem_public": Device("bob").keys.kem_public},
    ):
        certificate = certify("bob", other) if "identity" in changes else None
        with pytest.raises(HelloRefused, match="another hello"):
            alice.keys.add_member(bob.introduction(3, certificate, **changes), 0.0, WALL)
    # Under its own number it takes the place of the one before, who is treated as gone.
    alice.seal()
    alice.keys.add_member(bob.introduction(2, certify("bob", other), identity=other.public), 0.0, WALL)
    assert alice.keys.next_timeout() == 0.25
    alice.take()
    assert alice.base.step == 1


# Numbers, sessions, coming back


def test_a_number_that_is_given_to_somebody_else_is_taken_from_the_one_before() -> None:
    _, (alice, bob) = room_of("alice", "bob")
    carol = Device("carol")
    alice.keys.add_member(carol.introduction(2), 1.0, WALL)
    assert alice.keys.next_timeout() == 1.25
    alice.take()
    alice.keys.handle_timeout(1.25)
    (wrap,) = wraps_to(alice.take(), 2)
    with pytest.raises(WrapForged):
        bob.keys.receive_direct(1, wrap, 2.0)
    carol.keys.joined([alice.introduction(1)], 0.0, WALL)
    assert carol.keys.receive_direct(1, wrap, 2.0) is True


def test_a_number_that_is_given_to_a_ghost_is_taken_all_the_same() -> None:
    _, (alice, _) = room_of("alice", "bob")
    with pytest.raises(CertificateMissing):
        alice.keys.add_member(Device("mallory").introduction(2, b""), 1.0, WALL)
    assert alice.keys.next_timeout() == 1.25


def test_a_session_that_appears_under_a_second_number_has_not_left_until_both_are_gone() -> None:
    _, (alice, bob) = room_of("alice", "bob")
    alice.seal()
    alice.keys.add_member(bob.introduction(5), 1.0, WALL)
    assert wraps_to(alice.take(), 5) != []
    alice.keys.remove_member(2, 1.0)
    assert (alice.base.step, alice.keys.next_timeout()) == (0, 600.0)
    alice.keys.add_member(bob.introduction(6), 1.0, WALL)
    alice.keys.remove_member(6, 1.0)
    alice.take()
    alice.keys.add_member(Device("carol").introduction(3), 1.0, WALL)
    alice.keys.remove_member(3, 2.0)
    alice.take()
    alice.keys.handle_timeout(2.25)
    assert [direct.member for direct in alice.take()] == [5]
    alice.keys.remove_member(5, 3.0)
    assert alice.keys.next_timeout() == pytest.approx(3.25)


def test_joining_again_makes_a_new_epoch_for_who_is_there_now() -> None:
    room, (alice, bob, carol) = room_of("alice", "bob", "carol")
    room.hear(alice)
    held = alice.keys.held(bob.sender)
    refusals = alice.keys.joined([bob.introduction(2)], 5.0, WALL)
    assert refusals == []
    directs = alice.take()
    assert [direct.member for direct in directs] == [2]
    assert alice.base.epoch == 1
    bob.keys.receive_direct(1, directs[0].data, 5.0)
    frame = alice.seal()
    assert bob.opens(1, frame) is True
    assert carol.opens(1, frame) is False
    # What others seal is still heard; who is not there any more is forgotten.
    assert alice.keys.held(bob.sender) == held
    with pytest.raises(KeyMissing):
        alice.keys.receive_direct(3, encode_ack(0, 0), 5.0)
    alice.keys.handle_timeout(15.0)
    assert alice.keys.held(carol.sender) is None


def test_one_roster_may_name_a_number_twice_and_the_last_one_counts() -> None:
    alice, bob, carol = Device("alice"), Device("bob"), Device("carol")
    alice.keys.joined([bob.introduction(2), carol.introduction(2)], 0.0, WALL)
    (wrap,) = wraps_to(alice.take(), 2)
    carol.keys.joined([alice.introduction(1)], 0.0, WALL)
    assert carol.keys.receive_direct(1, wrap, 0.0) is True


def test_while_nobody_sends_wraps_of_keys_that_are_over_do_not_pile_up() -> None:
    _, (alice, bob, _) = room_of("alice", "bob", "carol", trust=CallbackTrust(lambda claim: True))
    for round_ in range(30):
        alice.keys.mark_used(alice.keys.sending(alice.sender))
        alice.keys.handle_timeout(600.0 * (round_ + 1) + round_ * 5)
        alice.keys.handle_timeout(600.0 * (round_ + 1) + round_ * 5 + 1)
    assert alice.keys.sending(alice.sender).epoch == 30
    waiting = alice.keys.outgoing()
    assert len(waiting) <= 4
    assert bob.keys.receive_direct(1, wraps_to(waiting, 2)[-1], 0.0) is True
    assert bob.keys.held(alice.sender) == alice.keys.sending(alice.sender)


def test_notices_that_nobody_takes_are_bounded() -> None:
    room, (_, bob) = rotated(1)
    old = recorded(room, 1, 2)[0]
    for _ in range(NOTICES_MAX + 10):
        bob.keys.receive_direct(1, old, 0.0)
    assert len(bob.keys.notices()) == NOTICES_MAX
    assert bob.keys.notices() == []


# The provider


def test_nothing_is_done_in_the_child_of_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    _, (alice, bob) = room_of("alice", "bob")
    monkeypatch.setattr(lifetime, "forks", lifetime.forks + 1)
    for attempt in (
        lambda: alice.keys.sending(alice.sender),
        lambda: alice.keys.joined([], 0.0, WALL),
        lambda: alice.keys.add_member(bob.introduction(2), 0.0, WALL),
        lambda: alice.keys.remove_member(2, 0.0),
        lambda: alice.keys.receive_direct(2, b"\1", 0.0),
        lambda: alice.keys.handle_timeout(1.0),
        lambda: alice.keys.reconsider(0.0, WALL),
    ):
        with pytest.raises(ContextPoisoned):
            attempt()


def test_keys_are_not_copied_or_pickled_or_shown() -> None:
    _, (alice, _) = room_of("alice", "bob")
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(CopyRefused):
            attempt(alice.keys)
    shown = repr(alice.keys)
    assert shown == (
        "ManagedKeys(suite=AES_128_GCM, peers=1, Rekeying(steady, epoch=0, step=0, receivers=1, awaited=0))"
    )


def test_a_provider_serves_its_own_context_and_takes_no_key_from_outside() -> None:
    alice = Device("alice")
    with pytest.raises(KeyMissing):
        alice.keys.sending(Device("alice").sender)
    with pytest.raises(SealError, match="no key to set"):
        alice.keys.set_key(1, bytes(32))
    with pytest.raises(ValueError, match="another channel"):
        ManagedKeys(APP, "lobby", alice.sender, alice.identity, TRUST)
    assert alice.keys.identity() is alice.identity
    assert alice.keys.next_timeout() is None
    alice.keys.handle_timeout(10_000.0)
    assert alice.keys.sending(alice.sender) == alice.base
