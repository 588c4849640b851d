"""A claim keeps everybody else away from a file, for as long as it lasts, on every system."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from sealcast.server.engine import claim
from sealcast.server.engine.claim import Claim, Claimed


class Windows(ModuleType):
    """What the module ``msvcrt`` does: it locks a part of an open file, or says that it may not."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        super().__init__("msvcrt")
        self._held: dict[tuple[int, int], int] = {}

    def locking(self, descriptor: int, mode: int, size: int) -> None:
        assert (mode, size) == (self.LK_NBLCK, 1)
        status = os.fstat(descriptor)
        holder = self._held.setdefault((status.st_dev, status.st_ino), descriptor)
        if holder != descriptor:
            raise PermissionError(13, "Permission denied")


@pytest.fixture(params=["here", "windows"])
def module(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as this system has it, and as Windows does, where there is no ``fcntl``."""
    if request.param == "here":
        return claim
    monkeypatch.setitem(sys.modules, "msvcrt", Windows())
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr(sys, "platform", "win32")
    spec = importlib.util.spec_from_file_location("claim_on_windows", str(claim.__file__))
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_who_comes_second_is_refused(module: ModuleType, tmp_path: Path) -> None:
    first, second = module.Claim(tmp_path / "file"), module.Claim(tmp_path / "file")
    first.take()
    with pytest.raises(module.Claimed):
        second.take()
    another = module.Claim(tmp_path / "another")
    another.take()
    another.release()
    second.release()
    with pytest.raises(module.Claimed):
        second.take()
    first.release()


def test_a_claim_that_is_released_can_be_taken(tmp_path: Path) -> None:
    first, second = Claim(tmp_path / "file"), Claim(tmp_path / "file")
    first.take()
    first.release()
    first.release()
    second.take()
    second.release()


def test_a_claim_leaves_the_file_alone(tmp_path: Path) -> None:
    taken = Claim(tmp_path / "file")
    taken.take()
    assert not (tmp_path / "file").exists()
    assert (tmp_path / "file.lock").stat().st_mode & 0o777 == 0o600
    taken.release()


def test_a_place_that_does_not_exist_is_no_claim_of_somebody_else(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Claim(tmp_path / "missing" / "file").take()


def test_a_refused_claim_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Claim(tmp_path / "file")
    first.take()
    closed: list[int] = []
    monkeypatch.setattr(os, "close", closed.append)
    with pytest.raises(Claimed):
        Claim(tmp_path / "file").take()
    monkeypatch.undo()
    assert len(closed) == 1
    os.close(closed[0])
    first.release()
