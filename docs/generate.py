"""Fill the generated sections of the documentation from the code that they describe.

::

    python docs/generate.py            write the sections
    python docs/generate.py --check    change nothing; exit with 1 when a section is stale

A section stands between ``<!-- generated from SOURCE: begin -->`` and ``<!-- generated: end -->``;
everything around it is written by hand. Each has one function in ``SECTIONS``; whole files are in ``FILES``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from sealcast.client.e2ee import rekey
from sealcast.protocol.codes import ENDS, REPLIES, returns
from sealcast.protocol.states import CONNECTION, MEMBERSHIP, Phase
from sealcast.server.config_sample import table as options
from sealcast.server.figures.families import FAMILIES
from sealcast.server.http.application import openapi
from sealcast.server.http.console.pages import SECTIONS as PAGES
from sealcast.server.http.console.visit import ADMIN, ANYBODY, SIGNED_IN, scopes_of
from sealcast.server.http.errors import PROBLEMS
from sealcast.server.store.records import Role

__all__ = ["FILES", "SECTIONS", "fill", "main"]

HERE = Path(__file__).resolve().parent


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def codes() -> str:
    """Return the two tables of codes: what answers a request, and what ends a membership or connection."""
    lines = ["Replies:", "", _row("code", "name", "temporary", "meaning"), "|---|---|---|---|"]
    for code in REPLIES.values():
        temporary = "yes" if code.temporary else ""
        lines.append(_row(str(code.number), f"`{code.name}`", temporary, code.message))
    lines += ["", "Ends:", "", _row("code", "name", "advice", "meaning"), "|---|---|---|---|"]
    for code in ENDS.values():
        advice = "come back" if returns(code.number) else "stay away"
        lines.append(_row(str(code.number), f"`{code.name}`", advice, code.message))
    return "\n".join(lines)


def _diagram(edges: Iterable[tuple[str, str, str]]) -> str:
    """Draw a Mermaid state diagram; edges between the same two states share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for before, label, after in edges:
        arrows.setdefault((before, after), []).append(label)
    lines = ["```mermaid", "stateDiagram-v2"]
    for (before, after), labels in arrows.items():
        lines.append(f"    {before} --> {after}" + (f": {', '.join(labels)}" if any(labels) else ""))
    return "\n".join([*lines, "```"])


def connection() -> str:
    """Draw the phases of a connection; controls that lead nowhere are left out."""
    edges = [("[*]", "", Phase.CONNECTING.name)]
    edges += [
        (before.name, control.NAME, after.name)
        for (before, _, control), after in CONNECTION.items()
        if before is not after
    ]
    edges += [(phase.name, "close", Phase.CLOSED.name) for phase in Phase if phase is not Phase.CLOSED]
    return _diagram(edges)


def membership() -> str:
    """Draw the standings of a membership, with the controls that may come in each."""
    return _diagram(
        (before.name if before else "[*]", control.NAME, after.name if after else "[*]")
        for (before, _, control), after in MEMBERSHIP.items()
    )


def key_changes() -> str:
    """Draw when a sender changes its key: what happens, and what is done about it."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> steady"]
    for (stage, cause), (target, actions) in rekey.TRANSITIONS.items():
        does = " / " + ", then ".join(action.value for action in actions) if actions else ""
        lines.append(f"    {stage.value} --> {target.value}: {cause.value}{does}")
    return "\n".join([*lines, "```"])


def operations() -> str:
    """Return the table of the API's operations, with the scope that each needs."""
    lines = [_row("operation", "scope", "does"), "|---|---|---|"]
    for path, methods in openapi()["paths"].items():
        for method, operation in methods.items():
            scope = operation.get("x-scope")
            does = " ".join(operation["description"].split())
            lines.append(_row(f"`{method.upper()} {path}`", f"`{scope}`" if scope else "no key", does))
    return "\n".join(lines)


def permissions() -> str:
    """Return the table of who may use the API, and of the tests that show everybody else refused."""
    gate = "tests/server/http/test_gate.py"
    whole = f"`{gate}::test_no_route_answers_without_a_good_key`"
    scoped = f"`{gate}::test_no_route_answers_a_key_without_its_scope`"
    bound = f"`{gate}::test_a_key_for_one_app_sees_and_changes_no_other`"
    lines = [_row("endpoint", "who may", "everybody else", "shown by"), "|---|---|---|---|"]
    for path, methods in openapi()["paths"].items():
        for method, operation in methods.items():
            scope = operation.get("x-scope")
            name = f"`{method.upper()} {path}`"
            if path == "/metrics":
                scrape = "tests/server/figures/test_scrape.py"
                shown = f"`{scrape}::test_where_they_are_not_open_they_need_a_key_for_it`"
                who = "who reaches the port; with `metrics.open = false` a key with `metrics:read`"
                lines.append(_row(name, who, "401, 403", shown))
                continue
            if scope is None:
                health = "`tests/server/http/test_port.py::test_health_needs_no_key`"
                lines.append(_row(name, "who reaches the port", "", health))
                continue
            shown = [whole, scoped, *([bound] if "{app_id}" in path else [])]
            refused = "401, 403" + (", 404 with a key for another app" if "{app_id}" in path else "")
            lines.append(_row(name, f"a key with `{scope}`", refused, " ".join(shown)))
    return "\n".join(lines)


