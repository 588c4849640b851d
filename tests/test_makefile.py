"""What `make` promises beyond calling a tool: a wrong status of the tool is a failure, whichever it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOUND = "".join(
    f"LEAK: {row}: raw: AES key: raw at 0x55d0 in [heap]\\n" for row in ("memory", "windows-16", "windows-32")
)

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


def make(folder: Path, sealcast: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make with an environment in which `sealcast` is this shell script."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "sealcast"
    program.write_text(f"#!/bin/sh\n{sealcast}\n")
    program.chmod(0o755)
    (folder / ".ready").touch()
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", f"VENV={folder}", *arguments], cwd=ROOT, env=outside, capture_output=True, text=True
    )


def fake(plain: int, sabotaged: int, found: str = FOUND) -> str:
    caught = f'*--sabotage*) printf "{found}"; exit {sabotaged}'
    return f'case "$*" in {caught};; *) echo "blind $*"; exit {plain};; esac'


def test_verify_blind_passes_when_the_relay_is_blind_and_sabotage_is_found(tmp_path: Path) -> None:
    done = make(tmp_path, fake(0, 1), "verify-blind", "ARGS=--stride 16")
    assert done.returncode == 0, done.stderr
    assert "blind verify-blind --stride 16" in done.stdout
    assert "LEAK: windows-32" in done.stdout


@pytest.mark.parametrize(
    ("plain", "sabotaged", "found"),
    [
        (1, 1, FOUND),
        (2, 1, FOUND),
        (0, 0, FOUND),
        (0, 2, FOUND),
        (0, 143, FOUND),
        (0, 1, ""),
        (0, 1, FOUND.replace("LEAK: windows-16", "broken: windows-16")),
        (0, 1, FOUND.replace(" at 0x55d0", "")),
    ],
)
def test_verify_blind_fails_for_any_other_outcome(
    tmp_path: Path, plain: int, sabotaged: int, found: str
) -> None:
    done = make(tmp_path, fake(plain, sabotaged, found), "verify-blind")
    assert done.returncode != 0
    assert done.stderr


def test_every_target_that_is_no_file_is_in_the_help(tmp_path: Path) -> None:
    listed = make(tmp_path, "", "help").stdout
    (phony,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY:")]
    for target in phony.split()[1:]:
        if target != "help":
            assert f"\n  {target} " in listed
