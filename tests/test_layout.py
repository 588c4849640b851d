"""Rules about the tree itself: what may stand where, how large it may be, and what it may know."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import sealcast
from sealcast.protocol.version import __version__

ROOT = Path(__file__).parents[1]
ROOTS = ("protocol", "client", "server")
PACKAGES = ("sealcast.protocol", "sealcast.client", "sealcast.cli", "sealcast.server")
MOST_LINES = 420

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def sources() -> dict[str, Path]:
    """Every module of the product, by its dotted name."""
    found = {}
    for root in ROOTS:
        for path in sorted((ROOT / root).rglob("*.py")):
            parts = path.relative_to(ROOT / root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


SOURCES = sources()
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in SOURCES.items()}
every_module = pytest.mark.parametrize("name", SOURCES)


def repository() -> Iterator[Path]:
    """Every text file that git keeps, or would keep."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git work tree")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and b"\0" not in path.read_bytes()[:8192]:
            yield path


# --- the namespace ---


def test_sealcast_is_a_namespace_that_belongs_to_no_root() -> None:
    assert not list(ROOT.glob("*/sealcast/__init__.py")), "it would hide the other roots when editable"
    assert getattr(sealcast, "__file__", None) is None
    here = {Path(place).resolve() for place in sealcast.__path__}
    assert {ROOT / root / "sealcast" for root in ROOTS} <= here


def test_every_folder_with_modules_is_a_package_and_every_part_is_typed() -> None:
    for name, path in SOURCES.items():
        assert (path.parent / "__init__.py").is_file(), name
    for package in PACKAGES:
        assert (SOURCES[package].parent / "py.typed").is_file(), package


def test_folders_of_tests_are_no_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_the_wheel_is_made_of_the_three_roots() -> None:
    build = PYPROJECT["tool"]["hatch"]["build"]
    assert build["targets"]["wheel"]["packages"] == [f"{root}/sealcast" for root in ROOTS]
    assert set(build["dev-mode-dirs"]) == set(ROOTS)


# --- modules ---


@every_module
def test_a_module_fits_the_budget_of_lines(name: str) -> None:
    lines = len(SOURCES[name].read_text("utf-8").splitlines())
    assert lines <= MOST_LINES, f"{lines} lines: split it by responsibility"


@every_module
def test_a_module_says_what_it_is_for(name: str) -> None:
    assert ast.get_docstring(TREES[name]), "no docstring"


@every_module
def test_a_module_is_not_named_after_nothing(name: str) -> None:
    empty = {"base", "common", "helper", "helpers", "impl", "manager", "misc", "util", "utils"}
    assert not empty & set(re.split(r"[._]", name.removeprefix("sealcast.")))


_POSIX_ONLY = {"fcntl", "grp", "posix", "pwd", "resource", "termios", "tty"}


@every_module
def test_a_module_can_be_imported_where_there_is_no_posix(name: str) -> None:
    imported = [node for node in TREES[name].body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imported if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in imported if isinstance(node, ast.ImportFrom)}
    assert not names & _POSIX_ONLY, "import it under a check of sys.platform, or where it is needed"


_HANDED_OVER = {"command", "callback", "get", "post", "put", "patch", "delete"}


def defined(tree: ast.Module) -> set[str]:
    """The public functions and classes of a module, except what a decorator makes a command or a route."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            parts = [part for item in node.decorator_list for part in ast.walk(item)]
            decorators = {part.attr for part in parts if isinstance(part, ast.Attribute)}
            if not node.name.startswith("_") and not decorators & _HANDED_OVER:
                names.add(node.name)
    return names


def resolved(name: str, node: ast.ImportFrom) -> str:
    """The module that an import in the module *name* is from."""
    if not node.level:
        return node.module or ""
    package = name if SOURCES[name].name == "__init__.py" else name.rpartition(".")[0]
    base = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*base, *filter(None, [node.module])])


def imported() -> dict[str, set[str]]:
    """For every module, the names that others in the product import from it."""
    used: dict[str, set[str]] = {}
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                source = resolved(name, node)
                names = {alias.name for alias in node.names if f"{source}.{alias.name}" not in SOURCES}
                used.setdefault(source, set()).update(names)
    return used


IMPORTED = imported()


def spelled(tree: ast.Module) -> list[str] | None:
    """``__all__`` as it is spelled; None when there is none."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return list(ast.literal_eval(node.value))  # type: ignore[attr-defined]
    return None


