"""Start a server as a process group of its own, and be sure that it ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .base import Running

__all__ = ["free_port", "run"]

_PR_SET_PDEATHSIG = 1
_ROOT = Path(__file__).parents[2]
_libc = ctypes.CDLL(None)


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago, for servers that cannot take port 0."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def run(
    command: Sequence[str],
    *,
    port: int | None = None,
    env: Mapping[str, str] | None = None,
    workers: bool = False,
    timeout: float = 15.0,
    cleanup: Callable[[], None] = lambda: None,
) -> Running:
    """Start *command* and wait until it accepts connections.

    Args:
        command: the program and its arguments.
        port: where it will listen; None: it prints the port as the first line of its standard output.
        env: added to the environment.
        workers: also count the processes that it has started by then.
        timeout: seconds until it must accept.
        cleanup: called when it is gone, for its folder.

    Raises:
        RuntimeError: it ended or did not accept in time; with the last lines of its standard error.

    """
    words = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if port is None else words,
        stderr=words,
        cwd=_ROOT,
        env={**os.environ, **(env or {})},
        start_new_session=True,
        preexec_fn=_die_with_parent,
    )

    def stop() -> None:
        _end(process)
        if process.stdout is not None:
            process.stdout.close()
        words.close()
        cleanup()

    try:
        found = _announced(process, timeout) if port is None else port
        _wait_accepting(process, found, timeout)
    except RuntimeError as error:
        words.seek(0)
        last = words.read()[-600:].decode(errors="replace").strip()
        stop()
        raise RuntimeError(f"{Path(command[0]).name}: {error}\n{last}") from None
    except BaseException:
        stop()
        raise
    return Running([process.pid, *(_children(process.pid) if workers else ())], found, stop)


def _die_with_parent() -> None:
    # The benchmark may be killed; its servers are not to outlive it.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _announced(process: subprocess.Popen[bytes], timeout: float) -> int:
    assert process.stdout is not None
    end = time.monotonic() + timeout
    os.set_blocking(process.stdout.fileno(), False)
    line = b""
    while not line.endswith(b"\n"):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError("it did not start")
        line += process.stdout.read() or b""
        time.sleep(0.01)
    return int(line.split()[0])


def _wait_accepting(process: subprocess.Popen[bytes], port: int, timeout: float) -> None:
    end = time.monotonic() + timeout
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"it ended with status {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if time.monotonic() > end:
            raise RuntimeError(f"nothing listens on port {port} after {timeout:g} s")
        time.sleep(0.02)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *_children(child)]
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    # Whatever is left of the group, workers included.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
