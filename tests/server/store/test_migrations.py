"""The schema: made step by step, the same as what is declared, and never guessed at."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

import sealcast.server
from sealcast.server.store.database import Database
from sealcast.server.store.migrate import differences, migrate, revision_of, scripts
from sealcast.server.store.migrations import HEAD
from sealcast.server.store.records import MigrationNeeded, StoreDown, StoreUnusable
from sealcast.server.store.store import Store

from ..postgres import Postgres


async def test_the_steps_make_what_is_declared(database_url: str) -> None:
    database = Database(database_url)
    try:
        assert await revision_of(database) is None
        assert await migrate(database) == (None, HEAD)
        async with database.connection() as connection:
            assert await connection.run_sync(differences) == []
        assert await migrate(database) == (HEAD, HEAD)
    finally:
        await database.close()


async def test_processes_that_migrate_at_the_same_time_do_it_once(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(3)]
    try:
        await databases[0].open()
        await asyncio.gather(*(migrate(database) for database in databases))
        assert await revision_of(databases[0]) == HEAD
    finally:
        for database in databases:
            await database.close()


def test_the_steps_are_a_chain_that_ends_where_it_says() -> None:
    steps = list(scripts().walk_revisions())
    assert scripts().get_heads() == [HEAD]
    assert [step.down_revision for step in steps] == [step.revision for step in steps[1:]] + [None]


async def test_a_database_of_a_newer_version_is_left_alone(database_url: str) -> None:
    store = Store(database_url, lambda: 0.0)
    try:
        await migrate(store.database)
        async with store.database.connection() as connection:
            await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(StoreUnusable):
            await store.open()
        assert await revision_of(store.database) == "9999"
    finally:
        await store.close()


async def test_a_database_of_its_own_is_migrated_at_the_start_and_another_one_when_told(
    database_url: str,
) -> None:
    store = Store(database_url, lambda: 0.0)
    try:
        if store.database.embedded:
            await store.open()
        else:
            with pytest.raises(MigrationNeeded, match="try `sealcast migrate`"):
                await store.open()
            await migrate(store.database)
            await store.open()
        assert await store.apps.all() == []
    finally:
        await store.close()


async def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "below" / "sealcast.db"
    store = Store(f"sqlite:///{path}", lambda: 0.0)
    await store.open()
    await store.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "mysql://a/b", "sqlite://", "sqlite:///:memory:", "postgresql://u:secret@h:port/x"],
)
def test_a_url_that_cannot_be_used_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(StoreUnusable) as caught:
        Database(url)
    assert "secret" not in str(caught.value)


async def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnusable, match=r"file/x\.db: cannot be used"):
        await Store(f"sqlite:///{tmp_path}/file/x.db", lambda: 0.0).open()


async def test_a_file_that_is_no_database_is_an_error_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("not a database, but a letter to my aunt " * 50)
    store = Store(f"sqlite:///{path}", lambda: 0.0)
    with pytest.raises(StoreDown):
        await store.open()
    await store.close()
    assert path.read_text().startswith("not a database")


async def test_a_server_that_is_not_there_is_down(tmp_path: Path) -> None:
    store = Store("postgresql://nobody:secret@127.0.0.1:1/none", lambda: 0.0)
    with pytest.raises(StoreDown) as caught:
        await store.open()
    await store.close()
    assert "secret" not in f"{caught.value}{store.database!r}{store.database.place}"


async def test_a_database_that_somebody_holds_is_down_until_it_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealcast.server.store.database._WAIT", 0.05)
    path = tmp_path / "sealcast.db"
    store = Store(f"sqlite:///{path}", lambda: 0.0)
    await store.open()
    held = sqlite3.connect(path, isolation_level=None)
    try:
        held.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreDown):
            await store.apps.all()
        held.execute("ROLLBACK")
        assert await store.apps.all() == []
    finally:
        held.close()
        await store.close()


def test_nothing_but_the_store_knows_sql() -> None:
    (place,) = sealcast.server.__path__
    for path in Path(place).rglob("*.py"):
        if "store" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("sqlalchemy", "alembic") for name in names), path


async def test_connections_that_the_server_has_cut_are_made_anew(postgres: Postgres) -> None:
    store = Store(await postgres.database(), lambda: 0.0)
    try:
        await migrate(store.database)
        await store.open()
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'sealcast' AND pid <> "
        with contextlib.suppress(StoreDown):
            async with store.database.connection() as connection:
                await connection.exec_driver_sql(cut + "pg_backend_pid()")
        assert await store.apps.all() == []
    finally:
        await store.close()
