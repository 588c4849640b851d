"""What the relay is made of: imports, names and libraries that could decrypt are found, prose is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from sealcast.cli.blind.failures import ProbeFailed
from sealcast.cli.blind.memory import Mapping
from sealcast.cli.blind.sources import cipher_files, cipher_modules, closure, named_in, scan


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package without anything in it."""
    root = tmp_path / "suspect"
    (root / "deep").mkdir(parents=True)
    (root / "__init__.py").write_text('"""Cannot decrypt anything, and never heard of AESGCM or HPKE."""\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    return root


def names(source: str) -> set[str]:
    return {name for _, name in named_in(source.encode())}


def test_prose_about_decrypting_is_no_name(package: Path) -> None:
    found = scan(["suspect"])
    assert (found.files, found.found, found.compiled) == (1, [], [])


@pytest.mark.parametrize(
    "source",
    [
        "def decrypt(x): ...",
        "async def decrypt_all(x): ...",
        "class Decryptor: ...",
        "from cryptography.hazmat.primitives.ciphers.aead import AESGCM",
        "import nacl.secret as harmless",
        "import harmless as nacl",
        "from x import HPKE as y",
        "box.decrypt(data)",
        "getattr(box, 'decrypt')(data)",
        "getattr(box, b'decrypt'.decode())(data)",
        "import_module('cryptography.fernet')",
        "f(aes_key=1)",
        "def f(chacha20): ...",
        "from sealcast.client import Key",
        "X25519 = 1",
    ],
)
def test_whatever_names_a_cipher_is_found_with_its_line(package: Path, source: str) -> None:
    (package / "deep" / "module.py").write_text(f"harmless = 1\n\n{source}\n")
    found = scan(["suspect"])
    assert found.files == 2
    assert {(Path(item.file).name, item.line) for item in found.found} == {("module.py", 3)}


def test_code_that_is_not_source_is_reported_and_caches_are_not(package: Path) -> None:
    (package / "deep" / "fast.so").touch()
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "module.cpython-311.pyc").touch()
    assert scan(["suspect"]).compiled == [str(package / "deep" / "fast.so")]


def test_a_package_that_is_not_there_is_no_clean_result() -> None:
    with pytest.raises(ProbeFailed, match="not installed"):
        scan(["no_such_package_here"])


def test_names_come_from_every_place_that_can_name() -> None:
    assert names("a.b(c=d)") == {"a", "b", "c", "d"}
    assert names("def e(f, *g, **h): ...") == {"e", "f", "g", "h"}
    assert names("x = 'two words'") == {"x"}


def test_the_relay_and_the_protocol_have_no_such_name_and_the_sdk_has() -> None:
    relay = scan(["sealcast.server", "sealcast.protocol"])
    assert relay.found == relay.compiled == []
    assert relay.files > 20
    assert scan(["sealcast.client.e2ee"]).found


def test_passwords_may_be_hashed_where_they_are_and_nowhere_else(package: Path) -> None:
    (package / "server").mkdir()
    (package / "server" / "passwords.py").write_text("from argon2 import PasswordHasher\n")
    (package / "passwords.py").write_text("from argon2.low_level import hash_secret_raw\n")
    assert len(scan(["suspect"]).found) == 2, "this is not sealcast.server"


async def test_importing_the_relay_brings_in_no_cipher_and_importing_the_sdk_does(tmp_path: Path) -> None:
    relay = await closure("sealcast.server.relay", tmp_path)
    assert relay.ciphers == ()
    assert "sealcast.server.session" in relay.modules
    assert {"cryptography", "sealcast.client"} <= set((await closure("sealcast.client", tmp_path)).ciphers)


async def test_a_module_that_cannot_be_imported_is_no_clean_result(tmp_path: Path) -> None:
    with pytest.raises(ProbeFailed, match="no_such_module"):
        await closure("no_such_module", tmp_path)


def test_modules_are_judged_by_whole_names() -> None:
    modules = [
        "cryptography.x",
        "cryptographic",
        "nacl",
        "Crypto.Cipher",
        "sealcast.client",
        "sealcast.clients",
    ]
    assert cipher_modules(modules) == ("cryptography.x", "nacl", "Crypto.Cipher", "sealcast.client")


def test_libraries_are_judged_by_their_package_or_name() -> None:
    paths = [
        "/venv/site-packages/cryptography/hazmat/bindings/_rust.abi3.so",
        "/venv/site-packages/nacl/_sodium.abi3.so",
        "/usr/lib/libsodium.so.23",
        "/usr/lib/libcrypto.so.3",
        "/usr/lib/libc.so.6",
        "[heap]",
    ]
    files, found = cipher_files(Mapping(0, 4096, "r-xp", path) for path in paths)
    assert sorted(files) == sorted(paths[:-1])
    assert sorted(found) == sorted(paths[:3])
