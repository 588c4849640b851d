"""A leave in a managed channel, over sockets: how long until everybody uses a new key and opens the others'.

    python bench/rekey.py [--members N] [--rounds N] [--processes N] [--rate N] [--kem NAME] [--json]

Workload: a relay process, and N members (50), all of them senders: real SDK clients in a few generator
processes (``company.py``), each of which sends a frame of 120 bytes twice a second. Per round one member
leaves, all others make a new key, wrap it to the N - 2 who remain, and use it; then the member comes back.

Measured, from the moment when the leave is called: when the last sender used its new key, and when the
last member had opened a frame under the new key of every other. 250 ms of it are the wait for further
leaves; SWITCH, 1 s after those, is the time at which a sender waits for acks no longer. Counted: frames
that a member should have opened and has not (each sender's frames are numbered), and CPU of relay and
generators. On a machine where all members share two cores they are the limit: "one member" is what each
would need on a machine of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import secrets
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

APP, CERTIFICATE = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
CONFIG = f"""
[server]
internal = false
port = 0

[log]
format = "json"

[[apps]]
app_id = "{APP}"
certificate = "{CERTIFICATE}"
"""


class Worker:
    """A process that answers lines of JSON."""

    def __init__(self, stack: ExitStack, setup: dict[str, Any]) -> None:
        program = str(Path(__file__).with_name("company.py"))
        self._process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
        stack.callback(self._process.terminate)
        self._write(setup)

    def _write(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def order(self, what: str, **more: Any) -> None:
        self._write({"do": what, **more})

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a generator process has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


def ask_all(workers: list[Worker], what: str, **more: Any) -> list[dict[str, Any]]:
    for worker in workers:
        worker.order(what, **more)
    return [worker.answer() for worker in workers]


def start_relay(stack: ExitStack) -> tuple[int, int]:
    """Start the relay by its command line; return its pid and port."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    (folder / "relay.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "sealcast.cli", "serve", "--config", str(folder / "relay.toml")]
    process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    stack.callback(process.terminate)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("{") and (told := json.loads(line))["event"] == "listening":
            return process.pid, told["port"]
    raise RuntimeError("the relay did not start")


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process's main thread, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def one_round(relay: int, workers: list[Worker], leaver: int, members: int) -> dict[str, float]:
    host = workers[leaver % len(workers)]
    cpu = cpu_of(relay)
    ask_all(workers, "expect", leaver=leaver)
    host.order("leave", number=leaver)
    began = host.answer()["began"]
    answers = ask_all(workers, "rekeyed", leaver=leaver)
    relay_cpu = cpu_of(relay) - cpu
    done = max(answer["at"] for answer in answers)
    spent = sum(answer["cpu"] for answer in answers)
    host.order("join", numbers=[leaver])
    host.answer()
    ask_all(workers, "settle")
    return {
        "all switched s": max(answer["switched"] for answer in answers) - began,
        "all open s": done - began,
        "opened": sum(answer["opened"] for answer in answers),
        "relay cpu s": relay_cpu,
        "generators cpu s": spent,
        "busiest generator": max(answer["cpu"] / answer["seconds"] for answer in answers),
        "one member cpu ms": spent / (members - 1) * 1000,
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Hold the meeting; return what was measured."""
    with ExitStack() as stack:
        relay, port = start_relay(stack)
        setup = {
            "app": APP,
            "certificate": CERTIFICATE,
            "port": port,
            "authority": secrets.token_hex(32),
            "members": options.members,
            "rate": options.rate,
            "kem": options.kem,
        }
        shares = [list(range(n, options.members, options.processes)) for n in range(options.processes)]
        workers = [Worker(stack, setup | {"numbers": share}) for share in shares]
        for worker, share in zip(workers, shares, strict=True):
            worker.order("join", numbers=share)
            worker.answer()
        ask_all(workers, "settle")
        rounds = [
            one_round(relay, workers, n % options.members, options.members) for n in range(options.rounds)
        ]
        counts: dict[str, int] = {}
        for answer in ask_all(workers, "counts"):
            for name, count in answer.items():
                counts[name] = counts.get(name, 0) + count
    return {"lost": counts.pop("lost", 0), "counts": counts, "rounds": rounds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2, help="generator processes")
    parser.add_argument("--rate", type=float, default=2.0, help="frames per second of each member")
    parser.add_argument("--kem", choices=("x25519", "x-wing"), default="x25519")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    load = round(os.getloadavg()[0], 2)
    about = {
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": load,
    }
    result = run(options)
    if options.json:
        json.dump({"machine": about, "members": options.members, **result}, sys.stdout, indent=2)
        print()
        return
    print("  ".join(f"{key} {value}" for key, value in about.items()))
    print(f"{options.members} members, {options.kem}, {options.rounds} leaves; median [least - most]")
    for name in result["rounds"][0]:
        values = [row[name] for row in result["rounds"]]
        print(f"{name:20} {statistics.median(values):9.3f}  [{min(values):.3f} - {max(values):.3f}]")
    print(f"frames lost: {result['lost']}; else {result['counts'] or 'nothing'}")


if __name__ == "__main__":
    main()
