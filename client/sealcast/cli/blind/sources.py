"""What the relay is made of: the modules that it imports, and the names in its source.

Neither needs a running relay, and both look at the packages as they are installed.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..signals import KILL, signal_child
from .failures import ProbeFailed
from .memory import Mapping

__all__ = [
    "CIPHERS",
    "Closure",
    "Named",
    "Scan",
    "cipher_files",
    "cipher_modules",
    "closure",
    "named_in",
    "scan",
]

CIPHERS: Final = ("cryptography", "nacl", "Crypto", "Cryptodome", "sealcast.client")
"""Packages that can decrypt, and the SDK, which holds keys."""

_NAMES: Final = re.compile(
    r"decrypt|decipher|unseal|un_?wrap_?key|aes|chacha|salsa20|poly1305|gcm|hpke|hkdf|pbkdf2|scrypt|argon2"
    r"|x25519|ed25519|fernet|cryptography|cryptodome|pycrypto|nacl|libsodium|libcrypto|sealcast\.client",
    re.IGNORECASE,
)
_PASSWORDS: Final = ("server/passwords.py", "argon2")
"""Where passwords of the console are hashed, and with what: a hash of a password opens nothing."""
_TEXT_IN_CODE: Final = re.compile(r"[\w.\-]+")
_COMPILED: Final = (".so", ".pyd", ".pyc", ".pyx")
_PROBE: Final = (
    "import sys, json, importlib\n"
    "importlib.import_module(sys.argv[1])\n"
    "print(json.dumps(sorted(sys.modules)))\n"
)
_PROBE_TIMEOUT: Final = 60.0


@dataclass(frozen=True, slots=True)
class Closure:
    """What a fresh process holds after one import."""

    modules: tuple[str, ...]
    ciphers: tuple[str, ...]
    """Those among them that can decrypt."""


@dataclass(frozen=True, slots=True)
class Named:
    """A name in a source file that speaks of decrypting."""

    file: str
    line: int
    name: str


@dataclass(slots=True)
class Scan:
    """What the names in some packages say."""

    files: int = 0
    names: int = 0
    found: list[Named] = field(default_factory=list)
    compiled: list[str] = field(default_factory=list)
    """Files that are not Python source, and so were not scanned."""


def cipher_modules(modules: Iterable[str]) -> tuple[str, ...]:
    """Return the modules that can decrypt."""
    return tuple(
        name for name in modules if any(name == own or name.startswith(own + ".") for own in CIPHERS)
    )


def cipher_files(mappings: Iterable[Mapping]) -> tuple[list[str], list[str]]:
    """Return the files that a process has mapped, and those among them that belong to cipher packages."""
    files = sorted({mapping.path for mapping in mappings if mapping.of_file})
    packages = {name.partition(".")[0] for name in CIPHERS} - {"sealcast"}
    return files, [
        name
        for name in files
        if packages.intersection(Path(name).parts) or Path(name).name.startswith("libsodium")
    ]


async def closure(module: str, directory: Path) -> Closure:
    """Import *module* in a fresh process; return what that process then holds. Raises ProbeFailed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PROBE,
        module,
        cwd=directory,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), _PROBE_TIMEOUT)
    except TimeoutError:
        raise ProbeFailed(f"{module} could not be imported within {_PROBE_TIMEOUT:g} s") from None
    finally:
        signal_child(process, KILL)
        await process.communicate()  # closes its pipes, and waits
    if process.returncode:
        last = errors.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise ProbeFailed(f"{module} cannot be imported: {' '.join(last)}")
    modules = tuple(json.loads(out))
    return Closure(modules, cipher_modules(modules))


def scan(packages: Iterable[str]) -> Scan:
    """Scan the installed source of *packages*; raises ProbeFailed for one that is not installed."""
    result = Scan()
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ProbeFailed(f"{package} is not installed")
        for root in map(Path, spec.submodule_search_locations):
            for path in sorted(root.rglob("*")):
                if path.suffix in _COMPILED and "__pycache__" not in path.parts:
                    result.compiled.append(str(path))
                if path.suffix == ".py":
                    result.files += 1
                    _scan_file(path, result)
    return result


def _scan_file(path: Path, result: Scan) -> None:
    names = list(named_in(path.read_bytes()))
    result.names += len(names)
    place, passwords = _PASSWORDS
    if path.as_posix().endswith(f"sealcast/{place}"):
        names = [(line, name) for line, name in names if name.split(".")[0] != passwords]
    result.found += [Named(str(path), line, name) for line, name in names if _NAMES.search(name)]


def named_in(source: bytes) -> Iterator[tuple[int, str]]:
    """Return line and text of everything in Python source that names something.

    Names, attributes, arguments, definitions, imports, and texts that could be a name or a module, since
    ``getattr`` and ``import_module`` take those. Prose is left out: it is full of what code must not do.
    """
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield line, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield line, name
            case ast.keyword(arg=str(name)) | ast.ImportFrom(module=str(name)):
                yield line, name
            case ast.alias(name=name, asname=other):
                yield line, name
                if other is not None:
                    yield line, other
            case ast.Constant(value=str(text)) if _TEXT_IN_CODE.fullmatch(text):
                yield line, text
            case ast.Constant(value=bytes(data)) if _TEXT_IN_CODE.fullmatch(data.decode("latin-1")):
                yield line, data.decode("latin-1")
