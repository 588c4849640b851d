"""The keys derived from a capture are those in use: they open it, and others do not."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from sealcast.cli.blind.capture import Capture, Unlocked, canary_needles, ciphertexts, unlock
from sealcast.cli.blind.members import KINDS, USERS, new_canary
from sealcast.cli.blind.providers import CLEAR, PROVIDERS, Material, Provider
from sealcast.cli.blind.windows import Puzzle, opens
from sealcast.cli.demo.tap import Recording
from sealcast.cli.demo.wire import WireFrame
from sealcast.client.e2ee.clear import clear_seal
from sealcast.protocol import envelope
from sealcast.protocol.controls import Join, encode
from sealcast.protocol.descriptor import CLEAR as IN_CLEAR
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.names import Kind

APP = "0123456789abcdef0123456789abcdef"
CHANNEL = "standup"
CANARIES = {user: {kind: new_canary(user, kind) for kind in KINDS} for user in USERS}


class Speaker:
    """One client's connection, as a tap shows it."""

    def __init__(self, capture: Capture, number: int, channel: str, user: str, material: Material) -> None:
        self.recording = Recording(number)
        self.recording.app_id = APP
        self.user = user
        self._capture = capture
        self._crypto = material.key(user).bind(APP, channel, user)
        self.show(encode(Join(channel=channel, user=user, hello=self._crypto.hello), 1))

    def show(self, payload: bytes, **changes: Any) -> None:
        frame = WireFrame(2, True, True, payload)._replace(**changes)
        self._capture.watch(self.recording, True, frame)

    def say(self, kind: Kind, stream: int, payload: bytes | None = None) -> None:
        if payload is None:
            payload = CANARIES[self.user][kind.name.lower()].text + b" and more"
        sealed = self._crypto.seal(Descriptor(kind, stream=stream), payload)
        put = envelope.message(7, 1, 3, sealed) if kind is Kind.MESSAGE else envelope.frame(7, 1, sealed)
        self.show(put)


def conversation(material: Material, channel: str = CHANNEL) -> Capture:
    capture = Capture()
    for number, user in enumerate(USERS):
        speaker = Speaker(capture, number, channel, user, material)
        for _ in range(10):
            speaker.say(Kind.AUDIO, 2)
        speaker.say(Kind.VIDEO, 3)
        speaker.say(Kind.MESSAGE, 1)
    return capture


def unlocked(capture: Capture, material: Material) -> Unlocked:
    return unlock(capture.connections(APP), APP, CHANNEL, material, CANARIES, "label")


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_every_frame_opens_and_every_key_between_secret_and_frame_is_looked_for(provider: Provider) -> None:
    material = provider.make()
    found = unlocked(conversation(material), material)
    assert (found.opening.frames, found.opening.opened) == (24, 24)
    assert (found.opening.expected, found.opening.canaries) == (24, 24)
    names = [needle.name for needle in found.needles]
    # A content secret, and of each user a base key, an SFrame secret, and for three streams key and salt.
    assert len(names) == len(set(names)) == len(material.secrets) + 2 * (2 + 3 * 2)
    assert "label: AES key of bob, stream 3" in names
    assert dict(material.secrets)["content secret"] in [needle.data for needle in found.needles]


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_the_lock_of_each_stream_opens_with_a_needle_and_with_nothing_else(provider: Provider) -> None:
    material = provider.make()
    found = unlocked(conversation(material), material)
    assert len(found.locks) == 6
    for lock in found.locks:
        puzzle = Puzzle(lock.key_size, lock.nonce, lock.aad, lock.body, lock.opened[:16])
        fitting = [n for n in found.needles if len(n.data) == lock.key_size and opens(n.data, puzzle)]
        assert len(fitting) == 1
        assert "AES key" in fitting[0].name
        assert not opens(secrets.token_bytes(lock.key_size), puzzle)


def test_the_wrong_secret_opens_nothing() -> None:
    material, other = PROVIDERS[0].make(), PROVIDERS[0].make()
    found = unlocked(conversation(material), other)
    assert found.opening.frames == 24
    assert found.opening.opened == found.opening.canaries == 0
    assert found.locks == []


def test_a_frame_of_another_session_than_the_hellos_does_not_open() -> None:
    material = PROVIDERS[0].make()
    capture = Capture()
    speaker = Speaker(capture, 0, CHANNEL, "ann", material)
    other = material.key("ann").bind(APP, CHANNEL, "ann")
    speaker.show(envelope.frame(7, 1, other.seal(Descriptor(Kind.AUDIO, stream=2), b"x")))
    assert unlocked(capture, material).opening.opened == 0


def test_a_frame_without_its_canary_is_noticed() -> None:
    material = PROVIDERS[0].make()
    capture = Capture()
    Speaker(capture, 0, CHANNEL, "ann", material).say(Kind.AUDIO, 2, b"something else")
    opening = unlocked(capture, material).opening
    assert (opening.opened, opening.expected, opening.canaries) == (1, 1, 0)


def test_the_sdks_own_control_frames_carry_no_canary_and_need_none() -> None:
    material = PROVIDERS[0].make()
    capture = Capture()
    Speaker(capture, 0, CHANNEL, "ann", material).say(Kind.CONTROL, 0, b"a beacon")
    opening = unlocked(capture, material).opening
    assert (opening.opened, opening.expected) == (1, 0)


def test_other_channels_are_left_alone() -> None:
    material = PROVIDERS[0].make()
    assert unlocked(conversation(material, "lunch"), material).opening.frames == 0


def test_clear_text_has_neither_keys_nor_ciphertexts() -> None:
    capture = Capture()
    speaker = Speaker(capture, 0, CHANNEL, "ann", CLEAR.make())
    clear = clear_seal(Descriptor(Kind.AUDIO, stream=2, version=IN_CLEAR), b"in clear")
    speaker.show(envelope.frame(7, 1, clear))
    found = unlocked(capture, CLEAR.make())
    assert found.needles == found.locks == []
    assert ciphertexts(capture.connections(APP)) == []


def test_the_last_ciphertext_of_each_stream_is_what_controls_look_for() -> None:
    material = PROVIDERS[0].make()
    capture = conversation(material)
    needles = ciphertexts(capture.connections(APP))
    assert len(needles) == len({needle.name for needle in needles}) == 6
    frames = capture.connections(APP)[0].frames
    assert frames[9].body[:32] in [needle.data for needle in needles]
    assert frames[8].body[:32] not in [needle.data for needle in needles]


def test_pings_are_passed_over_and_what_is_no_binary_message_is_counted() -> None:
    capture = Capture()
    speaker = Speaker(capture, 0, CHANNEL, "ann", PROVIDERS[0].make())
    for opcode in (8, 9, 10):
        speaker.show(b"\0\1\2\3", opcode=opcode)
    assert capture.unexplained == 0
    speaker.show(b"text", opcode=1)
    speaker.show(b"part", final=False)
    assert capture.unexplained == 2
    assert len(capture.connections(APP)) == 1
    assert capture.connections("f" * 32) == []


def test_no_two_canaries_are_alike_or_begin_alike() -> None:
    texts = [needle.data for needle in canary_needles(CANARIES, "label")]
    assert len(texts) == len(USERS) * len(KINDS)
    assert len({text[:8] for text in texts}) == len(texts)
