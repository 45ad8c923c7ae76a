"""The budget against an exchange that counts: never over, never stuck, whatever the clocks and the network do."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.oi_poller.venueclock import VenueClock
from services.oi_poller.weight import ALONE_AFTER_MS, LAST_LOOK_MS, MINUTE_MS, OutOfWeight, WeightBudget

T0 = 1_764_720_000_000  # a whole minute


def send(budget: WeightBudget, count: int, now_ms: int, used: int | None = None) -> None:
    """Requests that are answered at once; ``used`` is the exchange's count after the last."""
    start = budget.used(now_ms)
    for n in range(count):
        ticket = budget.spend(now_ms)
        told = start + n + 1 if used is None or n < count - 1 else used
        budget.answered(ticket, now_ms, told, None)


@pytest.mark.parametrize("counted", [0, 1500])
def test_in_flight_requests_count_from_the_moment_they_are_sent(counted: int) -> None:
    """The exchange's count comes with the answer, which is too late for the 32 sent meanwhile: beside others, too."""
    budget = WeightBudget(2000, 200)
    if counted:
        send(budget, 1, T0, used=counted)
    tickets = [budget.spend(T0) for _ in range(32)]

    assert budget.used(T0) == counted + 32
    assert budget.free(T0) == (668 if counted else 1968)

    for ticket in tickets:
        budget.answered(ticket, T0 + 50, counted + 32, None)
    assert budget.used(T0 + 50) == counted + 32
    assert budget.free(T0 + 50) == (668 if counted else 1968)


def test_the_exchange_is_believed_when_it_counts_more_than_we_sent() -> None:
    """Other scripts share the address; their weight is only in the header."""
    budget = WeightBudget(2000, 200)
    send(budget, 10, T0, used=1510)

    assert budget.used(T0) == 1510
    assert budget.free(T0) == 2400 - 200 - 1510


def test_our_own_share_is_bounded_though_the_limit_leaves_room() -> None:
    budget = WeightBudget(100, 200)
    send(budget, 100, T0)

    with pytest.raises(OutOfWeight) as spent:
        budget.spend(T0 + 15_000)
    assert spent.value.retry_after_s == 45
    budget.spend(T0 + MINUTE_MS)


def test_a_sweep_that_does_not_fit_waits_for_the_next_minute() -> None:
    """Straddling into an overspent minute is how a 429 begins."""
    budget = WeightBudget(2000, 200)
    send(budget, 1715, T0)

    assert budget.wait_ms(T0 + 51_000, 285) == 0
    assert budget.wait_ms(T0 + 51_000, 343) == 9_000
    assert budget.wait_ms(T0 + MINUTE_MS, 343) == 0


def test_a_universe_larger_than_a_minute_holds_begins_with_a_fresh_one() -> None:
    budget = WeightBudget(300, 0)
    send(budget, 1, T0)

    assert budget.wait_ms(T0 + 10_000, 789) == 50_000
    assert budget.wait_ms(T0 + MINUTE_MS, 789) == 0


def test_a_late_answer_does_not_poison_the_new_minute() -> None:
    """Its header says 2100 used, of a minute that is over."""
    budget = WeightBudget(2000, 200)
    late = budget.spend(T0 + 59_900)

    budget.answered(late, T0 + MINUTE_MS + 3000, 2100, None)

    assert budget.used(T0 + MINUTE_MS + 3000) == 1  # it may have been counted in this minute: that much, no more


@pytest.mark.parametrize(("sent_ms", "given_up_ms"), [(T0, T0 + 5000), (T0 + 59_900, T0 + MINUTE_MS + 3000)])
def test_an_answer_that_never_came_was_perhaps_counted_in_either_minute(sent_ms: int, given_up_ms: int) -> None:
    budget = WeightBudget(2000, 200)
    budget.answered(budget.spend(sent_ms), given_up_ms, None, None)
    send(budget, 1, given_up_ms, used=50)

    assert budget.used(given_up_ms) == 51
    assert budget.used(given_up_ms + 2 * MINUTE_MS) == 0


def test_the_limit_follows_the_exchange_and_a_small_one_is_not_all_reserve() -> None:
    budget = WeightBudget(2000, 200)
    budget.limit = 6000
    assert budget.budget(T0) == 2000
    budget.limit = 1200
    assert budget.budget(T0) == 1000
    budget.limit = 100
    assert (budget.budget(T0), budget.reserved(T0)) == (50, 50)


