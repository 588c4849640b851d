"""The ratchet of sender keys (RFC 9605 §5.1): from one step's base key to the next, and never back.

::

    next = HKDF-Expand(HKDF-Extract("", base_key), "SFrame 1.0 Ratchet", Nh)

A sender ratchets before it shows its key to somebody new, who then reads nothing earlier. The others
are told nothing: they see the step in the key id, ratchet as far, and believe it once a tag verifies.
"""

from __future__ import annotations

from typing import Final

from .context import BaseKey
from .lifetime import Uncopyable
from .suites import Suite

__all__ = ["STEP_MAX", "ReceiveChain", "advance", "ratchet"]

STEP_MAX: Final = 15
"""The last step of an epoch: a key id carries four bits of it."""


def ratchet(suite: Suite, key: bytes) -> bytes:
    """Return the base key of the next step."""
    return suite.expand(suite.extract(b"", key), b"SFrame 1.0 Ratchet", suite.hash_size)


def advance(suite: Suite, base: BaseKey, step: int) -> BaseKey:
    """Return the base key of a later *step* of the same epoch, at most ``STEP_MAX`` ratchets away.

    Raises:
        ValueError: the step is earlier, or above ``STEP_MAX``.

    """
    if not base.step <= step <= STEP_MAX:
        raise ValueError(f"a ratchet goes forward, to step {STEP_MAX} at most")
    key = base.key
    for _ in range(base.step, step):
        key = ratchet(suite, key)
    return BaseKey(base.epoch, step, key)


class ReceiveChain(Uncopyable):
    """Another sender's base key in one epoch, at the last step that proved itself."""

    __slots__ = ("_base", "_suite")

    def __init__(self, suite: Suite, base: BaseKey) -> None:
        self._suite = suite
        self._base = base

    def __repr__(self) -> str:
        return f"ReceiveChain(epoch={self.base.epoch}, step={self.base.step})"

    @property
    def base(self) -> BaseKey:
        """The key at the present step."""
        return self._base

    def at(self, step: int) -> BaseKey | None:
        """Return the key at *step* without moving there; None for a step that is gone or none.

        Costs at most fifteen ratchets, whatever a frame asks for.
        """
        if not self._base.step <= step <= STEP_MAX:
            return None
        return advance(self._suite, self._base, step)

    def commit(self, step: int) -> bool:
        """Move to *step*, because a tag verified there; earlier keys are gone. Returns whether it moved.

        Raises:
            ValueError: the step is earlier, or above ``STEP_MAX``.

        """
        if step == self._base.step:
            return False
        self._base = advance(self._suite, self._base, step)
        return True
