"""Who is trusted: the authority's members, the application's, or the first one seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from sealcast.client.e2ee import trust_store
from sealcast.client.e2ee.context import context_id
from sealcast.client.e2ee.hello import Role
from sealcast.client.e2ee.identity import Authority, Identity
from sealcast.client.e2ee.trust import AuthorityTrust, CallbackTrust, Claim, FirstUseTrust, trust_policy
from sealcast.client.e2ee.trust_store import Known, TrustStore
from sealcast.client.errors import (
    CertificateMissing,
    IdentityChanged,
    MemberNotTrusted,
    PrivateFileRefused,
    TrustStoreBusy,
)
from sealcast.protocol.errors import InvalidName

APP, OTHER_APP = "0123456789abcdef0123456789abcdef", "f" * 32
FIRST, SECOND = bytes(range(32)), bytes(range(1, 33))


def claim(user: str = "alice", identity: bytes = FIRST, certificate: bytes = b"", app: str = APP) -> Claim:
    ctx = context_id(app, "standup")
    return Claim(app, "standup", ctx, user, identity, Role.MEMBER, certificate)


# The authority


def test_an_authority_trusts_until_the_certificate_ends() -> None:
    authority = Authority.generate()
    certificate = authority.certify(APP, "standup", "alice", FIRST, not_before=0, not_after=5000)
    policy = AuthorityTrust(authority.public)
    assert policy.check(claim(certificate=certificate), 4999.0) == 5000
    with pytest.raises(CertificateMissing):
        policy.check(claim(), 1.0)
    with pytest.raises(ValueError, match="32 bytes"):
        AuthorityTrust(b"short")


# The application


def test_the_application_is_asked_with_the_whole_claim() -> None:
    asked: list[Claim] = []

    def vouch(member: Claim) -> bool:
        asked.append(member)
        return member.user == "alice"

    policy = CallbackTrust(vouch)
    assert policy.check(claim(), 0.0) is None
    with pytest.raises(MemberNotTrusted):
        policy.check(claim("bob"), 0.0)
    assert [member.user for member in asked] == ["alice", "bob"]


@pytest.mark.parametrize("answer", [False, None, 1, "yes", object()])
def test_only_true_is_a_yes(answer: Any) -> None:
    with pytest.raises(MemberNotTrusted):
        CallbackTrust(lambda member: answer).check(claim(), 0.0)


def test_a_check_that_fails_trusts_nobody_and_keeps_its_cause() -> None:
    def broken(member: Claim) -> bool:
        raise LookupError("directory is down")

    with pytest.raises(MemberNotTrusted) as caught:
        CallbackTrust(broken).check(claim(), 0.0)
    assert isinstance(caught.value.__cause__, LookupError)


def test_an_async_check_is_refused_at_once_because_a_coroutine_is_never_false() -> None:
    async def vouch(member: Claim) -> bool:
        return False

    with pytest.raises(TypeError, match="async"):
        CallbackTrust(vouch)  # type: ignore[arg-type]


# First use


def test_the_first_identity_is_kept_and_another_is_refused_until_it_is_accepted(tmp_path: Path) -> None:
    store = TrustStore(tmp_path / "trust.json")
    policy = FirstUseTrust(store)
    assert policy.check(claim(), 100.9) is None
    assert policy.check(claim(), 200.0) is None
    assert store.known(APP, "alice") == Known(FIRST, 100)
    for _ in range(2):
        with pytest.raises(IdentityChanged):
            policy.check(claim(identity=SECOND), 300.0)
    policy.check(claim(), 300.0)
    store.accept(APP, "alice", SECOND, 400.0)
    policy.check(claim(identity=SECOND), 500.0)
    with pytest.raises(IdentityChanged):
        policy.check(claim(), 600.0)
    assert store.known(APP, "alice") == Known(SECOND, 400)


def test_users_and_apps_are_kept_apart(tmp_path: Path) -> None:
    policy = FirstUseTrust(TrustStore(tmp_path / "trust.json"))
    policy.check(claim(), 1.0)
    policy.check(claim(app=OTHER_APP, identity=SECOND), 1.0)
    policy.check(claim("bob", SECOND), 1.0)


def test_a_store_remembers_across_processes_and_its_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    TrustStore(path).check(APP, "alice", FIRST, 1.0)
    assert {entry.name for entry in tmp_path.iterdir()} == {"trust.json", "trust.json.lock"}
    assert all(entry.stat().st_mode & 0o777 == 0o600 for entry in tmp_path.iterdir())
    script = (
        "import sys; from sealcast.client.e2ee.trust_store import TrustStore; "
        "print(TrustStore(sys.argv[1]).known(sys.argv[2], 'alice'))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, path, APP], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == str(Known(FIRST, 1))


def test_a_change_by_another_store_is_seen(tmp_path: Path) -> None:
    one, two = TrustStore(tmp_path / "trust.json"), TrustStore(tmp_path / "trust.json")
    one.check(APP, "alice", FIRST, 1.0)
    with pytest.raises(IdentityChanged):
        two.check(APP, "alice", SECOND, 1.0)
    two.accept(APP, "alice", SECOND, 2.0)
    with pytest.raises(IdentityChanged):
        one.check(APP, "alice", FIRST, 3.0)
    assert one.forget(APP, "alice") is True
    assert two.forget(APP, "alice") is False
    assert two.known(APP, "alice") is None
    two.check(APP, "alice", FIRST, 4.0)


def test_a_store_that_is_deleted_is_empty_and_begins_again(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    store = TrustStore(path)
    store.check(APP, "alice", FIRST, 1.0)
    path.unlink()
    assert store.known(APP, "alice") is None
    store.check(APP, "alice", SECOND, 1.0)
    assert path.exists()


def test_without_a_path_it_remembers_in_memory() -> None:
    store = TrustStore()
    store.check(APP, "alice", FIRST, 1.0)
    with pytest.raises(IdentityChanged):
        store.check(APP, "alice", SECOND, 1.0)
    assert store.forget(APP, "alice") is True
    assert repr(store) == "TrustStore(0 users)"


WRITER = """
import sys
from sealcast.client.e2ee.trust_store import TrustStore
path, app, name = sys.argv[1:]
store = TrustStore(path, lock_wait=30)
print("ready", flush=True)
sys.stdin.readline()
for number in range(25):
    store.check(app, f"{name} {number}", bytes(32), 1.0)
