"""No encryption, on purpose: what ``Key.none()`` puts where sealing and opening would be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sealcast.client.errors import KeyMissing, OpenFailed, SealError
from sealcast.protocol.descriptor import BYTES, CLEAR, Descriptor
from sealcast.protocol.errors import LocalProtocolError
from sealcast.protocol.names import Kind

from .context import LAYER_FLAGS, Payload
from .history import Kept, Reopened
from .opener import Opened, read_descriptor

__all__ = ["clear_open", "clear_reopen", "clear_seal"]


def clear_seal(descriptor: Descriptor, payload: Payload) -> bytes:
    """Return ``D | payload``, readable to everybody on the way.

    Raises:
        KeyMissing: the descriptor announces a sealed frame. A frame never says it is sealed when it is not.
        LocalProtocolError: the descriptor has a flag that only sealed frames have.

    """
    if descriptor.version != CLEAR:
        raise KeyMissing("there is no key to seal with; make the descriptor with version 2")
    if descriptor.flags & LAYER_FLAGS:
        raise LocalProtocolError("padded, signed and custom frames are sealed frames")
    return descriptor.wire + payload


def clear_open(member: int, data: Payload) -> Opened:
    """Read ``D | payload``. Nothing proves who sent it, or that it is new.

    Raises:
        KeyMissing: the frame is sealed.
        OpenFailed: the descriptor is malformed.

    """
    data = bytes(data)
    descriptor = read_descriptor(data)
    if descriptor.flags & LAYER_FLAGS:
        raise OpenFailed("the frame says that it is padded, signed or custom, which only sealed frames are")
    if descriptor.version != CLEAR:
        raise KeyMissing("the frame is sealed and this side has no key; join with the channel's key")
    return Opened.of(descriptor, data[BYTES:], None)


def clear_reopen(
    messages: Iterable[Kept], authors: Iterable[tuple[int, str, bytes | None]]
) -> Iterator[Reopened]:
    """Read kept messages, one after the other. All of it is the relay's word."""
    users = {member: user for member, user, _ in authors}
    for message in messages:
        user = users.get(message.member, "")
        try:
            opened = clear_open(message.member, message.data)
            if opened.descriptor.kind is not Kind.MESSAGE:
                raise OpenFailed("what stands among the messages is none")
        except SealError as error:
            yield Reopened(message.offset, message.member, user, None, error)
        else:
            yield Reopened(message.offset, message.member, user, opened, None)
