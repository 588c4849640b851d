"""The documentation says what the code does, and every link in it leads somewhere."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from sealcast.protocol.codes import ENDS, REPLIES
from sealcast.protocol.controls import CLIENT_CONTROLS, SERVER_CONTROLS, Control
from sealcast.protocol.names import PRIVILEGE_OF_KIND, SUBPROTOCOL
from sealcast.protocol.states import CONNECTION, MEMBERSHIP, Phase
from sealcast.server.hooks.event import Kind
from sealcast.server.http.application import openapi
from sealcast.server.http.console.pages import SECTIONS as PAGES_OF

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")] if path.is_file())
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text("utf-8")
CONTROLS = {**CLIENT_CONTROLS, **SERVER_CONTROLS}


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- generated sections ---


def run_generator(docs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(docs / "generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_the_generated_sections_are_up_to_date() -> None:
    done = run_generator(ROOT / "docs", "--check")
    assert done.returncode == 0, done.stderr


def test_the_check_finds_a_stale_section_and_writing_mends_it(tmp_path: Path) -> None:
    docs = Path(shutil.copytree(ROOT / "docs", tmp_path / "docs"))
    page = docs / "protocol.md"
    good = page.read_text("utf-8")
    page.write_text(good.replace("`slow_consumer` | come back", "`slow_consumer` | stay away"), "utf-8")
    assert page.read_text("utf-8") != good
    stale = run_generator(docs, "--check")
    assert stale.returncode == 1
    assert "docs/protocol.md is stale" in stale.stderr
    assert run_generator(docs).returncode == 0
    assert page.read_text("utf-8") == good


@pytest.mark.parametrize(
    "text",
    [
        "no marks at all",
        "<!-- generated from x: begin -->\n",
        "<!-- generated from x: begin -->\n<!-- generated from y: begin -->\n<!-- generated: end -->",
        "<!-- generated from x: begin -->\n<!-- generated: end -->\n" * 2,
    ],
)
def test_broken_marks_are_an_error_and_never_eat_text(generate: ModuleType, text: str) -> None:
    with pytest.raises(ValueError, match="generated from x"):
        generate.fill(text, {"x": lambda: "new"})


def test_only_what_stands_between_the_marks_is_replaced(generate: ModuleType) -> None:
    text = "before\n<!-- generated from x: begin -->\nold\n<!-- generated: end -->\nafter\n"
    assert generate.fill(text, {"x": lambda: "new"}) == text.replace("old", "new")


def test_every_section_that_says_so_is_generated_and_every_generated_one_says_so(
    generate: ModuleType,
) -> None:
    marked = {
        (page.name, source)
        for page in PAGES
        for source in re.findall(r"<!-- generated from (.+): begin -->", page.read_text("utf-8"))
    }
    assert marked == {(name, source) for name, sections in generate.SECTIONS.items() for source in sections}


# --- the protocol's page against the code ---


def test_every_code_stands_in_the_protocol_with_its_number() -> None:
    for code in [*REPLIES.values(), *ENDS.values()]:
        assert re.search(rf"^\| {code.number} \| `{code.name}` \|", PROTOCOL, re.MULTILINE), code


def test_every_code_that_a_page_names_by_number_exists() -> None:
    known = {(str(code.number), code.name) for code in [*REPLIES.values(), *ENDS.values()]}
    for page in PAGES:
        for number, name in re.findall(r"\b(\d{3,4}) `([a-z_]+)`", page.read_text("utf-8")):
            assert (number, name) in known, page.name


def rows() -> Iterator[tuple[str, str]]:
    """The rows of the tables of controls: name and body."""
    section = PROTOCOL.split("## 3. Controls", 1)[1].split("\n## ", 1)[0]
    yield from re.findall(r"^\| `(\w+)` \| (.*?) ?\|", section, re.MULTILINE)


def test_every_control_has_one_row_in_the_protocol() -> None:
    assert sorted(name for name, _ in rows()) == sorted(CONTROLS)


@pytest.mark.parametrize(("name", "body"), list(rows()), ids=lambda cell: cell if cell in CONTROLS else "")
def test_a_row_names_the_fields_of_its_control_and_those_that_may_be_absent(name: str, body: str) -> None:
    cls: type[Control] = CONTROLS[name]
    shown = re.findall(r"`(\w+\??)`", re.sub(r"`\{.*?\}`", "", body))
    assert [field.rstrip("?") for field in shown] == [field.name for field in dataclasses.fields(cls)]
    if name in CLIENT_CONTROLS:
        said = set(re.findall(r"`(\w+)`[^,`]*\(optional\)", re.sub(r"`\{.*?\}`", "", body)))
        assert said == {f.name for f in dataclasses.fields(cls) if f.default is not dataclasses.MISSING}
    else:
        nullable = {f.name for f in dataclasses.fields(cls) if f.default is None}
        assert {field.rstrip("?") for field in shown if field.endswith("?")} == nullable


def sizes() -> Iterator[tuple[str, str, int]]:
    for name, body in rows():
        for field, limit in re.findall(r"`(\w+)` (?:text|bytes) ≤ (\d+)", body):
            yield name, field, int(limit)


@pytest.mark.parametrize(("name", "field", "limit"), list(sizes()))
def test_a_size_that_the_page_promises_is_the_one_that_is_checked(name: str, field: str, limit: int) -> None:
    (check,) = (f.metadata["check"] for f in dataclasses.fields(CONTROLS[name]) if f.name == field)
    for unit in ("x", b"x"):
        try:
            assert check(unit * limit) == unit * limit
        except ValueError:
            continue  # text where bytes belong, or the other way round
        with pytest.raises(ValueError):  # noqa: PT011
            check(unit * (limit + 1))
        break
    else:
        pytest.fail(f"{name}.{field} takes neither text nor bytes of {limit}")


def edges(number: int) -> set[tuple[str, str, str]]:
    """The arrows of the page's diagrams, one for each label."""
    diagram = re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", PROTOCOL, re.DOTALL)[number]
    arrows = re.findall(r"^    (\S+) --> ([^:\n]+)(?:: (.*))?$", diagram, re.MULTILINE)
    return {(a, label, b) for a, b, labels in arrows for label in labels.split(", ")}


