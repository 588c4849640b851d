"""Sealing and opening against the bare cipher, in one run.

    python bench/seal.py [--rounds N] [--frames N] [--json]

Workload: one sender, one stream, AES-128-GCM and AES-256-GCM, payloads of 120 bytes (20 ms of audio)
and 1200 bytes (a packet of video). "raw" is one call of ``AESGCM`` with nonce and associated data at
hand: no counter, no header, no replay check, no frame. Not counted: sockets, the event loop, key
derivation (paid once per stream).

All four operations take turns in each round, and a ratio compares the two of the same round, so
that a busy machine slows both. Times are CPU time of this thread, per frame. The table gives the
medians; the ratio is the median of the rounds' ratios.

Below it: a listener in a meeting of 16 speakers, each with one stream of 50 frames a second of 120
bytes. What a second of it, 800 frames in turn from all, costs: "open" is the cipher with counters and
replay check, "receive" all that the SDK's encryption does for a frame, freshness and order included.
"""

from __future__ import annotations

import argparse
import json
import platform
import secrets
import statistics
import sys
import time
from collections.abc import Callable

import cryptography
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealcast.client.e2ee import AES_128_GCM, AES_256_GCM, Key, Suite
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.names import Kind

STREAMS, PER_SECOND = 16, 50
APP = "0123456789abcdef0123456789abcdef"
SIZES = (120, 1200)
AUDIO = Descriptor(Kind.AUDIO, stream=2)


def timed(work: Callable[[], None], frames: int) -> float:
    """Microseconds of this thread's CPU time per frame."""
    start = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - start) / frames / 1000


class Case:
    """One suite and payload size: two contexts that know each other, and the bare cipher."""

    def __init__(self, suite: Suite, size: int, frames: int) -> None:
        secret = secrets.token_bytes(32)
        key = Key.raw(secret, suite=suite)
        self.alice = key.bind(APP, "bench", "alice")
        self.bob = key.bind(APP, "bench", "bob")
        self.bob.add_member(1, "alice", self.alice.hello)
        self.payload = secrets.token_bytes(size)
        self.frames = frames
        self.cipher = AESGCM(secrets.token_bytes(suite.key_size))
        self.nonce, self.aad = bytes(12), bytes(25)
        self.sealed: list[bytes] = []
        self.raw_sealed = [self.cipher.encrypt(self.nonce, self.payload, self.aad)] * frames

    def raw_encrypt(self) -> None:
        encrypt, nonce, payload, aad = self.cipher.encrypt, self.nonce, self.payload, self.aad
        for _ in range(self.frames):
            encrypt(nonce, payload, aad)

    def seal(self) -> None:
        seal, payload = self.alice.seal, self.payload
        for _ in range(self.frames):
            seal(AUDIO, payload)

    def raw_decrypt(self) -> None:
        decrypt, nonce, aad = self.cipher.decrypt, self.nonce, self.aad
        for data in self.raw_sealed:
            decrypt(nonce, data, aad)

    def open(self) -> None:
        open_ = self.bob.open
        for data in self.sealed:
            open_(1, data)

    def round(self) -> dict[str, float]:
        times = {
            "raw encrypt": timed(self.raw_encrypt, self.frames),
            "seal": timed(self.seal, self.frames),
        }
        self.sealed = [self.alice.seal(AUDIO, self.payload) for _ in range(self.frames)]
        times["raw decrypt"] = timed(self.raw_decrypt, self.frames)
        times["open"] = timed(self.open, self.frames)
        return times


class Meeting:
    """A listener and 16 speakers who have proved to be there, so that their frames are delivered."""

    def __init__(self) -> None:
        key = Key.raw(secrets.token_bytes(32))
        self.listener = key.bind(APP, "bench", "listener")
        self.speakers = [key.bind(APP, "bench", f"speaker {number}") for number in range(STREAMS)]
        self.payload = secrets.token_bytes(SIZES[0])
        assert self.listener.hello is not None
        for number, speaker in enumerate(self.speakers):
            self.listener.add_member(number, f"speaker {number}", speaker.hello)
            speaker.joined([(STREAMS, "listener", self.listener.hello)])
            speaker.seal(AUDIO, self.payload)
            for beacon in speaker.outgoing(0.0):
                self.listener.receive(number, beacon.data, 0.0)
        self.second = self.tape()
        self.receive()
        self.listener.outgoing(0.0)  # as the SDK does whenever something has stirred the encryption

    def tape(self) -> list[tuple[int, bytes]]:
        """Seal a second of all streams, one frame of each in turn."""
        return [
            (number, speaker.seal(AUDIO, self.payload))
            for _ in range(PER_SECOND)
            for number, speaker in enumerate(self.speakers)
        ]

    def open(self) -> None:
        open_ = self.listener.open
        for number, frame in self.second:
            open_(number, frame)

    def receive(self) -> None:
        receive = self.listener.receive
        for number, frame in self.second:
            [received] = receive(number, frame, 0.0)
            assert len(received.opened.payload) == SIZES[0]

    def round(self) -> dict[str, float]:
        """Return the percentage of a core that each way takes."""
        shares = {}
        for name, work in (("open", self.open), ("receive", self.receive)):
            self.second = self.tape()
            start = time.thread_time_ns()
            work()
            shares[name] = (time.thread_time_ns() - start) / 1e9 * 100
        return shares


def summary(rounds: list[dict[str, float]]) -> dict[str, float]:
    result = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    result["seal ratio"] = statistics.median(r["seal"] / r["raw encrypt"] for r in rounds)
    result["open ratio"] = statistics.median(r["open"] / r["raw decrypt"] for r in rounds)
    return {name: round(value, 3) for name, value in result.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--frames", type=int, default=4000, help="per operation and round")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    cases = {
        (suite.name, size): Case(suite, size, options.frames)
        for suite in (AES_128_GCM, AES_256_GCM)
        for size in SIZES
    }
    rounds: dict[tuple[str, int], list[dict[str, float]]] = {name: [] for name in cases}
    for case in cases.values():
        case.round()  # warm up: keys, caches, the specialising interpreter
    meeting, seconds = Meeting(), []
    for _ in range(options.rounds):
        for name, case in cases.items():
            rounds[name].append(case.round())
        seconds.append(meeting.round())

    shares = {name: round(statistics.median(s[name] for s in seconds), 3) for name in seconds[0]}
    rows = [{"suite": suite, "bytes": size, **summary(rounds[suite, size])} for suite, size in cases]
    if options.json:
        machine = {
            "python": platform.python_version(),
            "cryptography": cryptography.__version__,
            "machine": platform.machine(),
        }
        meeting_row = {"streams": STREAMS, "frames per second": PER_SECOND, "percent of a core": shares}
        result = {
            **machine,
            "unit": "us of CPU per frame, medians",
            "rows": rows,
            "meeting": meeting_row,
        }
        json.dump(result, sys.stdout, indent=2)
        print()
        return
    heads = ("raw enc", "seal", "ratio", "raw dec", "open", "ratio")
    widths = (8, 8, 6, 8, 8, 6)
    print("suite        bytes", *(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True)))
    for row in rows:
        print(
            f"{row['suite']:12} {row['bytes']:5} {row['raw encrypt']:8.2f} {row['seal']:8.2f} "
            f"{row['seal ratio']:6.2f} {row['raw decrypt']:8.2f} {row['open']:8.2f} {row['open ratio']:6.2f}"
        )
    print(
        f"{STREAMS} streams at {PER_SECOND} frames/s: open {shares['open']:.2f} %, "
        f"receive {shares['receive']:.2f} % of a core"
    )


if __name__ == "__main__":
    main()
