"""The page on what is kept names every column of every table, and every field of the log."""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from pathlib import Path

from sealcast.server.engine.sqlite import SqliteJournal
from sealcast.server.store.retention import CLASSES
from sealcast.server.store.schema import Table

PAGE = (Path(__file__).parents[1] / "docs" / "data.md").read_text("utf-8")
CLASSES_OF_DATA = {"secret", "personal", "operator", "setting", "sealed", "technical"}


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def named(title: str) -> dict[str, set[str]]:
    """The columns that a section's table names, by table; a row without one goes on with those above."""
    found: dict[str, set[str]] = defaultdict(set)
    tables: list[str] = []
    for first, columns, kind, why in re.findall(
        r"^\|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|$", section(title), re.M
    ):
        names = re.findall(r"`(\w+)`", columns)
        if not names:
            continue
        tables = re.findall(r"`(\w+)`", first) or tables
        assert set(re.findall(r"\w+", kind)) <= CLASSES_OF_DATA, kind
        assert why.strip(), names
        for table in tables:
            assert not found[table] & set(names), f"{table} names a column twice"
            found[table].update(names)
    return found


def test_every_column_of_the_database_is_named_and_no_other() -> None:
    declared = {
        name: {column.name for column in table.columns} for name, table in Table.metadata.tables.items()
    }
    declared["alembic_version"] = {"version_num"}
    assert named("The database") == declared


async def test_every_column_of_the_file_of_messages_is_named_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "messages.db"
    journal = SqliteJournal(str(path))
    journal.open()
    await journal.close()
    file = sqlite3.connect(path)
    try:
        tables = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {
            table: {name for (name,) in file.execute("SELECT name FROM pragma_table_info(?)", (table,))}
            for table in tables
        }
    finally:
        file.close()
    assert named("The file of messages") == columns


def test_every_field_of_the_end_of_a_connection_is_named() -> None:
    source = (Path(__file__).parents[1] / "server/sealcast/server/logs.py").read_text("utf-8")
    ended = source.split("def ended", 1)[1]
    fields = set(re.findall(r"^            (\w+)=", ended, re.M)) | set(re.findall(r'"(\w+)": self', ended))
    assert {"session", "address", "code", "tokens_refused"} <= fields
    said = set(re.findall(r"`(\w+)`", section("Log lines")))
    assert fields <= said


def test_every_option_that_bounds_how_long_something_is_kept_is_named() -> None:
    for each in CLASSES:
        assert not each.option or f"`{each.option}`" in section("How long"), each.name
