"""Keeping a context from existing twice: no copy, no pickle, no use after a fork.

Counters are nonces. A second copy of a sending context would seal other frames under the same
(key, nonce), which ends the secrecy of both and the authenticity of all that follow.
"""

from __future__ import annotations

import os
from typing import Any, NoReturn, SupportsIndex

from sealcast.client.errors import CopyRefused

__all__ = ["Uncopyable", "forks"]

forks = 0
"""How many forks lie between the first process and this one.

A context remembers the number it was made under and is dead under any other. One comparison per
frame; asking for the process id would be a system call per frame. Read it as ``lifetime.forks``.
"""


def _forked() -> None:
    global forks
    forks += 1


# A number, rather than a list of contexts to kill in the child: nothing here can fail, and no
# context can be missing from it. Windows has no fork and no hook.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Uncopyable:
    """A base for what must exist once: copy, deepcopy and pickle raise CopyRefused."""

    __slots__ = ()

    def __copy__(self) -> NoReturn:
        raise CopyRefused

    def __deepcopy__(self, memo: Any) -> NoReturn:
        raise CopyRefused

    def __reduce__(self) -> NoReturn:
        raise CopyRefused

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise CopyRefused

    def __getstate__(self) -> NoReturn:
        raise CopyRefused
