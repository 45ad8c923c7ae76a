"""REST bodies in the venue's shapes, keys in its order: pure. Instants are Unix milliseconds."""

from __future__ import annotations

import json
from collections.abc import Iterable

from dev.exchange.market import Book
from dev.exchange.universe import Contract
from dev.exchange.values import Day24h, Quote

ASSETS = (("USDT", "-10000"), ("BTC", "-0.10000000"), ("BNB", "-10"), ("ETH", "-5"), ("USDC", "-10000"), ("FDUSD", "0"))
ORDER_TYPES = ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"]
TIME_IN_FORCE = ["GTC", "IOC", "FOK", "GTX", "GTD"]
HISTORY_MS = 30 * 86_400_000
PERIODS_MS = {
    name: minutes * 60_000
    for name, minutes in {
        "5m": 5,
        "15m": 15,
        "30m": 30,
        "1h": 60,
        "2h": 120,
        "4h": 240,
        "6h": 360,
        "12h": 720,
        "1d": 1440,
    }.items()
}


def dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def error(code: int, message: str) -> bytes:
    return dumps({"code": code, "msg": message}).encode()


def exchange_info(contracts: Iterable[Contract], weight_limit: int) -> tuple[bytes, bytes]:
    """The body before and after ``serverTime``, which alone changes from one request to the next."""
    limits = [
        ("REQUEST_WEIGHT", "MINUTE", 1, weight_limit),
        ("ORDERS", "MINUTE", 1, 1200),
        ("ORDERS", "SECOND", 10, 300),
    ]
    rest = {
        "futuresType": "U_MARGINED",
        "rateLimits": [
            {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
            for kind, interval, number, limit in limits
        ],
        "exchangeFilters": [],
        "assets": [{"asset": a, "marginAvailable": True, "autoAssetExchange": least} for a, least in ASSETS],
        "symbols": [symbol(c) for c in contracts if c.listed],
    }
    return b'{"timezone":"UTC","serverTime":', b"," + dumps(rest).encode()[1:]


def symbol(c: Contract) -> dict[str, object]:
    """One entry of exchangeInfo."""
    bound = "0.02" if c.tradfi else "0.05" if c.base_asset in ("BTC", "ETH") else "0.10"
    return {
        "symbol": c.symbol,
        "pair": c.pair or c.symbol,
        "contractType": c.contract_type,
        "deliveryDate": c.delivery_ms,
        "onboardDate": c.onboard_ms,
        "status": c.status,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": c.base_asset,
        "quoteAsset": c.quote_asset,
        "marginAsset": c.quote_asset,
        "pricePrecision": c.price_decimals,
        "quantityPrecision": c.quantity_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": c.underlying_type,
        "underlyingSubType": list(c.underlying_subtypes),
        "triggerProtect": f"{bound}00",
        "liquidationFee": "0.012500" if bound == "0.05" else "0.015000",
        "marketTakeBound": bound,
        "maxMoveOrderLimit": 10000,
        "filters": _filters(c, float(bound)),
        "orderTypes": ORDER_TYPES,
        "timeInForce": TIME_IN_FORCE,
        "permissionSets": ["GRID", "COPY", "DCA"],
    }


def _filters(c: Contract, bound: float) -> list[dict[str, object]]:
    tick, step = f"{10**-c.price_decimals:.{c.price_decimals}f}", f"{10**-c.quantity_decimals:.{c.quantity_decimals}f}"
    lot = {"minQty": step, "stepSize": step}
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": tick,
            "maxPrice": f"{max(200, int(c.start_mark * 50))}",
            "tickSize": tick,
        },
        {"filterType": "LOT_SIZE", "maxQty": "10000000", **lot},
        {"filterType": "MARKET_LOT_SIZE", "maxQty": "600000", **lot},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MIN_NOTIONAL", "notional": "50" if c.base_asset == "BTC" else "5"},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierDown": f"{1 - bound:.4f}",
            "multiplierUp": f"{1 + bound:.4f}",
            "multiplierDecimal": "4",
        },
        {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
    ]


def premium_index(q: Quote, time_ms: int) -> str:
    interest = '"0.00000000"' if q.tradfi or not q.next_funding_ms else '"0.00010000"'
    return (
        f'{{"symbol":"{q.symbol}","markPrice":{q.mark},"indexPrice":{q.index_price},"estimatedSettlePrice":{q.settle},'
        f'"lastFundingRate":{q.funding},"interestRate":{interest},"nextFundingTime":{q.next_funding_ms},"time":{time_ms}}}'
    )


def open_interest(name: str, value: str, time: str) -> bytes:
    """``value`` and ``time`` are JSON as it is."""
    return f'{{"symbol":"{name}","openInterest":{value},"time":{time}}}'.encode()


def ticker_24h(name: str, d: Day24h) -> str:
    opened = (d.close_ms - 86_400_000) // 60_000 * 60_000
    return (
        f'{{"symbol":"{name}","priceChange":"{d.change}","priceChangePercent":"{d.percent}","weightedAvgPrice":"{d.average}",'
        f'"lastPrice":"{d.last}","lastQty":"{d.last_quantity}","openPrice":"{d.open}","highPrice":"{d.high}","lowPrice":"{d.low}",'
        f'"volume":"{d.base_volume}","quoteVolume":"{d.quote_volume}","openTime":{opened},"closeTime":{d.close_ms},'
        f'"firstId":{d.first_id},"lastId":{d.first_id + d.trades - 1},"count":{d.trades}}}'
    )


def open_interest_history(book: Book, period: str, limit: int, start_ms: int | None, end_ms: int, now_ms: int) -> bytes:
    """Values at the ends of whole periods, oldest first: the very values openInterest told at those times.

    Of the last month, of this listing, and of periods in which it was traded; others are left out.
    """
    every = PERIODS_MS[period]
    last = end_ms // every * every
    first = last - (limit - 1) * every
    if start_ms is not None:
        first = max(first, -(-start_ms // every) * every)
    rows = []
    oldest = max(book.contract.onboard_ms, now_ms - HISTORY_MS)
    for at_ms in range(first, last + 1, every):
        if at_ms < oldest or not book.traded_in(at_ms - every, at_ms):
            continue
        oi = book.oi_at(at_ms)
        rows.append(
            {
                "symbol": book.contract.symbol,
                "sumOpenInterest": f"{oi:.8f}",
                "sumOpenInterestValue": f"{oi * book.mark_at(at_ms):.8f}",
                "CMCCirculatingSupply": f"{book.contract.start_oi * 40:.8f}",
                "timestamp": at_ms,
            }
        )
    return dumps(rows).encode()
