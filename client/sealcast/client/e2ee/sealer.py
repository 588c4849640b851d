"""Sealing: one sending context per stream and epoch, and the counters that are never used twice.

A frame is ``D | header | ciphertext | tag``. With the salt and key of the stream's key id (RFC 9605 §4.4)::

    nonce = salt XOR counter            aad = header | bind16 | D

Sealing runs once per frame, so all that does not depend on the counter is computed once per
descriptor and kept as a tuple: one lookup, one encryption and a few joins remain.
"""

from __future__ import annotations

import itertools
import sysconfig
import threading
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from sealcast.client.errors import ClearTextRefused, ContextPoisoned, CounterExhausted, EpochRefused
from sealcast.protocol.descriptor import SEALED, Descriptor
from sealcast.protocol.errors import LocalProtocolError
from sealcast.protocol.sframe import encode_header

from . import lifetime
from .context import COUNTER_LIMIT, LAYER_FLAGS, BaseKey, Payload, Sender, Transform, bind16, pack_kid
from .custom import CustomKey
from .layers import SealLayers
from .suites import NONCE

__all__ = ["LockedCounter", "Sealer"]

_ROUTES_MAX = 1024
_BYTE = tuple(bytes((value,)) for value in range(256))


class LockedCounter:
    """Counts up under a lock: what replaces ``itertools.count`` where threads run at the same time."""

    __slots__ = ("_lock", "_next")

    def __init__(self, first: int) -> None:
        self._lock = threading.Lock()
        self._next = first

    def __call__(self) -> int:
        """Return the next number; no two calls return the same."""
        with self._lock:
            number = self._next
            self._next = number + 1
        return number

    def __repr__(self) -> str:
        return f"count({self._next})"


class _Counter(NamedTuple):
    """A counter of frames: how to take its next number, and a look at it without taking it."""

    take: Callable[[], int]
    source: object

    @property
    def next(self) -> int:
        # ``itertools.count`` shows its next number nowhere else.
        return int(repr(self.source)[len("count(") : -1])


def _locked_counter(first: int) -> _Counter:
    counter = LockedCounter(first)
    return _Counter(counter, counter)


def _plain_counter(first: int) -> _Counter:
    # One call into C, which the interpreter lock makes indivisible, at a sixth of a lock's cost.
    counter = itertools.count(first)
    return _Counter(counter.__next__, counter)


_new_counter: Final[Callable[[int], _Counter]] = (
    _locked_counter if sysconfig.get_config_var("Py_GIL_DISABLED") else _plain_counter
)


class _Context(NamedTuple):
    """What sealing under one key id needs."""

    take: Callable[[], int]
    encrypt: Transform
    custom: CustomKey | None
    """What encrypts instead, where the application has a cipher of its own."""
    salt: int
    bind: bytes
    headers: tuple[bytes, ...]
    """The whole header for the counters 0-7."""
    prefixes: tuple[bytes, ...]
    """The header without its counter, by the counter's size in bytes."""


_Route: TypeAlias = tuple[
    bytes, Callable[[], int], Transform, int, bytes, tuple[bytes, ...], bytes, bytes, tuple[bytes, ...]
]


