"""The keys that sealed what was captured, derived from what the members hold; and all of it, opened.

The derivation is the profile's (docs/encryption.md): a sender's hello names its session, and with the
base key of that session every key id has its AES key and salt. Opening each captured frame under them
proves two things at once: that these are the keys in use, so that a search for them means something,
and that the conversation really is in the capture. Where keys are wrapped, each captured wrap is opened
with its receiver's private key as well, and must hold the very key that its sender drew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM

from sealcast.cli.demo.seen import Sealed
from sealcast.client.e2ee.context import EPOCH_BITS, BaseKey, Sender, bind16, context_id, unpack_kid
from sealcast.client.e2ee.direct import DirectType
from sealcast.client.e2ee.hello import Hello, read_hello
from sealcast.client.e2ee.suites import NONCE
from sealcast.client.e2ee.wrap import Pair, Party, read_wrap
from sealcast.client.errors import WrapForged, WrapRefused

from .capture import Connection
from .material import Material, Session
from .members import Canary
from .needles import Needle
from .windows import BLOCK, Mode

__all__ = ["Lock", "Opening", "Unlocked", "canary_needles", "unlock"]


@dataclass(frozen=True, slots=True)
class Lock:
    """A captured frame, with everything that opens it but the key; ``repr`` shows none of it."""

    name: str
    mode: Mode
    nonce: bytes = field(repr=False)
    aad: bytes = field(repr=False)
    body: bytes = field(repr=False)
    """Ciphertext and tag."""
    opened: bytes = field(repr=False)
    """What is inside."""
    key: bytes = field(repr=False)
    """What opens it: for controls, and never shown to the search."""


@dataclass(slots=True)
class Opening:
    """How much of a capture could be opened."""

    frames: int = 0
    opened: int = 0
    expected: int = 0
    """Those in which a canary must be: all but what the SDK itself sends."""
    canaries: int = 0
    """Those in which the canary of their sender and kind was found."""
    wraps: int = 0
    """Keys that members sent to each other."""
    wraps_opened: int = 0
    """Those that held, for their receiver, the key that their sender drew."""

    @property
    def whole(self) -> bool:
        """Whether all of it could be opened, and that is something."""
        return (
            0 < self.frames == self.opened
            and self.expected == self.canaries
            and self.wraps == self.wraps_opened
        )

    def add(self, other: Opening) -> None:
        """Add another capture's numbers."""
        self.frames += other.frames
        self.opened += other.opened
        self.expected += other.expected
        self.canaries += other.canaries
        self.wraps += other.wraps
        self.wraps_opened += other.wraps_opened


@dataclass(slots=True)
class Unlocked:
    """The keys of one provider's conversation and what they opened."""

    needles: list[Needle] = field(default_factory=list)
    locks: list[Lock] = field(default_factory=list)
    """The shortest frame of each key id of each sender."""
    opening: Opening = field(default_factory=Opening)
    turns: dict[str, set[tuple[int, int]]] = field(default_factory=dict)
    """By user: the epochs and ratchet steps, their low four bits, under which its frames opened."""


@dataclass(slots=True)
class _Speaker:
    """One connection, and what its member held."""

    connection: Connection
    hello: Hello
    session: Session | None


class _Names:
    """Collects secrets by value; the first name of each stays."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._names: dict[bytes, str] = {}

    def add(self, name: str, value: bytes) -> None:
        self._names.setdefault(value, f"{self._label}: {name}")

    def needles(self) -> list[Needle]:
        return [Needle(name, value) for value, name in self._names.items()]


def unlock(
    found: Iterable[Connection],
    app_id: str,
    channel: str,
    material: Material,
    canaries: dict[str, dict[str, Canary]],
    label: str,
) -> Unlocked:
    """Derive every key that sealed what was sent to *channel*, and open all of it.

    *label* comes first in the name of each needle.
    """
    result, names = Unlocked(), _Names(label)
    for name, value in material.secrets:
        names.add(name, value)
    speakers = list(_speakers(found, app_id, channel, material))
    for speaker in speakers:
        if speaker.session is not None:
            for name, value in speaker.session.secrets:
                names.add(name, value)
            for epoch in speaker.session.base_keys:
                _name_base_keys(names, speaker.session, epoch, 0)
        _open_frames(speaker, material.mode, canaries, label, names, result)
        _open_wraps(speaker, speakers, names, result.opening)
    result.needles = names.needles()
    return result


def canary_needles(canaries: dict[str, dict[str, Canary]], label: str) -> Iterator[Needle]:
    """Return the canaries as needles."""
    for user, kinds in canaries.items():
        for kind, canary in kinds.items():
            yield Needle(f"{label}: {kind} canary of {user}", canary.text)


def _speakers(
    found: Iterable[Connection], app_id: str, channel: str, material: Material
) -> Iterator[_Speaker]:
    ctx = context_id(app_id, channel)
    for connection in found:
        if connection.channel == channel and connection.hello is not None:
            hello = read_hello(connection.hello, ctx)
            session = material.session(hello, Sender(ctx, material.suite, hello.user, hello.session))
            yield _Speaker(connection, hello, session)


def _name_base_keys(names: _Names, session: Session, epoch: int, last: int) -> None:
    """Name the base keys of an epoch up to a step, and what RFC 9605 extracts from each."""
    for step in range(last + 1):
        base = session.base_key(epoch, step)
        if base is not None:
            where = f"of {session.sender.user}, epoch {base.epoch}, step {step}"
            names.add(f"base key {where}", base.key)
            names.add(f"SFrame secret {where}", session.sender.suite.extract(b"", base.key))


# --- frames ---


@dataclass(frozen=True, slots=True)
class _StreamKey:
    """What one sender's frames of one key id are sealed with."""

    mode: Mode
    key: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    bind: bytes = field(repr=False)


