"""The conclusions: one row for each thing that has to be true, with what was searched and found.

Pure. A row holds only if nothing was found *and* the same search found what it must find elsewhere: a
search that finds nothing anywhere proves nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .inquiry import Evidence
from .members import KINDS
from .needles import Hit, Sweep
from .process import LOG
from .stage import MARKER_FILE, Meeting

__all__ = ["NOTES", "Check", "Part", "Verdict", "judge", "took_part"]

_SHOWN: Final = 24
"""Findings of one row that are spelled out."""
_PLACES_SHOWN: Final = 4
"""Places of one finding that are."""
_MIB: Final = 1 << 20

NOTES: Final = (
    "The app's certificate IS in the relay, by design: it verifies tokens with it. The certificate opens "
    "nothing that members seal, and is not searched for.",
    "Python's own ssl and hashlib bring OpenSSL's libcrypto into every process, the relay's included. What "
    "the relay does not have is a key, or a package through which Python code could decrypt.",
    "Memory was read at one moment, right after the last frames, with the members still there.",
    "The relay does see who is in which channel, and when, and of every frame kind, size, stream and "
    "counter.",
)
"""What a reader must know to read the table rightly."""


class Verdict(enum.StrEnum):
    """What a row says."""

    HOLDS = "holds"
    LEAK = "LEAK"
    """Something was found that must not be there."""
    BROKEN = "broken"
    """The check could not have found anything, or was not finished: it proves nothing."""


@dataclass(frozen=True, slots=True)
class Check:
    """One row."""

    name: str
    """What scripts know it by."""
    claim: str
    searched: str
    candidates: int
    """How many different things were looked for, or tried."""
    hits: int
    control: str
    verdict: Verdict
    findings: tuple[str, ...] = ()
    """What was found and where, or what is wrong with the check."""


@dataclass(frozen=True, slots=True)
class Part:
    """One way to agree on keys, and how much it took part."""

    name: str
    cipher: str
    frames: int
    """Captured frames and messages."""
    opened: int
    """Those that open under the secrets that are searched for."""
    wraps: int
    """Captured keys that members sent to each other."""
    wraps_opened: int
    turns: tuple[str, ...]
    """The keys under which those who stayed sealed: epoch and ratchet step, as in ``1.0``."""
    secrets: int
    """How many secrets of its are searched for."""


def took_part(evidence: Evidence) -> list[Part]:
    """Return the ways to agree on keys that took part."""
    return [
        Part(
            meeting.provider.name,
            meeting.provider.cipher,
            meeting.opening.frames,
            meeting.opening.opened,
            meeting.opening.wraps,
            meeting.opening.wraps_opened,
            tuple(f"{epoch}.{step}" for epoch, step in sorted(meeting.turns)),
            meeting.secrets,
        )
        for meeting in evidence.tested.meetings
    ]


def judge(evidence: Evidence) -> list[Check]:
    """Return all rows, in the order in which they are shown."""
    return list(_rows(evidence))


def _rows(evidence: Evidence) -> Iterator[Check]:
    yield _imports(evidence)
    yield _names(evidence)
    yield _mapped(evidence)
    yield _conversation(evidence)
    yield _memory(evidence)
    yield _places(evidence)
    yield _wire(evidence)
    for size in (16, 32):
        yield _guessed(evidence, size)


def _verdict(hits: int, faults: Iterable[str]) -> Verdict:
    if hits:
        return Verdict.LEAK
    return Verdict.BROKEN if any(faults) else Verdict.HOLDS


def _imports(evidence: Evidence) -> Check:
    found, control = evidence.closure.ciphers, evidence.sdk_closure.ciphers
    faults = [] if "cryptography" in control else ["the SDK was not found to import cryptography"]
    return Check(
        "imports",
        "importing the relay brings in no cipher package",
        f"{len(evidence.closure.modules)} modules",
        len(evidence.closure.modules),
        len(found),
        f"in the SDK: {len(control)} found",
        _verdict(len(found), faults),
        (*found[:_SHOWN], *faults),
    )


def _names(evidence: Evidence) -> Check:
    scan, control = evidence.scan, evidence.sdk_scan
    found = [f"{item.name} in {item.file}:{item.line}" for item in scan.found]
    faults = [f"not Python source, so not scanned: {path}" for path in scan.compiled]
    if not scan.files:
        faults.append("no source files were found")
    if not control.found:
        faults.append("no such name was found in the SDK")
    return Check(
        "names",
        "no name in the source of relay and protocol speaks of decrypting",
        f"{scan.files} files",
        scan.names,
        len(found),
        f"in the SDK: {len(control.found)} found",
        _verdict(len(found), faults),
        (*found[:_SHOWN], *faults[:_SHOWN]),
    )


def _mapped(evidence: Evidence) -> Check:
    (files, found), (_, control) = evidence.mapped, evidence.own_mapped
    faults = [] if control else ["no cipher library was found in this process, which has one"]
    return Check(
        "libraries",
        "no library of a cipher package is loaded in the running relay",
        f"{len(files)} mapped files",
        len(files),
        len(found),
        f"in this process: {len(control)} found",
        _verdict(len(found), faults),
        (*found[:_SHOWN], *faults),
    )


def _conversation(evidence: Evidence) -> Check:
    tested, opening = evidence.tested, evidence.tested.opening
    faults: list[str] = []
    for meeting in (*tested.meetings, *evidence.control.meetings):
        faults += _missing(meeting)
    if not opening.whole:
        faults.append("not everything that was captured opens under the keys that are searched for")
    for watched in (tested, evidence.control):
        if watched.status:
            faults.append(f"a relay ended with status {watched.status}")
    sent = sum(meeting.sent.total() for meeting in tested.meetings)
    arrived = sum(meeting.opened.total() for meeting in tested.meetings)
    left_out = f" (not offered here: {', '.join(evidence.plan.missing)})" if evidence.plan.missing else ""
    return Check(
        "conversation",
        "members with every kind of key exchanged canaries of every kind",
        f"{len(tested.meetings)} kinds of key{left_out}, {sent:,} sent, {arrived:,} opened by others",
        sent,
        0,
        f"{opening.opened:,} of {opening.frames:,} frames, {opening.wraps_opened} of {opening.wraps} "
        "wraps open under the searched keys",
        _verdict(0, faults),
        tuple(faults[:_SHOWN]),
    )


def _missing(meeting: Meeting) -> Iterator[str]:
    """Say what did not happen in a conversation and should have."""
    name = meeting.provider.name
    for kind in KINDS:
        if not meeting.sent[kind]:
            yield f"{name}: no {kind} was sent"
    for kind in meeting.silent:
        yield f"{name}: no {kind} arrived at one of the members"
    if meeting.changes and len({epoch for epoch, _ in meeting.turns}) < 2:
        yield f"{name}: the keys did not change under way"


def _memory(evidence: Evidence) -> Check:
    tested, found = evidence.tested, evidence.secrets.memory
    known, clear = evidence.ciphertexts.memory, evidence.clear.memory
    faults = []
    if tested.dump.unread or evidence.control.dump.unread:
        faults.append(f"{tested.dump.unread + evidence.control.dump.unread} bytes could not be read")
    if not known.found:
        faults.append("not one of the last ciphertexts was found")
    faults += _absent("marker", evidence.markers.memory, "memory")
    if not clear.count:
        faults.append("no canary sent in clear was found in the control's memory")
    return Check(
        "memory",
        "no canary, secret or key is in the relay's memory",
        f"{found.searched / _MIB:.1f} MiB in {len(tested.dump.texts)} mappings",
        found.needles,
        found.count,
        f"ciphertext {known.count}, in clear {clear.count:,}",
        _verdict(found.count, faults),
        (*_spelled(found.hits, "0x{:x} in {}"), *faults),
    )


def _places(evidence: Evidence) -> Check:
    tested, found = evidence.tested, evidence.secrets.places
    around = tested.surroundings
    faults = [f"larger than what is read: {name}" for name in tested.oversized]
    if Path(around.directory) != tested.directory.resolve():
        faults.append("the relay did not stay in its directory")
    for what, place in (
        ("marker", "environment"),
        ("marker", f"file {MARKER_FILE}"),
        ("app id", f"file {LOG}"),
        ("runner", "arguments"),
    ):
        faults += _absent(what, evidence.markers.places, place)
    marked = evidence.markers.places.count
    return Check(
        "files",
        "none is in its files, log, environment or arguments",
        f"{len(tested.files)} files, {around.descriptors['file']} open, {found.searched / 1024:.1f} KiB",
        found.needles,
        found.count,
        f"markers {marked}",
        _verdict(found.count, faults),
        (*_spelled(found.hits, "offset {} of {}"), *faults),
    )


def _wire(evidence: Evidence) -> Check:
    tested, found = evidence.tested, evidence.secrets.wire
    known, clear = evidence.ciphertexts.wire, evidence.clear.wire
    faults = [*tested.faults, *evidence.control.faults]
    if len(known.found) < max(1, known.needles):
        faults.append("not every last ciphertext was found")
    if len(clear.found) < max(1, clear.needles):
        faults.append("not every canary sent in clear was found in the control's capture")
    return Check(
        "sockets",
        "none is in the bytes on its sockets, unmasked",
        f"{found.searched / _MIB:.2f} MiB on {len(tested.wire) // 2} sockets",
        found.needles,
        found.count,
        f"ciphertext {known.count}, in clear {clear.count:,}",
        _verdict(found.count, faults),
        (*_spelled(found.hits, "offset {} of {}"), *faults),
    )


def _guessed(evidence: Evidence, size: int) -> Check:
    name, claim = f"windows-{size}", f"no {size} bytes of its memory are the AES key of a captured frame"
    tried = next((one for one in evidence.guesses if one.key_size == size), None)
    control = next((one for one in evidence.control_guesses if one.key_size == size), None)
    planted = [lock.name for lock in evidence.planted if len(lock.key) == size]
    if tried is None or control is None or not planted:
        fault = "no captured frame has a key of this size"
        return Check(name, claim, "nothing", 0, 0, "none", Verdict.BROKEN, (fault,))
    faults = []
    if not tried.complete:
        faults.append("stopped before the end: allow more with --max-candidates")
    found = {hit.what for hit in control.found}
    lost = [frame for frame in planted if f"the key of {frame}" not in found]
    faults += [f"the control was given the key of {frame}, and it was not found" for frame in lost]
    if evidence.tested.dump.unread:
        faults.append("some memory could not be read")
    return Check(
        name,
        claim,
        f"{tried.size / _MIB:.1f} MiB, every {evidence.plan.stride} bytes, against {tried.frames} frames, "
        f"{tried.seconds:.0f} s",
        tried.candidates,
        len(tried.found),
        f"planted {len(planted)}, found {len(planted) - len(lost)}",
        _verdict(len(tried.found), faults),
        (*_spelled(tried.found, "0x{:x} in {}"), *faults),
    )


def _absent(what: str, sweep: Sweep, place: str) -> list[str]:
    """Say that a marker was not found where it must be; *place* ``memory`` is anywhere in this sweep."""
    places = {hit.place for hit in sweep.hits if hit.what == what}
    if place in places or (place == "memory" and places):
        return []
    return [f"the {what} was not found in {place}, where it is"]


def _spelled(hits: Sequence[Hit], where: str) -> list[str]:
    """Say what was found and where, a line for each thing; bare bytes before encodings of them."""
    by_name: dict[str, list[Hit]] = {}
    for hit in sorted(hits, key=lambda hit: (hit.what, hit.form != "raw")):
        by_name.setdefault(hit.what, []).append(hit)
    lines = []
    for what, found in list(by_name.items())[:_SHOWN]:
        places = [f"{hit.form} at {where.format(hit.address, hit.place)}" for hit in found[:_PLACES_SHOWN]]
        more = [f"{len(found) - _PLACES_SHOWN} more"] if len(found) > _PLACES_SHOWN else []
        lines.append(f"{what}: {'; '.join(places + more)}")
    return lines + ([f"and {len(by_name) - _SHOWN} other things"] if len(by_name) > _SHOWN else [])
