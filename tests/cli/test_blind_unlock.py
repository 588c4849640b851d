"""The keys derived for a capture are those in use: they open all of it, and others nothing."""

from __future__ import annotations

import re
import secrets

import pytest

from sealcast.cli.blind.capture import Capture
from sealcast.cli.blind.guess import target
from sealcast.cli.blind.material import Managed, Material
from sealcast.cli.blind.providers import CLEAR, PROVIDERS, Provider, offered
from sealcast.cli.blind.unlock import Unlocked, canary_needles, unlock
from sealcast.cli.blind.windows import opens
from sealcast.client.e2ee.clear import clear_seal
from sealcast.protocol.controls import Direct, encode
from sealcast.protocol.descriptor import CLEAR as IN_CLEAR
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.names import Kind

from .speakers import APP, CANARIES, CHANNEL, Speaker, conversation, make, settle

every_provider = pytest.mark.parametrize("provider", offered(), ids=lambda provider: provider.name)
managed = pytest.mark.parametrize(
    "provider",
    [provider for provider in offered() if provider.name.startswith("managed")],
    ids=lambda provider: provider.name,
)


def unlocked(capture: Capture, material: Material) -> Unlocked:
    return unlock(capture.connections(APP), APP, CHANNEL, material, CANARIES, "label")


def names(found: Unlocked) -> list[str]:
    return [needle.name.removeprefix("label: ") for needle in found.needles]


def test_all_ways_to_agree_on_keys_take_part_in_both_sizes_and_both_modes() -> None:
    made = [make(provider) for provider in PROVIDERS]
    assert {material.suite.key_size for material in made} == {16, 32}
    assert {material.mode for material in made} == {"gcm", "ccm"}
    assert sum(isinstance(material, Managed) for material in made) == 2


@every_provider
def test_everything_opens_and_everything_on_the_way_to_a_frame_is_looked_for(provider: Provider) -> None:
    material = make(provider)
    found = unlocked(conversation(material), material)
    assert found.opening.whole
    assert found.opening.canaries == found.opening.expected == 7 * 12
    assert len(names(found)) == len(set(names(found))) == len({needle.data for needle in found.needles})
    for user in ("ann", "bob"):
        assert {epoch for epoch, _ in found.turns[user]} == {0, 1}
        for epoch, step in found.turns[user]:
            where = f"of {user}, epoch {epoch}, step {step}"
            assert {f"base key {where}", f"SFrame secret {where}"} <= set(names(found))
            assert f"AES key of {user}, stream 2, epoch {epoch}, step {step}" in names(found)
    keys, salts = (
        [name.removeprefix(what) for name in names(found) if name.startswith(what)]
        for what in ("AES key", "SFrame salt")
    )
    assert keys == salts


@every_provider
def test_what_signs_and_what_unwraps_is_looked_for_too(provider: Provider) -> None:
    material = make(provider)
    found = names(unlocked(conversation(material), material))
    if not isinstance(material, Managed):
        assert {"content secret, epoch 0", "content secret, epoch 1"} <= set(found)
        assert {f"secret as extracted for the channel, epoch {epoch}" for epoch in (0, 1)} <= set(found)
        assert {f"session's signing key of {user}" for user in CANARIES} <= set(found)
        assert not [name for name in found if "HPKE" in name]
        return
    assert {"authority's private key", "authority's private key, scalar"} <= set(found)
    assert {f"identity's private key of {user}" for user in CANARIES} <= set(found)
    assert {f"HPKE private key of {user}" for user in CANARIES} <= set(found)
    halves = [name for name in found if re.fullmatch(r"HPKE private key, (ML-KEM|X25519) half of \w+", name)]
    assert len(halves) == (6 if "X-Wing" in provider.name else 0)


@managed
def test_every_wrap_opens_for_its_receiver_and_holds_what_its_sender_drew(provider: Provider) -> None:
    material = make(provider)
    found = unlocked(conversation(material), material)
    # Two to each other; to and from the guest; and two when it has left.
    assert found.opening.wraps == found.opening.wraps_opened == 2 + 4 + 2
    assert (0, 1) in found.turns["ann"], "who was there before the guest has ratcheted for it"


