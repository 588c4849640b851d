"""One worker of the guessing, in a process of its own: ``python -m sealcast.cli.blind.guesser``.

Standard input is one line of JSON and then the memory, its pieces one after the other. Standard output
is a line of JSON now and then, the last with ``found``. It ends with the process that started it: by
the end of the input, or when nobody reads its output.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from typing import Any

from .windows import Share, Target, try_windows

__all__ = ["main", "order"]


def order(key_size: int, targets: Sequence[Target], share: Share, sizes: list[int]) -> bytes:
    """Return the line that starts a worker; the pieces of memory, of these sizes, follow it."""
    job = {
        "key_size": key_size,
        "targets": [[target.mode, *(part.hex() for part in target[1:])] for target in targets],
        "share": [share.index, share.of, share.stride, share.most],
        "sizes": sizes,
    }
    return json.dumps(job).encode() + b"\n"


def _say(**values: Any) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Do the work that standard input describes; return the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started it
    source = sys.stdin.buffer
    job = json.loads(source.readline())
    targets = [Target(mode, *map(bytes.fromhex, parts)) for mode, *parts in job["targets"]]
    texts = [source.read(size) for size in job["sizes"]]
    if [len(text) for text in texts] != job["sizes"]:
        return 1
    try:
        share = Share(*job["share"])
        tried = try_windows(texts, job["key_size"], targets, share, lambda done: _say(done=done))
        _say(candidates=tried.candidates, complete=tried.complete, found=tried.found)
    except BrokenPipeError:
        sys.stdout = None  # nothing is left to flush to
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
