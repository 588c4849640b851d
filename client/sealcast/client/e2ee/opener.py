"""Opening: whose frame it is, whether it is new, what it says. In that order.

For each frame: the member's sender and epoch, the descriptor, the key id, the counter against the
window, the tag. Only a tag that verifies changes any state. So a relay, which can invent frames and
members but no tags, can neither move a window nor fill a table that outlives its members.

Every refusal is a SealError; the caller counts it and stays silent towards the network.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealcast.client.errors import (
    ClearTextRefused,
    ContextPoisoned,
    HelloRefused,
    KeyMissing,
    OpenFailed,
    Replayed,
)
from sealcast.protocol.descriptor import BYTES, CLEAR, Descriptor, DescriptorError, decode
from sealcast.protocol.sframe import HeaderError, read_header

from . import lifetime
from .context import (
    COUNTER_LIMIT,
    EPOCH_BITS,
    LAYER_FLAGS,
    BaseKey,
    Payload,
    Sender,
    Transform,
    bind16,
    unpack_kid,
)
from .custom import CustomKey
from .layers import OpenLayers
from .suites import NONCE, TAG

__all__ = ["CONTEXTS_MAX", "MEMBERS_MAX", "RETIRED_MAX", "Opened", "Opener", "read_descriptor"]

MEMBERS_MAX: Final = 32_768
"""Members with a hello, at one time. A relay that announces more is refused the rest."""
CONTEXTS_MAX: Final = 16_384
"""Receive keys held at one time; over it all are dropped and derived again when needed."""
RETIRED_MAX: Final = 32_768
"""Windows kept of sessions that left, one for each of their key ids; the oldest sessions go first."""

_ROUTES_MAX = 512
_ROUTE: Final = BYTES + 3
"""Descriptor, config byte and a key id of two bytes: as far as frames of a stream look alike."""
# Slices that exist already cost less than those that are made for each frame.
_LIKE: Final = slice(0, _ROUTE)


class Opened:
    """A frame that was opened. ``repr`` shows sizes, never the payload."""

    # Without __init__: to fill in three slots takes half the time of handing over three arguments.
    __slots__ = ("ctr", "descriptor", "payload")

    descriptor: Descriptor
    payload: bytes
    ctr: int | None
    """The frame's counter; None for clear text, which has none."""

    @classmethod
    def of(cls, descriptor: Descriptor, payload: bytes, ctr: int | None) -> Opened:
        """Return a frame with this content."""
        opened = cls()
        opened.descriptor, opened.payload, opened.ctr = descriptor, payload, ctr
        return opened

    def __repr__(self) -> str:
        return f"Opened({self.descriptor!r}, {len(self.payload)} bytes, ctr={self.ctr})"


