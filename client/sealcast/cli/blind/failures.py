"""Why a proof could not be attempted; its outcome is never among these."""

from __future__ import annotations

from ..failure import Failure

__all__ = ["CannotVerify", "GuessFailed", "MemoryRefused", "ProbeFailed", "RelayFailed"]


class CannotVerify(Failure):
    """The base of all of them; the text says what happened and, where possible, what to do."""


class RelayFailed(CannotVerify):
    """The relay's process did not do what it should."""


class MemoryRefused(CannotVerify):
    """The system does not let this process read the relay's memory."""


class ProbeFailed(CannotVerify):
    """A package is not installed, or cannot be imported in a fresh process."""


class GuessFailed(CannotVerify):
    """A worker that tries keys ended before it was done."""
