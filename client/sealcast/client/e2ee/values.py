"""Values that a member sets for all to see, and that are read later: metadata, states.

::

    value = D(control, keep) | SFrame of body       body = u8 2 | lp16(label) | lp16(data) | 00*

Sealed and signed like a message, of the control stream, and for one place only: the label says which. The
body begins like no beacon and no batch, its descriptor is that of no message, and other frames have no label.
So a relay can neither show a value in another place or as a message, nor anything else as a value. It can
show an older value of the same place, or none: nothing proves that what is kept is new.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from sealcast.client.errors import KeyMissing, LimitExceeded, OpenFailed, Unsigned
from sealcast.protocol.descriptor import CLEAR, KEEP, SEALED, SIGNED, Descriptor
from sealcast.protocol.names import Kind

from .authors import Authors
from .clear import clear_open
from .context import lp16
from .layers import OpenLayers
from .lifetime import Uncopyable
from .opener import Opener, read_descriptor
from .protection import Protection
from .provider import KeyProvider
from .reader import Reader
from .sending import Sending

__all__ = ["VALUE", "ValueAuthor", "ValueBox", "clear_open_value", "clear_seal_value"]

VALUE: Final = 2
"""The first byte of a value's body; a batch has 1, a beacon 0."""

ValueAuthor: TypeAlias = tuple[int, str, bytes | None]
"""Member number, user and hello of who set a value, as they were then."""

_SEALED: Final = Descriptor(Kind.CONTROL, KEEP, version=SEALED)
_CLEAR: Final = Descriptor(Kind.CONTROL, KEEP, version=CLEAR)


def _body(label: bytes, data: bytes) -> bytes:
    return bytes((VALUE,)) + lp16(label) + lp16(data)


def _read(label: bytes, body: bytes) -> bytes:
    reader = Reader(body, "value", OpenFailed)
    if reader.integer(1) != VALUE or reader.prefixed() != label:
        raise reader.refuse("was set in another place")
    data = reader.prefixed()
    if reader.rest().strip(b"\0"):
        raise reader.refuse("has bytes left over")
    return data


def _check(descriptor: Descriptor) -> None:
    if descriptor.kind is not Kind.CONTROL or not descriptor.keep:
        raise OpenFailed("what stands in the place of a value is none")


def clear_seal_value(label: bytes, data: bytes, most: int) -> bytes:
    """Return a value that everybody can read; raises LimitExceeded when it has more than *most* bytes."""
    value = _CLEAR.wire + _body(label, data)
    if len(value) > most:
        raise LimitExceeded(f"a value of {len(data)} bytes", max(most - len(value) + len(data), 0))
    return value


def clear_open_value(label: bytes, value: bytes) -> bytes:
    """Read a value that everybody can read.

    Raises:
        KeyMissing: it is sealed.
        OpenFailed: it is malformed, or none of this place.

    """
    if read_descriptor(value).version == SEALED:
        raise KeyMissing
    opened = clear_open(0, value)
    _check(opened.descriptor)
    return _read(label, opened.payload)


class ValueBox(Uncopyable):
    """Seals and opens the values of one channel.

    Args:
        sending: seals.
        provider: the keys.
        authors: whose values count.
        protection: how values are protected.

    """

    __slots__ = ("_authors", "_protection", "_provider", "_sending")

    def __init__(
        self, sending: Sending, provider: KeyProvider, authors: Authors, protection: Protection
    ) -> None:
        self._sending = sending
        self._provider = provider
        self._authors = authors
        self._protection = protection

    def seal(self, label: bytes, data: bytes, most: int) -> bytes:
        """Seal a value for one place; what is padded is padded up to *most* bytes at most.

        Raises:
            LimitExceeded: it has more than *most* bytes even so.
            PaddingExceeded: frames have a constant size, and it is smaller.
            SealError: it cannot be sealed.

        """
        body = _body(label, data)
        overhead = self._sending.layers.sealed_size(Kind.CONTROL, 0)
        room = most - overhead
        if len(body) > room:
            raise LimitExceeded(f"a value of {len(data)} bytes", max(room - len(body) + len(data), 0))
        padding = self._protection.padding
        if padding.pads:
            body = body.ljust(min(padding.size(Kind.MESSAGE, len(body)), room), b"\0")
        return self._sending.seal(_SEALED, body)

    def open(self, author: ValueAuthor, label: bytes, value: bytes) -> bytes:
        """Open a value that *author* set in the place of that label. Nothing that comes in live is touched.

        Raises:
            KeyMissing: its key, or its author's hello, is not here.
            OpenFailed: it is not what its author sealed for this place.
            SealError: it is refused otherwise.

        """
        descriptor = read_descriptor(value)
        _check(descriptor)
        if not descriptor.flags & SIGNED and descriptor.version != CLEAR:
            raise Unsigned
        opener = Opener(self._provider.reading, layers=OpenLayers(self._protection.cipher))
        self._authors.admit(opener, *author)
        return _read(label, opener.open(author[0], value).payload)