class _Window:
    """The last counter opened under a key id."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = -1


class _Context(NamedTuple):
    """What opening under one key id needs."""

    decrypt: Transform
    custom: CustomKey | None
    salt: int
    bind: bytes
    window: _Window


_Route: TypeAlias = tuple[_Window, Transform, int, bytes, Descriptor, slice, slice, int]
"""...and the slices of header and ciphertext, and how many bytes the counter has between them."""


class _Peer:
    """One sending context of another member. Several member numbers may stand for it in turn."""

    __slots__ = ("contexts", "hello_id", "identity", "members", "routes", "sender", "windows")

    def __init__(self, sender: Sender, hello_id: bytes, identity: Ed25519PublicKey | None) -> None:
        self.sender = sender
        self.hello_id = hello_id
        self.identity = identity
        self.members = 0
        self.windows: dict[int, _Window] = {}
        self.contexts: dict[int, _Context] = {}
        self.routes: dict[bytes, _Route] = {}

    def forget_keys(self) -> None:
        self.contexts = {}
        self.routes = {}

    def forget_epoch(self, bits: int, below: int) -> None:
        def stays(kid: int) -> bool:
            _, epoch, step = unpack_kid(kid)
            return epoch != bits or step >= below

        if self.contexts:
            self.contexts = {kid: context for kid, context in self.contexts.items() if stays(kid)}
            self.routes = {}


def read_descriptor(data: bytes) -> Descriptor:
    """Read the descriptor of a received frame.

    Raises:
        OpenFailed: it is malformed.

    """
    try:
        return decode(data)
    except DescriptorError:
        raise OpenFailed from None


class Opener(lifetime.Uncopyable):
    """The receiving half of a channel's encryption. One thread at a time.

    *receiving* finds the base key of a sender by the low four bits of epoch and step, or None. *layers*
    takes signature, padding and the like off; without it frames that have them are refused.
    """

    __slots__ = (
        "_contexts",
        "_forks",
        "_layers",
        "_members",
        "_members_max",
        "_peers",
        "_receiving",
        "_retired",
        "_retired_max",
        "_retired_windows",
    )

    def __init__(
        self,
        receiving: Callable[[Sender, int, int], BaseKey | None],
        *,
        layers: OpenLayers | None = None,
        members_max: int = MEMBERS_MAX,
        retired_max: int = RETIRED_MAX,
    ) -> None:
        self._receiving = receiving
        self._layers = layers
        self._members_max = members_max
        self._retired_max = retired_max
        self._forks = lifetime.forks
        self._members: dict[int, _Peer] = {}
        self._peers: dict[tuple[str, bytes], _Peer] = {}
        self._retired: OrderedDict[tuple[str, bytes], _Peer] = OrderedDict()
        self._retired_windows = 0
        self._contexts = 0

    def __repr__(self) -> str:
        return f"Opener(members={len(self._members)}, retired={len(self._retired)})"

    def admit(
        self, member: int, sender: Sender, hello_id: bytes, identity: Ed25519PublicKey | None = None
    ) -> None:
        """Open frames of *member* as those of *sender*, whose verified hello has the hash *hello_id*.

        *identity* is the key that its signed frames are verified with; without one they are refused. A
        session that was seen before goes on with its old windows.

        Raises:
            HelloRefused: another hello introduced the same session, or there are too many members.

        """
        self.dismiss(member)
        if len(self._members) >= self._members_max:
            raise HelloRefused("the channel announces more members than this client follows")
        name = (sender.user, sender.session)
        peer = self._peers.get(name) or self._retired.get(name)
        if peer is None:
            peer = _Peer(sender, hello_id, identity)
        elif peer.hello_id != hello_id:
            raise HelloRefused("another hello has introduced this session already")
        if self._retired.pop(name, None):
            self._retired_windows -= len(peer.windows)
        self._peers[name] = self._members[member] = peer
        peer.members += 1

    def dismiss(self, member: int) -> None:
        """Stop opening frames of *member*. The windows of its session are kept for its return."""
        peer = self._members.pop(member, None)
        if peer is None:
            return
        peer.members -= 1
        if peer.members:
            return
        name = (peer.sender.user, peer.sender.session)
        del self._peers[name]
        self._contexts -= len(peer.contexts)
        peer.forget_keys()
        if not peer.windows:
            return  # nothing of it was ever opened, so nothing of it can be replayed
        self._retired[name] = peer
        self._retired_windows += len(peer.windows)
        while self._retired_windows > self._retired_max:
            _, oldest = self._retired.popitem(last=False)
            self._retired_windows -= len(oldest.windows)

    def forget_epoch(self, epoch: int) -> None:
        """Drop the receive keys of every epoch with the low four bits of *epoch*; windows stay."""
        for peer in self._peers.values():
            self._forget(peer, epoch, EPOCH_BITS + 1)

    def forget_keys(self, name: tuple[str, bytes], epoch: int, below: int) -> None:
        """Drop the receive keys of one sender's epoch, of the steps *below* one; windows stay."""
        peer = self._peers.get(name)
        if peer is not None:
            self._forget(peer, epoch, below)

    def _forget(self, peer: _Peer, epoch: int, below: int) -> None:
        before = len(peer.contexts)
        peer.forget_epoch(epoch & EPOCH_BITS, below)
        self._contexts -= before - len(peer.contexts)

    def last(self, name: tuple[str, bytes], kid: int) -> int:
        """Return the last counter opened under a sender's key id; -1 when there is none."""
        peer = self._peers.get(name)
        window = peer.windows.get(kid) if peer is not None else None
        return -1 if window is None else window.last

    def open(self, member: int, data: Payload) -> Opened:
        """Open ``D | SFrame`` as sent by *member*.

        Raises:
            KeyMissing: the member has no hello, or seals in an epoch whose key is not here.
            ClearTextRefused: the frame is clear text.
            OpenFailed: the frame is malformed or does not authenticate.
            SignatureForged: it does, and its signature is not its sender's.
            Replayed: its counter is not above the last one.
            ContextPoisoned: the process has forked since this was made.

        """
        if lifetime.forks != self._forks:
            raise ContextPoisoned
        frame: Any = data
        try:
            route = self._members[member].routes[frame[_LIKE]]
            window, decrypt, salt, bound, descriptor, header, sealed, size = route
            aad = frame[header] + bound
        except (KeyError, TypeError, ValueError):
            # Not known yet; or another kind of buffer, which cannot be hashed or not be joined.
            return self._open_any(member, bytes(data))
        try:
            if size == 2:
                ctr = frame[7] << 8 | frame[8]
            elif size == 1:
                ctr = frame[7]
            elif size == 3:
                ctr = frame[7] << 16 | frame[8] << 8 | frame[9]
            else:
                ctr = frame[7] << 24 | frame[8] << 16 | frame[9] << 8 | frame[10]
            # A counter of this size has been opened, so one that is too small for its size fails here too.
            if ctr <= window.last:
                raise Replayed
            payload = decrypt((salt ^ ctr).to_bytes(NONCE, "big"), frame[sealed], aad)
        except (InvalidTag, IndexError):
            # Cut short before the end of the counter, or of the tag, or not what was sealed.
            raise OpenFailed from None
        window.last = ctr
        opened = Opened()
        opened.descriptor, opened.payload, opened.ctr = descriptor, payload, ctr
        return opened

    def _open_any(self, member: int, data: bytes) -> Opened:
        descriptor = read_descriptor(data)
        if descriptor.version == CLEAR:
            raise ClearTextRefused
        peer = self._members.get(member)
        if peer is None:
            raise KeyMissing
        try:
            kid, ctr, end = read_header(data, BYTES)
        except HeaderError:
            raise OpenFailed from None
        least = end + (0 if self._layers is not None and self._layers.cipher is not None else TAG)
        if kid >> 8 != descriptor.stream or ctr >= COUNTER_LIMIT or len(data) < least:
            raise OpenFailed
        context = peer.contexts.get(kid)
        fresh = context is None
        if context is None:
            context = self._context(peer, kid)
        if ctr <= context.window.last:
            raise Replayed
        bound = context.bind + descriptor.wire
        decrypt = self._layered(peer, context, descriptor)
        try:
            payload = decrypt(
                (context.salt ^ ctr).to_bytes(NONCE, "big"), data[end:], data[BYTES:end] + bound
            )
        except InvalidTag:
            raise OpenFailed from None
        context.window.last = ctr
        if fresh:
            self._keep(peer, kid, context)
        if end > _ROUTE and kid > 0xFF:
            if len(peer.routes) >= _ROUTES_MAX:
                peer.routes.clear()
            header, sealed = slice(BYTES, end), slice(end, None)
            route = (context.window, decrypt, context.salt, bound, descriptor, header, sealed, end - _ROUTE)
            peer.routes[data[_LIKE]] = route
        return Opened.of(descriptor, payload, ctr)

    def _layered(self, peer: _Peer, context: _Context, descriptor: Descriptor) -> Transform:
        """Return what opens frames with this descriptor, flags and all."""
        layers, identity = self._layers, peer.identity
        if layers is None or identity is None:
            if descriptor.flags & LAYER_FLAGS:
                raise OpenFailed("the frame is padded, signed or custom, and nothing here takes that off")
            return context.decrypt
        layers.check(descriptor)
        decrypt = context.decrypt if context.custom is None else context.custom.opening(descriptor)
        return layers.wrap(decrypt, descriptor, identity)

    def _context(self, peer: _Peer, kid: int) -> _Context:
        """Derive what opens *kid*. Nothing is kept before a tag has verified under it."""
        _, epoch, step = unpack_kid(kid)
        base = self._receiving(peer.sender, epoch, step)
        if base is None:
            raise KeyMissing
        suite = peer.sender.suite
        key, salt_bytes = suite.schedule(base.key, kid)
        salt = int.from_bytes(salt_bytes, "big")
        window = peer.windows.get(kid) or _Window()
        cipher = None if self._layers is None else self._layers.cipher
        custom = None if cipher is None else CustomKey(cipher, key, salt, peer.sender, base.epoch)
        bind = bind16(peer.sender, base.epoch)
        return _Context(suite.cipher(key).decrypt, custom, salt, bind, window)

    def _keep(self, peer: _Peer, kid: int, context: _Context) -> None:
        if self._contexts >= CONTEXTS_MAX:
            for other in self._peers.values():
                other.forget_keys()
            self._contexts = 0
        peer.windows[kid] = context.window
        peer.contexts[kid] = context
        self._contexts += 1
