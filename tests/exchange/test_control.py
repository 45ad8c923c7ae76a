"""Faults, set through the control route of the real process and seen by its clients."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.exchange.conftest import Exchange, frames, next_rows, now_ms
from tests.waiting import until

MARKS = "/market/stream?streams=!markPrice@arr@1s"
INTEREST = "/fapi/v1/openInterest"


def interest(exchange: Exchange, symbol: str = "BTCUSDT") -> Any:
    return exchange.get(INTEREST, symbol=symbol).json()["openInterest"]


def test_a_malformed_fault_is_refused_with_the_reason_and_none_of_the_batch_is_applied(exchange: Exchange) -> None:
    batch = [{"fault": "ws_mute"}, {"fault": "oi_value", "symbol": "NOSUCHUSDT", "value": "0"}]
    reply = exchange.http.post("/control", json=batch)
    assert reply.status_code == 400
    assert "NOSUCHUSDT" in reply.json()["error"]
    assert exchange.state()["faults"] == []
    assert exchange.http.post("/control", content=b"{").status_code == 400
    for fault in (
        {"fault": "ws_mute", "conn": 9},
        {"fault": "ws_rows", "kind": "nan", "symbols": ["NO"]},
        {"fault": "ws_half_mute"},
    ):
        assert exchange.http.post("/control", json=fault).status_code == 400


def test_state_counts_requests_statuses_connections_and_frames(exchange: Exchange) -> None:
    exchange.get(INTEREST, symbol="BTCUSDT")
    exchange.get(INTEREST, symbol="OMGUSDT")
    with exchange.stream(MARKS) as ws:
        next(frames(ws))
        state = exchange.state()
        assert state["requests"] == {"openInterest": 2}
        assert state["statuses"] == {"200": 1, "400": 1}
        assert state["sockets"]["connections"][-1]["streams"] == ["!markPrice@arr@1s"]
        assert state["sockets"]["frames_sent"]["!markPrice@arr@1s"] >= 1
    assert state["symbols"] == {"listed": 924, "trading": 789}


def test_a_fault_ends_by_itself_and_by_request(exchange: Exchange) -> None:
    exchange.control(fault="oi_value", symbol="BTCUSDT", value="0", seconds=0.3)
    until(lambda: interest(exchange) != "0")
    number = exchange.control(fault="oi_value", symbol="BTCUSDT", value="NaN")["id"]
    assert interest(exchange) == "NaN"
    assert exchange.http.post("/control/clear", json={"id": number}).json() == {"cleared": [number]}
    assert float(interest(exchange)) > 0


def test_open_interest_and_its_time_can_be_any_json(exchange: Exchange) -> None:
    for value in ("0", "NaN", "-5", "garbage", "", 0, -1.5, None, 2**70):
        for fault, field in (("oi_value", "openInterest"), ("oi_time", "time")):
            number = exchange.control(fault=fault, symbol="btcusdt", value=value)["id"]
            assert exchange.get(INTEREST, symbol="BTCUSDT").json()[field] == value
            exchange.http.post("/control/clear", json={"id": number})
    assert float(interest(exchange, "ETHUSDT")) > 0


def test_a_mark_is_replaced_in_the_stream_and_in_premium_index(fast: Exchange) -> None:
    fast.control(fault="mark_value", symbol="BTCUSDT", value="12.5")
    assert fast.get("/fapi/v1/premiumIndex", symbol="BTCUSDT").json()["markPrice"] == "12.5"
    rows = {row["symbol"]: row for row in fast.get("/fapi/v1/premiumIndex").json()}
    assert rows["BTCUSDT"]["markPrice"] == "12.5"
    with fast.stream(MARKS) as ws:
        assert next_rows(ws)["BTCUSDT"]["p"] == "12.5"


def test_open_interest_moves_by_so_much_in_so_long(exchange: Exchange) -> None:
    before = float(interest(exchange, "ETHUSDT"))
    exchange.control(fault="oi_move", symbol="ETHUSDT", percent=-20, over_s=60)
    assert before * 0.8 < float(interest(exchange, "ETHUSDT")) < before * 1.01, "it is a ramp"
    exchange.http.post("/control/reset")
    exchange.control(fault="oi_move", symbol="ETHUSDT", percent=-20, over_s=0.6)
    until(lambda: float(interest(exchange, "ETHUSDT")) <= before * 0.805)
    assert float(interest(exchange, "ETHUSDT")) > before * 0.79


def test_volume_is_replaced(exchange: Exchange) -> None:
    exchange.control(fault="volume_value", symbol="SOLUSDT", usd=1000)
    rows = {row["symbol"]: row for row in exchange.get("/fapi/v1/ticker/24hr").json()}
    assert float(rows["SOLUSDT"]["quoteVolume"]) == 1000
    assert float(rows["BTCUSDT"]["quoteVolume"]) > 1e9


def test_delisting_shows_everywhere(fast: Exchange) -> None:
    fast.control(fault="delist", symbol="DOGEUSDT")
    assert fast.get(INTEREST, symbol="DOGEUSDT").json()["code"] == -4108
    tickers = {row["symbol"] for row in fast.get("/fapi/v1/ticker/24hr").json()}
    assert "DOGEUSDT" not in tickers
    with fast.stream(MARKS) as ws:
        first, second = next_rows(ws, "DOGEUSDT"), next_rows(ws, "DOGEUSDT")
    assert first["DOGEUSDT"]["p"] == second["DOGEUSDT"]["p"]
    assert first["DOGEUSDT"]["E"] < second["DOGEUSDT"]["E"]


def test_new_listings_trade_at_once(exchange: Exchange) -> None:
    before_ms = now_ms()
    made = exchange.control(fault="list", count=200)["done"]
    assert len(set(made)) == 200
    rows = {row["symbol"]: row for row in exchange.get("/fapi/v1/exchangeInfo").json()["symbols"]}
    assert len(rows) == 1124
    assert {rows[symbol]["status"] for symbol in made} == {"TRADING"}
    assert before_ms - 1000 <= rows[made[0]]["onboardDate"] <= now_ms()
    tickers = {row["symbol"]: row for row in exchange.get("/fapi/v1/ticker/24hr").json()}
    assert float(tickers[made[0]]["quoteVolume"]) > 4_000_000
    assert float(interest(exchange, made[-1])) > 0
    assert exchange.control(fault="list", symbol="OMGUSDT")["done"] == ["OMGUSDT"], "a ticker may be used again"
    again = {row["symbol"]: row for row in exchange.get("/fapi/v1/exchangeInfo").json()["symbols"]}["OMGUSDT"]
    assert (again["status"], again["onboardDate"] >= before_ms - 1000) == ("TRADING", True)
    assert exchange.http.post("/control", json={"fault": "list", "symbol": "BTCUSDT"}).status_code == 400
    exchange.http.post("/control/reset")
    assert exchange.state()["symbols"]["listed"] == 924


def test_others_burn_weight_and_the_header_tells(exchange: Exchange) -> None:
    exchange.control(fault="weight_burn", weight=1000)
    used = [int(exchange.get("/fapi/v1/ping").headers["X-MBX-USED-WEIGHT-1M"]) for _ in range(2)]
    assert max(used) >= 1001 or used == [1, 2]  # the clock minute turned


def test_clock_skew_moves_every_stamp(exchange: Exchange) -> None:
    exchange.control(fault="clock_skew", ms=90_000)
    begun_ms = now_ms()
    stamps = [
        exchange.get("/fapi/v1/time").json()["serverTime"],
        exchange.get("/fapi/v1/premiumIndex", symbol="BTCUSDT").json()["time"],
        exchange.get(INTEREST, symbol="BTCUSDT").json()["time"],
    ]
    with exchange.stream(MARKS) as ws:
        stamps.append(next_rows(ws)["BTCUSDT"]["E"])
    ahead_ms = [stamp - 90_000 for stamp in stamps]  # each made meanwhile, however long that took

    assert begun_ms - 3000 <= min(ahead_ms)  # open interest and marks have moments of their own
    assert max(ahead_ms) <= now_ms()


@pytest.mark.parametrize(
    ("answer", "status", "start", "retry_after"),
    [
        ("429", 429, '{"code":-1003', "7"),
        ("418", 418, '{"code":-1003', "7"),
        ("418_text_only", 418, '{"code":-1003', None),
        ("403_html", 403, "<!DOCTYPE", None),
        ("451", 451, '{"code":0', None),
        ("503_unknown", 503, '{"code":-1000', None),
        ("-1016", 400, '{"code":-1016', None),
        ("239999", 200, '{"239999"', None),
        ("html_200", 200, "<html>", None),
        ("error_body_200", 200, '{"code":-1001', None),
    ],
)
def test_canned_answers(exchange: Exchange, answer: str, status: int, start: str, retry_after: str | None) -> None:
    exchange.control(fault="rest_answer", answer=answer, route="openInterest", retry_after=7, times=1)
    assert exchange.get("/fapi/v1/ping").status_code == 200, "another route"
    begun_ms = now_ms()
    reply = exchange.get(INTEREST, symbol="BTCUSDT")
    assert (reply.status_code, reply.headers.get("Retry-After")) == (status, retry_after)
    assert reply.text.startswith(start)
    assert ("X-MBX-USED-WEIGHT-1M" in reply.headers) == (start[0] == "{"), "the content network does not count"
    if answer in ("418", "418_text_only"):
        until_ms = int(reply.text.split("banned until ")[1][:13])
        assert begun_ms - 1 <= until_ms - 7000 <= now_ms()
    assert exchange.get(INTEREST, symbol="BTCUSDT").status_code == 200, "it was for one request"


def test_a_429_need_not_say_for_how_long(exchange: Exchange) -> None:
    exchange.control(fault="rest_answer", answer="429", retry_after=0)
    assert "Retry-After" not in exchange.get("/fapi/v1/ping").headers


def test_answers_made_of_the_true_body(exchange: Exchange) -> None:
    exchange.control(fault="rest_answer", answer="empty_symbols", route="exchangeInfo", times=1)
    assert exchange.get("/fapi/v1/exchangeInfo").json()["symbols"] == []
    exchange.control(fault="rest_answer", answer="truncated_json", route="premiumIndex", times=1)
    with pytest.raises(json.JSONDecodeError):
        exchange.get("/fapi/v1/premiumIndex").json()


def test_a_fault_hits_the_named_symbols_only(exchange: Exchange) -> None:
    exchange.control(fault="rest_answer", answer="500", route="openInterest", symbols=["ETHUSDT", "币安人生USDT"])
    statuses = {s: exchange.get(INTEREST, symbol=s).status_code for s in ("BTCUSDT", "ethusdt", "币安人生USDT")}
    assert statuses == {"BTCUSDT": 200, "ethusdt": 500, "币安人生USDT": 500}


def test_hang_and_reset(exchange: Exchange) -> None:
    exchange.control(fault="rest_answer", answer="hang", route="time", seconds=20)
    with pytest.raises(httpx.ReadTimeout):
        exchange.http.get("/fapi/v1/time", timeout=0.3)
    exchange.control(fault="rest_answer", answer="reset", route="ping", times=1)
    with pytest.raises(httpx.ReadError):
        exchange.get("/fapi/v1/ping")


def test_latency(exchange: Exchange) -> None:
    exchange.control(fault="rest_latency", route="ping", ms=300, jitter_ms=50)
    begun = time.monotonic()
    exchange.get("/fapi/v1/ping")
    assert time.monotonic() - begun >= 0.3


@pytest.mark.parametrize(("header", "text"), [(True, True), (False, True), (True, False), (False, False)])
def test_a_ban_tells_its_end_or_not_and_counts_what_is_sent_during_it(
    exchange: Exchange, header: bool, text: bool
) -> None:
    exchange.control(fault="ban", ban_s=20, retry_after=header, text=text)
    reply = exchange.get("/fapi/v1/ping")
    assert (reply.status_code, reply.json()["code"]) == (418, -1003)
    assert (reply.headers.get("Retry-After") == "20", "banned until" in reply.text) == (header, text)
    history = exchange.get("/futures/data/openInterestHist", symbol="BTCUSDT", period="5m")
    assert history.status_code == 418, "a ban is for the address, whatever the route weighs"
    assert exchange.state()["weight"]["requests_during_ban"] == 2


def test_mute_one_of_two_and_then_all(fast: Exchange) -> None:
    with fast.stream(MARKS) as first, fast.stream(MARKS) as second:
        next(frames(first))
        index = [conn["streams"] != [] for conn in fast.state()["sockets"]["connections"]].index(True)
        number = fast.control(fault="ws_mute", conn=index)["id"]
        at = max(next_rows(second)["BTCUSDT"]["E"], pending(second))  # past what a busy machine has not read yet
        assert next_rows(second)["BTCUSDT"]["E"] > at, "the other goes on"
        assert pending(first) <= at
        assert first.ping().wait(30), "a muted connection still answers pings"
        fast.http.post("/control/clear", json={"id": number})
        assert next_rows(first)["BTCUSDT"]["E"] > at


def pending(ws: Any) -> int:
    """The newest event time that had already arrived."""
    newest = 0
    while True:
        try:
            newest = max(newest, json.loads(ws.recv(timeout=0.01))["data"][0]["E"])
        except TimeoutError:
            return newest


def test_ack_mute_is_for_those_who_come_later(fast: Exchange) -> None:
    with fast.stream(MARKS) as early:
        next(frames(early))
        fast.control(fault="ws_ack_mute")
        with fast.stream("/market/stream") as late:
            late.send('{"method":"SUBSCRIBE","params":["!markPrice@arr@1s"],"id":1}')
            assert json.loads(late.recv(timeout=30)) == {"result": None, "id": 1}
            next_rows(early)
            next_rows(early)
            with pytest.raises(TimeoutError):
                late.recv(timeout=0.01)


def test_half_mute_one_frame_and_time_back(fast: Exchange) -> None:
    for fault in (
        {"fault": "ws_half_mute", "share": 0.5},
        {"fault": "ws_half_mute", "symbols": ["ETHUSDT"]},
        {"fault": "ws_one_frame", "keep": "crypto"},
        {"fault": "ws_time_back", "ms": 60_000},
    ):
        fast.control(**fault)
    begun_ms = fast.state()["now_ms"]
    with fast.stream(MARKS) as ws:
        seen = [message["data"] for _, message in zip(range(3), frames(ws), strict=False)]
    assert 250 < len(seen[0]) < 500, "half of 745"
    assert "ETHUSDT" not in {row["s"] for row in seen[0]}
    assert {row["E"] % 1000 for rows in seen for row in rows} == {0}, "no TradFi frame between"
    assert begun_ms - 1000 <= seen[0][0]["E"] + 60_000 <= fast.state()["now_ms"]


def test_spoiled_rows_and_frames(fast: Exchange) -> None:
    fast.control(fault="ws_rows", kind="nan", symbols=["BTCUSDT"])
    fast.control(fault="ws_rows", kind="unknown_fields", share=0.5)
    with fast.stream(MARKS) as ws:
        rows = next_rows(ws)
        assert rows["BTCUSDT"]["p"] == "NaN"
        assert float(rows["ETHUSDT"]["p"]) > 0
        assert 0.3 < sum("zz" in row for row in rows.values()) / len(rows) < 0.7
        fast.http.post("/control/reset")
        fast.control(fault="ws_frames", kind="oversize", times=1)
        large = ws.recv(timeout=30)
        while len(large) < 1 << 20:
            large = ws.recv(timeout=30)
        assert len(large) > 3 << 20


def test_closes_cuts_notices_and_resets(exchange: Exchange) -> None:
    def ended_by(**fault: Any) -> ConnectionClosed:
        with exchange.stream("/market/ws") as ws:
            exchange.control(**fault)
            with pytest.raises(ConnectionClosed) as closed:
                heard.extend(iter(lambda: ws.recv(timeout=30), None))
        return closed.value

    heard: list[Any] = []
    closed = ended_by(fault="ws_close", code=1008, reason="Invalid request")
    assert closed.rcvd is not None
    assert (closed.rcvd.code, closed.rcvd.reason) == (1008, "Invalid request")
    cut = ended_by(fault="ws_cut", conn=-1)
    assert cut.rcvd is not None
    assert cut.rcvd.code == 1001
    assert ended_by(fault="ws_reset").rcvd is None
    assert heard == []
    noticed = ended_by(fault="ws_shutdown_notice", close_after_s=0.2)
    assert noticed.rcvd is not None
    assert json.loads(heard[0])["event"]["e"] == "serverShutdown"


@pytest.mark.parametrize("status", [403, 429, 503])
def test_refused_handshakes(exchange: Exchange, status: int) -> None:
    exchange.control(fault="ws_refuse", status=status)
    with pytest.raises(InvalidStatus) as refused, exchange.stream(MARKS):
        pass
    assert refused.value.response.status_code == status
    assert exchange.state()["sockets"]["refused"] >= 1


def upgraded(exchange: Exchange) -> socket.socket:
    """A bare socket after the handshake: what TCP shows, nothing more."""
    host, port = exchange.origin.split(":")
    sock = socket.create_connection((host, int(port)), timeout=5)
    sock.sendall(
        f"GET {MARKS} HTTP/1.1\r\nHost: {exchange.origin}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert b" 101 " in sock.recv(4096)
    return sock


def test_a_stalled_connection_shows_nothing_and_goes_on_afterwards(fast: Exchange) -> None:
    with fast.stream(MARKS) as ws:
        next(frames(ws))
        number = fast.control(fault="ws_stall")["id"]
        pending(ws)
        assert not ws.ping().wait(0.5), "nothing is read, so nothing answered"
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0.01)
        fast.http.post("/control/clear", json={"id": number})
        assert next_rows(ws)["BTCUSDT"]["E"] > 0


def test_bytes_drip(fast: Exchange) -> None:
    fast.control(fault="ws_drip", bytes_per_s=500)
    with upgraded(fast) as sock:
        sock.settimeout(30)
        got, begun_s = 0, time.monotonic()
        while got < 400:
            got += len(sock.recv(400 - got))
        assert time.monotonic() - begun_s >= 0.5, "not faster than it was told"
        fast.http.post("/control/reset")
        while got < 60_000:  # what was kept back comes at once
            got += len(sock.recv(65536))


def test_tickers_trickle_or_stop_while_marks_flow(fast: Exchange) -> None:
    def seen(kind: str, streams: str) -> set[str]:
        with fast.stream(streams) as ws:
            for _, message in zip(range(8), frames(ws), strict=False):
                if message["stream"] == kind:
                    return {row["s"] for row in message["data"]}
        return set()

    both = "/market/stream?streams=!markPrice@arr@1s/!miniTicker@arr"
    whole = seen("!miniTicker@arr", both)
    fast.control(fault="ws_tickers", share=0.3)
    part = seen("!miniTicker@arr", both)
    fast.control(fault="ws_tickers")

    assert 0 < len(part) < len(whole) / 2
    assert seen("!miniTicker@arr", both) == set()
    assert len(seen("!markPrice@arr@1s", both)) > 100