@pytest.mark.parametrize(
    ("symbols", "per_minute", "expected"),
    [
        (20, 2000, 5.0),  # the least interval
        (200, 2000, 6.0),
        (343, 2000, 10.29),  # some clock minutes hold six sweeps: 2058, within 2400 less the reserve
        (343, 2180, 10.0),  # 9.44 would put seven into some minutes: 2401 and over the limit
        (500, 2000, 15.0),
        (789, 2000, 30.0),
        (1500, 2000, 60.0),
        (789, 300, 180.0),  # the budget wins over the greatest interval
    ],
)
def test_the_interval_comes_from_the_budget_and_is_never_rounded_down(
    symbols: int, per_minute: int, expected: float
) -> None:
    interval_s = WeightBudget(per_minute, 200).interval_s(symbols, 5.0, T0)

    assert interval_s == pytest.approx(expected)
    assert interval_s >= 60 * symbols / per_minute


def test_the_interval_stretches_for_others_and_returns_by_itself() -> None:
    """A second script on the address slows us before anybody is told 429; when it ends, we are back in two minutes."""
    budget = WeightBudget(2000, 200)
    for minute in range(2):
        now_ms = T0 + minute * MINUTE_MS
        send(budget, 343, now_ms)
        send(budget, 343, now_ms + 30_000, used=686 + 500)
    assert budget.interval_s(343, 5.0, now_ms + 30_000) == 20.0  # 1200 left for us: three sweeps

    quiet_ms = T0 + 2 * MINUTE_MS
    assert budget.interval_s(343, 5.0, quiet_ms) == 20.0
    send(budget, 343, quiet_ms)
    assert budget.interval_s(343, 5.0, quiet_ms + MINUTE_MS) == pytest.approx(10.29)


def test_a_sweep_expects_others_to_go_on_sending() -> None:
    """Half a sweep without weight is worse than a whole one in the next minute."""
    budget = WeightBudget(2000, 200)
    for n in range(4):  # 1200 a minute from another script, told with each of our sweeps
        send(budget, 343, T0 + n * 15_000, used=343 * (n + 1) + n * 300)
    send(budget, 343, T0 + MINUTE_MS, used=343)
    send(budget, 343, T0 + MINUTE_MS + 30_000, used=686 + 600)

    assert budget.free(T0 + MINUTE_MS + 59_000) == 914
    assert budget.sweep_wait_ms(T0 + MINUTE_MS + 40_000, 500) == 0
    assert budget.sweep_wait_ms(T0 + MINUTE_MS + 59_000, 500) == 1000  # 580 of the others' are not told yet
    assert budget.sweep_wait_ms(T0 + 2 * MINUTE_MS, 500) == 0


def test_a_restart_is_not_taken_for_another_script() -> None:
    """What our last self sent in this minute limits this minute, not the interval from then on."""
    budget = WeightBudget(2000, 200)
    send(budget, 1, T0, used=1400)

    assert budget.free(T0) == 800
    assert budget.interval_s(343, 5.0, T0) == pytest.approx(10.29)


def test_a_limit_used_up_by_others_is_looked_at_again_within_minutes() -> None:
    budget = WeightBudget(2000, 200)
    send(budget, 1, T0)
    send(budget, 1, T0 + 1000, used=2400)

    assert budget.interval_s(343, 5.0, T0 + 1000) == 300.0


def test_the_minute_is_the_exchange_s_though_our_clock_is_off() -> None:
    """Ours is 90 s ahead and half a minute out of phase: the budget must turn with theirs."""
    budget = WeightBudget(100, 0)
    ahead_ms = 90_000
    ticket = budget.spend(T0 + ahead_ms)
    budget.answered(ticket, T0 + ahead_ms + 40, 1, T0)
    send(budget, 99, T0 + ahead_ms + 1000, used=100)

    assert budget.free(T0 + ahead_ms + 31_000) == 0  # our clock has begun a new minute, the exchange has not
    assert budget.free(T0 + ahead_ms + MINUTE_MS + 1300) == 100


@given(
    offset_ms=st.integers(-(10**7), 10**7),
    answers=st.lists(st.tuples(st.integers(1, 30_000), st.integers(0, 900), st.integers(0, 900)), max_size=60),
)
def test_the_exchange_s_clock_lies_within_its_bounds(offset_ms: int, answers: list[tuple[int, int, int]]) -> None:
    clock = VenueClock()
    venue_ms = T0
    for gap_ms, out_ms, back_ms in answers:
        venue_ms += gap_ms + out_ms
        date_ms = venue_ms // 1000 * 1000
        clock.observe(date_ms, venue_ms - out_ms - offset_ms, venue_ms + back_ms - offset_ms)
        venue_ms += back_ms

        assert clock.low_ms <= offset_ms <= clock.high_ms


