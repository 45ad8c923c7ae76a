"""Bytes become facts or one typed error; a bad row costs only itself."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import WireError
from shared.venues.binance import bodies, frames
from tests.builders import NOW_MS
from tests.shared.venues.binance.rows import frame, mark_row, mini_row, ticker_row


def marks_of(blob: bytes) -> dict[str, str]:
    rows = [row for row in frames.decode_frame(blob).rows if row.e == frames.MARK]
    return {row.s: frames.mark_price(row, NOW_MS, []).mark_price for row in rows}


def test_a_mark_row_becomes_a_fact() -> None:
    """Text is kept to the last zero, and the moving average `ap` or settle price `P` is never taken for the mark."""
    (row,) = frames.decode_frame(frame(mark_row(ap="1", P="2"))).rows

    mark = frames.mark_price(row, NOW_MS + 7, [])

    assert (mark.mark_price, mark.index_price) == ("83134.61729710", "83165.64673913")
    assert (mark.funding_rate, mark.next_funding_ms) == ("0.00000253", NOW_MS + 3_600_000)
    assert (mark.event_ms, mark.received_ms) == (NOW_MS, NOW_MS + 7)


def test_a_delivery_contract_pays_no_funding() -> None:
    """An empty `r` is None, not zero, and costs the row nothing."""
    (row,) = frames.decode_frame(frame(mark_row(r="", T=0))).rows
    assert frames.mark_price(row, NOW_MS, []).funding_rate is None


def test_rows_are_read_by_event_type() -> None:
    """In a ticker `p` is the price change: taken for a mark it made prices jump and turn negative."""
    assert marks_of(frame(mark_row("BTCUSDT"), ticker_row("BTCUSDT"), mini_row("BTCUSDT"))) == {
        "BTCUSDT": "83134.61729710"
    }


@pytest.mark.parametrize(
    "blob", [frame(mark_row()), json.dumps([mark_row()]).encode(), json.dumps(mark_row()).encode()]
)
def test_wrapped_and_raw_forms_are_read_alike(blob: bytes) -> None:
    """`/stream` wraps, `/ws` does not; a single-symbol stream sends one bare row."""
    assert marks_of(blob) == {"BTCUSDT": "83134.61729710"}


def test_an_acknowledgement_holds_no_rows_and_is_no_error() -> None:
    assert frames.decode_frame(b'{"result":null,"id":1}') == ([], [])


@pytest.mark.parametrize(
    "blob", [b'{"e":"serverShutdown","E":1764720000000}', b'{"event":{"e":"serverShutdown","E":1764720000000}}']
)
def test_a_shutdown_notice_is_read_wrapped_or_not(blob: bytes) -> None:
    """Obeyed, it costs nothing; overlooked, it costs a reconnect."""
    rows, bad = frames.decode_frame(blob)
    assert ([row.e for row in rows], bad) == ([frames.SHUTDOWN], [])


@pytest.mark.parametrize(
    "bad",
    [mark_row("BADUSDT", p=1.5), mark_row("BADUSDT", E="x"), {"s": "BADUSDT"}, 7, None, "row", []],
    ids=["number", "text-time", "no-event", "int", "null", "text", "list"],
)
def test_a_row_of_the_wrong_shape_costs_only_itself(bad: Any) -> None:
    rows, errors = frames.decode_frame(frame(mark_row("BTCUSDT"), bad, mark_row("ETHUSDT")))

    assert [row.s for row in rows] == ["BTCUSDT", "ETHUSDT"]
    assert [e.reason for e in errors] == ["bad_row"]


@pytest.mark.parametrize(
    "odd",
    [{"r": 0.0001}, {"r": "none"}, {"r": "1e-4"}, {"i": 7}, {"i": "NaN"}, {"i": []}, {"T": "soon"}, {"T": None},
     {"T": 10**30}, {"T": NOW_MS * 1000}, {"T": -1}, {"T": 1.5}, {"st": "UM"}, {"st": None}],
    ids=str,
)  # fmt: skip
def test_an_odd_field_that_may_be_absent_costs_itself_and_not_the_mark(odd: dict[str, Any]) -> None:
    """The exchange has changed fields unannounced; the price beside them is as right as before."""
    rows, bad = frames.decode_frame(frame(mark_row(**odd)))
    mark = frames.mark_price(rows[0], NOW_MS, bad)

    absent = {"r": mark.funding_rate, "i": mark.index_price, "T": mark.next_funding_ms or None, "st": None}
    kept = {"r": "0.00000253", "i": "83165.64673913", "T": NOW_MS + 3_600_000, "st": None}
    (name,) = odd
    assert mark.mark_price == "83134.61729710"
    assert absent == {**kept, name: None}
    assert [e.reason for e in bad] == ["odd_field"]
    assert "BTCUSDT" in str(bad[0])


@pytest.mark.parametrize("odd", [{"lastFundingRate": 1}, {"indexPrice": {}}, {"nextFundingTime": "soon"}], ids=str)
def test_the_fallback_reads_odd_fields_alike(odd: dict[str, Any]) -> None:
    row = {"symbol": "BTCUSDT", "markPrice": "83067.30", "indexPrice": "1", "lastFundingRate": "1", "time": NOW_MS}
    rows, bad = bodies.premium_index(json.dumps([{**row, **odd}]).encode())

    assert frames.mark_price(rows[0], NOW_MS, bad).mark_price == "83067.30"
    assert [e.reason for e in bad] == ["odd_field"]


@pytest.mark.parametrize("event_ms", [0, NOW_MS // 1000, NOW_MS * 1000, NOW_MS * 1_000_000, 10**30, -NOW_MS])
def test_a_time_in_another_unit_is_refused(event_ms: int) -> None:
    for row in (mark_row(event_ms=event_ms), mini_row(event_ms=event_ms)):
        (read,), _ = frames.decode_frame(frame(row))
        with pytest.raises(WireError, match=r"BTCUSDT: .*(milliseconds|range)"):
            frames.mark_price(read, NOW_MS, []) if read.e == frames.MARK else frames.quote_volume(read)


@pytest.mark.parametrize("price", ["NaN", "Infinity", "-1.0", "0", "0.00000000", "", "1e5", "１２", None])
def test_a_price_that_is_none_is_refused(price: str | None) -> None:
    (row,) = frames.decode_frame(frame(mark_row(p=price))).rows
    with pytest.raises(WireError, match="bad_mark"):
        frames.mark_price(row, NOW_MS, [])


@pytest.mark.parametrize("symbol", ["", "BTC USDT", "BTC\nUSDT", "A" * 41])
def test_what_cannot_be_a_symbol_is_refused(symbol: str) -> None:
    """It would become a Redis field and stand in log lines."""
    with pytest.raises(WireError):
        frames.mark_price(frames.Row(frames.MARK, NOW_MS, symbol, "1"), NOW_MS, [])


@pytest.mark.parametrize(
    "blob", [b"", b"{", b"nonsense", b"\xff\xfe", frame(mark_row())[:-9], b'{"data":7}', b"[]x", b"[" * 9000]
)
def test_a_frame_that_cannot_be_read_is_one_error(blob: bytes) -> None:
    rows, errors = frames.decode_frame(blob)
    assert rows == []
    assert len(errors) == 1


@given(st.binary(max_size=200))
def test_no_bytes_whatever_raise(blob: bytes) -> None:
    """The reading loop has no place for surprises."""
    frames.decode_frame(blob)


def dropped(bad: list[WireError]) -> list[WireError]:
    """A field that is odd costs no row."""
    return [error for error in bad if error.reason != "odd_field"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("eEspirTq") | st.just("st"), inner),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=6))
def test_any_rows_become_positive_marks_or_wire_errors(rows: list[Any]) -> None:
    """Whatever JSON stands in a frame: nothing but a finite, positive price ever becomes a mark."""
    decoded = frames.decode_frame(frame(*rows))
    assert len(decoded.rows) + len(dropped(decoded.bad)) == len(rows)
    for row in decoded.rows:
        try:
            mark = frames.mark_price(row, NOW_MS, [])
        except WireError:
            continue
        assert Decimal(mark.mark_price).is_finite()
        assert Decimal(mark.mark_price) > 0


@given(
    st.decimals(min_value="0.00000001", max_value="9999999", places=8),
    st.integers(1_700_000_000_000, 2_000_000_000_000),
)
def test_every_good_row_round_trips(price: Decimal, event_ms: int) -> None:
    (row,) = frames.decode_frame(frame(mark_row(price=f"{price:f}", event_ms=event_ms))).rows
    mark = frames.mark_price(row, NOW_MS, [])
    assert (Decimal(mark.mark_price), mark.event_ms) == (price, event_ms)


@given(st.binary(max_size=200) | st.lists(json_values, max_size=4).map(lambda v: json.dumps(v).encode()))
def test_rest_bodies_become_rows_or_one_wire_error(body: bytes) -> None:
    for decode in (bodies.premium_index, bodies.ticker_24h):
        try:
            rows, bad = decode(body)
        except WireError:
            continue
        assert len(rows) + len(dropped(bad)) == len(json.loads(body))


def test_premium_index_reads_like_the_stream() -> None:
    """The fallback goes the same way as a frame; `time` is its event time."""
    body = json.dumps(
        [
            {
                "symbol": "BTCUSDT",
                "markPrice": "83067.30000000",
                "indexPrice": "83114.69956522",
                "estimatedSettlePrice": "83195.99445417",
                "lastFundingRate": "0.00000078",
                "interestRate": "0.00010000",
                "nextFundingTime": NOW_MS,
                "time": NOW_MS - 5,
            },
            {"symbol": "BADUSDT"},
        ]
    ).encode()

    rows, bad = bodies.premium_index(body)

    mark = frames.mark_price(rows[0], NOW_MS, [])
    assert (mark.mark_price, mark.event_ms, mark.funding_rate) == (
        "83067.30000000",
        NOW_MS - 5,
        "0.00000078",
    )
    assert len(bad) == 1
