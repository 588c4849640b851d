"""Token buckets, the quotas made of them, and meters that seldom have to be asked."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.server.config import AppRates
from sealcast.server.limits import Bucket, Meter, Quota, Quotas, Shortage, take_all


def test_a_burst_passes_at_once_and_then_the_rate_counts() -> None:
    bucket = Bucket(rate=2.0, burst=3, now=100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert bucket.take(100.4) == pytest.approx(0.1)
    assert bucket.take(100.5) == 0
    assert bucket.take(100.5) > 0


def test_what_is_refused_costs_nothing() -> None:
    bucket = Bucket(rate=1.0, burst=1, now=0.0)
    assert bucket.take(0.0) == 0
    assert all(bucket.take(0.5) == pytest.approx(0.5) for _ in range(100))
    assert bucket.take(1.0) == 0


def test_it_never_holds_more_than_the_burst() -> None:
    bucket = Bucket(rate=10.0, burst=5, now=0.0)
    assert sum(bucket.take(1_000_000.0) == 0 for _ in range(100)) == 5


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 50),
    steps=st.lists(st.floats(0, 2), min_size=1, max_size=200),
)
def test_no_pattern_of_asking_gets_more_than_burst_and_rate_allow(
    rate: float, burst: int, steps: list[float]
) -> None:
    bucket, now, taken = Bucket(rate, burst, 0.0), 0.0, 0
    for step in steps:
        now += step
        wait = bucket.take(now)
        if wait == 0:
            taken += 1
        else:
            assert 0 < wait <= 1 / rate + 1e-9
    assert taken <= burst + now * rate + 1e-6


@given(rate=st.floats(0.1, 100), burst=st.integers(1, 50))
def test_waiting_as_long_as_it_says_is_enough(rate: float, burst: int) -> None:
    bucket = Bucket(rate, burst, 0.0)
    for _ in range(burst):
        assert bucket.take(0.0) == 0
    wait = bucket.take(0.0)
    assert bucket.take(math.nextafter(wait, math.inf) + 1e-9) == 0


# --- several buckets at once ---


def test_all_buckets_give_or_none_does_and_the_one_that_is_short_for_longest_is_named() -> None:
    plenty, few = Bucket(1.0, 10, 0.0, "plenty"), Bucket(0.5, 1, 0.0, "few")
    assert take_all([(plenty, 1), (few, 1)], 0.0) is None
    assert take_all([(plenty, 1), (few, 1)], 0.0) == Shortage(2.0, "few")
    assert take_all([(plenty, 10), (few, 1)], 0.5) == Shortage(1.5, "few")
    assert plenty.left == 9.5, "what is refused costs nothing"


# --- quotas ---


def test_a_rate_of_zero_is_no_limit() -> None:
    quota = Quota(AppRates.unlimited(), "connection", 0.0)
    assert (quota.frames, quota.bytes, quota.messages, quota.joins) == ((), (), (), ())


def test_a_quota_holds_what_may_come_at_once() -> None:
    quota = Quota(AppRates(burst=3, frames_per_app=10, bytes_per_app=1000, joins_per_app=30), "app", 0.0)
    held = {bucket.name: bucket.burst for kind in (quota.frames, quota.bytes, quota.joins) for bucket in kind}
    assert held == {"frames_per_app": 30, "bytes_per_app": 3000, "joins_per_app": 30}


def test_an_address_has_one_quota_and_an_ipv6_network_is_one_address() -> None:
    quotas = Quotas(AppRates(frames_per_address=10), 0.0)
    quota, app = quotas.over("10.0.0.1", 0.0)
    assert quotas.over("10.0.0.1", 0.0) == (quota, app)
    assert quotas.over("10.0.0.2", 0.0)[0] is not quota
    six = quotas.over("2001:db8:0:1::1", 0.0)[0]
    assert quotas.over("2001:db8:0:1:ffff::2", 0.0)[0] is six
    assert quotas.over("2001:db8:0:2::1", 0.0)[0] is not six
    assert quotas.over("fe80::1%eth0", 0.0)[0] is quotas.over("fe80::2%eth0", 0.0)[0]
    assert quotas.over("not:an:address", 0.0)[0] is quotas.over("not:an:address", 0.0)[0]


def test_addresses_are_remembered_in_a_bounded_number() -> None:
    quotas = Quotas(AppRates(frames_per_address=10), 0.0)
    first, busy = quotas.over("first", 0.0)[0], quotas.over("busy", 0.0)[0]
    for number in range(10_000):
        quotas.over(str(number), 0.0)
        assert quotas.over("busy", 0.0)[0] is busy
    assert quotas.over("first", 0.0)[0] is not first


def test_without_a_limit_by_address_no_address_is_remembered() -> None:
    quotas = Quotas(AppRates(joins_per_address=0), 0.0)
    assert len(quotas.over("10.0.0.1", 0.0)) == 1


def test_users_are_limited_one_by_one_and_only_so_many_are_remembered() -> None:
    quotas = Quotas(AppRates(joins_per_user=1), 0.0)
    assert quotas.join_of("ann", 0.0) is None
    assert quotas.join_of("ann", 0.0) == Shortage(60.0, "joins_per_user")
    assert quotas.join_of("bob", 0.0) is None
    for number in range(10_000):
        assert quotas.join_of(f"user-{number}", 0.0) is None
    assert quotas.join_of("ann", 0.0) is None, "forgotten, and so afresh"
    assert Quotas(AppRates(joins_per_user=0), 0.0).join_of("ann", 0.0) is None


def test_new_connections_of_an_app_are_limited() -> None:
    quotas = Quotas(AppRates(connections_per_app=2), 0.0)
    assert [quotas.connect(0.0) for _ in range(3)] == [None, None, Shortage(30.0, "connections_per_app")]
    assert quotas.connect(30.0) is None


# --- meters ---


class Sender:
    """A member that sends through a meter as a session does."""

    def __init__(self, *quotas: Quota) -> None:
        self.meter = Meter(quotas)
        self.frames = self.bytes = self.asked = 0
        self.allowance = -1

    def send(self, size: int, now: float) -> Shortage | None:
        if self.bytes + size > self.allowance:
            self.asked += 1
            shortage = self.meter.ask((self.frames, self.bytes), size, now)
            self.allowance = self.meter.allowance
            if shortage is not None:
                return shortage
        self.frames += 1
        self.bytes += size
        return None


def quota(scope: str = "member", **rates: float) -> Quota:
    return Quota(AppRates(**{**dict(AppRates.unlimited()), "burst": 1, **rates}), scope, 0.0)


def test_a_member_may_send_a_burst_and_is_then_told_when_to_go_on() -> None:
    sender = Sender(quota(frames_per_member=10))
    assert [sender.send(100, 0.0) for _ in range(10)] == [None] * 10
    assert sender.send(100, 0.0) == Shortage(0.1, "frames_per_member")
    assert sender.send(100, 0.05) == Shortage(pytest.approx(0.05), "frames_per_member")  # type: ignore[arg-type]
    assert sender.send(100, 0.11) is None


def test_bytes_are_limited_like_frames() -> None:
    sender = Sender(quota(bytes_per_member=1000))
    assert [sender.send(size, 0.0) for size in (600, 400)] == [None, None]
    assert sender.send(500, 0.0) == Shortage(0.5, "bytes_per_member")
    assert sender.send(500, 0.5) is None


def test_messages_are_limited_beside_frames() -> None:
    sender = Sender(quota(messages_per_member=2))
    assert [sender.meter.message(0.0) for _ in range(2)] == [None, None]
    assert sender.meter.message(0.0) == Shortage(0.5, "messages_per_member")
    assert sender.send(100, 0.0) is None


def test_members_share_the_quotas_over_them() -> None:
    connection, app = quota("connection", frames_per_connection=10), quota("app", frames_per_app=15)
    ann, bob = Sender(connection, app), Sender(app)
    assert [ann.send(100, 0.0) for _ in range(10)] == [None] * 10
    assert ann.send(100, 0.0) == Shortage(0.1, "frames_per_connection")
    assert [bob.send(100, 0.0) for _ in range(5)] == [None] * 5
    assert bob.send(100, 0.0) == Shortage(pytest.approx(1 / 15), "frames_per_app")  # type: ignore[arg-type]


def test_what_was_granted_in_advance_and_not_used_is_given_back() -> None:
    app = quota("app", frames_per_app=1000)
    senders = [Sender(app) for _ in range(8)]
    for sender in senders:
        assert sender.send(100, 0.0) is None
    while sum(sender.send(100, 0.0) is None for sender in senders):
        pass
    assert sum(sender.frames for sender in senders) == 1000


def test_without_limits_it_is_asked_once() -> None:
    sender = Sender(quota(), quota("app"))
    assert [sender.send(10**6, 0.0) for _ in range(1000)] == [None] * 1000
    assert sender.asked == 1


@pytest.mark.parametrize("size", [20, 200, 1200])
def test_a_frame_seldom_costs_more_than_a_comparison(size: int) -> None:
    rates = AppRates()
    sender = Sender(*(Quota(rates, scope, 0.0) for scope in ("member", "connection", "address", "app")))
    for number in range(10_000):
        assert sender.send(size, number / 9_000) is None
    assert sender.asked < 10_000 / 10


STEPS = st.lists(st.tuples(st.floats(0, 0.2), st.integers(16, 3_000), st.integers(1, 30)), max_size=60)


@given(frames=st.integers(5, 2_000), size=st.integers(3_000, 500_000), steps=STEPS)
def test_no_pattern_of_sending_gets_more_than_the_rates_allow_nor_less(
    frames: int, size: int, steps: list[tuple[float, int, int]]
) -> None:
    sender = Sender(quota(frames_per_member=frames, bytes_per_member=size))
    exact = [Bucket(frames, frames, 0.0), Bucket(size, size, 0.0)]
    now, log = 0.0, [(0.0, 0, 0)]
    for pause, each, number in steps:
        now += pause
        for _ in range(number):
            refused = sender.send(each, now)
            allowed = take_all(zip(exact, (1, each), strict=True), now) is None
            if refused is None:
                if not allowed:  # it has been granted in advance: the exact one owes it
                    exact[0].left -= 1
                    exact[1].left -= each
            else:
                assert not allowed, "no refusal of what an exact bucket would give"
                assert refused.wait > 0
        log.append((now, sender.frames, sender.bytes))
    for start, frames_before, bytes_before in log:
        for end, frames_then, bytes_then in log:
            if end >= start:
                granted = 1 + 1 / 8
                assert frames_then - frames_before <= frames * granted + (end - start) * frames + 1
                assert bytes_then - bytes_before <= size * granted + (end - start) * size + 1


@given(st.integers(1, 200), st.integers(16, 2_000))
def test_waiting_as_long_as_a_meter_says_is_enough(frames: int, size: int) -> None:
    sender, now = Sender(quota(frames_per_member=frames, bytes_per_member=20_000)), 0.0
    for _ in range(300):
        shortage = sender.send(size, now)
        if shortage is not None:
            now = math.nextafter(now + shortage.wait, math.inf) + 1e-9
            assert sender.send(size, now) is None
