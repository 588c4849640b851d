"""The conclusions: whatever is found fails its row, and so does a control that finds nothing."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from sealcast.cli.blind.checks import NOTES, Verdict, judge, took_part
from sealcast.cli.blind.guess import Guessing
from sealcast.cli.blind.inquiry import Evidence, Plan, Searches
from sealcast.cli.blind.members import KINDS, App, Pace
from sealcast.cli.blind.memory import Dump, Mapping
from sealcast.cli.blind.needles import Hit, Sweep, Text
from sealcast.cli.blind.places import Surroundings
from sealcast.cli.blind.process import LOG
from sealcast.cli.blind.providers import PROVIDERS
from sealcast.cli.blind.report import print_json, print_table, summary
from sealcast.cli.blind.sources import Closure, Named, Scan
from sealcast.cli.blind.stage import MARKER_FILE, Meeting, Watched
from sealcast.cli.blind.unlock import Lock, Opening

DIRECTORY = Path("/nowhere/tested")
KEY_HIT = Hit("raw: AES key of ann, stream 2", "raw", "[heap]", 0x55D0)


def sweep(*hits: Hit, needles: int = 5) -> Sweep:
    return Sweep(needles, 4096, Counter(hit.what for hit in hits), list(hits))


def frame(size: int, number: int) -> Lock:
    return Lock(f"frame {number} of {size}", "gcm", b"n", b"a", b"b", b"o", bytes(size))


def planted_hit(size: int, number: int) -> Hit:
    return Hit(f"the key of {frame(size, number).name}", "raw", "[heap]", 0x55D0)


def marker(what: str, place: str) -> Hit:
    return Hit(what, "raw", place, 1)


def meeting(**changes: object) -> Meeting:
    each = Counter(dict.fromkeys(KINDS, 4))
    made = Meeting(
        provider=PROVIDERS[0],
        sent=each,
        opened=each,
        silent=(),
        opening=Opening(24, 24, 24, 24, 3, 3),
        turns=frozenset({(0, 0), (0, 1), (1, 0)}),
        secrets=9,
        changes=True,
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def watched() -> Watched:
    return Watched(
        pid=1,
        directory=DIRECTORY,
        marker=b"m",
        app=App(),
        dump=Dump((Text("[heap]", b"x", 0),), (Mapping(0, 4096, "rw-p", "[heap]"),), 0),
        surroundings=Surroundings((), Counter(file=1), str(DIRECTORY), ()),
        meetings=[meeting()],
        wire=[Text("up", b"x"), Text("down", b"x")],
        opening=Opening(24, 24, 24, 24, 3, 3),
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
        tested=watched(),
        control=watched(),
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
        guesses=[Guessing(16, 3, 4096, 100), Guessing(32, 3, 4096, 90)],
        control_guesses=[
            Guessing(size, 3, 4096, 9, found=[planted_hit(size, number) for number in (1, 2)])
            for size in (16, 32)
        ],
        planted=[frame(size, number) for size in (16, 32) for number in (1, 2)],
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
        (set_on("tested.opening", Opening(24, 23, 24, 24)), {"conversation"}),
        (set_on("tested.opening", Opening(24, 24, 24, 23)), {"conversation"}),
        (set_on("tested.opening", Opening(24, 24, 24, 24, 3, 2)), {"conversation"}),
        (set_on("tested.opening", Opening()), {"conversation"}),
        (set_on("tested.meetings", [meeting(sent=Counter())]), {"conversation"}),
        (set_on("tested.meetings", [meeting(silent=("audio",))]), {"conversation"}),
        (set_on("tested.meetings", [meeting(turns=frozenset({(0, 0), (0, 1)}))]), {"conversation"}),
        (set_on("tested.status", 1), {"conversation"}),
        (set_on("control.status", -9), {"conversation"}),
        (set_on("control.meetings", [meeting(silent=("audio",), changes=False)]), {"conversation"}),
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
        (edit(lambda found: found.control_guesses[1].found.pop()), {"windows-32"}),
        (edit(lambda found: found.planted.clear()), {"windows-16", "windows-32"}),
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


def spoiled() -> Evidence:
    found = evidence()
    leak_in("memory")(found)
    return found


def test_keys_that_are_not_meant_to_change_need_not() -> None:
    found = evidence()
    found.control.meetings = [meeting(turns=frozenset(), changes=False)]
    assert verdicts(found)["conversation"] is Verdict.HOLDS


def test_what_is_not_offered_here_is_named() -> None:
    found = evidence()
    found.plan = Plan(Pace(1), providers=PROVIDERS[:-1])
    (check,) = [check for check in judge(found) if check.name == "conversation"]
    assert f"not offered here: {PROVIDERS[-1].name}" in check.searched
    assert check.verdict is Verdict.HOLDS


def test_each_thing_that_was_found_has_one_line_with_its_places_bare_bytes_first() -> None:
    found = evidence()
    hits = [Hit("a key", form, "[heap]", at) for at, form in enumerate(("hex", "raw", *["base64"] * 4), 1)]
    found.secrets = dataclasses.replace(found.secrets, memory=sweep(*hits, KEY_HIT))
    (check,) = [check for check in judge(found) if check.name == "memory"]
    assert check.hits == 7
    assert check.findings == (
        "a key: raw at 0x2 in [heap]; hex at 0x1 in [heap]; base64 at 0x3 in [heap]; "
        "base64 at 0x4 in [heap]; 2 more",
        "raw: AES key of ann, stream 2: raw at 0x55d0 in [heap]",
    )


def test_of_very_many_findings_the_rest_is_counted() -> None:
    found = evidence()
    hits = [Hit(f"key {number:02}", "raw", "[heap]", number) for number in range(30)]
    found.secrets = dataclasses.replace(found.secrets, memory=sweep(*hits))
    (check,) = [check for check in judge(found) if check.name == "memory"]
    assert check.findings[-1] == "and 6 other things"


def test_the_table_names_what_was_found_where_and_ends_with_the_outcome(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(judge(spoiled()), took_part(spoiled()), 3.0)
    shown = capsys.readouterr().out
    assert "LEAK: memory: raw: AES key of ann, stream 2: raw at 0x55d0 in [heap]" in shown
    assert shown.rstrip().endswith("NOT BLIND: 1 of 9 checks found what the relay must not have (3 s)")
    assert "certificate IS in the relay, by design" in shown
    (row,) = [line for line in shown.splitlines() if line.startswith(f" {PROVIDERS[0].name} ")]
    assert row.split()[1:] == ["AES-128-GCM", "0.0", "0.1", "1.0", "24", "of", "24", "3", "of", "3", "9"]


def test_the_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(judge(spoiled()), took_part(spoiled()), seconds=3.0, stride=8, sabotage=True)
    told = json.loads(capsys.readouterr().out)
    assert told["holds"] is False
    assert told["sabotage"] is True
    assert {check["name"]: check["verdict"] for check in told["checks"]}["memory"] == "LEAK"
    assert told["notes"] == list(NOTES)
    assert told["key_providers"] == [
        {
            "name": PROVIDERS[0].name,
            "cipher": "AES-128-GCM",
            "frames": 24,
            "opened": 24,
            "wraps": 3,
            "wraps_opened": 3,
            "turns": ["0.0", "0.1", "1.0"],
            "secrets": 9,
        }
    ]


def test_the_outcome_in_one_line_tells_proved_from_not_proved() -> None:
    assert summary(judge(evidence())) == "The relay could not read: all 9 checks hold"
    found = evidence()
    found.tested.status = 1
    assert summary(judge(found)).startswith("NOT PROVED: 1 of 9")
