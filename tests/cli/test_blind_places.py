"""What a process leaves for others to read is read: files open and closed, environment, arguments."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealcast.cli.blind import places
from sealcast.cli.blind.places import files_below, surroundings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

WRITER = """
import os, sys
kept = open("closed-soon", "w+")
kept.write("in a deleted file"); kept.flush()
os.remove("closed-soon")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a deleted file open."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, "an argument"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={"KEPT": "in the environment", "PATH": os.defpath},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def test_environment_arguments_and_deleted_files_are_read(
    writer: subprocess.Popen[str], tmp_path: Path
) -> None:
    seen = surroundings(writer.pid)
    texts = {text.place: text.data for text in seen.texts}
    assert b"KEPT=in the environment" in texts["environment"]
    assert b"an argument" in texts["arguments"]
    assert b"in a deleted file" in next(data for place, data in texts.items() if "closed-soon" in place)
    assert Path(seen.directory) == tmp_path.resolve()
    assert seen.descriptors["file"] >= 1
    assert seen.descriptors["pipe"] >= 2
    assert seen.oversized == ()


def test_every_file_below_is_read_and_its_name_counts_as_content(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / ".hidden").write_bytes(b"deep")
    (tmp_path / "outside").symlink_to("/etc/hostname")
    texts, oversized = files_below(tmp_path)
    assert {text.place: text.data for text in texts} == {
        "file a": b"a\n",
        "file a/b": b"a/b\n",
        "file a/b/.hidden": b"a/b/.hidden\ndeep",
        "file outside": b"outside\n",
    }
    assert oversized == ()


def test_a_file_that_is_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "FILE_MAX", 10)
    (tmp_path / "large").write_bytes(b"0123456789A")
    (tmp_path / "fits").write_bytes(b"0123456789")
    assert files_below(tmp_path)[1] == ("large",)
