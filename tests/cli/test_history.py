"""Changes and sparklines: where nothing is known, nothing is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from cli.history import KEPT_MS, MINUTE_MS, History
from shared.codec import encode_sweep
from shared.model import Sweep
from shared.store import SWEEPS
from shared.sweeplog import FIELD
from tests.builders import NOW_MS, reading, sweep


def swept(minute: float, contracts: str, **failures: str) -> Sweep:
    return sweep(reading("BTCUSDT", contracts), failures=failures, ended_ms=NOW_MS + round(minute * MINUTE_MS))


def test_a_change_is_measured_against_the_sample_of_then() -> None:
    history = History()
    history.add(swept(minute, str(1000 + minute)) for minute in range(61))

    assert history.change("BTCUSDT", 5) == pytest.approx(1060 / 1055 - 1)
    assert history.change("BTCUSDT", 60) == pytest.approx(0.06)
    assert history.change("ETHUSDT", 5) is None


def test_without_a_baseline_there_is_no_change() -> None:
    history = History()
    assert history.change("BTCUSDT", 5) is None
    history.add([swept(0, "1000"), swept(2, "1001")])
    assert history.change("BTCUSDT", 5) is None


def test_a_value_carried_through_a_failure_and_a_zero_are_no_samples() -> None:
    history = History()
    history.add([swept(0, "1000"), swept(5, "1000", BTCUSDT="timeout")])
    assert history.change("BTCUSDT", 5) is None
    history.add([swept(6, "0")])
    assert history.change("BTCUSDT", 5) is None


def test_a_sparkline_is_blank_where_nothing_is_known() -> None:
    history = History()
    assert history.sparkline("BTCUSDT", 4) == "    "
    history.add([swept(0, "1000"), swept(59, "1010")])
    assert history.sparkline("BTCUSDT", 6) == "▁▁   █"
    assert history.sparkline("ETHUSDT", 6) == "      "


@given(st.lists(st.floats(0.05, 30), max_size=300), st.integers(1, 60))
def test_memory_is_bounded_and_every_sparkline_as_wide_as_asked(steps: list[float], width: int) -> None:
    history, minute = History(), 0.0
    for step in steps:
        minute += step
        history.add([swept(minute, f"{1000 + step:.3f}")])
        samples = history._samples
        assert samples[-1][0] - samples[0][0] <= KEPT_MS
        assert len(samples) <= KEPT_MS // 50_000 + 2
    assert len(history.sparkline("BTCUSDT", width)) == width


async def test_the_last_hour_is_read_from_redis(redis: Redis) -> None:
    """One sweep in six is read; a minute in which none landed is no sample."""
    for tenth in range(-366, 1):
        minute = tenth / 6
        if not -30 < minute < -28:
            blob = encode_sweep(swept(minute, str(1000 + round(minute))))
            await redis.xadd(SWEEPS, {FIELD: blob}, id=f"{NOW_MS + tenth * 10_000}-0")
    history = History()

    await history.load(redis, NOW_MS + 5000)
    history.add([swept(0.0, "1000")])

    assert history.change("BTCUSDT", 5) == pytest.approx(1000 / 995 - 1, abs=1.1e-3)
    assert history.change("BTCUSDT", 60) == pytest.approx(1000 / 940 - 1, abs=1.1e-3)
    assert 58 <= len(history._samples) <= 63
