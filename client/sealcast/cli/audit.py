"""``sealcast audit``: who changed what, and whether the log of it was tampered with."""

from __future__ import annotations

import itertools
import json as decoder
import re
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .api import ApiKeyFileOption, ApiKeyOption, ApiUrlOption, ContextOption, reach
from .at_database import ConfigOption, DataOption, at_database
from .failure import Failure, Status
from .listing import moment, print_json, print_table
from .span import FromOption, ToOption, span

if TYPE_CHECKING:
    from sealcast.server.audit import Head, Verdict
    from sealcast.server.store.store import Store

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
_HEAD: Final = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")


@app.callback()
def _audit() -> None:
    """Who changed what, when and from where; each entry holds the hash of the one before it.

    \b
    Example:  sealcast audit list --action app.deleted --from 7d
              sealcast audit head > /somewhere/else/head
              sealcast audit verify --data /var/lib/sealcast --head "$(cat /somewhere/else/head)"
    """


@app.command("list")
def list_entries(
    actor: Annotated[str | None, typer.Option(help="Of this one only.", show_default=False)] = None,
    action: Annotated[str | None, typer.Option(help="As in app.deleted.", show_default=False)] = None,
    target: Annotated[
        str | None, typer.Option(help="What the target begins with.", show_default=False)
    ] = None,
    since: FromOption = None,
    until: ToOption = None,
    most: Annotated[int, typer.Option("--limit", help="Entries at most.", min=1)] = 1000,
    json: _Json = False,
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """List entries, the newest first."""
    asked = {"actor": actor, "action": action, "target": target}
    query = {name: text for name, text in asked.items() if text is not None} | span(since, until)
    found = reach(api, api_key, api_key_file, context).pages("/audit", **query)
    entries = list(itertools.islice(found, most))
    if json:
        print_json(entries)
        return
    columns = ("ENTRY", "WHEN", "WHO", "FROM", "WHAT", "ON WHAT", "DETAIL")
    print_table(
        columns,
        (
            (
                entry["seq"],
                moment(entry["at"]),
                entry["actor"],
                entry["address"],
                entry["action"],
                entry["target"],
                decoder.dumps(entry["detail"], ensure_ascii=True),
            )
            for entry in entries
        ),
    )


@app.command()
def head(
    api: ApiUrlOption = None,
    api_key: ApiKeyOption = None,
    api_key_file: ApiKeyFileOption = None,
    context: ContextOption = None,
) -> None:
    """Print the last entry's number and hash, to be kept where the database cannot be reached."""
    found = reach(api, api_key, api_key_file, context).ask("GET", "/audit/head")["head"]
    print(f"{int(found['seq'])}:{bytes.fromhex(found['hash']).hex()}")


@app.command()
def verify(
    kept: Annotated[
        str | None,
        typer.Option(
            "--head", help="A head that was kept elsewhere, as `audit head` prints it.", show_default=False
        ),
    ] = None,
    json: _Json = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Check the whole log at the database itself, with or without a relay; status 1 if it does not hold."""
    match = None if kept is None else _HEAD.fullmatch(kept.strip())
    if kept is not None and match is None:
        raise Failure("--head is no head", "what `sealcast audit head` prints", Status.USAGE)

    async def check(store: Store) -> Verdict:
        from sealcast.server.audit import Head
        from sealcast.server.store.migrate import require_current

        await require_current(store.database)
        until: Head | None = Head(int(match[1]), bytes.fromhex(match[2])) if match else None
        return await store.audit.verify(until)

    verdict = at_database("audit", config, data, check, opened=False, made=False)
    if verdict.broken is not None:
        raise Failure(f"the audit log does not hold: {verdict.broken}")
    named = f"{verdict.head.seq}:{verdict.head.hash.hex()}"
    if json:
        print_json({"entries": verdict.entries, "head": named})
    else:
        print(f"the log holds: {verdict.entries} entries, the head is {named}")
