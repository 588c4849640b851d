"""The conclusions: one row for each thing that has to be true, with what was searched and found.

Pure. A row holds only if nothing was found *and* the same search found what it must find elsewhere: a
search that finds nothing anywhere proves nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .inquiry import MARKER_FILE, Evidence
from .members import KINDS
from .needles import Hit, Sweep
from .process import LOG

__all__ = ["NOTES", "Check", "Verdict", "judge"]

_SHOWN: Final = 12
"""Findings of one row that are spelled out."""
_MIB: Final = 1 << 20

NOTES: Final = (
    "The app's certificate IS in the relay, by design: it verifies tokens with it. The certificate opens "
    "nothing that members seal, and is not searched for.",
    "Python's own ssl and hashlib bring OpenSSL's libcrypto into every process, the relay's included. What "
    "the relay does not have is a key, or a package through which Python code could decrypt.",
    "Memory was read at one moment, right after the last frames, with all members still there.",
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
    faults = [
        f"{meeting.provider}: no {kind} arrived at one of the members"
        for meeting in (*tested.meetings, *evidence.control.meetings)
        for kind in meeting.silent
    ]
    for meeting in (*tested.meetings, *evidence.control.meetings):
        faults += [f"{meeting.provider}: no {kind} was sent" for kind in KINDS if not meeting.sent[kind]]
    if not opening.frames or opening.opened < opening.frames or opening.canaries < opening.expected:
        faults.append("not every captured frame opens under the keys that are searched for")
    for watched in (tested, evidence.control):
        if watched.status:
            faults.append(f"a relay ended with status {watched.status}")
    sent = sum(meeting.sent.total() for meeting in tested.meetings)
    arrived = sum(meeting.opened.total() for meeting in tested.meetings)
    return Check(
        "conversation",
        "members with every kind of key exchanged canaries of every kind",
        f"{len(tested.meetings)} kinds of key, {sent:,} sent, {arrived:,} opened",
        sent,
        0,
        f"{opening.opened:,} of {opening.frames:,} captured open under the searched keys",
        _verdict(0, faults),
        tuple(faults[:_SHOWN]),
    )


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
    name, claim = f"windows-{size}", f"no {size} bytes of its memory are the key of a captured frame"
    tried = next((one for one in evidence.guesses if one.key_size == size), None)
    control = next((one for one in evidence.control_guesses if one.key_size == size), None)
    if tried is None or control is None:
        fault = "no captured frame has a key of this size"
        return Check(name, claim, "nothing", 0, 0, "none", Verdict.BROKEN, (fault,))
    faults = []
    if not tried.complete:
        faults.append("stopped before the end: allow more with --max-candidates")
    if not control.found:
        faults.append("the key that the control was given was not found")
    if evidence.tested.dump.unread:
        faults.append("some memory could not be read")
    where = f"planted: found at 0x{control.found[0].address:x}" if control.found else "planted: NOT found"
    return Check(
        name,
        claim,
        f"{tried.size / _MIB:.1f} MiB, every {evidence.plan.stride} bytes, {tried.seconds:.0f} s",
        tried.candidates,
        len(tried.found),
        where,
        _verdict(len(tried.found), faults),
        (*_spelled(tried.found, "0x{:x} in {}"), *faults),
    )


def _absent(what: str, sweep: Sweep, place: str) -> list[str]:
    """Say that a marker was not found where it must be; *place* ``memory`` is anywhere in this sweep."""
    places = {hit.place for hit in sweep.hits if hit.what == what}
    if place in places or (place == "memory" and places):
        return []
    return [f"the {what} was not found in {place}, where it is"]


def _spelled(hits: list[Hit], where: str) -> list[str]:
    found = [f"{hit.what}, {hit.form}, at {where.format(hit.address, hit.place)}" for hit in hits[:_SHOWN]]
    return found + ([f"and {len(hits) - _SHOWN} more"] if len(hits) > _SHOWN else [])
