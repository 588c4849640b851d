"""Each check holds for a faithful conversation, and fails for the one fault it is there to find."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealcast.cli.demo import wav
from sealcast.cli.demo.checks import Evidence, Sweeps, digest_of, judge, sweep
from sealcast.cli.demo.ledger import Ledger
from sealcast.cli.demo.payload import pack_sound, write_line
from sealcast.cli.demo.reopened import Secrets, reopen
from sealcast.cli.demo.seen import Witness
from sealcast.cli.demo.tap import Recording
from sealcast.cli.demo.wire import WireFrame
from sealcast.client import Key
from sealcast.client.e2ee.context import Sender, base_key, bind16, context_id, epoch_key
from sealcast.client.e2ee.hello import read_hello
from sealcast.client.e2ee.suites import suite_by_id
from sealcast.protocol import envelope
from sealcast.protocol.controls import Join, Joined, encode
from sealcast.protocol.descriptor import PADDED, SIGNED, Descriptor
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import encode_header

CLIP = Path(wav.__file__).with_name("clip.wav")
APP, CHANNEL, SECRET = "0123456789abcdef0123456789abcdef", "standup", bytes(range(32))
CERTIFICATE = b"fedcba9876543210fedcba9876543210"
USERS = ("alice", "bob", "carol")
FRAMES = 10
LINES = 2


class Talk:
    """A conversation as the tap, the witness and the ledger would have it, sealed with real keys or none."""

    def __init__(self, secret: bytes | None, frames: int = FRAMES) -> None:
        key = Key.raw(secret) if secret is not None else Key.none()
        self.cryptos = {user: key.bind(APP, CHANNEL, user) for user in USERS}
        self.recordings = [Recording(number) for number in range(len(USERS))]
        self.witness = Witness("alice")
        self.ledger = Ledger(USERS, "alice")
        self._offset = 0
        for number, user in enumerate(USERS):
            self.recordings[number].up.append(b"GET / HTTP/1.1\r\n\r\n")
            join = Join(channel=CHANNEL, user=user, hello=self.cryptos[user].hello)
            self._pass(number, True, encode(join, 1))
            joined = Joined(
                channel=7,
                member=number + 1,
                epoch="e",
                offset=0,
                members=(),
                grant={},
                expires_in=60,
                policy={},
            )
            self._pass(number, False, encode(joined, 1))
        if secret is not None:
            for place in range(len(USERS)):
                self._sign_of_life(place)
        with wav.WaveFile(CLIP) as file:
            for index, pcm in enumerate(itertools.islice(file.frames(), frames)):
                self._play(index, pcm)
        for number in range(LINES):
            for place in range(len(USERS)):
                self._say(place, number)
        digest = digest_of(CLIP, frames)
        for member in self.ledger.members.values():
            member.sha256 = digest
        self.ledger.speaker.sent = frames

    def _pass(self, number: int, upward: bool, payload: bytes) -> None:
        recording = self.recordings[number]
        if upward:
            recording.up.append(payload)
        else:
            recording.down += payload
        self.witness.frame(number, upward, WireFrame(2, True, upward, payload))

    def _sign_of_life(self, place: int) -> None:
        """Send what members send each other unasked, and no application sees."""
        sealed = self.cryptos[USERS[place]].seal(Descriptor(Kind.CONTROL), b"here I am")
        frame = envelope.frame(7, place + 1, sealed)
        self._pass(place, True, frame)
        for other in range(len(USERS)):
            if other != place:
                self._pass(other, False, frame)

    def _play(self, index: int, pcm: bytes) -> None:
        crypto = self.cryptos["alice"]
        sound = Descriptor(Kind.AUDIO, stream=2, version=crypto.version)
        frame = envelope.frame(7, 1, crypto.seal(sound, pack_sound(index, 0, pcm)))
        self._pass(0, True, frame)
        for number in (1, 2):
            self._pass(number, False, frame)
            self.ledger.members[USERS[number]].heard += 1

    def _say(self, place: int, number: int) -> None:
        self._offset += 1
        user = USERS[place]
        text = write_line(number * 3 + place, number, 0)
        crypto = self.cryptos[user]
        line = Descriptor(Kind.MESSAGE, stream=1, version=crypto.version)
        sealed = crypto.seal(line, text.encode())
        self._pass(place, True, envelope.message(7, place + 1, 1, sealed))
        self._report(user, acked=[(number, self._offset, text)])
        for other, name in enumerate(USERS):
            if other != place:
                self._pass(other, False, envelope.delivered(7, place + 1, self._offset, sealed))
                self._report(name, read=[(self._offset, user, text, 5)])

    def _report(self, user: str, **news: Any) -> None:
        member = self.ledger.members[user]
        counts = {"sent": member.sent, "heard": member.heard}
        empty: dict[str, Any] = {"unsent": 0, "gaps": 0, "guests": 0, "troubles": {}, "latest": None}
        lists: dict[str, Any] = {"latencies": [], "acked": [], "read": [], "aside": []}
        member.take({"event": "progress", **counts, **empty, **lists, **news})

    def texts(self) -> list[bytes]:
        return [text for recording in self.recordings for text in recording.texts()]


SECRETS = {"the content key": [SECRET], "the app certificate": [CERTIFICATE]}


def evidence(
    tamper: Callable[[Talk], object] = lambda _: None,
    tamper_control: Callable[[Talk], object] = lambda _: None,
    opened_with: bytes = SECRET,
    **changes: Any,
) -> Evidence:
    """Return the evidence of a faithful demo, but for what *tamper* and *changes* do to it."""
    talk, control = Talk(SECRET), Talk(None, 4)
    tamper(talk)
    tamper_control(control)
    counts = {
        "frames_in": FRAMES + 4 + 3,
        "messages_in": 2 * LINES * 3,
        "clear_frames": 4 + LINES * 3,
        "deliveries": 2 * (FRAMES + 4 + 3) + 2 * 2 * LINES * 3,
        "dropped": {},
        "refused": {},
    }
    values: dict[str, Any] = {
        "ledger": talk.ledger,
        "witness": talk.witness,
        "control_ledger": control.ledger,
        "control_witness": control.witness,
        "metrics": counts,
        "loaded": [],
        "statuses": [0] * 7,
        "faults": [],
        "connections": 3,
        "cut": False,
        "reopened": reopen(
            talk.recordings, talk.witness, Secrets(APP, CHANNEL, opened_with), frozenset(USERS), "alice"
        ),
        "sweeps": Sweeps(
            sealed=sweep(talk.texts(), talk.ledger, CLIP, SECRETS),
            clear=sweep(control.texts(), control.ledger, CLIP, {}),
        ),
        "expected": lambda frames: digest_of(CLIP, frames),
    }
    values["metrics"] = {**counts, **changes.pop("metrics", {})}
    return Evidence(**{**values, **changes})


def failed(of: Evidence) -> set[str]:
    return {check.name for check in judge(of) if not check.holds}


def test_all_checks_hold_for_a_faithful_conversation() -> None:
    checks = judge(evidence())
    assert [check.name for check in checks if not check.holds] == []
    assert [check.name for check in checks] == [
        *("audio", "messages", "losses", "untouched", "counters", "recording"),
        *("plaintext", "secrets", "control", "blind", "ended"),
    ]


# --- what was heard and read ---


def test_one_flipped_sample_at_one_listener_fails() -> None:
    def flip(talk: Talk) -> None:
        with wav.WaveFile(CLIP) as file:
            pcm = bytearray(b"".join(itertools.islice(file.frames(), FRAMES)))
        pcm[1_001] ^= 1
        talk.ledger.members["carol"].sha256 = hashlib.sha256(pcm).hexdigest()

    assert failed(evidence(flip)) == {"audio"}


def test_a_speaker_who_sent_something_else_than_the_file_fails() -> None:
    def other(talk: Talk) -> None:
        for member in talk.ledger.members.values():
            member.sha256 = digest_of(CLIP, FRAMES + 1)

    assert failed(evidence(other)) == {"audio"}


def test_frames_in_another_order_fail_even_if_their_number_is_right() -> None:
    def swap(talk: Talk) -> None:
        talk.ledger.members["bob"].gaps = 2

    assert failed(evidence(swap)) == {"audio"}


def test_a_frame_that_never_arrived_fails() -> None:
    def lose(talk: Talk) -> None:
        talk.ledger.members["bob"].heard -= 1

    assert failed(evidence(lose)) == {"audio", "counters"}


def test_no_frames_at_all_prove_nothing() -> None:
    def silence(talk: Talk) -> None:
        talk.ledger.speaker.sent = 0
        for member in talk.ledger.members.values():
            member.heard, member.sha256 = 0, digest_of(CLIP, 0)

    assert {"audio", "counters", "recording", "plaintext"} <= failed(evidence(silence))


def test_a_line_that_came_twice_fails() -> None:
    def repeat(talk: Talk) -> None:
        lines = talk.ledger.members["carol"].lines_read
        lines.append(lines[-1])

    assert failed(evidence(repeat)) == {"messages", "counters"}


@pytest.mark.parametrize("trouble", ["dropped", "unopened", "refused", "disconnected"])
def test_any_loss_on_a_members_side_fails(trouble: str) -> None:
    def lose(talk: Talk) -> None:
        talk.ledger.members["bob"].troubles[trouble] += 1

    assert failed(evidence(lose)) == {"losses"}
    assert failed(evidence(tamper_control=lose)) == {"losses"}


def test_a_loss_that_only_the_relay_knows_of_fails() -> None:
    assert failed(evidence(metrics={"dropped": {"audio": 1}})) == {"losses"}


# --- what passed the relay ---


def test_a_byte_that_the_relay_changed_on_the_way_to_one_member_fails() -> None:
    def change(talk: Talk) -> None:
        party = talk.witness.named("bob")
        assert party is not None
        party.received[1].total ^= 1

    assert failed(evidence(change)) == {"untouched"}


def test_a_message_nobody_can_explain_fails() -> None:
    def garble(talk: Talk) -> None:
        talk.witness.frame(1, False, WireFrame(2, True, False, b"\x09"))

    assert failed(evidence(garble)) == {"untouched"}


@pytest.mark.parametrize("counter", ["frames_in", "messages_in", "clear_frames", "deliveries"])
def test_a_relay_that_counts_differently_fails(counter: str) -> None:
    right = evidence().metrics[counter]
    assert failed(evidence(metrics={counter: right + 1})) == {"counters"}
    assert failed(evidence(metrics={counter: right - 1})) == {"counters"}


def test_a_relay_that_refused_something_fails() -> None:
    assert failed(evidence(metrics={"refused": {"counter_repeated": 1}})) == {"counters"}


def test_guests_may_come_and_go_while_something_is_on_its_way_to_them() -> None:
    def visit(talk: Talk) -> None:
        join = Join(channel=CHANNEL, user="guest", hello=b"h")
        talk.witness.frame(9, True, WireFrame(2, True, True, encode(join, 1)))

    more = evidence().metrics["deliveries"] + 3
    assert failed(evidence(visit, metrics={"deliveries": more})) == set()
    assert failed(evidence(metrics={"deliveries": more})) == {"counters"}
    assert failed(evidence(visit, metrics={"deliveries": more - 4})) == {"counters"}


# --- the recording ---


def test_a_recording_that_another_key_is_tried_on_does_not_open() -> None:
    assert failed(evidence(opened_with=bytes(32))) == {"recording"}


def test_a_recording_in_which_a_connection_is_missing_fails() -> None:
    assert failed(evidence(lambda talk: talk.recordings.pop())) == {"recording"}


def test_a_recording_in_which_one_frame_is_missing_fails() -> None:
    assert failed(evidence(lambda talk: talk.recordings[0].up.pop(5))) == {"recording"}


def test_a_recording_with_one_changed_byte_fails() -> None:
    def change(talk: Talk) -> None:
        up = talk.recordings[0].up
        up[5] = up[5][:-1] + bytes([up[5][-1] ^ 1])

    assert failed(evidence(change)) == {"recording"}


def test_a_connection_that_could_not_be_followed_fails() -> None:
    result = evidence(faults=["a WebSocket frame with a reserved bit"])
    assert failed(result) == {"recording"}
    assert any("reserved bit" in check.detail for check in judge(result))


def test_of_a_recording_that_was_full_the_part_that_is_there_has_to_open() -> None:
    def cut(talk: Talk) -> None:
        for recording in talk.recordings:
            del recording.up[6:]

    result = evidence(cut, cut=True)
    assert failed(result) == set()
    assert any("full before the end" in check.detail for check in judge(result))
    assert failed(evidence(cut)) == {"recording"}


# --- the search ---


@pytest.mark.parametrize("form", ["raw", "hex", "base64"])
@pytest.mark.parametrize("what", ["line", "sound", "key", "certificate"])
def test_anything_that_leaks_in_any_form_is_found(what: str, form: str) -> None:
    def leak(talk: Talk) -> None:
        with wav.WaveFile(CLIP) as file:
            pcm = next(itertools.islice(file.frames(), 3, None))
        secret = {
            "line": talk.ledger.texts()[3].encode(),
            "sound": pcm,
            "key": SECRET,
            "certificate": CERTIFICATE,
        }[what]
        written = {"raw": secret, "hex": secret.hex().encode(), "base64": base64.b64encode(b"!" + secret)}[
            form
        ]
        talk.recordings[2].down += b"..." + written + b"..."

    assert failed(evidence(leak)) == {"secrets" if what in ("key", "certificate") else "plaintext"}


def test_a_conversation_that_was_not_sealed_after_all_is_found() -> None:
    naked = Talk(None)
    found = sweep(naked.texts(), naked.ledger, CLIP, SECRETS)
    assert found.found["messages"] == found.needles["messages"] == LINES * 3
    assert found.found["audio windows"] == found.needles["audio windows"] > 100
    result = evidence()
    assert failed(dataclasses.replace(result, sweeps=Sweeps(found, result.sweeps.clear))) == {"plaintext"}


def test_a_search_that_finds_nothing_in_clear_text_either_is_no_proof() -> None:
    result = evidence()
    assert failed(dataclasses.replace(result, sweeps=Sweeps(result.sweeps.sealed, result.sweeps.sealed))) == {
        "control"
    }


def test_a_control_that_misses_a_single_line_fails() -> None:
    def hide(talk: Talk) -> None:
        for recording in talk.recordings:
            text = talk.ledger.texts()[0].encode()
            recording.up = [payload.replace(text, b"?") for payload in recording.up]
            recording.down = recording.down.replace(text, b"?")

    result = evidence(tamper_control=hide)
    assert failed(result) == {"control"}
    assert any("1 of them not found" in check.detail for check in judge(result))


def test_a_sound_that_is_too_quiet_to_be_looked_for_proves_nothing(tmp_path: Path) -> None:
    quiet = tmp_path / "quiet.wav"
    with wav.write(quiet, wav.Format(16_000, 2, 1)) as file:
        file.writeframes(bytes(128_000))
    talk = Talk(SECRET)
    found = sweep(talk.texts(), talk.ledger, quiet, SECRETS)
    result = evidence()
    result = dataclasses.replace(result, sweeps=Sweeps(found, result.sweeps.clear))
    assert failed(result) == {"plaintext"}
    assert any("too quiet" in check.detail for check in judge(result))


# --- the processes and the file ---


@pytest.mark.parametrize("loaded", [None, ["cryptography"], ["sealcast.client", "sealcast.client.e2ee"]])
def test_a_relay_that_could_decrypt_or_does_not_say_fails(loaded: list[str] | None) -> None:
    assert failed(evidence(loaded=loaded)) == {"blind"}


@pytest.mark.parametrize("statuses", [[], [0, 0, 1], [0, -9]])
def test_a_process_that_did_not_end_in_order_fails(statuses: list[int]) -> None:
    assert failed(evidence(statuses=statuses)) == {"ended"}


def test_a_file_that_holds_something_else_than_was_heard_fails() -> None:
    assert failed(evidence(written=digest_of(CLIP, FRAMES))) == set()
    assert failed(evidence(written=digest_of(CLIP, FRAMES - 1))) == {"file"}
    assert failed(evidence(written="")) == {"file"}


def test_the_digest_of_a_file_is_that_of_its_samples(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    pcm = bytes(range(250)) * 3
    with wav.write(path, wav.Format(11_025, 2, 1)) as file:
        file.writeframes(pcm)
    assert digest_of(path) == hashlib.sha256(pcm).hexdigest()
    frames = (pcm * 10)[: 2 * (2 * 11_025 // 50)]
    assert digest_of(path, 2) == hashlib.sha256(frames).hexdigest()


def test_padded_and_signed_frames_open_to_what_stands_inside() -> None:
    talk = Talk(SECRET)
    ctx = context_id(APP, CHANNEL)
    hello = read_hello(talk.cryptos["bob"].hello or b"", ctx)
    suite = suite_by_id(hello.suite)
    sender = Sender(ctx, suite, "bob", hello.session)
    key, salt = suite.schedule(base_key(epoch_key(suite, ctx, SECRET), sender, 0), 1 << 8)
    descriptor = Descriptor(Kind.MESSAGE, PADDED | SIGNED, stream=1)
    header = encode_header(1 << 8, 99)
    nonce = (int.from_bytes(salt, "big") ^ 99).to_bytes(12, "big")
    plain = b"s" * 64 + b"a line" + b"\x80" + bytes(9)
    body = AESGCM(key).encrypt(nonce, plain, header + bind16(sender, 0) + descriptor.wire)
    talk.recordings[1].up.append(envelope.message(7, 2, 9, descriptor.wire + header + body))
    opened = reopen(talk.recordings, talk.witness, Secrets(APP, CHANNEL, SECRET), frozenset(USERS), "alice")
    assert opened.failures == 0
    assert opened.lines["a line"] == 1


def test_the_secrets_of_a_recording_do_not_show_themselves() -> None:
    assert "\\x01" not in repr(Secrets(APP, CHANNEL, SECRET))
