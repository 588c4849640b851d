"""A context exists once: restarts, copies, pickles, forks and threads never repeat a (key, nonce)."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from sealcast.client.e2ee import ChannelCrypto, Key, suites
from sealcast.client.e2ee.context import BaseKey, Sender, context_id
from sealcast.client.e2ee.keys import SharedSecrets
from sealcast.client.e2ee.opener import Opener
from sealcast.client.e2ee.sealer import LockedCounter, Sealer
from sealcast.client.e2ee.suites import AES_128_GCM
from sealcast.client.errors import CopyRefused, SealError
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import read_header

APP = "0123456789abcdef0123456789abcdef"
AUDIO = Descriptor(Kind.AUDIO, stream=2)
VIDEO = Descriptor(Kind.VIDEO, stream=3)
MESSAGE = Descriptor(Kind.MESSAGE, stream=1)


class Recorder:
    """Stands in for AESGCM and keeps every (key, nonce) that something was encrypted under."""

    seen: list[tuple[bytes, bytes]]

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cipher = AESGCM(key)
        self.decrypt = self._cipher.decrypt

    def encrypt(self, nonce: bytes, data: Any, aad: bytes) -> bytes:
        Recorder.seen.append((self._key, nonce))
        return self._cipher.encrypt(nonce, data, aad)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    Recorder.seen = []
    monkeypatch.setattr(suites, "AESGCM", Recorder)
    return Recorder.seen


def test_thousands_of_restarts_with_one_secret_never_repeat_a_key_and_nonce(
    recorded: list[tuple[bytes, bytes]],
) -> None:
    key = Key.raw(bytes(32))
    for _ in range(1000):
        for user in ("alice", "bob"):
            crypto = key.bind(APP, "standup", user)
            for descriptor in (AUDIO, VIDEO):
                crypto.seal(descriptor, b"same payload")
    assert len(recorded) == 4000
    assert len({key for key, _ in recorded}) == 4000
    assert len(set(recorded)) == 4000


STEP = st.one_of(
    st.sampled_from([AUDIO, VIDEO, MESSAGE]).map(lambda d: ("seal", d)),
    st.just(("fail", AUDIO)),
    st.integers(1, 33).map(lambda n: ("rotate", n)),
    st.just(("again", 0)),
    st.just(("back", 0)),
    st.just(("restart", 0)),
)


@settings(deadline=None)
@given(st.lists(STEP, max_size=60))
def test_no_course_of_events_repeats_a_key_and_nonce(steps: list[tuple[str, Any]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        Recorder.seen = []
        patch.setattr(suites, "AESGCM", Recorder)
        epoch, key = 0, Key.raw(bytes(32))
        crypto = key.bind(APP, "standup", "alice")
        for what, how in steps:
            if what == "seal":
                crypto.seal(how, b"x")
            elif what == "fail":
                with pytest.raises(TypeError):
                    crypto.seal(how, "text")  # type: ignore[arg-type]
            elif what == "rotate":
                epoch += how
                crypto.set_key(epoch, bytes(32))
            elif what == "again":
                crypto.set_key(epoch, bytes(32))
            elif what == "back" and epoch:
                with pytest.raises(SealError):
                    crypto.set_key(epoch - 1, bytes(32))
            elif what == "restart":
                epoch = 0
                crypto = key.bind(APP, "standup", "alice")
        assert len(set(Recorder.seen)) == len(Recorder.seen)


def test_a_failed_seal_has_used_its_counter_up() -> None:
    crypto = Key.raw(bytes(32)).bind(APP, "standup", "alice")
    counters = [read_header(crypto.seal(AUDIO, b"a"), 4)[1]]
    with pytest.raises(TypeError):
        crypto.seal(AUDIO, "text")  # type: ignore[arg-type]
    counters.append(read_header(crypto.seal(AUDIO, b"a"), 4)[1])
    assert counters == [0, 2]


def things() -> dict[str, Any]:
    key = Key.raw(bytes(32))
    sender = Sender(context_id(APP, "standup"), AES_128_GCM, "alice", bytes(16))
    return {
        "key": key,
        "no key": Key.none(),
        "context": key.bind(APP, "standup", "alice"),
        "context without a key": Key.none().bind(APP, "standup", "alice"),
        "sealer": Sealer(sender, BaseKey(0, 0, bytes(32))),
        "opener": Opener(lambda *_: None),
        "provider": SharedSecrets(sender.ctx, AES_128_GCM, 0, bytes(32)),
        "bound seal": key.bind(APP, "standup", "alice").seal,
    }


WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {n}": partial(pickle.dumps, protocol=n) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
    "reduce": lambda thing: thing.__reduce__(),
    "getstate": lambda thing: thing.__getstate__(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", [name for name in things() if name != "bound seal"])
def test_keys_and_contexts_are_neither_copied_nor_pickled(what: str, way: str) -> None:
    with pytest.raises(CopyRefused) as caught:
        WAYS[way](things()[what])
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("way", ["deepcopy", f"pickle {pickle.HIGHEST_PROTOCOL}"])
def test_a_bound_method_is_no_way_around(way: str) -> None:
    with pytest.raises(CopyRefused):
        WAYS[way](things()["bound seal"])


def test_a_structure_that_holds_a_context_cannot_be_copied_deeply() -> None:
    with pytest.raises(CopyRefused):
        copy.deepcopy({"room": [things()["context"]]})


FORK = """
import os, sys, threading, traceback
from sealcast.client.e2ee import Key
from sealcast.client.errors import ContextPoisoned
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.names import Kind

