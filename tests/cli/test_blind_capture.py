"""What a tap shows is taken apart: who joined where, what was sealed, what went to one member alone."""

from __future__ import annotations

from sealcast.cli.blind.capture import Capture, ciphertexts
from sealcast.cli.blind.providers import CLEAR, PROVIDERS
from sealcast.client.e2ee.clear import clear_seal
from sealcast.protocol.controls import Direct, encode
from sealcast.protocol.descriptor import CLEAR as IN_CLEAR
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.names import Kind

from .speakers import APP, CHANNEL, Speaker, make


def test_a_connection_is_who_joined_and_everything_that_was_sent() -> None:
    capture = Capture()
    speaker = Speaker(capture, 4, "ann", make(PROVIDERS[0]))
    speaker.talk()
    speaker.show(encode(Direct(channel=7, member=2, data=b"to one alone"), 3))
    [found] = capture.connections(APP)
    assert (found.number, found.channel, found.user) == (4, CHANNEL, "ann")
    assert found.hello == speaker.crypto.hello
    assert [frame.descriptor.kind for frame in found.frames] == [Kind.AUDIO] * 10 + [Kind.VIDEO, Kind.MESSAGE]
    assert found.directs == [b"to one alone"]


def test_pings_are_passed_over_and_what_is_no_binary_message_is_counted() -> None:
    capture = Capture()
    speaker = Speaker(capture, 0, "ann", make(PROVIDERS[0]))
    for opcode in (8, 9, 10):
        speaker.show(b"\0\1\2\3", opcode=opcode)
    assert capture.unexplained == 0
    speaker.show(b"text", opcode=1)
    speaker.show(b"part", final=False)
    assert capture.unexplained == 2
    assert len(capture.connections(APP)) == 1
    assert capture.connections("f" * 32) == []


def test_the_last_ciphertext_of_each_key_id_is_what_controls_look_for() -> None:
    capture = Capture()
    Speaker(capture, 0, "ann", make(PROVIDERS[0])).talk()
    needles = ciphertexts(capture.connections(APP))
    assert len(needles) == len({needle.name for needle in needles}) == 3
    frames = capture.connections(APP)[0].frames
    assert frames[9].body[:32] in [needle.data for needle in needles]
    assert frames[8].body[:32] not in [needle.data for needle in needles]


def test_clear_text_has_no_ciphertexts() -> None:
    capture = Capture()
    speaker = Speaker(capture, 0, "ann", make(CLEAR))
    speaker.put(clear_seal(Descriptor(Kind.AUDIO, stream=2, version=IN_CLEAR), b"in clear"))
    assert len(capture.connections(APP)[0].frames) == 1
    assert ciphertexts(capture.connections(APP)) == []