@managed
def test_a_wrap_that_opens_for_nobody_is_noticed(provider: Provider) -> None:
    material, capture = make(provider), Capture()
    ann, bob = Speaker(capture, 0, "ann", material), Speaker(capture, 1, "bob", material)
    ann.meet([])
    bob.meet([ann])
    settle([ann, bob])
    ann.talk()
    assert unlocked(capture, material).opening.whole
    ann.show(encode(Direct(channel=7, member=1, data=b"\1 no wrap at all"), 9))
    opening = unlocked(capture, material).opening
    assert (opening.wraps, opening.wraps_opened) == (3, 2)
    assert not opening.whole


@managed
def test_a_member_that_drew_other_keys_than_it_sealed_with_is_noticed(provider: Provider) -> None:
    material, capture = make(provider), Capture()
    ann, bob = Speaker(capture, 0, "ann", material), Speaker(capture, 1, "bob", material)
    ann.meet([])
    bob.meet([ann])
    settle([ann, bob])
    ann.talk()
    key = material.key("ann")
    key.draws.made[2] = secrets.token_bytes(len(key.draws.made[2]))  # type: ignore[attr-defined]
    opening = unlocked(capture, material).opening
    assert opening.wraps_opened == opening.wraps - 1
    assert opening.opened < opening.frames


@every_provider
def test_the_lock_of_each_key_id_opens_with_a_needle_and_with_nothing_else(provider: Provider) -> None:
    material = make(provider)
    found = unlocked(conversation(material), material)
    assert len(found.locks) == sum(name.startswith("AES key") for name in names(found)) >= 5 * 3
    for lock in found.locks:
        fitting = [
            needle
            for needle in found.needles
            if len(needle.data) == len(lock.key) and opens(needle.data, target(lock))
        ]
        assert len(fitting) == 1
        assert fitting[0].data == lock.key
        assert "AES key" in fitting[0].name
        assert not opens(secrets.token_bytes(len(lock.key)), target(lock))


@every_provider
def test_other_keys_of_the_same_sort_open_nothing(provider: Provider) -> None:
    material, other = make(provider), make(provider)
    for user in CANARIES:
        other.key(user).bind(APP, CHANNEL, user)
    found = unlocked(conversation(material), other)
    assert found.opening.frames >= 7 * 12
    assert found.opening.opened == found.opening.canaries == found.opening.wraps_opened == 0
    assert found.locks == []
    assert not found.opening.whole


def test_a_frame_of_another_session_than_the_hellos_does_not_open() -> None:
    material, capture = make(PROVIDERS[0]), Capture()
    speaker = Speaker(capture, 0, "ann", material)
    again = material.key("ann").bind(APP, CHANNEL, "ann")
    speaker.put(again.seal(Descriptor(Kind.AUDIO, stream=2), b"x" * 40))
    assert unlocked(capture, material).opening.opened == 0


def test_a_frame_without_its_canary_is_noticed() -> None:
    material, capture = make(PROVIDERS[0]), Capture()
    Speaker(capture, 0, "ann", material).say(Kind.AUDIO, 2, b"something else")
    opening = unlocked(capture, material).opening
    assert (opening.opened, opening.expected, opening.canaries) == (1, 1, 0)
    assert not opening.whole


def test_the_sdks_own_control_frames_carry_no_canary_and_need_none() -> None:
    material, capture = make(PROVIDERS[0]), Capture()
    Speaker(capture, 0, "ann", material).say(Kind.CONTROL, 0, b"a beacon")
    opening = unlocked(capture, material).opening
    assert (opening.opened, opening.expected) == (1, 0)


def test_a_frame_without_a_whole_block_is_opened_and_no_lock() -> None:
    material, capture = make(PROVIDERS[0]), Capture()
    Speaker(capture, 0, "ann", material).say(Kind.AUDIO, 2, b"short")
    found = unlocked(capture, material)
    assert found.opening.opened == 1
    assert found.locks == []


def test_other_channels_are_left_alone() -> None:
    material = PROVIDERS[0].make(APP, "lunch")
    assert unlocked(conversation(material, "lunch"), material).opening.frames == 0


def test_clear_text_has_no_keys() -> None:
    capture = Capture()
    speaker = Speaker(capture, 0, "ann", make(CLEAR))
    speaker.put(clear_seal(Descriptor(Kind.AUDIO, stream=2, version=IN_CLEAR), b"in clear"))
    found = unlocked(capture, make(CLEAR))
    assert found.needles == found.locks == []


def test_no_two_canaries_are_alike_or_begin_alike() -> None:
    texts = [needle.data for needle in canary_needles(CANARIES, "label")]
    assert len(texts) == sum(len(kinds) for kinds in CANARIES.values())
    assert len({text[:8] for text in texts}) == len(texts)