BURST = st.tuples(
    st.integers(0, 70_000),  # ms since the last burst
    st.integers(1, 400),  # requests wanted
    st.integers(0, 2000),  # ms to the exchange
    st.integers(0, 2000),  # ms back
    st.integers(0, 1500),  # weight others burn meanwhile
    st.booleans(),  # the answers are lost
)


@settings(max_examples=150, deadline=None)
@given(
    sweep=st.sampled_from([0, 90, 343, 900]),
    offset_ms=st.integers(-(10**6), 10**6),
    phase_ms=st.integers(0, 59_999),
    bursts=st.lists(BURST, max_size=14),
)
def test_no_minute_of_the_exchange_ever_sees_more_than_the_budget(
    sweep: int, offset_ms: int, phase_ms: int, bursts: list[tuple[int, int, int, int, int, bool]]
) -> None:
    """For any schedule, any clocks, any network: what we send in one of its minutes stays within ours.

    And when all is quiet again, the whole budget is back: nothing leaks.
    """
    budget = WeightBudget(500, 200)
    budget.sweep = sweep
    most = {0: 500, 90: 542, 343: 688, 900: 500}[sweep]  # the budget, rounded up to whole sweeps that fit into it
    ours: Counter[int] = Counter()
    total: Counter[int] = Counter()
    order = itertools.count()
    events: list[tuple[int, int, str, tuple[object, ...]]] = []

    def at(ms: int, what: str, *args: object) -> None:
        heapq.heappush(events, (ms, next(order), what, args))

    now_ms = T0 + phase_ms
    at(now_ms, "send", 1, 40, 40, 0, False)  # the service asks for exchangeInfo alone, and waits for it
    now_ms += 100
    for gap_ms, *burst in bursts:
        now_ms += gap_ms
        at(now_ms, "send", *burst)
    while events:
        now_ms, _, what, args = heapq.heappop(events)
        if what == "send":
            wanted, out_ms, back_ms, others, lost = args
            total[now_ms // MINUTE_MS] += others  # type: ignore[assignment]
            for _ in range(wanted):  # type: ignore[call-overload]
                try:
                    ticket = budget.spend(now_ms - offset_ms)
                except OutOfWeight:
                    break
                at(now_ms + out_ms, "arrive", ticket, back_ms, lost)  # type: ignore[operator]
        elif what == "arrive":
            ticket, back_ms, lost = args
            minute = now_ms // MINUTE_MS
            ours[minute] += 1
            total[minute] += 1
            told = (None, None) if lost else (total[minute], now_ms // 1000 * 1000)
            at(now_ms + (5000 if lost else back_ms), "settle", ticket, *told)  # type: ignore[operator]
        else:
            ticket, used, date_ms = args
            budget.answered(ticket, now_ms - offset_ms, used, date_ms)  # type: ignore[arg-type]

    assert max(ours.values()) <= most
    quiet_ms = now_ms - offset_ms + 3 * MINUTE_MS
    assert (budget.used(quiet_ms), budget.free(quiet_ms)) == (0, most)


MINUTE_AT = T0 + 5 * MINUTE_MS + 100  # when a minute of the exchange surely has begun, for `alone`


def alone(reserve: int = 200) -> WeightBudget:
    """A budget that follows the limit, two minutes after the first answer; nobody else was seen."""
    budget = WeightBudget(None, reserve)
    budget.answered(budget.spend(T0), T0, 1, T0)
    assert budget.is_alone(MINUTE_AT)
    return budget


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        (20, 5.0),
        (340, 60 * 340 / 2300),
        (341, 8.9),  # the seventh sweep of a minute begins when 11 of the reserve are left
        (342, 9.6),
        (343, 10.0),  # seven would be 2401
        (1150, 30.0),
        (1200, 60.0),
        (2300, 60.0),
        (2301, 120.0),
    ],
)
def test_alone_the_interval_comes_from_the_limit(symbols: int, expected: float) -> None:
    assert alone().interval_s(symbols, 5.0, MINUTE_AT) == pytest.approx(expected)


