"""The conclusions: one row for each thing that has to be true, with the number that says so.

Pure, but for reading the file that was played: everything else is in ``Evidence``.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from . import wav
from .figures import size
from .ledger import Ledger
from .proof import Needle, Sweep, search, windows
from .reopened import Reopened
from .seen import Party, Tally, Witness

__all__ = ["Check", "Evidence", "Sweeps", "digest_of", "judge", "sweep"]

_AUDIO: Final = "audio windows"
_LINES: Final = "messages"
_FRAMES_READ_MAX: Final = 60 * wav.FRAMES_PER_SECOND
"""Frames of sound that windows are taken from: a minute of it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One row."""

    name: str
    """What scripts know it by."""
    claim: str
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Sweeps:
    """What the same search found in both recordings, and over how many connections."""

    sealed: Sweep
    clear: Sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that the checks look at."""

    ledger: Ledger
    witness: Witness
    control_ledger: Ledger
    control_witness: Witness
    metrics: dict[str, Any]
    """The relay's own counters."""
    loaded: list[str] | None
    """Modules in the relay's process that hold ciphers; None when it did not say."""
    statuses: list[int]
    faults: list[str]
    """Why connections of members could not be followed."""
    connections: int
    cut: bool
    """Whether the tap was full before the end."""
    reopened: Reopened
    sweeps: Sweeps
    expected: Callable[[int], str]
    """The SHA-256 over so many frames of the file, read again."""
    written: str | None = None
    """The SHA-256 over the samples of the file that was written, if one was asked for."""

    @property
    def guests(self) -> int:
        """Connections of people who are no part of the demo."""
        parties = self.witness.parties.values()
        return sum(bool(party.user) and party.user not in self.ledger.members for party in parties)


