"""The streams, from the real process, read with a stock WebSocket client."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.exchange.conftest import Exchange, frames

MARKS = "!markPrice@arr@1s"


def ask(ws: ClientConnection, method: str, number: Any = 1, params: list[Any] | None = None) -> dict[str, Any]:
    """Call a method and read on to its reply."""
    call = {"method": method, "id": number} | ({} if params is None else {"params": params})
    ws.send(json.dumps(call))
    while True:
        reply: Any = json.loads(ws.recv(timeout=30))
        if isinstance(reply, dict) and ("result" in reply or "error" in reply):
            return reply


def silent_for(ws: ClientConnection, seconds: float) -> bool:
    try:
        ws.recv(timeout=seconds)
    except TimeoutError:
        return True
    return False


def test_two_mark_frames_a_second_crypto_with_coin_m_and_tradfi_apart(exchange: Exchange) -> None:
    """One frame never holds the universe: a client that replaces its map by each would lose a fifth every second."""
    crypto: list[list[dict[str, Any]]] = []
    tradfi: list[list[dict[str, Any]]] = []
    begun_ms = time.time() * 1000
    with exchange.stream(f"/market/stream?streams={MARKS}") as ws:
        for _, message in zip(range(30), frames(ws), strict=False):
            rows = message["data"]
            assert message["stream"] == MARKS
            assert len({row["E"] for row in rows}) == 1
            assert begun_ms - 1000 <= rows[0]["E"] <= time.time() * 1000
            (tradfi if rows[0]["E"] % 1000 else crypto).append(rows)
            if tradfi and len(crypto) > 1 and crypto[-1][0]["E"] - crypto[-2][0]["E"] == 1000:
                break  # a busy stand-in leaves seconds out
        else:
            pytest.fail("no two frames of crypto a second apart")
    assert sum(row["st"] == 2 for row in crypto[0]) == 30
    assert {row["st"] for row in tradfi[0]} == {1}
    assert (len(crypto[0]), len(tradfi[0])) == (745, 217)
    assert {row["s"] for row in crypto[0]}.isdisjoint(row["s"] for row in tradfi[0])
    first, second = ({row["s"]: row for row in rows} for rows in crypto[-2:])
    assert first["BTCUSDT"]["p"] != second["BTCUSDT"]["p"]
    assert first["OMGUSDT"]["p"] == second["OMGUSDT"]["p"], "a delisted contract's mark stands still"
    assert first["BTCUSDT"]["p"] == first["BTCUSDT"]["ap"]
    assert "币安人生USDT" in first
    assert sum(row["T"] == 0 and row["r"] == "0.00000000" for row in crypto[0]) > 30


def test_mini_tickers_are_of_changed_contracts_and_coin_m_counts_in_coins(fast: Exchange) -> None:
    with fast.stream("/market/stream?streams=!miniTicker@arr") as ws:
        rows = {row["s"]: row for _, message in zip(range(2), frames(ws), strict=False) for row in message["data"]}
    assert 100 < len(rows) < 500
    assert "OMGUSDT" not in rows
    btc, coin = rows["BTCUSDT"], rows["BTCUSD_PERP"]
    assert float(btc["q"]) > 5e9
    assert (coin["st"], coin["ps"]) == (2, "BTCUSD")
    assert float(coin["q"]) < 1e6, "base coins, not USD"
    assert float(coin["v"]) * 100 / float(coin["q"]) == pytest.approx(float(coin["c"]), rel=0.1)


def test_p_of_a_full_ticker_is_the_price_change(fast: Exchange) -> None:
    """The field that once was read as the mark price; some of them are negative."""
    with fast.stream("/market/stream?streams=!ticker@arr") as ws:
        rows = next(frames(ws))["data"]
    assert any(row["p"].startswith("-") for row in rows)
    btc = next(row for row in rows if row["s"] == "BTCUSDT")
    assert float(btc["c"]) - float(btc["o"]) == pytest.approx(float(btc["p"]), abs=0.2)


def test_raw_path_gives_bare_arrays_and_single_streams_work(fast: Exchange) -> None:
    with fast.stream(f"/market/ws/{MARKS}/btcusdt@markPrice@1s/币安人生usdt@markPrice@1s") as ws:
        got = [json.loads(ws.recv(timeout=30)) for _ in range(6)]
    assert any(isinstance(one, list) and one[0]["e"] == "markPriceUpdate" for one in got)
    assert {"BTCUSDT", "币安人生USDT"} <= {one["s"] for one in got if isinstance(one, dict)}


def test_three_second_marks_come_every_third_second(fast: Exchange) -> None:
    with fast.stream("/market/stream?streams=!markPrice@arr") as ws:
        rows = next(message["data"] for message in frames(ws) if message["data"][0]["s"] == "BTCUSDT")
    assert rows[0]["E"] % 3000 == 0


def test_other_addresses_connect_acknowledge_and_stay_silent(fast: Exchange) -> None:
    """A daemon that trusts its handshake is blind on these."""
    paths = ["/ws", "/stream", "/ws/btcusdt@markPrice@1s", f"/stream?streams={MARKS}", "/public/stream"]
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(fast.stream(path)) for path in paths]
        for ws in sockets:
            assert ask(ws, "SUBSCRIBE", 1, [MARKS]) == {"result": None, "id": 1}
            assert MARKS in ask(ws, "LIST_SUBSCRIPTIONS", 2)["result"]
        assert silent_for(sockets[0], 0.7)
        assert all(silent_for(ws, 0.01) for ws in sockets)


def test_unknown_and_upper_case_names_are_acknowledged_listed_and_silent(fast: Exchange) -> None:
    names = ["BTCUSDT@markPrice@1s", "nosuchusdt@markPrice@1s", "btcusdt@openInterest", "whatever"]
    with fast.stream("/market/ws") as ws:
        assert ask(ws, "SUBSCRIBE", 7, names) == {"result": None, "id": 7}
        assert ask(ws, "LIST_SUBSCRIPTIONS", 8) == {"result": names, "id": 8}
        assert silent_for(ws, 0.7)


def test_subscribing_on_a_bare_connection_brings_frames_and_unsubscribing_ends_them(fast: Exchange) -> None:
    with fast.stream("/market/stream") as ws:
        ask(ws, "SUBSCRIBE", 1, [MARKS])
        assert next(frames(ws))["stream"] == MARKS
        assert ask(ws, "UNSUBSCRIBE", 2, [MARKS]) == {"result": None, "id": 2}
        assert ask(ws, "LIST_SUBSCRIPTIONS", 3)["result"] == []
        assert silent_for(ws, 0.7)


def test_combined_is_a_property_of_the_connection(fast: Exchange) -> None:
    with fast.stream("/market/ws") as ws:
        assert ask(ws, "GET_PROPERTY", 1, ["combined"])["result"] is False
        assert ask(ws, "SET_PROPERTY", 2, ["combined", True])["result"] is None
        ask(ws, "SUBSCRIBE", 3, [MARKS])
        assert next(frames(ws))["stream"] == MARKS


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("{", 3),
        ('{"method":"SUBSCRIBE","params":["a"],"id":1.5}', 2),
        ('{"method":"SUBSCRIBE","params":["a"],"id":-1}', 2),
        ('{"method":"SUBSCRIBE","params":[],"id":1}', 2),
        ('{"method":"DANCE","id":1}', 2),
        ("[]", 2),
    ],
)
def test_malformed_calls_get_an_error_and_the_connection_lives(exchange: Exchange, sent: str, code: int) -> None:
    with exchange.stream("/market/ws") as ws:
        ws.send(sent)
        assert json.loads(ws.recv(timeout=30))["error"]["code"] == code
        assert ask(ws, "LIST_SUBSCRIPTIONS", 5) == {"result": [], "id": 5}


def test_the_1025th_stream_costs_the_connection(exchange: Exchange) -> None:
    with exchange.stream("/market/ws") as ws:
        assert ask(ws, "SUBSCRIBE", 1, [f"s{n}" for n in range(1024)])["result"] is None
        ws.send(json.dumps({"method": "SUBSCRIBE", "params": ["one-more"], "id": 2}))
        assert json.loads(ws.recv(timeout=30)) == {"error": {"code": 4, "msg": "Too many subscriptions"}}
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=30)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "Invalid request")


def test_forty_calls_at_once_cost_the_connection_after_fifteen(exchange: Exchange) -> None:
    answered: list[str | bytes] = []
    with exchange.stream("/market/ws") as ws:
        with contextlib.suppress(ConnectionClosed):  # it may be cut off while the last are still being sent
            for number in range(40):
                ws.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        with pytest.raises(ConnectionClosed) as closed:
            answered.extend(iter(lambda: ws.recv(timeout=30), None))
    assert len(answered) == 15
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "Too many requests")
