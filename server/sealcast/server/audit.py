"""The audit log: who changed what, when and from where; each entry holds the hash of the one before it.

An entry cannot be changed, taken out or put in between without breaking every hash after it. What the chain
does not show is that its end was cut off: whoever keeps a copy of its head elsewhere, number and hash,
can check that the chain still leads to it.

The hash of an entry is SHA-256 over ``sealcast audit 1``, the previous hash and the entry's fields, each as
its length (u32, big-endian) and its bytes: no two different entries have the same input.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = [
    "GENESIS",
    "Broken",
    "Entry",
    "Head",
    "Verdict",
    "detail_of",
    "entry_hash",
    "follow",
    "verify",
    "verify_list",
]

GENESIS: Final = bytes(32)
"""What stands for the hash before the first entry."""

_LABEL: Final = b"sealcast audit 1"
_SECRET_NAMES: Final = frozenset({"secret", "certificate", "password", "token", "key", "hash"})
_TEXT_MAX: Final = 500


class Broken(ValueError):
    """The chain does not hold at ``seq``."""

    def __init__(self, seq: int, why: str) -> None:
        super().__init__(f"entry {seq}: {why}")
        self.seq = seq


@dataclass(frozen=True, slots=True)
class Entry:
    """One administrative change."""

    seq: int
    """1, 2, 3 … without a gap."""
    at_ms: int
    """Milliseconds since 1970."""
    actor: str
    """Who: an account, an API key by its number, the command line, or the relay itself."""
    address: str
    """From where."""
    action: str
    """What, as ``app.create``."""
    target: str
    """On what."""
    detail: str
    """More, as JSON; see ``detail_of``."""
    previous: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry of a chain."""

    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check came to."""

    entries: int
    head: Head
    broken: Broken | None = None


def entry_hash(
    previous: bytes, seq: int, at_ms: int, actor: str, address: str, action: str, target: str, detail: str
) -> bytes:
    """Return the hash of an entry with these fields."""
    digest = hashlib.sha256()
    numbers = (str(seq), str(at_ms))
    texts = (text.encode() for text in (*numbers, actor, address, action, target, detail))
    for part in (_LABEL, previous, *texts):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


def follow(
    head: Head | None,
    at_ms: int,
    actor: str,
    address: str,
    action: str,
    target: str,
    detail: Mapping[str, Any] | None = None,
) -> Entry:
    """Return the entry that follows *head*, or the first one."""
    seq, previous = (head.seq + 1, head.hash) if head is not None else (1, GENESIS)
    said = detail_of(detail or {})
    value = entry_hash(previous, seq, at_ms, actor, address, action, target, said)
    return Entry(seq, at_ms, actor, address, action, target, said, previous, value)


def detail_of(detail: Mapping[str, Any]) -> str:
    """Return a detail as JSON, its keys sorted, without what could be a secret and with long text cut."""
    return json.dumps(_plain(detail), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            str(name): "hidden" if item is not None and _secret(str(name).lower()) else _plain(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}…"


def _secret(name: str) -> bool:
    """Say whether what has this name could be a secret; the id of a secret is none."""
    return not name.endswith("_id") and bool(set(name.split("_")) & _SECRET_NAMES)


class _Check:
    """Takes entries one by one."""

    def __init__(self, begin: Head | None, until: Head | None) -> None:
        self.head = begin or Head(0, GENESIS)
        self.entries = 0
        self.broken: Broken | None = None
        self._until = until
        self._reached = until is None

    def take(self, entry: Entry) -> bool:
        """Return whether the chain still holds."""
        try:
            self._check(entry)
        except Broken as broken:
            self.broken = broken
            return False
        self.entries += 1
        self.head = Head(entry.seq, entry.hash)
        return True

    def _check(self, entry: Entry) -> None:
        if entry.seq != self.head.seq + 1:
            raise Broken(entry.seq, f"{self.head.seq + 1} should stand here")
        if not hmac.compare_digest(entry.previous, self.head.hash):
            raise Broken(entry.seq, "it does not follow the entry before it")
        said = (entry.actor, entry.address, entry.action, entry.target, entry.detail)
        if not hmac.compare_digest(entry.hash, entry_hash(entry.previous, entry.seq, entry.at_ms, *said)):
            raise Broken(entry.seq, "it was changed")
        if self._until is not None and entry.seq == self._until.seq:
            if not hmac.compare_digest(entry.hash, self._until.hash):
                raise Broken(entry.seq, "it is another one than the head that was kept")
            self._reached = True

    def verdict(self) -> Verdict:
        """Return what it all came to."""
        broken = self.broken
        if broken is None and not self._reached and self._until is not None:
            broken = Broken(
                self._until.seq, "the log ends before the head that was kept: its end was cut off"
            )
        return Verdict(self.entries, self.head, broken)


async def verify(
    entries: AsyncIterable[Entry], *, begin: Head | None = None, until: Head | None = None
) -> Verdict:
    """Check a chain in order.

    Args:
        entries: all entries after *begin*.
        begin: the last entry that was purged, if any were: what the first one here must follow.
        until: a head that was kept elsewhere, which the chain must still hold.

    """
    check = _Check(begin, until)
    async for entry in entries:
        if not check.take(entry):
            break
    return check.verdict()


def verify_list(entries: Iterable[Entry], *, begin: Head | None = None, until: Head | None = None) -> Verdict:
    """Do as ``verify`` with entries that are at hand."""
    check = _Check(begin, until)
    for entry in entries:
        if not check.take(entry):
            break
    return check.verdict()
