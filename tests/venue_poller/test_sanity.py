"""What is believed of an answer, against Binance and against what was told before."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from services.venue_poller.matching import Binance
from services.venue_poller.sanity import DAY_MS, HOUR_MS, Judge, Judged
from shared.model import VenueOpenInterest
from shared.venuelines import Refusal
from tests.builders import NOW_MS
from tests.venue_poller.told import binance, told

COINS = [f"C{n}" for n in range(12)]


def market(now_ms: int = NOW_MS, price: str = "10") -> Binance:
    return binance(now_ms, **{f"{coin}USDT": (price, "1000000") for coin in COINS})


def rows(base: str = "300000", now_ms: int = NOW_MS, price: str = "10", **changes: Any) -> list[VenueOpenInterest]:
    fields = {"price": price, "received_ms": now_ms, "venue_ms": now_ms, **changes}
    return [told(f"{coin}USDT", base, coin=coin, **fields) for coin in COINS]


def judged(judge: Judge, told_now: list[VenueOpenInterest], now_ms: int, price: str = "10") -> Judged:
    return judge.judge(told_now, market(now_ms, price), now_ms)


def words(found: Judged) -> set[str]:
    return {one.why for one in found.refused.values()}


def replaced(told_now: list[VenueOpenInterest], at: int, **changes: Any) -> list[VenueOpenInterest]:
    row = told_now[at]
    base = changes.pop("base", f"{row.base:f}")
    fields = {"price": f"{row.mark_price:f}", "received_ms": row.received_ms, "venue_ms": row.venue_ms, **changes}
    return [*told_now[:at], told(row.symbol, base, coin=row.coin, **fields), *told_now[at + 1 :]]


@pytest.fixture
def judge() -> Judge:
    """One that has believed a first round."""
    fresh = Judge([], {})
    assert len(judged(fresh, rows(), NOW_MS).good) == len(COINS)
    return fresh


def test_coins_that_binance_does_not_poll_are_counted_and_not_kept() -> None:
    found = judged(Judge([], {}), [*rows(), told("X", coin="X")], NOW_MS)

    assert (len(found.good), found.refused, found.unmatched) == (12, {}, 1)


def test_three_times_binance_s_own_is_absurd() -> None:
    """A venue's demo trading tells 963,997 BTC."""
    known = binance()
    demo = told("BTC-USDT-SWAP", "963996.958", told_usd=Decimal("88957542893.77"))

    found = Judge([], {}).judge([demo, told()], known, NOW_MS)

    assert [row.symbol for row in found.good] == ["BTCUSDT"]
    assert found.refused["BTC-USDT-SWAP"].why == "absurd"
    assert "963996.96" in found.refused["BTC-USDT-SWAP"].detail


def test_what_was_absurd_for_a_day_is_how_it_is() -> None:
    """A coin whose home is another venue; the day spans restarts, because its beginning stands in Redis."""
    home = replaced(rows(), 0, base="3100000")
    first = judged(Judge([], {}), home, NOW_MS)
    assert words(first) == {"absurd"}
    later = NOW_MS + DAY_MS
    stored: dict[str, Refusal] = first.refused

    found = Judge(first.good, stored).judge(replaced(rows(now_ms=later), 0, base="3100000"), market(later), later)

    assert (len(found.good), [row.symbol for row in found.anew]) == (12, ["C0USDT"])


def test_one_old_answer_does_not_begin_the_day_anew() -> None:
    judge = Judge([], {})
    for hour, age_s, word in ((0, 0, "absurd"), (12, 60, "late"), (23, 0, "absurd")):
        now_ms = NOW_MS + hour * HOUR_MS
        home = replaced(rows(now_ms=now_ms, venue_ms=now_ms - age_s * 1000), 0, base="3100000")
        assert words(judged(judge, home, now_ms)) == {word}
    now_ms = NOW_MS + DAY_MS

    assert len(judged(judge, replaced(rows(now_ms=now_ms), 0, base="3100000"), now_ms).good) == 12


