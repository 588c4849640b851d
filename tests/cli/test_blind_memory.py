"""Another process's memory: which of it is read, and that it is."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from sealcast.cli.blind import memory
from sealcast.cli.blind.failures import MemoryRefused
from sealcast.cli.blind.memory import Mapping, changed, dump, parse_maps, read_maps
from sealcast.cli.blind.needles import Needle, Text, search

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MAPS = """\
55d0c0a00000-55d0c0a21000 rw-p 00000000 00:00 0                          [heap]
7f10a0000000-7f10a0021000 rw-p 00000000 00:00 0 
7f10a0021000-7f10a4000000 ---p 00000000 00:00 0 
7f10a8000000-7f10a8001000 r--p 00000000 00:00 0 
7f10b0000000-7f10b0028000 r--p 00000000 fe:00 1234                       /usr/lib/libc.so.6
7f10b0028000-7f10b0029000 rw-p 00028000 fe:00 1234                       /lib/a name with  blanks.so (deleted)
7f10b0030000-7f10b0031000 rw-s 00000000 00:01 77                         /memfd:shared (deleted)
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
7ffc000f0000-7ffc000f4000 r--p 00000000 00:00 0                          [vvar]
7ffc000f4000-7ffc000f6000 r-xp 00000000 00:00 0                          [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
"""  # noqa: W291 - as the kernel writes it

HOLDER = """
import sys
kept = bytes.fromhex(sys.stdin.readline())
print("kept", flush=True)
sys.stdin.read()
"""


def test_the_kernels_list_is_read_with_blanks_in_names_and_without_names() -> None:
    mappings = parse_maps(MAPS)
    assert len(mappings) == 11
    assert mappings[0] == Mapping(0x55D0C0A00000, 0x55D0C0A21000, "rw-p", "[heap]")
    assert mappings[1].name == "anonymous"
    assert mappings[5].path == "/lib/a name with  blanks.so (deleted)"


def test_what_the_process_may_have_written_is_read_and_nothing_else() -> None:
    assert [mapping.name for mapping in parse_maps(MAPS) if mapping.searched] == [
        "[heap]",
        "anonymous",
        "anonymous",  # not writable any more, but no file stands behind it
        "/lib/a name with  blanks.so (deleted)",
        "/memfd:shared (deleted)",
        "[stack]",
    ]


@pytest.mark.parametrize("line", ["nonsense", "zz-zz rw-p 0 00:00 0", "1000 rw-p 0 00:00 0"])
def test_a_malformed_list_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_maps(line)


def test_this_process_has_a_heap_and_a_stack() -> None:
    assert {"[heap]", "[stack]"} <= {mapping.name for mapping in read_maps("self")}


@pytest.fixture
def secret() -> bytes:
    return secrets.token_bytes(32)


@pytest.fixture
def holder(secret: bytes) -> Iterator[subprocess.Popen[str]]:
    """A process that has a secret in its memory."""
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(secret.hex() + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "kept\n"
        yield process


def test_a_secret_is_found_in_the_memory_of_a_process_that_has_it(
    holder: subprocess.Popen[str], secret: bytes
) -> None:
    read = dump(holder.pid)
    assert read.unread == 0
    assert read.size > 1 << 20
    hits = search(read.texts, [Needle("the secret", secret)]).hits
    assert {"raw", "hex"} <= {hit.form for hit in hits}
    for hit in hits:
        inside = [m for m in read.mappings if m.start <= hit.address < m.end]
        assert [mapping.name for mapping in inside] == [hit.place]


def test_a_secret_that_it_never_had_is_not_found(holder: subprocess.Popen[str]) -> None:
    assert search(dump(holder.pid).texts, [Needle("other", secrets.token_bytes(32))]).count == 0


def test_a_system_that_refuses_is_named_with_what_to_do(
    holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(MemoryRefused, match="ptrace"):
        dump(holder.pid)


def test_a_refusal_that_comes_with_the_first_byte_is_the_same(
    holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> bytes:
        raise PermissionError

    monkeypatch.setattr(os, "pread", refuse)
    with pytest.raises(MemoryRefused, match="ptrace"):
        dump(holder.pid)


def test_what_could_not_be_read_is_counted(
    holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> bytes:
        raise OSError

    monkeypatch.setattr(os, "pread", fail)
    read = dump(holder.pid)
    assert read.size == 0
    assert read.unread == sum(m.end - m.start for m in read.mappings if m.searched) > 0


def test_a_process_that_is_far_too_large_is_refused(
    holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MEMORY_MAX", 4096)
    with pytest.raises(MemoryRefused, match="more than can be searched"):
        dump(holder.pid)


def test_only_pages_that_changed_are_left_and_neighbours_stay_together() -> None:
    page = memory.PAGE
    before = [Text("[heap]", b"a" * 4 * page, 0x10000)]
    data = bytearray(b"a" * 4 * page) + b"new page"
    data[page + 5] = data[2 * page] = 0
    after = [Text("[heap]", bytes(data), 0x10000), Text("anonymous", b"b" * page, 0x90000)]
    assert [(text.place, text.address, len(text.data)) for text in changed(before, after)] == [
        ("[heap]", 0x10000 + page, 2 * page),
        ("[heap]", 0x10000 + 4 * page, 8),
        ("anonymous", 0x90000, page),
    ]
    assert changed(before, before) == []