def pages() -> str:
    """Return the table of who may see the console's pages and send its forms."""
    closed = "tests/server/http/test_console.py"
    out = f"`{closed}::test_every_page_and_every_form_is_closed_to_who_is_not_signed_in`"
    held = f"`{closed}::test_roles_hold_for_every_page_and_every_form`"
    roles: tuple[Role, ...] = ("admin", "operator", "viewer")
    lines = [_row("page or form", "who may", "everybody else", "shown by"), "|---|---|---|---|"]
    for section in PAGES:
        for page in section.routes:
            may = [role for role in roles if page.needs == SIGNED_IN or page.needs in scopes_of(role)]
            may += ["admin"] if page.needs == ADMIN else []
            name = f"`{page.method} /console{page.path}`"
            if page.needs == ANYBODY:
                own = f"`{closed}::test_a_form_without_its_token_or_from_elsewhere_does_nothing`"
                lines.append(_row(name, "who reaches the port, by a form of our own", "403", own))
            else:
                lines.append(_row(name, ", ".join(may), "to the sign-in, 403", f"{out} {held}"))
    return "\n".join(lines)


def refusals() -> str:
    """Return the table of the API's refusals."""
    lines = [_row("status", "name", "meaning", "what to do"), "|---|---|---|---|"]
    lines += [_row(str(row.status), f"`{row.name}`", row.message, row.hint) for row in PROBLEMS.values()]
    return "\n".join(lines)


def description() -> str:
    """Return the API's OpenAPI as a file."""
    return json.dumps(openapi(), indent=1, ensure_ascii=False) + "\n"


def metrics() -> str:
    """Return the table of metrics."""
    lines = [_row("metric", "kind", "labels", "what"), "|---|---|---|---|"]
    for family in FAMILIES.values():
        labels = ", ".join(f"`{label}`" for label in family.labels)
        lines.append(_row(f"`{family.name}`", family.shape, labels, family.help))
    return "\n".join(lines)


SECTIONS: dict[str, dict[str, Callable[[], str]]] = {
    "api.md": {
        "sealcast.server.http.routes": operations,
        "sealcast.server.http.errors": refusals,
    },
    "configuration.md": {"sealcast.server.config": options},
    "security.md": {
        "sealcast.server.http.routes": permissions,
        "sealcast.server.http.console.pages": pages,
    },
    "managed-keys.md": {"sealcast.client.e2ee.rekey": key_changes},
    "metrics.md": {"sealcast.server.figures.families": metrics},
    "protocol.md": {
        "sealcast.protocol.codes": codes,
        "sealcast.protocol.states, a connection": connection,
        "sealcast.protocol.states, a membership": membership,
    },
}
"""For each file, the function that writes the section generated from each source."""

FILES: dict[str, Callable[[], str]] = {"openapi.json": description}
"""Files that are generated as a whole."""


def fill(text: str, sections: dict[str, Callable[[], str]]) -> str:
    """Return *text* with its sections written anew.

    Raises:
        ValueError: a section's marks are missing, stand twice, or have no end.

    """
    for source, write in sections.items():
        begin, end = f"<!-- generated from {source}: begin -->\n", "<!-- generated: end -->"
        if text.count(begin) != 1:
            raise ValueError(f"'{begin.strip()}' has to stand once, not {text.count(begin)} times")
        before, _, rest = text.partition(begin)
        old, mark, after = rest.partition(end)
        if not mark or "<!-- generated from" in old:
            raise ValueError(f"the section generated from {source} has no end")
        text = f"{before}{begin}{write()}\n{end}{after}"
    return text


def main(arguments: list[str] | None = None) -> int:
    """Write or check every section; return the exit code."""
    parser = argparse.ArgumentParser(description="Fill the generated sections of the documentation.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 when stale")
    check = parser.parse_args(arguments).check
    stale = 0
    for name in (*SECTIONS, *FILES):
        path = HERE / name
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        new = FILES[name]() if name in FILES else fill(old, SECTIONS[name])
        if new == old:
            continue
        stale += 1
        if check:
            print(f"docs/{name} is stale: run `python docs/generate.py`", file=sys.stderr)
        else:
            path.write_text(new, encoding="utf-8")
            print(f"docs/{name} is written")
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