def test_everything_doubled_at_once_means_another_thing(judge: Judge) -> None:
    """Both sides in the place of one: no market does that, however quiet the first minutes are."""
    for later in (5_000, HOUR_MS, 3 * DAY_MS):
        now_ms = NOW_MS + later
        found = judged(judge, rows("600000", now_ms), now_ms)

        assert (found.good, words(found), len(found.refused)) == ([], {"meaning_changed"}, 12)
        assert judge.gone(now_ms) == []

    assert len(judged(judge, rows("310000", now_ms + 5_000), now_ms + 5_000).good) == 12


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"base": "535000"}, ""),
        ({"base": "545000"}, "jump"),
        ({"base": "168000"}, ""),
        ({"base": "166000"}, "jump"),
        ({"venue_ms": NOW_MS - 1}, "time_back"),
        ({"venue_ms": NOW_MS}, ""),
    ],
)
def test_one_contract_of_the_next_answer(judge: Judge, changes: dict[str, Any], word: str) -> None:
    now_ms = NOW_MS + 5000

    found = judged(judge, replaced(rows(now_ms=now_ms), 3, **changes), now_ms)

    assert {symbol: one.why for symbol, one in found.refused.items()} == ({"C3USDT": word} if word else {})
    assert len(found.good) == 12 - len(found.refused)


def test_a_stored_answer_is_late(judge: Judge) -> None:
    now_ms = NOW_MS + 31_000

    assert words(judged(judge, rows(now_ms=now_ms, venue_ms=NOW_MS), now_ms)) == {"late"}


def test_a_stamp_that_lay_ahead_is_held_against_nothing(judge: Judge) -> None:
    for now_ms, venue_ms in ((NOW_MS + 5000, NOW_MS + 3_600_000), (NOW_MS + 10_000, NOW_MS + 10_000)):
        found = judged(judge, rows(now_ms=now_ms, venue_ms=venue_ms), now_ms)

        assert len(found.good) == 12


def test_what_it_meant_before_is_known_after_a_restart(judge: Judge) -> None:
    found = judged(Judge(rows(), {}), rows("600000", NOW_MS + 5000), NOW_MS + 5000)

    assert words(found) == {"meaning_changed"}


def test_a_small_one_may_jump() -> None:
    judge = Judge([], {})
    judged(judge, replaced(rows(), 0, base="1000"), NOW_MS)
    now_ms = NOW_MS + 5000

    assert len(judged(judge, replaced(rows(now_ms=now_ms), 0, base="9000"), now_ms).good) == 12


def test_arrays_that_slipped_by_one() -> None:
    """Every price stands beside another name."""
    prices = [f"{10 * 1.2**n:.4f}" for n in range(12)]
    known = binance(**{f"{coin}USDT": (price, "1000000") for coin, price in zip(COINS, prices, strict=True)})
    slipped = [
        told(f"{coin}USDT", "300000", coin=coin, price=price)
        for coin, price in zip(COINS, prices[1:] + prices[:1], strict=True)
    ]

    found = Judge([], {}).judge([*slipped[:-2], *rows()[:1]], known, NOW_MS)

    assert found.good == []
    assert words(found) == {"astray"}


def test_a_figure_that_stands_while_its_price_moves() -> None:
    judge = Judge([], {})
    moving = "300000"
    for minute in range(62):
        now_ms, price = NOW_MS + minute * 60_000, f"{10 + minute / 500:.3f}"
        told_now = replaced(rows(f"{300000 + minute}", now_ms, price), 0, base=moving)
        found = judged(judge, told_now, now_ms, price)
        frozen = minute >= 60
        assert words(found) == ({"frozen"} if frozen else set()), minute
        assert len(found.good) == (11 if frozen else 12)


def test_a_figure_may_stand_while_nothing_moves(judge: Judge) -> None:
    now_ms = NOW_MS + 2 * HOUR_MS

    assert len(judged(judge, rows(now_ms=now_ms), now_ms).good) == 12


def test_refusals_keep_their_beginning_and_end(judge: Judge) -> None:
    for later in (5_000, 65_000):
        now_ms = NOW_MS + later
        found = judged(judge, replaced(rows(now_ms=now_ms), 3, base="900000"), now_ms)
    assert found.refused["C3USDT"].since == NOW_MS + 5_000

    assert judged(judge, rows(now_ms=now_ms + 5000), now_ms + 5000).refused == {}


def test_what_was_not_told_for_a_day_goes(judge: Judge) -> None:
    now_ms = NOW_MS + DAY_MS + 5000
    judged(judge, rows(now_ms=now_ms)[1:], now_ms)

    assert [row.symbol for row in judge.gone(now_ms)] == ["C0USDT"]