def test_alone_the_reserve_shrinks_with_the_minute() -> None:
    """What is kept free for others is for what is left of the minute: the exchange counts anew with the next."""
    budget = alone()

    assert [budget.reserved(MINUTE_AT + s * 1000) for s in (0, 15, 59)] == [100, 75, 2]
    assert alone(reserve=40).reserved(MINUTE_AT) == 40
    assert budget.budget(MINUTE_AT) == 2300


def test_a_sweep_that_nearly_fits_waits_for_the_reserve_to_shrink_not_for_the_minute() -> None:
    budget = alone()
    send(budget, 2050, MINUTE_AT)

    assert budget.wait_ms(MINUTE_AT + 50_000, 341) == 4600
    assert budget.wait_ms(MINUTE_AT + 54_600, 341) == 0
    assert budget.wait_ms(MINUTE_AT + 50_000, 351) == 10_000  # more than the limit has, whatever the reserve


def test_somebody_seen_ends_it_at_once_and_for_five_minutes() -> None:
    budget = alone()
    send(budget, 10, MINUTE_AT, used=15)
    assert budget.is_alone(MINUTE_AT)  # so little need not be anybody

    send(budget, 1, MINUTE_AT + 1000, used=17)
    assert not budget.is_alone(MINUTE_AT + 1000)
    assert budget.reserved(MINUTE_AT + 1000) == 200
    assert not budget.is_alone(MINUTE_AT + 1000 + ALONE_AFTER_MS - 1)
    assert budget.is_alone(MINUTE_AT + 1000 + ALONE_AFTER_MS)


def test_a_whole_minute_is_watched_before_it_counts_as_alone() -> None:
    """The first answer comes somewhere in a minute, whose beginning nobody saw."""
    budget = WeightBudget(None, 200)
    at_ms = T0 + 100 + 20_000
    budget.answered(budget.spend(at_ms), at_ms, 1, at_ms)

    assert not budget.is_alone(T0 + 100 + 2 * MINUTE_MS - 1)
    assert budget.is_alone(T0 + 100 + 2 * MINUTE_MS)


def test_the_last_look_surely_is_counted_in_its_minute() -> None:
    budget = alone()  # whose clock may be 1.1 s behind the exchange's

    look_ms = budget.last_look_ms(MINUTE_AT)

    assert look_ms == MINUTE_MS - LAST_LOOK_MS - 1200
    assert budget.last_look_ms(MINUTE_AT + look_ms + 1) == MINUTE_MS - 1


def test_a_budget_that_is_set_keeps_its_whole_reserve() -> None:
    """Whoever set it knows of somebody else, whom nobody may have seen yet."""
    budget = WeightBudget(2390, 200)
    budget.answered(budget.spend(T0), T0, 1, T0)

    assert budget.is_alone(MINUTE_AT)
    assert (budget.reserved(MINUTE_AT + 50_000), budget.budget(MINUTE_AT)) == (200, 2200)
    assert budget.allowance(MINUTE_AT) == 2200


def test_others_are_what_is_counted_beyond_ours_drawn_out_to_the_minute() -> None:
    budget = WeightBudget(2000, 200)
    send(budget, 10, T0)
    send(budget, 10, T0 + MINUTE_MS, used=10)
    send(budget, 10, T0 + MINUTE_MS + 40_000, used=20 + 400)

    assert budget.others(T0 + MINUTE_MS + 50_000) == 600
    assert budget.planned(T0 + MINUTE_MS + 50_000) == 1600
    assert budget.others(T0 + 2 * MINUTE_MS) == 600


def test_where_others_leave_nothing_one_request_a_minute_looks() -> None:
    budget = WeightBudget(2000, 200)
    send(budget, 1, T0)
    send(budget, 1, T0 + MINUTE_MS, used=2400)

    assert budget.planned(T0 + MINUTE_MS) == 1
    assert budget.interval_s(2, 5.0, T0 + MINUTE_MS) == 120.0


def test_the_bounds_of_the_exchange_s_clock_widen_no_faster_than_clocks_drift() -> None:
    clock = VenueClock()
    clock.observe(T0, T0, T0)
    clock.observe(T0 + 1000, T0 + 1990, T0 + 1990)  # the last of its second: at most 110 ms ahead of ours
    assert clock.high_ms == pytest.approx(110)

    clock.observe(T0 + 3000, T0 + 2990, T0 + 2990)
    assert 110 < clock.high_ms < 111
