"""Members of a channel without a relay, and a tap that sees what they would send it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sealcast.cli.blind.capture import Capture
from sealcast.cli.blind.material import Material
from sealcast.cli.blind.members import GUEST, KINDS, USERS, new_canary
from sealcast.cli.blind.providers import Provider
from sealcast.cli.demo.tap import Recording
from sealcast.cli.demo.wire import WireFrame
from sealcast.client.e2ee import Direct
from sealcast.protocol import controls, envelope
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.names import Kind

APP = "0123456789abcdef0123456789abcdef"
CHANNEL = "standup"
CANARIES = {user: {kind: new_canary(user, kind) for kind in KINDS} for user in (*USERS, GUEST)}

_SWITCHED = 2.0
"""Seconds after which managed keys have changed because somebody left."""


def make(provider: Provider) -> Material:
    return provider.make(APP, CHANNEL)


class Speaker:
    """One client's connection, as a tap shows it."""

    def __init__(
        self, capture: Capture, number: int, user: str, material: Material, channel: str = CHANNEL
    ) -> None:
        self.recording = Recording(number)
        self.recording.app_id = APP
        self.number = number
        self.user = user
        self._capture = capture
        self.crypto = material.key(user).bind(APP, channel, user)
        self.show(controls.encode(controls.Join(channel=channel, user=user, hello=self.crypto.hello), 1))

    def show(self, payload: bytes, **changes: Any) -> None:
        """Let the tap see one WebSocket frame to the relay."""
        frame = WireFrame(2, True, True, payload)._replace(**changes)
        self._capture.watch(self.recording, True, frame)

    def say(self, kind: Kind, stream: int, payload: bytes | None = None) -> None:
        """Seal and send, by default what has this speaker's canary in it."""
        if payload is None:
            payload = CANARIES[self.user][kind.name.lower()].text + b" and more"
        self.put(self.crypto.seal(Descriptor(kind, stream=stream), payload), kind)

    def put(self, sealed: bytes, kind: Kind = Kind.AUDIO) -> None:
        message = kind is Kind.MESSAGE
        self.show(envelope.message(7, 1, 3, sealed) if message else envelope.frame(7, 1, sealed))

    def talk(self) -> None:
        """Send twelve frames on three streams."""
        for _ in range(10):
            self.say(Kind.AUDIO, 2)
        self.say(Kind.VIDEO, 3)
        self.say(Kind.MESSAGE, 1)

    def meet(self, others: Sequence[Speaker], now: float = 0.0) -> None:
        """Have just joined, and find *others* there, who are told."""
        self.crypto.joined([(other.number, other.user, other.crypto.hello) for other in others], now)
        for other in others:
            other.crypto.add_member(self.number, self.user, self.crypto.hello, now)


def settle(speakers: Sequence[Speaker], now: float = 0.0) -> None:
    """Let everybody send what their encryption wants sent, until nothing is left."""
    by_number = {speaker.number: speaker for speaker in speakers}
    while any(speaker.crypto.stirred for speaker in speakers):
        for speaker in speakers:
            for item in speaker.crypto.outgoing(now):
                if isinstance(item, Direct):
                    direct = controls.Direct(channel=7, member=item.member, data=item.data)
                    speaker.show(controls.encode(direct, 2))
                    by_number[item.member].crypto.receive_direct(speaker.number, item.data, now)
                else:
                    speaker.put(item.data, Kind.CONTROL)


def conversation(material: Material, channel: str = CHANNEL) -> Capture:
    """Let two members talk, a third come and go, and the two talk on under other keys."""
    capture = Capture()
    ann, bob = (Speaker(capture, number, user, material, channel) for number, user in enumerate(USERS))
    ann.meet([])
    bob.meet([ann])
    settle([ann, bob])
    for speaker in (ann, bob):
        speaker.talk()
    guest = Speaker(capture, len(USERS), GUEST, material, channel)
    guest.meet([ann, bob])
    settle([ann, bob, guest])
    for speaker in (ann, bob, guest):
        speaker.talk()
    for speaker in (ann, bob):
        speaker.crypto.remove_member(guest.number)
        if material.rotation is not None:
            speaker.crypto.rotate(material.rotation)
    settle([ann, bob])
    for now in (_SWITCHED, 2 * _SWITCHED):
        for speaker in (ann, bob):
            speaker.crypto.handle_timeout(now)
        settle([ann, bob], now)
    for speaker in (ann, bob):
        speaker.talk()
    return capture
