"""A transaction is done whole or not at all, and ends in any case."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealcast.server.engine.writing import said, transaction


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(tmp_path / "file", isolation_level=None, timeout=0)) as made:
        made.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
        yield made


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [number for (number,) in connection.execute("SELECT number FROM numbers")]


def test_what_is_done_stays(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        connection.execute("INSERT INTO numbers VALUES (1)")
    assert not connection.in_transaction
    assert numbers(connection) == [1]


@pytest.mark.parametrize("wrong", [sqlite3.OperationalError, OverflowError, KeyboardInterrupt])
def test_what_fails_leaves_nothing_and_the_next_one_can_begin(
    connection: sqlite3.Connection, wrong: type[BaseException]
) -> None:
    def fail() -> None:
        with transaction(connection):
            connection.execute("INSERT INTO numbers VALUES (1)")
            raise wrong

    with pytest.raises(wrong):
        fail()
    assert not connection.in_transaction
    with transaction(connection):
        connection.execute("INSERT INTO numbers VALUES (2)")
    assert numbers(connection) == [2]


def test_a_commit_that_fails_is_rolled_back(connection: sqlite3.Connection, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "file", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        numbers(reader)
        with pytest.raises(sqlite3.OperationalError, match="locked"), transaction(connection):
            connection.execute("INSERT INTO numbers VALUES (1)")
        assert not connection.in_transaction
    with transaction(connection):
        connection.execute("INSERT INTO numbers VALUES (2)")
    assert numbers(connection) == [2]


def test_one_that_cannot_begin_leaves_nothing_open(connection: sqlite3.Connection, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "file", isolation_level=None)) as thief:
        thief.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"), transaction(connection):
            raise AssertionError
    assert not connection.in_transaction


def test_a_failure_says_nothing_of_what_was_written() -> None:
    assert said(sqlite3.OperationalError("disk I/O error")) == "disk I/O error"
    assert said(FileNotFoundError(2, "No such file or directory", "/a/place")) == "No such file or directory"
    assert said(ValueError("a payload")) == "ValueError"