@every_module
def test_what_is_public_is_spelled_out_and_exists(name: str) -> None:
    listed = spelled(TREES[name]) or []
    used = {item for item in IMPORTED.get(name, set()) if not item.startswith("__")}
    assert len(set(listed)) == len(listed)
    assert sorted(defined(TREES[name]) - set(listed)) == [], "list it, or begin it with an underscore"
    assert sorted(used - set(listed)) == [], "other modules import what is not listed"
    module = importlib.import_module(name)
    assert [item for item in listed if not hasattr(module, item)] == []


@every_module
def test_no_module_imports_the_privates_of_another(name: str) -> None:
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("", "sealcast"):
            private = [alias.name for alias in node.names if re.match(r"_[^_]", alias.name)]
            assert not private, f"line {node.lineno}"


@every_module
def test_nothing_in_the_product_is_left_unfinished(name: str) -> None:
    marks = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    assert not marks.search(SOURCES[name].read_text("utf-8"))
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = {part.id for part in ast.walk(node.exc) if isinstance(part, ast.Name)}
            assert "NotImplementedError" not in raised, f"line {node.lineno}"


# --- what the relay may know ---


def names_in(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every identifier, wherever it stands; text and comments are not looked at."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for field in ("id", "attr", "name", "asname", "arg", "module"):
            if isinstance(value := getattr(node, field, None), str):
                yield value, line


@pytest.mark.parametrize(
    "name", [name for name in SOURCES if re.match(r"sealcast\.(server|protocol)\b", name)]
)
def test_relay_and_protocol_have_no_name_that_decrypts(name: str) -> None:
    forbidden = re.compile(r"decrypt|decipher|unseal|aes_?gcm|hpke|chacha", re.IGNORECASE)
    assert [found for found in names_in(TREES[name]) if forbidden.search(found[0])] == []


def modules_after(statement: str) -> set[str]:
    """The modules that a fresh process has loaded after a statement."""
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    # Measured by coverage, a process loads what coverage needs.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=80, env=env)
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout.splitlines()[-1]))


def families(modules: set[str]) -> set[str]:
    return {
        ".".join(name.split(".")[:2]) if name.startswith("sealcast.") else name.split(".")[0]
        for name in modules
    }


def test_a_relay_in_a_fresh_process_has_neither_ciphers_nor_the_client() -> None:
    everything = "\n".join(f"import {name}" for name in SOURCES if name.startswith("sealcast.server"))
    for statement in ("import sealcast.server.relay", everything):
        loaded = families(modules_after(statement))
        assert "sealcast.server" in loaded
        assert not loaded & {"cryptography", "nacl", "Crypto", "sealcast.client", "sealcast.cli"}


def test_the_protocol_in_a_fresh_process_brings_no_input_or_output_of_its_own() -> None:
    everything = "\n".join(f"import {name}" for name in SOURCES if name.startswith("sealcast.protocol"))
    loaded = families(modules_after(everything))
    assert not loaded & {"asyncio", "socket", "ssl", "logging", "secrets", "websockets", "cryptography"}
    assert {name for name in loaded if name.startswith("sealcast.")} == {"sealcast.protocol"}


def test_the_client_does_not_bring_the_relay() -> None:
    loaded = families(modules_after("import sealcast.client, sealcast.cli.main"))
    assert not loaded & {"sealcast.server", "uvloop", "structlog", "pydantic"}


def test_a_relay_loads_neither_a_database_nor_an_api_before_it_is_asked_for_one() -> None:
    loaded = families(modules_after("import sealcast.server.station, sealcast.server.config_file"))
    assert not loaded & {"fastapi", "starlette", "uvicorn", "sqlalchemy", "alembic", "aiosqlite", "argon2"}
    assert not loaded & {"prometheus_client", "opentelemetry", "google", "requests"}


