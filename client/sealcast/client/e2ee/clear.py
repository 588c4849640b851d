"""No encryption, on purpose: what ``Key.none()`` puts where sealing and opening would be."""

from __future__ import annotations

from sealcast.client.errors import KeyMissing, OpenFailed
from sealcast.protocol.descriptor import BYTES, CLEAR, Descriptor
from sealcast.protocol.errors import LocalProtocolError

from .context import LAYER_FLAGS, Payload
from .opener import Opened, read_descriptor

__all__ = ["clear_open", "clear_seal"]


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
