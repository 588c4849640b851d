"""The recording, opened with the content key: what the relay would have heard if it had the key.

This is the counterpart of the search. That nothing is found in a recording means little unless the
conversation is known to be in it: here it comes out of the very same bytes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from sealcast.client import Key
from sealcast.client.e2ee import ChannelCrypto
from sealcast.client.errors import SealError
from sealcast.protocol import envelope
from sealcast.protocol.errors import ProtocolError
from sealcast.protocol.names import Kind

from .payload import unpack_sound
from .seen import Witness
from .tap import Recording

__all__ = ["Reopened", "reopen"]

_SEALED = (envelope.FRAME, envelope.MESSAGE)


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


def reopen(
    recordings: Iterable[Recording],
    witness: Witness,
    venue: tuple[str, str, bytes],
    users: frozenset[str],
    speaker: str,
) -> Reopened:
    """Open everything that *users* sent.

    *venue* is App ID, channel and content key. The keys of each sender follow from the content key and
    from the hello that the sender showed when it joined, which is in the recording too.
    """
    app_id, channel, secret = venue
    crypto = Key.raw(secret).bind(app_id, channel, "an observer")
    result = Reopened()
    digest = hashlib.sha256()
    for recording in recordings:
        party = witness.parties.get(recording.number)
        if party is None or party.user not in users:
            continue
        try:
            crypto.add_member(party.member, party.user, party.hello)
        except SealError:
            result.failures += 1
            continue
        for payload in recording.up[1:]:
            if payload[:1] and payload[0] in _SEALED:
                _open(crypto, payload, digest if party.user == speaker else None, result)
    result.sha256 = digest.hexdigest()
    return result


def _open(crypto: ChannelCrypto, data: bytes, digest: hashlib._Hash | None, result: Reopened) -> None:
    try:
        head = envelope.decode(data)
        opened = crypto.open(head.member, data[head.start :])
        if opened.descriptor.kind is Kind.MESSAGE:
            result.lines[opened.payload.decode()] += 1
        elif opened.descriptor.kind is Kind.AUDIO and digest is not None:
            digest.update(unpack_sound(opened.payload).pcm)
            result.frames += 1
    except (SealError, ProtocolError, ValueError):
        result.failures += 1
