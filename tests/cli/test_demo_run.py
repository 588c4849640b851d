"""The command itself: a real relay, real participants, real sockets, and a status that means something."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sealcast.cli.demo import wav
from sealcast.cli.demo.checks import digest_of

DEMO = [sys.executable, "-m", "sealcast.cli", "demo"]
CLIP = Path(wav.__file__).with_name("clip.wav")
MARK = "SEALCAST_TEST_DEMO"

pytestmark = pytest.mark.slow
linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks processes up in /proc")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DEMO, *arguments], capture_output=True, text=True, timeout=55, check=False)


def succeed(*arguments: str) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def marked(mark: str) -> set[int]:
    """Return the processes that have this mark in their environment."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A demo without an end, with everybody there, in a process group of its own."""
    mark = tmp_path.name
    process = subprocess.Popen(
        [*DEMO, "--keep", "--participants", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, MARK: mark, "TMPDIR": str(tmp_path)},
        process_group=0,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "opened" in line:
            break
    yield process, mark
    process.kill()
    process.communicate()


def wait_until_gone(mark: str) -> None:
    """Wait until no marked process is left; the test's own time limit ends the wait."""
    for pid in marked(mark):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        select.select([descriptor], [], [])
        os.close(descriptor)


def test_a_short_demo_proves_everything_that_it_claims() -> None:
    result = succeed("--seconds", "3")
    assert result["ok"] is True
    assert result["failed"] == []
    assert result["participants"] == 4
    assert result["sha256"] == digest_of(CLIP, 150)
    assert result["frames"] == {"sent": 150, "delivered": 450, "opened": 450}
    sent = result["messages"]["sent"]
    assert sent >= 8
    assert result["messages"] == {"sent": sent, "delivered": 3 * sent, "opened": 3 * sent}
    assert result["dropped"] == 0
    assert 0 < result["latency_us"]["p50"] <= result["latency_us"]["p99"] < 5_000_000
    assert result["relay"]["frames_in"] > 150
    assert {check["name"]: check["ok"] for check in result["checks"]} == dict.fromkeys(
        (
            *("audio", "messages", "losses", "untouched", "counters", "recording"),
            *("plaintext", "secrets", "control", "blind", "ended"),
        ),
        True,
    )


def test_another_sound_is_heard_as_it_is_and_written_as_it_was_heard(tmp_path: Path) -> None:
    form = wav.Format(44_100, 3, 2)
    sound, heard = tmp_path / "sound.wav", tmp_path / "heard.wav"
    pcm = b"".join((i * 2_654_435_761 % (1 << 22)).to_bytes(3, "little") for i in range(2 * 30_000))
    with wav.write(sound, form) as file:
        file.writeframes(pcm)
    result = succeed("--seconds", "2", "--participants", "2", "--audio", str(sound), "--out", str(heard))
    with wave.open(str(heard)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (44_100, 3, 2)
        samples = file.readframes(1_000_000)
    assert samples == (pcm * 3)[: 2 * 44_100 * form.step]
    assert result["sha256"] == digest_of(heard)
    assert next(check for check in result["checks"] if check["name"] == "file")["ok"]


def test_without_a_terminal_plain_lines_say_how_it_goes_and_which_row_failed(tmp_path: Path) -> None:
    silence = tmp_path / "silence.wav"
    with wav.write(silence, wav.Format(8_000, 2, 1)) as file:
        file.writeframes(bytes(16_000))
    done = run("--seconds", "2", "--participants", "2", "--audio", str(silence))
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    for shown in (
        "Join from a second terminal",
        "SEALCAST_KEY=",
        "/console/once#",
        "the relay saw audio",
        "✓",
        "✗",
    ):
        assert shown in done.stdout
    assert "NOT PROVEN: without the key, nothing of it is found" in done.stdout.splitlines()[-1]


@linux
def test_no_argument_holds_a_secret_and_the_first_ctrl_c_of_a_demo_without_an_end_leads_to_its_proof(
    started: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    process, mark = started
    processes = marked(mark)
    assert len(processes) == 4  # itself, the relay, two participants
    for pid in processes:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        assert not [
            word for word in arguments if len(word) > 30 and not word.startswith((b"/", b"sealcast."))
        ]
    os.killpg(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=50)
    assert process.returncode == 0, out + error
    assert "checks hold" in out
    assert marked(mark) == set()
    assert list(tmp_path.iterdir()) == []


@linux
def test_a_second_ctrl_c_breaks_it_off_and_leaves_no_process(
    started: tuple[subprocess.Popen[str], str],
) -> None:
    process, mark = started
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("control"):
            break
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=50)
    assert process.returncode == 130
    assert error.strip() == "the demo was broken off: interrupted before anything was proven"
    assert marked(mark) == set()


@linux
def test_even_a_demo_that_is_killed_leaves_no_process(started: tuple[subprocess.Popen[str], str]) -> None:
    process, mark = started
    process.kill()
    process.wait()
    wait_until_gone(mark)
    assert marked(mark) == set()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--seconds", "0.5"], "--seconds is below 1"),
        (["--participants", "1"], "--participants"),
        (["--participants", "17"], "--participants"),
        (["--audio", __file__], "this is not a WAV file"),
        (["--audio", "/nowhere.wav"], "No such file"),
        (["--out", "/nowhere/heard.wav"], "No such file"),
        (["--audio", str(CLIP), "--out", str(CLIP)], "is the file that is played"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_started(arguments: list[str], why: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert why in done.stderr
    assert done.stdout == ""
