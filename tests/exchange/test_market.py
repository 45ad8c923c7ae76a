"""The walks: pure functions of seed and time, plausible in size."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math

from hypothesis import given
from hypothesis import strategies as st

from dev.exchange.bodies import open_interest_history
from dev.exchange.market import DAY_MS, Book, Walk, steps
from dev.exchange.universe import Contract, build

NOW_MS = 1_795_450_000_000
CONTRACTS = {c.symbol: c for c in build(7, NOW_MS)}


def book(symbol: str = "BTCUSDT", seed: int = 7) -> Book:
    return Book(CONTRACTS[symbol], seed)


@given(st.integers(0, 2**63), st.integers(NOW_MS - DAY_MS, NOW_MS + DAY_MS))
def test_what_is_remembered_never_changes_the_value(key: int, at_ms: int) -> None:
    """The fast path of the stream and the slow path of history must tell the same price."""
    walk = Walk(key, 0.05)
    walk.at(steps(NOW_MS))
    assert math.isclose(walk.at(steps(at_ms)), walk.once(at_ms), abs_tol=1e-12)


def test_two_servers_of_one_seed_agree_and_of_two_do_not() -> None:
    assert book().mark_at(NOW_MS) == book().mark_at(NOW_MS)
    assert book().mark_at(NOW_MS) != book(seed=8).mark_at(NOW_MS)


def test_prices_move_every_second_by_little() -> None:
    btc = book()
    marks = [btc.mark_at(NOW_MS + s * 1000) for s in range(600)]
    moves = [abs(b / a - 1) for a, b in itertools.pairwise(marks)]
    assert all(move > 0 for move in moves)
    assert max(moves) < 0.001
    assert 0.85 < marks[0] / 90_000 < 1.15


def test_open_interest_changes_at_its_last_change_time_and_only_then() -> None:
    """``time`` is when the value last changed: a client that takes it for now calls quiet contracts dead."""
    btc = book()
    changed = btc.oi_changed_ms(NOW_MS)
    assert NOW_MS - 1000 < changed <= NOW_MS
    assert btc.oi_at(changed) == btc.oi_at(NOW_MS) == btc.oi_now(NOW_MS)
    assert btc.oi_at(changed - 1) != btc.oi_at(changed)
    assert 80_000 < btc.oi_at(NOW_MS) < 110_000


def test_quiet_contracts_lag_minutes() -> None:
    quiet = min((c for c in CONTRACTS.values() if c.trading), key=lambda c: c.usd_volume)
    lags = [Book(quiet, 7).oi_changed_ms(NOW_MS + s * 1000) - (NOW_MS + s * 1000) for s in range(0, 3600, 7)]
    assert min(lags) < -120_000
    assert max(lags) <= 0


def test_a_delisted_contract_keeps_its_last_mark() -> None:
    gone = book("OMGUSDT")
    assert gone.mark(steps(NOW_MS)) == gone.mark(steps(NOW_MS + 3_600_000)) == gone.contract.start_mark


def test_the_major_trades_every_second_and_the_quiet_does_not() -> None:
    def share(contract: Contract) -> float:
        one = Book(contract, 7)
        return sum(one.traded_in(NOW_MS + s * 1000, NOW_MS + s * 1000 + 1000) for s in range(600)) / 600

    ranked = sorted((c for c in CONTRACTS.values() if c.trading), key=lambda c: c.usd_volume)
    assert share(ranked[-1]) == 1.0
    assert share(ranked[0]) < 0.1


def test_day_statistics_enclose_the_price() -> None:
    day = book("ETHUSDT").statistics(NOW_MS)
    assert day.low <= day.open <= day.high


def history(btc: Book, period: str = "5m", limit: int = 500) -> list[int]:
    rows = json.loads(open_interest_history(btc, period, limit, None, NOW_MS, NOW_MS))
    return [row["timestamp"] for row in rows]


def test_history_leaves_out_periods_without_a_trade_and_what_is_older_than_a_month_or_the_listing() -> None:
    btc = book()
    assert len(history(btc)) == 500
    assert 0 <= history(btc, "4h")[0] - (NOW_MS - 30 * DAY_MS) < 4 * 3_600_000
    btc.trade_every_ms = 600_000
    assert len(history(btc)) == 250
    young = Book(dataclasses.replace(btc.contract, onboard_ms=NOW_MS - DAY_MS), 7)
    assert len(history(young, "1h")) == 24
    assert history(young, "1h")[0] >= NOW_MS - DAY_MS