def digest_of(path: Path, frames: int | None = None) -> str:
    """Return the SHA-256 over so many frames of a file, or over all its samples once."""
    digest = hashlib.sha256()
    with wav.WaveFile(path) as file:
        if frames is None:
            frames = -(-file.size * wav.FRAMES_PER_SECOND // (file.format.rate * file.format.step))
            left = file.size
            for pcm in itertools.islice(file.frames(), frames):
                digest.update(pcm[:left])
                left -= len(pcm[:left])
        else:
            for pcm in itertools.islice(file.frames(), frames):
                digest.update(pcm)
    return digest.hexdigest()


def sweep(texts: list[bytes], ledger: Ledger, audio: Path, secrets: dict[str, list[bytes]]) -> Sweep:
    """Search recorded bytes for what the members said and played, and for *secrets*, by their names."""
    with wav.WaveFile(audio) as file:
        frames = itertools.islice(file.frames(), min(ledger.frames_sent, _FRAMES_READ_MAX))
        parts = windows(frames, file.format.step)
    needles = [Needle(_AUDIO, part) for part in parts]
    needles += [Needle(_LINES, text.encode()) for text in ledger.texts()]
    needles += [Needle(name, value) for name, values in secrets.items() for value in values]
    return search(texts, needles)


def judge(evidence: Evidence) -> list[Check]:
    """Return all rows, in the order in which they are shown."""
    return list(_rows(evidence))


def _rows(evidence: Evidence) -> Iterator[Check]:
    yield _sound(evidence)
    yield _messages(evidence.ledger)
    yield _losses(evidence)
    yield _untouched(evidence)
    yield _counters(evidence)
    yield _whole(evidence)
    yield _no_plaintext(evidence)
    yield _no_secret(evidence.sweeps.sealed)
    yield _control(evidence)
    yield _blind(evidence.loaded)
    if evidence.written is not None:
        holds = evidence.written == evidence.ledger.listeners[0].sha256
        detail = f"SHA-256 {evidence.written[:16]}…"
        yield Check("file", "the file holds what was heard", holds, detail)
    ended = sum(status == 0 for status in evidence.statuses)
    count = len(evidence.statuses)
    yield Check("ended", "every process ended in order", ended == count > 0, f"{ended} of {count}")


def _sound(evidence: Evidence) -> Check:
    ledger = evidence.ledger
    sent = ledger.frames_sent
    expected = evidence.expected(sent)
    same = [
        listener
        for listener in ledger.listeners
        if listener.heard == sent and not listener.gaps and listener.sha256 == expected
    ]
    holds = sent > 0 and len(same) == len(ledger.listeners) and ledger.speaker.sha256 == expected
    detail = f"{sent:,} frames at {len(same)} of {len(ledger.listeners)} listeners, SHA-256 {expected[:16]}…"
    return Check("audio", "every listener heard the very same samples", holds, detail)


def _messages(ledger: Ledger) -> Check:
    broken = ledger.order_broken_at()
    detail = f"{ledger.lines_sent:,} acknowledged, {ledger.lines_read:,} delivered"
    if broken is not None:
        detail += f"; not so at {broken}"
    return Check("messages", "every message reached all others once, in order", broken is None, detail)


def _losses(evidence: Evidence) -> Check:
    dropped = sum(evidence.metrics.get("dropped", {"unknown": 1}).values())
    lost = evidence.ledger.drops + evidence.control_ledger.drops + dropped
    total = _deliveries(evidence.witness) + _deliveries(evidence.control_witness)
    detail = f"{lost:,} of {total:,} deliveries"
    return Check("losses", "nothing was dropped, refused or left unopened", lost == 0, detail)


def _untouched(evidence: Evidence) -> Check:
    """Whatever a member sent reached every other member's connection, byte for byte, no more and no less."""
    compared = 0
    holds = True
    for ledger, witness in (
        (evidence.ledger, evidence.witness),
        (evidence.control_ledger, evidence.control_witness),
    ):
        parties = [party for user in ledger.members if (party := witness.named(user)) is not None]
        holds = holds and len(parties) == len(ledger.members)
        holds = holds and not any(party.unreadable for party in parties)
        for receiver in parties:
            for sender in parties:
                if sender is not receiver:
                    arrived = receiver.received.get(sender.member, Tally())
                    holds = holds and arrived == sender.sent
                    compared += arrived.count
    detail = f"{compared:,} byte strings compared"
    return Check("untouched", "the relay passed on every byte as it came", holds and compared > 0, detail)


def _counters(evidence: Evidence) -> Check:
    """The relay's counters against what passed the tap, and that against what the members report."""
    metrics, ledger, control = evidence.metrics, evidence.ledger, evidence.control_ledger
    parties = [*evidence.witness.parties.values(), *evidence.control_witness.parties.values()]
    frames, messages = sum(p.frames_up for p in parties), sum(p.messages_up for p in parties)
    clear = sum(p.clear_up for p in evidence.control_witness.parties.values())
    delivered = _deliveries(evidence.witness) + _deliveries(evidence.control_witness)
    own = [party for user in ledger.members if (party := evidence.witness.named(user)) is not None]
    claims = [
        metrics.get("frames_in") == frames,
        metrics.get("messages_in") == messages,
        metrics.get("clear_frames") == clear == control.frames_sent + control.lines_sent,
        sum(party.sound_up for party in own) == ledger.frames_sent,
        sum(party.messages_up for party in own) == ledger.lines_sent,
    ]
    if evidence.guests:
        # A guest may leave while something is on its way to it: counted by the relay, never arrived.
        claims.append(metrics.get("deliveries", 0) >= delivered)
    else:
        claims.append(metrics.get("deliveries") == delivered)
        opened = sum(party.sound_down + party.messages_down for party in parties)
        claims.append(opened == _opened(ledger) + _opened(control))
        claims.append(metrics.get("refused") == {})
    detail = f"{frames:,} frames and {messages:,} messages in, {delivered:,} out"
    return Check("counters", "relay, wire and members count the same", all(claims), detail)


def _opened(ledger: Ledger) -> int:
    return ledger.frames_heard + ledger.lines_read


def _deliveries(witness: Witness) -> int:
    return sum(_received(party) for party in witness.parties.values())


def _received(party: Party) -> int:
    return party.frames_down + party.messages_down


def _whole(evidence: Evidence) -> Check:
    """With the key, the recording is the conversation: the search was made in the right place."""
    opened, ledger = evidence.reopened, evidence.ledger
    lines = sorted(opened.lines.elements())
    said = sorted(ledger.texts())
    if evidence.cut:
        complete = opened.frames > 0 and set(lines) <= set(said)
    else:
        complete = opened.frames == ledger.frames_sent and lines == said
    same = complete and opened.sha256 == evidence.expected(opened.frames)
    detail = f"{opened.frames:,} frames and {len(lines):,} messages, from {evidence.connections} connections"
    if evidence.cut:
        detail += "; the tap was full before the end"
    if evidence.faults:
        detail += f"; {evidence.faults[0]}"
    holds = same and not opened.failures and not evidence.faults
    return Check("recording", "with the key, the recording opens to all of it", holds, detail)


def _no_plaintext(evidence: Evidence) -> Check:
    result = evidence.sweeps.sealed
    hits = result.hits[_LINES] + result.hits[_AUDIO]
    wanted = _wanted(result)
    holds = hits == 0 and _enough(result)
    detail = f"{hits:,} hits for {wanted} in {size(result.searched)}"
    if not result.needles[_AUDIO]:
        detail += "; this sound is too quiet to be looked for, choose another"
    return Check("plaintext", "without the key, nothing of it is found", holds, detail)


def _no_secret(result: Sweep) -> Check:
    names = [name for name in result.needles if name not in (_LINES, _AUDIO)]
    hits = sum(result.hits[name] for name in names)
    detail = f"{hits:,} hits for {' and '.join(names)}"
    return Check("secrets", "no key and no certificate passed the wire", hits == 0 and bool(names), detail)


def _control(evidence: Evidence) -> Check:
    """The search finds every line and every window where they are in clear, so it is not blind itself."""
    result = evidence.sweeps.clear
    found = all(result.found[name] == result.needles[name] for name in (_LINES, _AUDIO))
    holds = found and _enough(result) and evidence.control_ledger.order_broken_at() is None
    detail = f"{result.total:,} hits for {_wanted(result)}"
    missing = sum(result.needles.values()) - sum(result.found.values())
    if missing:
        detail += f"; {missing:,} of them not found"
    return Check("control", "in clear text, the same search finds it all", holds, detail)


def _enough(result: Sweep) -> bool:
    return result.needles[_LINES] > 0 and result.needles[_AUDIO] > 0


def _wanted(result: Sweep) -> str:
    return f"{result.needles[_LINES]:,} {_LINES}, {result.needles[_AUDIO]:,} {_AUDIO}"


def _blind(loaded: list[str] | None) -> Check:
    if loaded is None:
        detail = "the relay did not say"
    else:
        detail = ", ".join(loaded[:3]) if loaded else "no cipher library, no SDK in its process"
    return Check("blind", "the relay has nothing to decrypt with", loaded == [], detail)
