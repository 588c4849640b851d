"""What each attack of a malicious relay raises at its victim: the table of docs/threat-model.md."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ATTACKS", "SHARED", "Attack", "expected", "table"]

SHARED = ("raw", "passphrase", "audience")
"""The kinds of keys that rest on a shared secret; the others are managed."""


class Attack(NamedTuple):
    """What a relay does, and the names that its victim is told."""

    does: str
    shared: tuple[str, ...]
    """With a shared secret: reasons of ``SealFailure``, or other events. Empty: nothing to attack."""
    managed: tuple[str, ...]


_BENT = ("key_missing", "open_failed", "replayed", "unsigned", "wrong_envelope")
_MOVED = ("hello_refused", "key_missing", "open_failed")

ATTACKS: dict[str, Attack] = {
    "flip": Attack(
        "changes any one bit of a frame, message, beacon, hello or wrap",
        (*_BENT, "hello_refused"),
        (
            *_BENT,
            "certificate_forged",
            "certificate_malformed",
            "hello_refused",
            "wrap_forged",
            "wrap_malformed",
        ),
    ),
    "cut": Attack("cuts the end of a frame off, or adds to it", ("open_failed",), ("open_failed",)),
    "duplicate": Attack("delivers everything twice", ("replayed",), ("replayed",)),
    "replay": Attack("delivers what it recorded earlier in the session", ("replayed",), ("replayed",)),
    "reorder": Attack("exchanges neighbours; the late one is dropped", ("replayed",), ("replayed",)),
    "cross-stream": Attack(
        "moves a frame to another stream or kind, or delivers a message as a frame",
        ("open_failed", "wrong_envelope"),
        ("open_failed", "wrong_envelope"),
    ),
    "cross-channel": Attack(
        "brings frames, hello and keys from another channel with the same secret",
        _MOVED,
        (*_MOVED, "wrap_forged"),
    ),
    "cross-app": Attack("the same, from another app", _MOVED, (*_MOVED, "wrap_forged")),
    "re-attribute": Attack(
        "delivers what is one member's as another's, a hello under another name, or the victim's own hello",
        ("hello_refused", "open_failed"),
        ("hello_refused", "open_failed", "wrap_forged"),
    ),
    "old session": Attack(
        "plays yesterday's tape under a secret that is used again, or of the same identities",
        ("not_fresh",),
        ("key_missing", "wrap_forged"),
    ),
    "ghost member": Attack(
        "invents a member with a hello and keys of its own",
        ("open_failed",),
        ("certificate_forged", "certificate_missing", "key_missing"),
    ),
    "ghost member, callback": Attack(
        'the same, with `trust="callback"`', (), ("key_missing", "member_not_trusted")
    ),
    "ghost member, first use": Attack(
        'gives a known user another identity, with `trust="first_use"`',
        (),
        ("KeyChanged", "identity_changed", "key_missing"),
    ),
    "old wrap": Attack(
        "delivers a key again after its sender has changed it, or makes one up",
        ("wrap_refused",),
        ("old_wrap_ignored", "wrap_forged"),
    ),
    "delayed": Attack("holds back all of a member for 16 s", ("Stalled",), ("Stalled",)),
    "delayed key": Attack(
        "holds back a member's new key for more than 2 s", (), ("Suppressed", "key_missing")
    ),
    "delayed proof": Attack(
        "holds back a member's beacons for more than 2 s when it begins to speak",
        ("not_fresh",),
        ("not_fresh",),
    ),
    "suppressed": Attack("drops the end of a stream, or all of it", ("Suppressed",), ("Suppressed",)),
    "downgraded": Attack(
        "takes encryption, signature or hello away, offers clear text, names another suite",
        ("clear_text_refused", "hello_refused", "key_missing", "unsigned"),
        ("clear_text_refused", "hello_refused", "key_missing", "unsigned"),
    ),
    "split roster": Attack("hides a member from another", ("RosterSplit",), ("RosterSplit",)),
    "hidden leave": Attack(
        "keeps a leave from a member", ("RosterSplit", "Stalled"), ("RosterSplit", "Stalled")
    ),
}


def expected(attack: str, kind: str) -> set[str]:
    """Return the names that an attack raises under a kind of keys."""
    return set(ATTACKS[attack].shared if kind in SHARED else ATTACKS[attack].managed)


def table() -> str:
    """Return the table as it stands in the documentation."""
    lines = ["| attack | the relay | shared secret | managed |", "|---|---|---|---|"]
    for name, attack in ATTACKS.items():
        shared, managed = (", ".join(f"`{word}`" for word in sorted(words)) for words in attack[1:])
        same = shared == managed
        lines.append(
            f"| {name} | {attack.does} | {shared or 'no such thing'} | {'the same' if same else managed} |"
        )
    return "\n".join(lines)
