"""The conclusions: whatever is found fails its row, and so does a control that finds nothing."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from sealcast.cli.blind.capture import Opening
from sealcast.cli.blind.checks import NOTES, Check, Verdict, judge
from sealcast.cli.blind.guess import Guessing
from sealcast.cli.blind.inquiry import MARKER_FILE, Evidence, Meeting, Plan, Searches, Watched
from sealcast.cli.blind.members import KINDS, App, Pace
from sealcast.cli.blind.memory import Dump, Mapping
from sealcast.cli.blind.needles import Hit, Sweep, Text
from sealcast.cli.blind.places import Surroundings
from sealcast.cli.blind.process import LOG
from sealcast.cli.blind.report import print_json, print_table, summary
from sealcast.cli.blind.sources import Closure, Named, Scan

DIRECTORY = Path("/nowhere/tested")
KEY_HIT = Hit("raw: AES key of ann, stream 2", "raw", "[heap]", 0x55D0)


def sweep(*hits: Hit, needles: int = 5) -> Sweep:
    return Sweep(needles, 4096, Counter(hit.what for hit in hits), list(hits))


def marker(what: str, place: str) -> Hit:
    return Hit(what, "raw", place, 1)


def watched(provider: str) -> Watched:
    each = Counter(dict.fromkeys(KINDS, 4))
    return Watched(
        pid=1,
        directory=DIRECTORY,
        marker=b"m",
        app=App(),
        dump=Dump((Text("[heap]", b"x", 0),), (Mapping(0, 4096, "rw-p", "[heap]"),), 0),
        surroundings=Surroundings((), Counter(file=1), str(DIRECTORY), ()),
        meetings=[Meeting(provider, each.copy(), each.copy(), ())],
        wire=[Text("up", b"x"), Text("down", b"x")],
        opening=Opening(24, 24, 24, 24),
    )


def evidence() -> Evidence:
    """Return what a run finds when everything is as it should be."""
    nothing = sweep()
    return Evidence(
        plan=Plan(Pace(1)),
        closure=Closure(("asyncio",), ()),
        sdk_closure=Closure(("cryptography",), ("cryptography",)),
        scan=Scan(3, 100),
        sdk_scan=Scan(1, 9, [Named("sealer.py", 1, "AESGCM")]),
        mapped=(["/lib/libc.so"], []),
        own_mapped=(["/x/cryptography/_rust.so"], ["/x/cryptography/_rust.so"]),
        tested=watched("raw"),
        control=watched("none"),
        secrets=Searches(sweep(), sweep(), sweep()),
        ciphertexts=Searches(
            sweep(marker("last", "[heap]"), needles=1), nothing, sweep(marker("last", "up"), needles=1)
        ),
        markers=Searches(
            sweep(marker("marker", "[stack]")),
            sweep(
                marker("marker", "environment"),
                marker("marker", f"file {MARKER_FILE}"),
                marker("app id", f"file {LOG}"),
                marker("runner", "arguments"),
            ),
            nothing,
        ),
        clear=Searches(
            sweep(marker("canary", "[heap]"), needles=1), nothing, sweep(marker("canary", "up"), needles=1)
        ),
        guesses=[Guessing(16, 4096, 100), Guessing(32, 4096, 90)],
        control_guesses=[Guessing(size, 4096, 9, found=[KEY_HIT]) for size in (16, 32)],
    )


def verdicts(found: Evidence) -> dict[str, Verdict]:
    return {check.name: check.verdict for check in judge(found)}


def test_a_sound_run_holds_in_every_row() -> None:
    assert set(verdicts(evidence()).values()) == {Verdict.HOLDS}
    assert all(check.hits == 0 and check.findings == () for check in judge(evidence()))


def leak_closure(found: Evidence) -> None:
    found.closure = Closure(("nacl",), ("nacl",))


def leak_names(found: Evidence) -> None:
    found.scan.found.append(Named("relay.py", 7, "decrypt"))


def leak_library(found: Evidence) -> None:
    found.mapped = (["/x/nacl/_sodium.so"], ["/x/nacl/_sodium.so"])


def leak_in(place: str) -> Callable[[Evidence], None]:
    def leak(found: Evidence) -> None:
        found.secrets = dataclasses.replace(found.secrets, **{place: sweep(KEY_HIT)})

    return leak


def leak_window(index: int) -> Callable[[Evidence], None]:
    return lambda found: found.guesses[index].found.append(KEY_HIT)


@pytest.mark.parametrize(
    ("spoil", "row"),
    [
        (leak_closure, "imports"),
        (leak_names, "names"),
        (leak_library, "libraries"),
        (leak_in("memory"), "memory"),
        (leak_in("places"), "files"),
        (leak_in("wire"), "sockets"),
        (leak_window(0), "windows-16"),
        (leak_window(1), "windows-32"),
    ],
)
def test_whatever_is_found_is_a_leak_in_its_row_alone(spoil: Callable[[Evidence], None], row: str) -> None:
    found = evidence()
    spoil(found)
    failed = {name: verdict for name, verdict in verdicts(found).items() if verdict is not Verdict.HOLDS}
    assert failed == {row: Verdict.LEAK}
    (check,) = [check for check in judge(found) if check.name == row]
    assert check.hits == 1
    assert check.findings


def drop_marker(place: str) -> Callable[[Evidence], None]:
    def drop(found: Evidence) -> None:
        left = [hit for hit in found.markers.places.hits if hit.place != place]
        found.markers = dataclasses.replace(found.markers, places=sweep(*left))

    return drop


def without(part: str, place: str, needles: int = 1) -> Callable[[Evidence], None]:
    def empty(found: Evidence) -> None:
        searches = getattr(found, part)
        setattr(found, part, dataclasses.replace(searches, **{place: sweep(needles=needles)}))

    return empty


def edit(change: Callable[[Evidence], object]) -> Callable[[Evidence], None]:
    def spoil(found: Evidence) -> None:
        change(found)

    return spoil


def unread(part: str) -> Callable[[Evidence], None]:
    def spoil(found: Evidence) -> None:
        run = getattr(found, part)
        run.dump = dataclasses.replace(run.dump, unread=4096)

    return spoil


def set_on(path: str, value: object) -> Callable[[Evidence], None]:
    *parents, name = path.split(".")

    def spoil(found: Evidence) -> None:
        target: object = found
        for parent in parents:
            target = getattr(target, parent)
        setattr(target, name, value)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "rows"),
    [
        (set_on("sdk_closure", Closure((), ())), {"imports"}),
        (set_on("sdk_scan.found", []), {"names"}),
        (set_on("scan.files", 0), {"names"}),
        (set_on("scan.compiled", ["fast.so"]), {"names"}),
        (set_on("own_mapped", ([], [])), {"libraries"}),
        (set_on("tested.opening", Opening(24, 23, 24, 23)), {"conversation"}),
        (set_on("tested.opening", Opening(24, 24, 24, 23)), {"conversation"}),
        (set_on("tested.opening", Opening()), {"conversation"}),
        (set_on("tested.meetings", [Meeting("raw", Counter(), Counter(), ())]), {"conversation"}),
        (set_on("tested.status", 1), {"conversation"}),
        (set_on("control.status", -9), {"conversation"}),
        (
            edit(
                lambda found: found.control.meetings.append(
                    Meeting("none", Counter(dict.fromkeys(KINDS, 1)), Counter(), ("audio",))
                )
            ),
            {"conversation"},
        ),
        (without("ciphertexts", "memory"), {"memory"}),
        (without("clear", "memory"), {"memory"}),
        (without("markers", "memory"), {"memory"}),
        (unread("tested"), {"memory", "windows-16", "windows-32"}),
        (unread("control"), {"memory"}),
        (drop_marker("environment"), {"files"}),
        (drop_marker("arguments"), {"files"}),
        (drop_marker(f"file {LOG}"), {"files"}),
        (drop_marker(f"file {MARKER_FILE}"), {"files"}),
        (set_on("tested.oversized", ("core",)), {"files"}),
        (set_on("tested.surroundings", Surroundings((), Counter(), "/elsewhere", ())), {"files"}),
        (without("ciphertexts", "wire"), {"sockets"}),
        (without("ciphertexts", "wire", needles=0), {"sockets"}),
        (without("clear", "wire"), {"sockets"}),
        (set_on("tested.faults", ["cut short"]), {"sockets"}),
        (set_on("control.faults", ["cut short"]), {"sockets"}),
        (edit(lambda found: found.control_guesses[0].found.clear()), {"windows-16"}),
        (edit(lambda found: found.control_guesses.pop()), {"windows-32"}),
        (edit(lambda found: found.guesses.pop(0)), {"windows-16"}),
        (edit(lambda found: setattr(found.guesses[1], "complete", False)), {"windows-32"}),
    ],
)
def test_a_check_that_could_have_found_nothing_is_broken_and_says_why(
    spoil: Callable[[Evidence], None], rows: set[str]
) -> None:
    found = evidence()
    spoil(found)
    broken = {check.name: check for check in judge(found) if check.verdict is not Verdict.HOLDS}
    assert set(broken) == rows
    assert all(check.verdict is Verdict.BROKEN and check.findings for check in broken.values())


def test_a_leak_stays_one_when_its_control_fails_too() -> None:
    found = evidence()
    leak_in("memory")(found)
    without("clear", "memory")(found)
    assert verdicts(found)["memory"] is Verdict.LEAK


def spoiled() -> list[Check]:
    found = evidence()
    leak_in("memory")(found)
    return judge(found)


def test_the_table_names_what_was_found_where_and_ends_with_the_outcome(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(spoiled(), 3.0)
    shown = capsys.readouterr().out
    assert "LEAK: memory: raw: AES key of ann, stream 2, raw, at 0x55d0 in [heap]" in shown
    assert shown.rstrip().endswith("NOT BLIND: 1 of 9 checks found what the relay must not have (3 s)")
    assert "certificate IS in the relay, by design" in shown


def test_the_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(spoiled(), seconds=3.0, stride=8, sabotage=True)
    told = json.loads(capsys.readouterr().out)
    assert told["holds"] is False
    assert told["sabotage"] is True
    assert {check["name"]: check["verdict"] for check in told["checks"]}["memory"] == "LEAK"
    assert told["notes"] == list(NOTES)


def test_the_outcome_in_one_line_tells_proved_from_not_proved() -> None:
    assert summary(judge(evidence())) == "The relay could not read: all 9 checks hold"
    found = evidence()
    found.tested.status = 1
    assert summary(judge(found)).startswith("NOT PROVED: 1 of 9")
