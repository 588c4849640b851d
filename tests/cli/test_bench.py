"""`sealcast bench`: its arithmetic, and the command against a real relay."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.cli.bench.histogram import Histogram
from sealcast.cli.bench.plan import HEADER, Plan
from sealcast.cli.bench.tally import MEASURED, WARMUP, Arrivals, Totals, payload
from sealcast.cli.bench.verdict import judge

Start = Callable[..., Awaitable[Any]]

RUN = b"this run"
PLAN = Plan("bench", 2, 2, 3, 50.0, 120, "audio", 1.0, 0.0, 0.0)


# --- times -----------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 10**9), min_size=1), st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_right_within_a_thirty_second(times: list[int], share: float) -> None:
    histogram = Histogram()
    for time in times:
        histogram.add(time)
    exact = sorted(times)[max(-(-int(share * len(times) * 1000) // 1000) - 1, 0)]
    assert exact <= histogram.quantile(share) <= exact * 33 / 32 + 1
    assert histogram.longest == max(times)


@given(st.lists(st.integers(0, 2**45)), st.lists(st.integers(-5, 10**6)))
def test_merged_and_sent_as_json_it_says_the_same(some: list[int], others: list[int]) -> None:
    one, other, both = Histogram(), Histogram(), Histogram()
    for time in some:
        one.add(time)
        both.add(time)
    for time in others:
        other.add(time)
        both.add(time)
    one.merge(Histogram.of_json(json.loads(json.dumps(other.to_json()))))
    assert one.to_json() == both.to_json()
    assert (one.count, one.quantile(0.9)) == (both.count, both.quantile(0.9))


def test_an_empty_histogram_has_no_times() -> None:
    assert (Histogram().quantile(0.5), Histogram().longest) == (0, 0)


# --- who plays whom --------------------------------------------------------------------------------


@given(st.integers(1, 20), st.integers(1, 5), st.integers(0, 9), st.integers(1, 8))
def test_every_seat_is_taken_once_and_publishers_are_numbered(
    channels: int, publishers: int, subscribers: int, processes: int
) -> None:
    plan = Plan("p", channels, publishers, subscribers, 1.0, HEADER, "data", 1.0, 0.0, 0.0)
    seats = list(itertools.chain.from_iterable(plan.seats(n, processes) for n in range(processes)))
    assert len(seats) == plan.members == len({(seat.channel, seat.user) for seat in seats})
    numbers = sorted(seat.publisher for seat in seats if seat.publisher is not None)
    assert numbers == list(range(channels * publishers))
    assert Plan.of_json(json.loads(json.dumps(plan.to_json()))) == plan


# --- what arrives ----------------------------------------------------------------------------------


def arrive(arrivals: Arrivals, *numbers: int, publisher: int = 0, phase: int = MEASURED) -> None:
    for number in numbers:
        arrivals.take(payload(RUN, phase, publisher, number, 1_000_000, 120), 3_000_000)


def test_each_payload_counts_once_and_late_ones_are_not_taken_for_new() -> None:
    arrivals = Arrivals(RUN, 120)
    arrive(arrivals, 0, 1, 1, 4, 2)
    arrive(arrivals, 0, publisher=7)
    arrive(arrivals, 0, 1, phase=WARMUP)
    assert (arrivals.received, arrivals.doubled, arrivals.strange) == (4, 2, 0)
    assert arrivals.latency.longest == 2000


@pytest.mark.parametrize("data", [b"", b"x" * 120, payload(RUN, 1, 0, 0, 0, 119)])
def test_what_nobody_sent_so_is_strange(data: bytes) -> None:
    arrivals = Arrivals(RUN, 120)
    arrivals.take(data, 0)
    assert (arrivals.received, arrivals.strange) == (0, 1)


# --- the verdict -----------------------------------------------------------------------------------


def totals(**values: Any) -> Totals:
    return Totals(**{"joined": 10, "offered": 100, "accepted": 100, "received": 400, **values})


def test_a_run_in_which_all_arrived_passes() -> None:
    verdict = judge(PLAN, totals())
    assert (verdict.expected, verdict.missing, verdict.problems, verdict.limit) == (400, 0, (), None)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"received": 390, "dropped": {"server": 8}, "unopened": 1}, "10 of 400 .* told of 9"),
        ({"doubled": 1}, "came twice"),
        ({"strange": 2}, "not what was sent"),
        ({"lost": 1}, "connections broke"),
        ({"joined": 8, "join_failures": {"it is full": 2}}, r"2 of 10 .* it is full \(2 times\)"),
        ({"accepted": 0, "received": 0}, "nothing was sent"),
    ],
)
def test_a_run_that_lost_something_says_what(values: dict[str, Any], problem: str) -> None:
    [said] = judge(PLAN, totals(**values)).problems
    assert re.search(problem, said)


@pytest.mark.parametrize(
    ("values", "limit"),
    [
        ({"cpu": 0.95}, "95% of a core"),
        ({"refused": 3}, "3 were not sent"),
        ({"lateness": Histogram({700: 100}, 10**7)}, "late"),
    ],
)
def test_a_generator_that_was_the_limit_is_named(values: dict[str, Any], limit: str) -> None:
    assert limit in str(judge(PLAN, totals(**values)).limit)


def test_the_sums_of_processes_add_up_and_texts_are_bounded() -> None:
    total = Totals()
    for number in range(20):
        part = totals(dropped={"server": 1}, cpu=number / 20)
        part.refuse(f"error {number}")
        total.add(Totals.of_json(json.loads(json.dumps(part.to_json()))))
    assert (total.joined, total.received, total.dropped, total.cpu) == (200, 8000, {"server": 20}, 0.95)
    assert sum(total.join_failures.values()) == 20
    assert len(total.join_failures) <= 9


# --- the command -----------------------------------------------------------------------------------

QUICK = ("--duration", "0.5s", "--warmup", "0.2s", "--processes", "2")


@pytest.mark.parametrize("kind", ["video", "message"])
async def test_the_numbers_of_a_run_add_up(start: Start, venue: Any, kind: str) -> None:
    program = await start(
        "bench", "--channels", "2", "--publishers", "2", "--subscribers", "3", "--rate", "20",
        "--kind", kind, "--json", *QUICK, env=venue.env(),
    )  # fmt: skip
    done = await program.finish()
    assert (done.status, done.err) == (0, "")
    result = json.loads(done.out)
    assert result["joins"]["joined"] == 10
    sent, got = result["publishers"], result["receivers"]
    assert sent["offered"] == sent["accepted"] + sent["refused"] == 4 * 10
    assert got["received"] == got["expected"] == sent["accepted"] * 4
    assert 0 < got["p50"] <= got["p95"] <= got["p99"] <= got["max"]
    assert result["problems"] == []
    name = "messages_in" if kind == "message" else "frames_in"
    assert getattr(venue.relay.metrics, name) >= sent["accepted"]


async def test_the_table_has_a_row_a_role_and_a_total(start: Start, venue: Any) -> None:
    done = await (await start("bench", "--subscribers", "2", *QUICK, env=venue.env())).finish()
    assert done.status == 0
    text = done.out.decode()
    assert all(word in text for word in ("publishers", "subscribers", "total", "p99", "missing", "joined"))
    assert "Everything that was accepted arrived: 50 of 50 deliveries." in text


async def test_who_cannot_join_learns_why(start: Start, venue: Any) -> None:
    wrong = venue.env(SEALCAST_CERTIFICATE="a" * 32)
    done = await (await start("bench", *QUICK, env=wrong)).finish()
    assert done.status == 1
    assert b"11 of 11 members could not join: " in done.out
    assert b"a" * 32 not in done.out


async def test_ctrl_c_prints_what_was_measured_so_far(start: Start, venue: Any) -> None:
    program = await start("bench", "--subscribers", "2", "--duration", "60s", env=venue.env())
    while venue.relay.metrics.frames_in < 5:
        await asyncio.sleep(0.01)
    program.signal(signal.SIGINT)
    done = await program.finish()
    assert done.status == 130
    assert b"Interrupted" in done.out
    assert b"publishers" in done.out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--rate", "0"), "--rate has to be above zero"),
        (("--rate", "nan"), "--rate has to be above zero"),
        (("--subscribers", "0"), "one member alone receives nothing"),
        (("--duration", "2h"), "a test takes above zero and at most 3000 s"),
        (("--duration", "0s"), "a test takes above zero"),
    ],
)
async def test_a_test_that_makes_no_sense_is_refused(
    start: Start, venue: Any, arguments: tuple[str, ...], problem: str
) -> None:
    done = await (await start("bench", *arguments, env=venue.env())).finish()
    assert done.status == 2
    assert done.err.startswith(f"sealcast: {problem}")
