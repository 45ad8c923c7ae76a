"""`/history/{symbol}` and `/changes`: what is asked for, what is answered, and what is said where nothing can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from services.funding_api.past import MOST_ROWS, STEPS_S, Span, span
from shared.clock import iso
from tests.builders import NOW_MS
from tests.funding_api.conftest import HOUR_AGO_MS, Client, Past

HOUR_AGO_S = HOUR_AGO_MS // 1000


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, Span(NOW_MS - 86_400_000, NOW_MS, 300)),
        ({"from": f"{HOUR_AGO_S}"}, Span(HOUR_AGO_MS, NOW_MS, 300)),
        ({"from": f"{HOUR_AGO_S}.5", "to": f"{HOUR_AGO_S + 9}"}, Span(HOUR_AGO_MS + 500, HOUR_AGO_MS + 9000, 300)),
        ({"to": iso(HOUR_AGO_MS), "step": "1d"}, Span(HOUR_AGO_MS - 86_400_000, HOUR_AGO_MS, 86_400)),
    ],
)
def test_what_is_absent_is_the_last_day_in_five_minutes(query: dict[str, str], wanted: Span) -> None:
    assert span(query, NOW_MS) == wanted


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"step": "2m"}, "step must be one of 1m, 5m"),
        ({"from": "yesterday"}, "from must be Unix seconds"),
        ({"to": "2025-12-03T05:10:00"}, "to must be Unix seconds or ISO 8601 with a zone"),
        ({"to": f"{NOW_MS}"}, "to must be Unix seconds before the year 2100"),
        ({"from": f"{NOW_MS // 1000}"}, "from must lie before to"),
        ({"from": "0", "step": "5m"}, f"more than {MOST_ROWS} rows"),
    ],
)
def test_what_cannot_be_answered_says_why(query: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        span(query, NOW_MS)


words = st.text(max_size=12) | st.integers(-(10**15), 10**15).map(str) | st.sampled_from([*STEPS_S, "1e5", "nan"])


@given(st.dictionaries(st.sampled_from(["from", "to", "step"]), words))
def test_any_query_is_a_span_or_refused(query: dict[str, str]) -> None:
    try:
        wanted = span(query, NOW_MS)
    except ValueError:
        return
    assert 0 <= wanted.from_ms < wanted.to_ms or wanted.to_ms < 86_400_000
    assert wanted.to_ms - wanted.from_ms <= (MOST_ROWS + 1) * wanted.step_s * 1000


async def test_a_symbol_s_past_with_its_gap(api: Client, past: Past) -> None:
    status, body = await api.get("/history/btcusdt?step=1m")
    assert status == 200
    assert {name: body[name] for name in body if name != "rows"} == {
        "symbol": "BTCUSDT",
        "listedAt": 0.0,
        "from": NOW_MS / 1000 - 86_400,
        "to": NOW_MS / 1000,
        "stepSeconds": 60,
    }
    assert [round(row["updatedAt"] - HOUR_AGO_S) // 60 for row in body["rows"]] == [*range(20), *range(30, 60)]
    assert body["rows"][7] == {
        "updatedAt": HOUR_AGO_S + 420,
        "openInterest": 1007.5,
        "markPrice": 93041.7,
        "source": "seen",
    }

    _, body = await api.get(f"/history/BTCUSDT?step=5m&from={HOUR_AGO_S + 540}&to={HOUR_AGO_S + 2000}")
    assert [row["openInterest"] for row in body["rows"]] == [1009.5, 1010.5, 1015.5, 1030.5]


async def test_a_ticker_used_again_is_the_contract_that_had_it_then(api: Client, past: Past) -> None:
    _, body = await api.get("/history/LITUSDT?step=1m")
    assert [row["openInterest"] for row in body["rows"]] == [900.5]
    _, body = await api.get(f"/history/LITUSDT?step=1m&to={HOUR_AGO_S + 600}")
    assert [(row["openInterest"], row["markPrice"]) for row in body["rows"]] == [(7.5, None)]


async def test_where_the_file_cannot_be_read_the_cause_is_named(api: Client, past: Past) -> None:
    past.path.write_bytes(b"no database" * 1000)
    status, body = await api.get("/history/BTCUSDT")
    assert status == 503
    assert body["detail"]["error"] == "History unavailable"
    assert "the file is damaged" in body["detail"]["cause"]


async def test_changes_have_the_age_of_their_base_and_null_without_one(api: Client, past: Past, redis: Redis) -> None:
    assert await api.get("/changes") == (200, {"data": [], "total": 0})
    await past.told(redis)
    status, body = await api.get("/changes")

    btc, eth = body["data"]
    assert (status, body["total"]) == (200, 2)
    assert btc["symbol"] == "BTCUSDT"
    assert (btc["openInterest"], btc["updatedAt"]) == (110.0, NOW_MS / 1000)
    assert btc["5m"] == {
        "change": pytest.approx(0.1),
        "priceChange": pytest.approx(0.05),
        "ageSeconds": 301.0,
    }
    assert [eth[window] for window in ("5m", "15m", "1h", "4h", "24h", "7d")] == [None] * 6