"""


def test_processes_and_threads_that_write_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, path, APP, f"process {number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    shared = TrustStore(path, lock_wait=30)

    def write(name: str) -> None:
        for number in range(25):
            shared.check(APP, f"{name} {number}", FIRST, 1.0)

    threads = [threading.Thread(target=write, args=(f"thread {number}",)) for number in range(2)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for thread in threads:
        thread.start()
    for writer in writers:
        writer.communicate("go\n", timeout=30)
        assert writer.returncode == 0
    for thread in threads:
        thread.join()
    assert len(json.loads(path.read_text())["apps"][APP]) == 100


def test_two_processes_cannot_both_be_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both found nobody; the second one waits for the lock, and looks again when it has it."""
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "trust.json"
    TrustStore(path).check(APP, "bob", FIRST, 1.0)
    waits = threading.Event()
    try_lock = trust_store._try_lock

    def watched(descriptor: int) -> bool:
        locked = try_lock(descriptor)
        if not locked:
            waits.set()
        return locked

    monkeypatch.setattr(trust_store, "_try_lock", watched)
    refused: list[type[Exception]] = []

    def second() -> None:
        try:
            TrustStore(path, lock_wait=30).check(APP, "alice", SECOND, 1.0)
        except IdentityChanged as error:
            refused.append(type(error))

    with (tmp_path / "trust.json.lock").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(30)
        document = json.loads(path.read_text())
        document["apps"][APP]["alice"] = {"identity": FIRST.hex(), "since": 1}
        path.write_text(json.dumps(document))
    thread.join()
    assert refused == [IdentityChanged]
    assert TrustStore(path).known(APP, "alice") == Known(FIRST, 1)


