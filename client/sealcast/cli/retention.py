"""``sealcast retention``: how long what is kept, and deleting what is older."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sealcast.protocol.quantities import show_seconds

from .at_database import ConfigOption, DataOption, at_database, configured, operator
from .failure import Failure
from .listing import moment, print_json, print_table
from .output import note

if TYPE_CHECKING:
    from sealcast.server.store.chores import Done
    from sealcast.server.store.store import Store

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.callback()
def _retention() -> None:
    """How long records are kept. A relay deletes what is older when it starts, and once a day.

    \b
    Example:  sealcast retention show --data /var/lib/sealcast
    """


@app.command()
def show(json: _Json = False, config: ConfigOption = None, data: DataOption = None) -> None:
    """Show how long each class of records is kept, and what the last purge has deleted."""
    records = configured("retention", config, data).records
    from sealcast.server.store.retention import AUDIT, CHORE, CLASSES

    async def ask(store: Store) -> Done:
        return await store.chores.done(CHORE)

    done = at_database("retention", config, data, ask, made=False)
    rows: list[dict[str, Any]] = [
        {"class": each.name, "option": each.option, "seconds": each.keep(records)} for each in CLASSES
    ]
    rows.append({"class": AUDIT, "option": "records.keep_audit", "seconds": records.keep_audit})
    for row in rows:
        row["deleted"] = done.said.get(row["class"])
    if json:
        print_json({"classes": rows, "last": done.last})
        return
    print_table(
        ("CLASS", "KEPT FOR", "OPTION", "DELETED LAST"),
        ((row["class"], show_seconds(row["seconds"]), row["option"], row["deleted"]) for row in rows),
    )
    print(f"\nlast purge: {moment(done.last) or 'never'}")


@app.command()
def run(json: _Json = False, config: ConfigOption = None, data: DataOption = None) -> None:
    """Delete what is too old now; the relay may run."""
    records = configured("retention", config, data).records
    from sealcast.server.store.retention import purge

    async def sweep(store: Store) -> dict[str, int] | None:
        return await purge(store, records, time.time(), operator(), secrets.token_hex(8))

    counts = at_database("retention", config, data, sweep, made=False)
    if counts is None:
        raise Failure("another process is at it", "a little later")
    if json:
        print_json(counts)
    else:
        note(", ".join(f"{name}: {count}" for name, count in counts.items()) + " deleted")