class Sealer(lifetime.Uncopyable):
    """The sending half of a channel's encryption. May be called from several threads.

    Counters belong to a key id for the session's life. They go on when the epoch changes, also when
    a sixteenth epoch brings a key id back under another key: the relay, which sees key ids and not
    epochs, can then insist that the counters of each key id grow.
    """

    __slots__ = (
        "_base",
        "_contexts",
        "_counters",
        "_first",
        "_forks",
        "_layers",
        "_lock",
        "_on_use",
        "_routes",
        "_sender",
    )

    def __init__(
        self,
        sender: Sender,
        base: BaseKey,
        *,
        first_counter: int = 0,
        layers: SealLayers | None = None,
        on_use: Callable[[BaseKey, int], None] | None = None,
    ) -> None:
        """Make the context of one sender.

        Args:
            sender: this side.
            base: the key to begin with.
            first_counter: where every key id starts; a higher start is legal and never less safe.
            layers: signature, padding, the application's cipher. Without them frames have none.
            on_use: told (key, stream) before a stream's first frame under a key, by the thread that seals.

        """
        self._sender = sender
        self._base = base
        self._first = first_counter
        self._forks = lifetime.forks
        self._lock = threading.Lock()
        self._layers = layers
        self._on_use = on_use
        self._counters: dict[int, _Counter] = {}
        self._contexts: dict[int, _Context] = {}
        self._routes: dict[bytes, _Route] = {}

    def __repr__(self) -> str:
        return f"Sealer(suite={self._sender.suite}, epoch={self.epoch})"

    @property
    def epoch(self) -> int:
        """The epoch that frames are sealed in."""
        return self._base.epoch

    @property
    def base(self) -> BaseKey:
        """The key that frames are sealed under."""
        return self._base

    def progress(self) -> list[tuple[int, int]]:
        """Return each stream that was sealed under the present key, with the counter that comes next."""
        with self._lock:
            base, streams = self._base, sorted(self._contexts)
            kids = [pack_kid(stream, base.epoch, base.step) for stream in streams]
            return [(stream, self._counters[kid].next) for stream, kid in zip(streams, kids, strict=True)]

    def seal(self, descriptor: Descriptor, payload: Payload) -> bytes:
        """Seal *payload* for the descriptor's stream; return ``D | SFrame``.

        The counter is taken first, so a call that fails has used its number up.

        Raises:
            ClearTextRefused: the descriptor announces clear text.
            LocalProtocolError: the descriptor has a flag that only the encryption sets.
            PaddingExceeded: it does not fit the constant size that was asked for.
            CipherFailed: the application's own cipher failed.
            CounterExhausted: the stream has sealed 2^32 frames under its key id.
            ContextPoisoned: the process has forked since this was made.

        """
        if lifetime.forks != self._forks:
            raise ContextPoisoned
        wire = descriptor.wire
        try:
            wire, take, encrypt, salt, bound, inline, one, two, longer = self._routes[wire]
        except KeyError:
            wire, take, encrypt, salt, bound, inline, one, two, longer = self._route(descriptor)
        ctr = take()
        if ctr > 0xFFFF:
            if ctr >= COUNTER_LIMIT:
                raise CounterExhausted
            size = 3 if ctr <= 0xFFFFFF else 4
            header = longer[size] + ctr.to_bytes(size, "big")
        elif ctr > 0xFF:
            header = two + ctr.to_bytes(2, "big")
        elif ctr > 7:
            header = one + _BYTE[ctr]
        else:
            header = inline[ctr]
        nonce = (salt ^ ctr).to_bytes(NONCE, "big")
        return wire + header + encrypt(nonce, payload, header + bound)

    def rekey(self, base: BaseKey) -> None:
        """Seal under *base* from the next call on.

        Raises:
            EpochRefused: it does not come after the present epoch and step.
            ContextPoisoned: the process has forked since this was made.

        """
        if lifetime.forks != self._forks:
            raise ContextPoisoned
        with self._lock:
            if (base.epoch, base.step) <= (self._base.epoch, self._base.step):
                raise EpochRefused
            self._base = base
            self._contexts = {}
            self._routes = {}

    def _route(self, descriptor: Descriptor) -> _Route:
        if descriptor.version != SEALED:
            raise ClearTextRefused
        if descriptor.flags & LAYER_FLAGS:
            raise LocalProtocolError("the encryption sets the flags padded, signed and custom by itself")
        outgoing = descriptor if self._layers is None else self._layers.describe(descriptor)
        with self._lock:
            context = self._contexts.get(descriptor.stream) or self._context(descriptor.stream)
            encrypt = context.encrypt
            if self._layers is not None:
                if context.custom is not None:
                    encrypt = context.custom.sealing(outgoing)
                encrypt = self._layers.wrap(encrypt, outgoing)
            prefixes = context.prefixes
            route = (
                outgoing.wire,
                context.take,
                encrypt,
                context.salt,
                context.bind + outgoing.wire,
                context.headers,
                prefixes[1],
                prefixes[2],
                prefixes,
            )
            if len(self._routes) >= _ROUTES_MAX:
                self._routes.clear()
            self._routes[descriptor.wire] = route
        return route

    def _context(self, stream: int) -> _Context:
        suite, base = self._sender.suite, self._base
        if self._on_use is not None:
            self._on_use(base, stream)
        kid = pack_kid(stream, base.epoch, base.step)
        key, salt_bytes = suite.schedule(base.key, kid)
        salt = int.from_bytes(salt_bytes, "big")
        counter = self._counters.get(kid)
        if counter is None:
            counter = self._counters[kid] = _new_counter(self._first)
        cipher = None if self._layers is None else self._layers.cipher
        context = _Context(
            counter.take,
            suite.cipher(key).encrypt,
            None if cipher is None else CustomKey(cipher, key, salt, self._sender, base.epoch),
            salt,
            bind16(self._sender, base.epoch),
            tuple(encode_header(kid, ctr) for ctr in range(8)),
            (b"", *(encode_header(kid, max(8, 1 << 8 * size - 8))[:-size] for size in range(1, 5))),
        )
        self._contexts[stream] = context
        return context
