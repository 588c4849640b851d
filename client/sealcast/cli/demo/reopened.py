"""The recording, opened with the content key: what the relay would have heard if it had the key.

This is the counterpart of the search. That nothing is found in a recording means little unless the
conversation is known to be in it: here it comes out of the very same bytes. Frames are opened from the
formats of the sealcast/1 profile, without the SDK's bookkeeping, which would rightly refuse a
conversation that is over.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.exceptions import InvalidTag

from sealcast.client.e2ee.context import Sender, base_key, bind16, context_id, epoch_key, unpack_kid
from sealcast.client.e2ee.hello import SIGNATURE, read_hello
from sealcast.client.e2ee.suites import NONCE, suite_by_id
from sealcast.client.errors import SealError
from sealcast.protocol import envelope
from sealcast.protocol.descriptor import PADDED, SIGNED
from sealcast.protocol.errors import ProtocolError
from sealcast.protocol.names import Kind

from .payload import unpack_sound
from .seen import Sealed, Witness, read_sealed
from .tap import Recording

__all__ = ["Reopened", "Secrets", "reopen"]

_SEALED = (envelope.FRAME, envelope.MESSAGE)
_EPOCH = 0
"""The demo never changes its key."""


class Secrets(NamedTuple):
    """What is needed besides the recording: the place, and the key."""

    app_id: str
    channel: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Secrets({self.app_id})"


@dataclass(slots=True)
class Reopened:
    """What came out of a recording."""

    frames: int = 0
    """Frames of the speaker's sound."""
    sha256: str = ""
    """Over their samples."""
    lines: Counter[str] = field(default_factory=Counter)
    """The members' lines."""
    failures: int = 0
    """Frames and messages that did not open."""


class _Opener:
    """Opens what one sender sealed. The keys follow from the secret and from the sender's hello."""

    def __init__(self, secrets: Secrets, hello: bytes) -> None:
        ctx = context_id(secrets.app_id, secrets.channel)
        read = read_hello(hello, ctx)
        self._suite = suite_by_id(read.suite)
        self._sender = Sender(ctx, self._suite, read.user, read.session)
        self._base = base_key(epoch_key(self._suite, ctx, secrets.secret), self._sender, _EPOCH)
        self._bind = bind16(self._sender, _EPOCH)

    def open(self, sealed: Sealed) -> bytes:
        """Return the payload. Raises ValueError or InvalidTag."""
        if sealed.kid is None or sealed.ctr is None or unpack_kid(sealed.kid)[1:] != (_EPOCH, 0):
            raise ValueError("not sealed in the demo's one epoch")
        key, salt = self._suite.schedule(self._base, sealed.kid)
        nonce = (int.from_bytes(salt, "big") ^ sealed.ctr).to_bytes(NONCE, "big")
        aad = sealed.header + self._bind + sealed.descriptor.wire
        plain = self._suite.cipher(key).decrypt(nonce, sealed.body, aad)
        if sealed.descriptor.flags & PADDED:
            plain = plain.rstrip(b"\0")[:-1]
        return plain[SIGNATURE:] if sealed.descriptor.flags & SIGNED else plain


def reopen(
    recordings: Iterable[Recording], witness: Witness, secrets: Secrets, users: frozenset[str], speaker: str
) -> Reopened:
    """Open everything that *users* sent; the sound of *speaker* is digested."""
    result = Reopened()
    digest = hashlib.sha256()
    for recording in recordings:
        party = witness.parties.get(recording.number)
        if party is None or party.user not in users:
            continue
        try:
            opener = _Opener(secrets, party.hello or b"")
        except SealError:
            result.failures += 1
            continue
        for payload in recording.up[1:]:
            if payload[:1] and payload[0] in _SEALED:
                _open(opener, payload, digest if party.user == speaker else None, result)
    result.sha256 = digest.hexdigest()
    return result


def _open(opener: _Opener, data: bytes, digest: hashlib._Hash | None, result: Reopened) -> None:
    try:
        sealed = read_sealed(data[envelope.decode(data).start :])
        payload = opener.open(sealed)
        if sealed.descriptor.kind is Kind.MESSAGE:
            result.lines[payload.decode()] += 1
        elif sealed.descriptor.kind is Kind.AUDIO and digest is not None:
            digest.update(unpack_sound(payload).pcm)
            result.frames += 1
    except (InvalidTag, ProtocolError, ValueError):
        result.failures += 1