def _open_frames(
    speaker: _Speaker,
    mode: Mode,
    canaries: dict[str, dict[str, Canary]],
    label: str,
    names: _Names,
    result: Unlocked,
) -> None:
    user, opening = speaker.hello.user, result.opening
    keys: dict[int, _StreamKey | None] = {}
    shortest: dict[int, Lock] = {}
    for frame in speaker.connection.frames:
        opening.frames += 1
        if frame.kid is None:
            continue
        if frame.kid not in keys:
            keys[frame.kid] = _derive(speaker.session, frame.kid, mode, names)
        key = keys[frame.kid]
        lock = (
            _open(key, frame, f"{label}: {frame.descriptor.kind.name.lower()} frame of {user}")
            if key
            else None
        )
        if lock is None:
            continue
        opening.opened += 1
        canary = canaries[user].get(frame.descriptor.kind.name.lower())
        opening.expected += canary is not None
        opening.canaries += canary is not None and canary.text in lock.opened
        result.turns.setdefault(user, set()).add(unpack_kid(frame.kid)[1:])
        if len(lock.opened) >= BLOCK:
            known = shortest.setdefault(frame.kid, lock)
            if len(lock.body) < len(known.body):
                shortest[frame.kid] = lock
    result.locks += shortest.values()


def _derive(session: Session | None, kid: int, mode: Mode, names: _Names) -> _StreamKey | None:
    """Derive the key of a key id; name it and all between it and the base key."""
    stream, epoch, step = unpack_kid(kid)
    base = session.base_key(epoch, step) if session is not None else None
    if session is None or base is None:
        return None
    sender = session.sender
    key, salt = sender.suite.schedule(base.key, kid)
    where = f"of {sender.user}, stream {stream}, epoch {base.epoch}, step {step}"
    _name_base_keys(names, session, epoch, step)
    names.add(f"AES key {where}", key)
    names.add(f"SFrame salt {where}", salt)
    return _StreamKey(mode, key, salt, bind16(sender, base.epoch))


def _open(key: _StreamKey, frame: Sealed, what: str) -> Lock | None:
    """Open one frame; None when it does not open."""
    assert frame.ctr is not None, "a sealed frame"
    nonce = (int.from_bytes(key.salt, "big") ^ frame.ctr).to_bytes(NONCE, "big")
    aad = frame.header + key.bind + frame.descriptor.wire
    aead = AESGCM(key.key) if key.mode == "gcm" else AESCCM(key.key)
    try:
        opened = aead.decrypt(nonce, frame.body, aad)
    except InvalidTag:
        return None
    return Lock(f"{what}, number {frame.ctr}", key.mode, nonce, aad, frame.body, opened, key.key)


# --- wraps ---


def _open_wraps(speaker: _Speaker, speakers: Sequence[_Speaker], names: _Names, opening: Opening) -> None:
    """Open what a member wrapped to the others; name the keys that come out, however they got in."""
    for direct in speaker.connection.directs:
        if direct[:1] != bytes([DirectType.WRAP]):
            continue  # an ack
        opening.wraps += 1
        base = _unwrap(direct[1:], speaker, speakers)
        if base is None or speaker.session is None:
            continue
        names.add(f"wrapped by {speaker.hello.user}, epoch {base.epoch}, step {base.step}", base.key)
        opening.wraps_opened += base == speaker.session.base_key(base.epoch & EPOCH_BITS, base.step)


def _unwrap(wrap: bytes, speaker: _Speaker, speakers: Iterable[_Speaker]) -> BaseKey | None:
    """Return the key in a wrap, opened by whoever it was made for; None when that is nobody here."""
    signer = Ed25519PublicKey.from_public_bytes(speaker.hello.identity)
    for receiver in speakers:
        hello, session = receiver.hello, receiver.session
        if receiver is speaker or session is None or session.kem is None:
            continue
        suite = session.sender.suite
        pair = Pair(
            session.sender.ctx, suite, _party(speaker.hello), _party(hello), hello.kem, hello.kem_public
        )
        try:
            return read_wrap(wrap, suite, hello.kem).verify(pair, signer).open(session.kem)
        except WrapForged:
            continue  # made for another
        except WrapRefused:
            return None
    return None


def _party(hello: Hello) -> Party:
    return Party(hello.user, hello.session, hello.identity)