_STARTED = """
import asyncio, pathlib, tempfile
from sealcast.server.config import AppConfig, Config, DatabaseConfig, ServerConfig
from sealcast.server.station import Station
from sealcast.server.transport.listener import Listener

start, listening = Listener.start, []

async def listen(self):
    address = await start(self)
    listening[:] = sys.modules
    return address

Listener.start = listen

async def main():
    app = AppConfig(app_id="0" * 32, certificate="1" * 32)
    with tempfile.TemporaryDirectory() as place:
        server = ServerConfig(port=0, internal={internal}, internal_port=0, close=0.1, drain_spread=0)
        database = DatabaseConfig(directory=place if {internal} else "")
        async with Station(Config(server=server, database=database, apps=(app,))).running():
            pass

asyncio.run(main())
print(json.dumps(sorted(listening)))
raise SystemExit
"""


@pytest.mark.timeout(90)
def test_a_relay_lets_nobody_in_before_it_has_loaded_what_its_operators_need() -> None:
    loaded = families(modules_after(_STARTED.format(internal=True)))
    assert {"fastapi", "uvicorn", "sqlalchemy", "jinja2", "argon2", "prometheus_client"} <= loaded
    assert {"sealcast.server", "httpcore"} <= loaded


def test_a_relay_without_an_internal_port_never_loads_it() -> None:
    loaded = families(modules_after(_STARTED.format(internal=False)))
    assert "sealcast.server" in loaded
    assert not loaded & {"fastapi", "uvicorn", "sqlalchemy", "jinja2", "argon2", "prometheus_client"}


def test_the_import_contracts_hold() -> None:
    linter = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    run = subprocess.run(
        [sys.executable, "-c", linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert run.returncode == 0, run.stdout + run.stderr
    kept = re.search(r"Contracts: (\d+) kept, 0 broken", run.stdout)
    assert kept is not None, run.stdout
    assert int(kept[1]) == len(PYPROJECT["tool"]["importlinter"]["contracts"])


def test_the_contracts_forbid_what_the_project_promises() -> None:
    contracts = {item["name"]: item for item in PYPROJECT["tool"]["importlinter"]["contracts"]}
    pure = contracts["protocol is pure"]
    assert pure["source_modules"] == ["sealcast.protocol"]
    assert {"asyncio", "socket", "ssl", "time", "os", "logging", "random", "secrets", "cryptography"} <= set(
        pure["forbidden_modules"]
    )
    blind = contracts["nothing in the relay can decrypt"]
    assert blind["source_modules"] == ["sealcast.server"]
    assert {"sealcast.client", "cryptography", "nacl", "Crypto"} <= set(blind["forbidden_modules"])


# --- the repository ---


def test_no_file_names_a_place_on_somebody_s_machine() -> None:
    # Spelled apart, so that this file does not find itself.
    places = "|".join(("ho" + "me", "ro" + "ot", "wo" + "rk", "Us" + "ers"))
    place = re.compile(rf"(?<![\w.~-])/(?:{places})/\w")
    for path in repository():
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            assert not place.search(line), f"{path.relative_to(ROOT)}:{number}"


def test_the_scripts_that_people_start_can_be_started() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_changelog_begins_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", text, re.MULTILINE)
    assert versions[0] == __version__
    assert text.index("## [Unreleased]") < text.index(f"## [{__version__}]")


def test_every_dependency_is_explained_and_nothing_else_is() -> None:
    groups = PYPROJECT["dependency-groups"]
    declared = [
        *PYPROJECT["project"]["dependencies"],
        *(item for extra in PYPROJECT["project"]["optional-dependencies"].values() for item in extra),
        *(item for group in groups.values() for item in group if isinstance(item, str)),
        *PYPROJECT["build-system"]["requires"],
    ]
    names = {re.split(r"[\[<>=!;~ ]", item)[0] for item in declared} - {"sealcast"}
    page = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    explained = re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)
    assert sorted(explained) == sorted(names)