def test_a_store_that_stays_locked_trusts_nobody_new(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "trust.json"
    store = TrustStore(path, lock_wait=0.0)
    store.check(APP, "alice", FIRST, 1.0)
    with (tmp_path / "trust.json.lock").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        store.check(APP, "alice", FIRST, 1.0)
        with pytest.raises(TrustStoreBusy):
            store.check(APP, "bob", FIRST, 1.0)
        with pytest.raises(TrustStoreBusy):
            store.accept(APP, "alice", SECOND, 1.0)
        with pytest.raises(MemberNotTrusted) as caught:
            FirstUseTrust(store).check(claim("bob"), 1.0)
        assert isinstance(caught.value.__cause__, TrustStoreBusy)
    store.check(APP, "bob", FIRST, 1.0)


def test_a_failed_write_trusts_nobody_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trust.json"
    store = TrustStore(path)
    store.check(APP, "alice", FIRST, 1.0)
    before = path.read_bytes()

    def full(source: Any, target: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(MemberNotTrusted):
            FirstUseTrust(store).check(claim("bob"), 1.0)
    assert path.read_bytes() == before
    assert store.known(APP, "bob") is None
    assert len(list(tmp_path.iterdir())) == 2


ENTRY = {"identity": FIRST.hex(), "since": 1}
BAD_APPS: list[Any] = [
    {"app": {"alice": ENTRY}},
    {APP: {"*": ENTRY}},
    {APP: {"alice": {}}},
    {APP: {"alice": {**ENTRY, "identity": "00"}}},
    {APP: {"alice": {**ENTRY, "identity": "zz" * 32}}},
    {APP: {"alice": {**ENTRY, "since": "x"}}},
    {APP: {"alice": {**ENTRY, "since": True}}},
    {APP: ["alice"]},
]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"sealcast trust": 2, "apps": {}}',
        b'{"apps": {}}',
        b'{"sealcast trust": 1}',
        b'{"sealcast trust": 1, "apps": []}',
        b"[" * 100_000,
        *(json.dumps({"sealcast trust": 1, "apps": apps}).encode() for apps in BAD_APPS),
    ],
)
def test_a_file_that_is_no_trust_store_is_refused_and_never_overwritten(
    document: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "trust.json"
    path.touch(0o600)
    path.write_bytes(document)
    with pytest.raises(PrivateFileRefused):
        TrustStore(path)
    assert path.read_bytes() == document


def test_a_file_that_others_may_change_is_refused_also_when_it_becomes_so(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    store = TrustStore(path)
    store.check(APP, "alice", FIRST, 1.0)
    path.chmod(0o666)
    with pytest.raises(PrivateFileRefused):
        TrustStore(path)
    path.write_text(path.read_text() + " ")
    with pytest.raises(MemberNotTrusted):
        FirstUseTrust(store).check(claim(), 1.0)


def test_a_full_store_trusts_no_new_users_and_still_knows_the_old_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust_store, "USERS_MAX", 2)
    store = TrustStore(tmp_path / "trust.json")
    for user in ("alice", "bob"):
        store.check(APP, user, FIRST, 1.0)
    with pytest.raises(MemberNotTrusted, match="full"):
        store.check(APP, "carol", FIRST, 1.0)
    store.accept(APP, "bob", SECOND, 1.0)
    store.check(APP, "alice", FIRST, 1.0)
    store.forget(APP, "alice")
    store.check(APP, "carol", FIRST, 1.0)


def test_nothing_that_could_not_be_read_again_is_written() -> None:
    store = TrustStore()
    with pytest.raises(ValueError, match="32 bytes"):
        store.accept(APP, "alice", b"short", 1.0)
    with pytest.raises(InvalidName):
        store.check("app", "alice", FIRST, 1.0)
    with pytest.raises(InvalidName):
        store.check(APP, "*", FIRST, 1.0)


# Choosing a policy


def test_the_authority_is_the_default_and_the_others_are_chosen_by_name() -> None:
    assert isinstance(trust_policy(bytes(32)), AuthorityTrust)
    assert isinstance(trust_policy(trust="first_use"), FirstUseTrust)
    assert isinstance(trust_policy(trust="first_use", store=TrustStore()), FirstUseTrust)
    assert isinstance(trust_policy(trust="callback", verify_member=lambda member: True), CallbackTrust)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"trust": "everybody"},
        {"trust": "callback"},
        {"store": TrustStore()},
        {"verify_member": lambda member: True},
        {"authority": bytes(32), "verify_member": lambda member: True},
        {"authority": bytes(32), "trust": "first_use"},
        {"authority": bytes(32), "trust": "callback", "verify_member": lambda member: True},
        {"trust": "first_use", "verify_member": lambda member: True},
    ],
)
def test_arguments_that_do_not_fit_never_make_a_weaker_policy(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"trust|authority|verify_member"):
        trust_policy(**arguments)


def test_an_identity_is_what_first_use_remembers() -> None:
    store, identity = TrustStore(), Identity.generate()
    FirstUseTrust(store).check(claim(identity=identity.public), 1.0)
    assert store.known(APP, "alice") == Known(identity.public, 1)
