"""What joins, leaves and rekeys cost the cipher of one member under managed keys.

    python bench/wraps.py [--members N] [--rounds N] [--json]

Workload: a channel of N members (50), all verified by one authority, each with a key that it has used. Per
round one member leaves, and one sender's share is measured: gathering ends, the new key is made, wrapped
to the N - 2 who remain, and their acks are taken. Then one member joins, and one is heard: a certificate
and a key to verify, one wrap to make or to open. Done for each key encapsulation and suite.

Not counted: the hello's signature (about one Ed25519 verification for each member that joins), and
sockets, event loop and frames, for which see ``rekey.py``. Times are CPU time of this thread; the table
gives medians.
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
from typing import Any

import cryptography

from sealcast.client.e2ee.context import Sender, context_id
from sealcast.client.e2ee.direct import Direct, encode_ack
from sealcast.client.e2ee.hello import Hello, Role
from sealcast.client.e2ee.identity import Authority, Identity
from sealcast.client.e2ee.kem import kem_by_name
from sealcast.client.e2ee.managed import ManagedKeys
from sealcast.client.e2ee.peers import Introduction
from sealcast.client.e2ee.rekey import GATHER
from sealcast.client.e2ee.suites import Suite, suite_by_name
from sealcast.client.e2ee.trust import AuthorityTrust

APP, CHANNEL, WALL = "0123456789abcdef0123456789abcdef", "bench", 1_790_000_000.0
CTX = context_id(APP, CHANNEL)
AUTHORITY = Authority.generate()


class Member:
    """One member's keys, and how it is introduced."""

    def __init__(self, number: int, suite: Suite, kem: int) -> None:
        self.number = number
        self.identity = Identity.generate()
        self.sender = Sender(CTX, suite, f"user {number}", secrets.token_bytes(16))
        trust = AuthorityTrust(AUTHORITY.public)
        self.keys = ManagedKeys(APP, CHANNEL, self.sender, self.identity, trust, kem=kem)
        certificate = AUTHORITY.certify(
            APP,
            CHANNEL,
            self.sender.user,
            self.identity.public,
            not_before=int(WALL) - 1,
            not_after=int(WALL) + 86400,
        )
        public, keys = self.identity.public, self.keys
        hello = Hello(
            Role.MEMBER,
            suite.id,
            self.sender.user,
            self.sender.session,
            public,
            kem,
            keys.kem_public,
            0,
            bytes(8),
        )
        self.introduction = Introduction(number, hello, certificate)

    def use(self) -> None:
        self.keys.mark_used(self.keys.sending(self.sender))


def cpu_ms(work: Callable[..., Any], *arguments: Any) -> float:
    start = time.thread_time_ns()
    work(*arguments)
    return (time.thread_time_ns() - start) / 1e6


def take_all(keys: ManagedKeys, directs: list[tuple[int, bytes]], now: float) -> None:
    for member, data in directs:
        keys.receive_direct(member, data, now)


def measure(suite: Suite, kem: int, count: int, rounds: int) -> dict[str, float]:
    members = [Member(number, suite, kem) for number in range(1, count + 1)]
    sender, receiver = members[0], members[1]
    now = 0.0
    entry = cpu_ms(sender.keys.joined, [member.introduction for member in members[1:]], now, WALL)
    receiver.keys.joined([sender.introduction], now, WALL)
    sender.keys.outgoing()
    samples: dict[str, list[float]] = {name: [] for name in ("leave", "acks", "join", "open")}
    sizes = []
    for _ in range(rounds):
        sender.use()
        leaver = members.pop()
        now += 5.0
        sender.keys.remove_member(leaver.number, now)
        now += GATHER
        samples["leave"].append(cpu_ms(sender.keys.handle_timeout, now))
        wraps: list[Direct] = sender.keys.outgoing()
        assert len(wraps) == count - 2
        sizes.append(sum(len(wrap.data) for wrap in wraps))
        epoch = sender.keys.sending(sender.sender).epoch + 1
        wrap = next(wrap for wrap in wraps if wrap.member == receiver.number)
        samples["open"].append(cpu_ms(receiver.keys.receive_direct, 1, wrap.data, now))
        acks = [(wrap.member, encode_ack(epoch, 0)) for wrap in wraps]
        samples["acks"].append(cpu_ms(take_all, sender.keys, acks, now))
        assert sender.keys.sending(sender.sender).epoch == epoch
        sender.use()
        samples["join"].append(cpu_ms(sender.keys.add_member, leaver.introduction, now, WALL))
        members.append(leaver)
        sender.keys.outgoing()
    medians = {f"{name} ms": round(statistics.median(values), 3) for name, values in samples.items()}
    return {**medians, "entry ms": round(entry, 3), "leave kB": round(statistics.median(sizes) / 1000, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    rows = [
        {
            "suite": suite,
            "kem": kem,
            **measure(suite_by_name(suite), kem_by_name(kem), options.members, options.rounds),
        }
        for suite in ("AES_128_GCM", "AES_256_GCM")
        for kem in ("x25519", "x-wing")
    ]
    if options.json:
        machine = {
            "python": platform.python_version(),
            "cryptography": cryptography.__version__,
            "machine": platform.machine(),
            "members": options.members,
        }
        json.dump({**machine, "unit": "ms of CPU, medians", "rows": rows}, sys.stdout, indent=2)
        print()
        return
    print(f"{options.members} members; CPU of one member, medians of {options.rounds} rounds")
    print("suite        kem      leave ms  leave kB  its acks ms  a join ms  opening a wrap ms  entering ms")
    for row in rows:
        print(
            f"{row['suite']:12} {row['kem']:7} {row['leave ms']:9.2f} {row['leave kB']:9.1f} "
            f"{row['acks ms']:12.2f} {row['join ms']:10.2f} {row['open ms']:18.2f} {row['entry ms']:12.1f}"
        )


if __name__ == "__main__":
    main()
