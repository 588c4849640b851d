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
from .context import COUNTER_LIMIT, UNSUPPORTED_FLAGS, BaseKey, Sender, bind16, pack_kid
from .suites import NONCE

__all__ = ["LockedCounter", "Payload", "Sealer"]

Payload: TypeAlias = bytes | bytearray | memoryview

_ROUTES_MAX = 1024
_BYTE = tuple(bytes((value,)) for value in range(256))
_Encrypt: TypeAlias = Callable[[bytes, Payload, bytes], bytes]


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


def _plain_counter(first: int) -> Callable[[], int]:
    # One call into C, which the interpreter lock makes indivisible, at a sixth of a lock's cost.
    return itertools.count(first).__next__


_new_counter: Final[Callable[[int], Callable[[], int]]] = (
    LockedCounter if sysconfig.get_config_var("Py_GIL_DISABLED") else _plain_counter
)


class _Context(NamedTuple):
    """What sealing under one key id needs."""

    take: Callable[[], int]
    encrypt: _Encrypt
    salt: int
    bind: bytes
    headers: tuple[bytes, ...]
    """The whole header for the counters 0-7."""
    prefixes: tuple[bytes, ...]
    """The header without its counter, by the counter's size in bytes."""


_Route: TypeAlias = tuple[
    Callable[[], int], _Encrypt, int, bytes, tuple[bytes, ...], bytes, bytes, tuple[bytes, ...]
]


class Sealer(lifetime.Uncopyable):
    """The sending half of a channel's encryption. May be called from several threads.

    Counters belong to a key id for the session's life. They go on when the epoch changes, also when
    a sixteenth epoch brings a key id back under another key: the relay, which sees key ids and not
    epochs, can then insist that the counters of each key id grow.
    """

    __slots__ = ("_base", "_contexts", "_counters", "_first", "_forks", "_lock", "_routes", "_sender")

    def __init__(self, sender: Sender, base: BaseKey, *, first_counter: int = 0) -> None:
        """Start at *first_counter* on every key id; a higher start is legal and never less safe."""
        self._sender = sender
        self._base = base
        self._first = first_counter
        self._forks = lifetime.forks
        self._lock = threading.Lock()
        self._counters: dict[int, Callable[[], int]] = {}
        self._contexts: dict[int, _Context] = {}
        self._routes: dict[bytes, _Route] = {}

    def __repr__(self) -> str:
        return f"Sealer(suite={self._sender.suite}, epoch={self.epoch})"

    @property
    def epoch(self) -> int:
        """The epoch that frames are sealed in."""
        return self._base.epoch

    def seal(self, descriptor: Descriptor, payload: Payload) -> bytes:
        """Seal *payload* for the descriptor's stream; return ``D | SFrame``.

        The counter is taken first, so a call that fails has used its number up.

        Raises:
            ClearTextRefused: the descriptor announces clear text.
            LocalProtocolError: the descriptor has a flag that is not supported yet.
            CounterExhausted: the stream has sealed 2^32 frames under its key id.
            ContextPoisoned: the process has forked since this was made.

        """
        if lifetime.forks != self._forks:
            raise ContextPoisoned
        wire = descriptor.wire
        try:
            take, encrypt, salt, bound, inline, one, two, longer = self._routes[wire]
        except KeyError:
            take, encrypt, salt, bound, inline, one, two, longer = self._route(descriptor)
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
        if descriptor.flags & UNSUPPORTED_FLAGS:
            raise LocalProtocolError("padded, signed and custom frames are not supported yet")
        with self._lock:
            context = self._contexts.get(descriptor.stream) or self._context(descriptor.stream)
            prefixes = context.prefixes
            route = (
                context.take,
                context.encrypt,
                context.salt,
                context.bind + descriptor.wire,
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
        kid = pack_kid(stream, base.epoch, base.step)
        key, salt = suite.schedule(base.key, kid)
        take = self._counters.get(kid)
        if take is None:
            take = self._counters[kid] = _new_counter(self._first)
        context = _Context(
            take,
            suite.cipher(key).encrypt,
            int.from_bytes(salt, "big"),
            bind16(self._sender, base.epoch),
            tuple(encode_header(kid, ctr) for ctr in range(8)),
            (b"", *(encode_header(kid, max(8, 1 << 8 * size - 8))[:-size] for size in range(1, 5))),
        )
        self._contexts[stream] = context
        return context