app, audio = "0123456789abcdef0123456789abcdef", Descriptor(Kind.AUDIO, stream=2)
key = Key.raw(bytes(32))
alice, bob = key.bind(app, "standup", "alice"), key.bind(app, "standup", "bob")
unused = key.bind(app, "standup", "carol")
bob.add_member(1, "alice", alice.hello)
bob.open(1, alice.seal(audio, b"before"))
frame, seal = alice.seal(audio, b"next"), alice.seal

def refused(call, *arguments):
    try:
        call(*arguments)
    except ContextPoisoned:
        return
    raise AssertionError("a forked context still works")

def child():
    refused(alice.seal, audio, b"twice")
    refused(seal, audio, b"by the method that was bound before")
    refused(unused.seal, audio, b"first frame")
    refused(alice.set_key, 1, bytes(32))
    refused(bob.open, 1, frame)
    fresh = key.bind(app, "standup", "alice")
    reader = key.bind(app, "standup", "bob")
    reader.add_member(1, "alice", fresh.hello)
    assert reader.open(1, fresh.seal(audio, b"new context")).payload == b"new context"
    grandchild = os.fork()
    if not grandchild:
        refused(fresh.seal, audio, b"again")
        refused(alice.seal, audio, b"still")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) == 0

pid = os.fork()
if not pid:
    try:
        child()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "the child failed"
assert bob.open(1, frame).payload == b"next", "the parent's receiving context must go on"
assert bob.open(1, alice.seal(audio, b"after")).payload == b"after", "and its sending context"
print("fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_cannot_use_the_contexts_of_its_parent() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(FORK)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == ("fine", 0), done.stderr


@pytest.fixture
def eager_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(count: int, work: Callable[[list[Any]], None]) -> list[Any]:
    results: list[list[Any]] = [[] for _ in range(count)]
    start = threading.Barrier(count)

    def run(into: list[Any]) -> None:
        start.wait()
        work(into)

    threads = [threading.Thread(target=run, args=(into,)) for into in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [item for into in results for item in into]


@pytest.mark.usefixtures("eager_switching")
def test_threads_that_seal_on_one_stream_get_distinct_counters() -> None:
    crypto = Key.raw(bytes(32)).bind(APP, "standup", "alice")

    def work(into: list[Any]) -> None:
        for _ in range(1000):
            into.append(read_header(crypto.seal(AUDIO, b"x"), 4)[:2])

    assert sorted(ctr for _, ctr in in_threads(8, work)) == list(range(8000))


@pytest.mark.usefixtures("eager_switching")
def test_threads_that_seal_while_the_key_changes_never_share_a_key_and_nonce(
    recorded: list[tuple[bytes, bytes]],
) -> None:
    crypto = Key.raw(bytes(32)).bind(APP, "standup", "alice")
    turn = threading.Lock()

    def work(into: list[Any]) -> None:
        for number in range(400):
            into.append(crypto.seal(AUDIO, b"x"))
            if number % 50 == 0:
                with turn:
                    assert crypto.epoch is not None
                    crypto.set_key(crypto.epoch + 1, bytes(32))

    frames = in_threads(4, work)
    assert len(frames) == len(recorded) == len(set(recorded)) == 1600
    assert len({read_header(frame, 4)[:2] for frame in frames}) == 1600


@pytest.mark.usefixtures("eager_switching")
def test_the_counter_for_threads_without_an_interpreter_lock_repeats_nothing() -> None:
    take = LockedCounter(5)
    numbers = in_threads(8, lambda into: into.extend(take() for _ in range(2000)))
    assert sorted(numbers) == list(range(5, 16005))


def test_reprs_show_no_secret() -> None:
    secret = b"\xde\xad\xbe\xef" * 8
    key = Key.raw(secret)
    crypto: ChannelCrypto = key.bind(APP, "standup", "alice")
    shown = " ".join(map(repr, (key, crypto, crypto.seal, crypto.open, *things().values())))
    for form in (secret.hex(), repr(secret)[2:-1], "deadbeef", "\\x00\\x00"):
        assert form not in shown