def test_the_diagram_of_a_connection_is_its_table() -> None:
    table = {(a.name, control.NAME, b.name) for (a, _, control), b in CONNECTION.items() if a is not b}
    ends = {(phase.name, "close", "CLOSED") for phase in Phase if phase is not Phase.CLOSED}
    assert edges(0) == {("[*]", "", "CONNECTING")} | table | ends


def test_the_diagram_of_a_membership_is_its_table() -> None:
    assert edges(1) == {
        (a.name if a else "[*]", control.NAME, b.name if b else "[*]")
        for (a, _, control), b in MEMBERSHIP.items()
    }


def test_the_page_says_which_privilege_each_kind_needs() -> None:
    said = re.findall(r"^\| (\d+) \| (\w+)[^|]*\| (join|audio|video|data) \|$", PROTOCOL, re.MULTILINE)
    assert {(int(number), kind, need) for number, kind, need in said} == {
        (int(kind), kind.name.lower(), need.name.lower()) for kind, need in PRIVILEGE_OF_KIND.items()
    }
    assert f"`{SUBPROTOCOL}`" in PROTOCOL


# --- links ---


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.is_relative_to(ROOT), target
        assert place.exists(), target
        if anchor and place.suffix == ".md":
            assert anchor in anchors(place), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    roots = "docs|tests|bench|deploy|protocol|client|server"
    for path in re.findall(rf"`((?:{roots})/[\w./-]+)`", prose(page)):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\bdocs/[\w-]+\.md\b", prose(page)):
        assert (ROOT / path).is_file(), path


# --- guarantees ---


def rows_of(page: str, *heads: str) -> list[str]:
    """Return the rows of a page's tables but for the heads."""
    lines = (ROOT / "docs" / page).read_text("utf-8").splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith(heads)]


def assert_names_tests(row: str) -> None:
    named = re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", row.rsplit("|", 2)[1])
    assert named, row
    for file, name in named:
        text = (ROOT / file).read_text("utf-8")
        assert not name or re.search(rf"^(?:async )?(?:def|class) {name}\b", text, re.MULTILINE), (file, name)


def test_every_guarantee_names_tests_that_exist() -> None:
    rows = rows_of("guarantees.md", "| promise")
    assert len(rows) > 15
    for row in rows:
        assert_names_tests(row)


# --- who may do what ---


def test_every_endpoint_and_event_says_who_may_and_names_tests_that_exist() -> None:
    rows = rows_of("security.md", "| endpoint", "| event", "| page")
    for row in rows:
        assert_names_tests(row)
    first = {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
    operations = {
        f"{method.upper()} {path}" for path, methods in openapi()["paths"].items() for method in methods
    }
    pages = {f"{page.method} /console{page.path}" for section in PAGES_OF for page in section.routes}
    there = operations | pages | set(CLIENT_CONTROLS) | set(SERVER_CONTROLS) | set(Kind)
    assert first == there | {"GET /v1/{app_id}"}
