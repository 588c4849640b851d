"""Every peer that can run here relays as its contract says, and the check of that sees what is wrong."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.peers.base import Running, Wrap
from bench.peers.catalogue import every_peer
from bench.peers.check import FRAMES, Reader, examine, message, payload
from bench.peers.websockets_broadcast import Websockets

ROOT = Path(__file__).parents[2]
PEERS = every_peer()


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_delivers_every_frame_whole_once_and_in_order(name: str) -> None:
    peer = PEERS[name]
    if missing := peer.missing():
        pytest.skip(missing)
    assert examine(peer) is None


@pytest.mark.parametrize("name", PEERS)
def test_what_is_missing_is_one_sentence_and_a_note_one_line(name: str) -> None:
    peer = PEERS[name]
    missing = peer.missing()
    assert missing is None or (missing.strip() and "\n" not in missing)
    assert peer.note.strip()
    assert "\n" not in peer.note


def test_a_server_ends_with_the_benchmark_even_when_that_is_killed() -> None:
    words = (
        "import sys; from bench.peers.websockets_broadcast import Websockets; running = Websockets().start()"
    )
    words += "; print(*running.pids, flush=True); sys.stdin.read()"
    benchmark = subprocess.Popen(
        [sys.executable, "-c", words], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with benchmark:
        assert benchmark.stdout is not None
        server = os.pidfd_open(int(benchmark.stdout.readline().split()[0]))
        try:
            benchmark.send_signal(signal.SIGKILL)
            assert select.select([server], [], [], 10)[0], "it still runs"
        finally:
            os.close(server)


# --- what the check sees ---


def test_the_check_sees_a_receiver_that_gets_nothing() -> None:
    class Peer(Websockets):
        def join(self, port: int, channel: str, user: str, *, sends: bool) -> socket.socket:
            return super().join(port, "lost" if user == "third" else channel, user, sends=sends)

    assert (
        examine(Peer(), patience=1) == f"64 bytes: 0 of {FRAMES} frames came to receiver 3, or not in order"
    )


def test_the_check_sees_frames_in_the_wrong_channel() -> None:
    class Peer(Websockets):
        def join(self, port: int, channel: str, user: str, *, sends: bool) -> socket.socket:
            return super().join(port, "room", user, sends=sends)

    assert examine(Peer()) == f"{2 * FRAMES} frames reached another channel"


def test_the_check_sees_an_echo_that_was_promised_and_does_not_come() -> None:
    class Peer(Websockets):
        echoes = True

    assert (
        examine(Peer(), patience=1) == f"64 bytes: 0 of {FRAMES} frames came to the sender, or not in order"
    )


def test_the_check_sees_a_server_that_hangs_up() -> None:
    class Peer(Websockets):
        def wrap(self, size: int, channel: str, user: str) -> Wrap:
            reserved = bytes((super().wrap(size, channel, user).prefix[0] | 0x40,))
            return Wrap(reserved + super().wrap(size, channel, user).prefix[1:])

    assert examine(Peer(), patience=1) == "64 bytes: the server closed the connection of the sender"


def test_the_check_sees_processes_that_are_not_measured() -> None:
    class Peer(Websockets):
        def start(self) -> Running:
            running = super().start()
            running.pids = [os.getpid()]
            return running

    assert examine(Peer()) == "5 connections belong to processes that are not counted"


def test_the_check_sees_a_process_that_is_left() -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeper:

        class Peer(Websockets):
            def start(self) -> Running:
                running = super().start()
                running.pids.append(sleeper.pid)
                return running

        try:
            assert examine(Peer()) == f"processes [{sleeper.pid}] outlived it"
        finally:
            sleeper.kill()


# --- a member's side ---


@pytest.fixture
def line() -> Iterator[tuple[socket.socket, Reader]]:
    """The server's end of a connection, and the reader at the other."""
    near, far = socket.socketpair()
    with near, far:
        far.setblocking(False)
        reader = Reader(far)
        reader.begin(64)
        yield near, reader


def test_payloads_are_found_whatever_stands_around_them_and_wherever_they_are_cut(
    line: tuple[socket.socket, Reader],
) -> None:
    server, reader = line
    for byte in b"head" + payload(0, 64) + b"between" + payload(1, 64) + b"end":
        server.sendall(bytes((byte,)))
        reader.take()
    assert reader.counters == [0, 1]
    assert not reader.damaged
    assert reader.strides == {64 + len("between")}


def test_doubled_and_reordered_payloads_are_kept_as_they_came(line: tuple[socket.socket, Reader]) -> None:
    server, reader = line
    server.sendall(b"".join(payload(counter, 64) for counter in (1, 0, 0)))
    reader.take()
    assert reader.counters == [1, 0, 0]


@pytest.mark.parametrize("place", [12, 40, 63])
def test_one_wrong_bit_is_damage(line: tuple[socket.socket, Reader], place: int) -> None:
    server, reader = line
    wrong = bytearray(payload(0, 64))
    wrong[place] ^= 1
    server.sendall(wrong)
    reader.take()
    assert reader.damaged == 1


def test_a_closed_connection_is_noticed(line: tuple[socket.socket, Reader]) -> None:
    server, reader = line
    server.close()
    reader.take()
    assert reader.closed


def test_a_message_carries_its_counter_where_the_wrap_says() -> None:
    wrap = Wrap(b"ab\x00\xffcd", b"end", counter_at=2, counter_bytes=2)
    assert message(wrap, 1, b"data") == b"ab\x01\x00cddataend"
    assert message(Wrap(b"ab"), 1, b"data") == b"abdata"
