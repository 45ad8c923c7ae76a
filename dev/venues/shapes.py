"""What is true -> what each venue tells of it, in the shapes recorded of them, with the faults in force."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from dev.venues import rest
from dev.venues.faults import FACTORS, Fault
from dev.venues.market import Contract, Market

InForce = dict[str, Fault]


class Told(NamedTuple):
    """A row before it gets its shape: ``base`` is in what the contract calls its base, of one side."""

    contract: Contract
    base: float
    mark: float
    funding: float
    lag_ms: int  # how much older its stamp is than the answer
    word: str = ""  # in place of a number


def rows(market: Market, venue: str, at_ms: int, faults: InForce) -> list[Told]:
    contracts = market.contracts[venue]
    found = [
        Told(c, market.coins(c, at_ms) / c.multiplier, market.mark(c, at_ms), market.funding(c), market.lag_ms(c))
        for c in contracts
    ]
    if "shift" in faults:
        moved = found[1:] + found[:1]
        found = [told._replace(base=other.base, mark=other.mark) for told, other in zip(found, moved, strict=True)]
    return [_spoiled(told, market, faults, first=n == 0) for n, told in enumerate(found)]


def _spoiled(told: Told, market: Market, faults: InForce, *, first: bool) -> Told:
    factor = 1.0
    for name, by in FACTORS.items():
        factor *= by if name in faults else 1.0
    if "unit_swap" in faults:
        factor *= told.mark if told.contract.size == 1.0 else 1 / told.contract.size
    told = told._replace(base=told.base * factor)

    def meant(name: str) -> bool:
        return name in faults and (faults[name].symbol == told.contract.symbol or (first and not faults[name].symbol))

    if meant("one_demo"):
        told = told._replace(base=told.base * FACTORS["demo"])
    if meant("frozen"):
        began_ms = faults["frozen"].began_ms
        told = told._replace(base=market.coins(told.contract, began_ms) / told.contract.multiplier)
    if meant("dead"):
        return told._replace(word="NaN")
    return told._replace(word="0") if meant("delisted") else told


def _text(value: float, word: str = "", places: int = 8) -> str:
    return word or f"{value:.{places}f}"


def _price(value: float) -> str:
    return f"{value:.12f}".rstrip("0").rstrip(".")


def _dusty(value: float, word: str = "") -> str:
    """As OKX sends it: the dust of a float behind it."""
    return word or f"{value:.8f}001773"


def _lots(value: float, mark: float, word: str = "", times: int = 1) -> str:
    """As Bybit sends it: in whole lots, which are larger the cheaper the coin; ``times`` as many of them."""
    places = 3 if mark > 200 else 2 if mark > 40 else 1 if mark > 2 else 0
    return word or f"{times * round(value, places):.{places}f}"


def _among(listed: list[dict[str, Any]], *strangers: dict[str, Any]) -> list[dict[str, Any]]:
    """In the middle of the rows, what is none of ours: the first row again, but for these fields."""
    middle = len(listed) // 2
    others = [{**row, **stranger} for row in listed[:1] for stranger in strangers]
    return [*listed[:middle], *others, *listed[middle:]]


def bybit(found: Iterable[Told], at_ms: int, faults: InForce, params: dict[str, str]) -> Any:
    inverse = params["category"] == "inverse"
    listed = []
    for told in found:
        if told.contract.inverse is not inverse:
            continue
        worth = told.base * told.mark
        size, value = (worth, told.base) if inverse else (told.base, worth)
        lot = 0.0 if inverse else told.mark  # of inverse contracts: a dollar
        row = {
            **rest.BYBIT,
            "symbol": told.contract.symbol,
            "lastPrice": _price(told.mark),
            "indexPrice": _price(told.mark),
            "markPrice": _price(told.mark),
            "openInterest": _lots(size, lot, told.word, times=2),
            "openInterestValue": _text(2 * value, told.word, 2),
            "singleOpenInterest": _lots(size, lot, told.word),
            "singleOpenInterestValue": _text(value, told.word, 2),
            "fundingRate": _text(told.funding),
            "nextFundingTime": str(at_ms // 28_800_000 * 28_800_000 + 28_800_000),
            "deliveryTime": "0",
            "turnover24h": _text(worth),
            "volume24h": _text(told.base),
        }
        if "contradiction" in faults:
            row["singleOpenInterest"] = row["openInterest"]
        missing = {"no_single": ("singleOpenInterest", "singleOpenInterestValue"), "no_both": ("openInterest",)}
        for name, fields in missing.items():
            for one in fields if name in faults else ():
                del row[one]
        listed.append(row)
    dated = {"symbol": "BTCUSDZ26" if inverse else "BTCUSDT-26DEC26", "deliveryTime": "1798272000000"}
    unknown = {"symbol": "NOTHEREUSD" if inverse else "NOTHEREUSDT"}
    result = {"category": params["category"], "list": _among(listed, dated, unknown)}
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": at_ms}


def okx(found: Iterable[Told], at_ms: int, faults: InForce, params: dict[str, str]) -> Any:
    data = []
    for told in found:
        contracts = told.base * told.mark / 100 if told.contract.inverse else told.base / told.contract.size
        row = {
            "instId": told.contract.symbol,
            "instType": "SWAP",
            "oi": _dusty(contracts, told.word),
            "oiCcy": _dusty(told.base, told.word),
            "oiUsd": _dusty(told.base * told.mark, told.word),
            "ts": str(at_ms - told.lag_ms),
        }
        if "unit_swap" in faults:
            row["oiUsd"] = _dusty(told.base * told.mark * told.contract.size)
        data.append(row)
    others = ({"instId": name} for name in ("BTC-USD_UM-SWAP", "NOTHERE-USDT-SWAP"))
    return {"code": "0", "msg": "", "data": _among(data, *others)}


def gate(found: Iterable[Told], at_ms: int, faults: InForce, params: dict[str, str]) -> Any:
    listed = []
    for told in found:
        inverse = told.contract.inverse
        if inverse is not (params["settle"] == "btc"):
            continue
        contracts = told.base * told.mark if inverse else told.base / told.contract.size
        row = {
            **rest.GATE,
            "name": told.contract.symbol,
            "type": "inverse" if inverse else "direct",
            "status": "trading",
            "in_delisting": told.word == "0",
            "funding_rate": _text(told.funding),
            "funding_interval": 28800,
            "funding_next_apply": at_ms // 28_800_000 * 28_800 + 28_800,
            "mark_price": _price(told.mark),
            "index_price": _price(told.mark),
            "position_size": told.word or round(contracts),
            "quanto_multiplier": "0" if inverse else _price(told.contract.size),
        }
        listed.append(row)
    if params["settle"] == "btc":
        return listed
    return _among(listed, {"name": "OPENAI_USDT", "is_pre_market": True}, {"name": "LEFT_USDT", "in_delisting": True})


def hyperliquid(found: Iterable[Told], at_ms: int, faults: InForce, params: dict[str, str]) -> Any:
    """Two arrays that belong together by place alone; delisted rows stay between the others, one in five or so."""
    universe: list[dict[str, Any]] = []
    contexts: list[dict[str, Any]] = []
    for number, one in enumerate(found):
        if number % 4 == 3:
            universe.append({"name": f"GONE{number}", "szDecimals": 1, "maxLeverage": 3, "isDelisted": True})
            contexts.append(rest.HYPERLIQUID_DELISTED)
        universe.append({"name": one.contract.symbol, "szDecimals": 2, "maxLeverage": 10})
        row = {
            **rest.HYPERLIQUID,
            "funding": _text(one.funding),
            "openInterest": one.word or repr(one.base),
            "prevDayPx": _price(one.mark),
            "dayNtlVlm": repr(one.base * one.mark),
            "premium": "0.0001",
            "oraclePx": _price(one.mark),
            "markPx": _price(one.mark),
            "midPx": None if one.word == "0" else _price(one.mark),
        }
        contexts.append(row)
    return [{"universe": universe, "marginTables": [], "collateralToken": 0}, contexts]


def bitget(found: Iterable[Told], at_ms: int, faults: InForce, params: dict[str, str]) -> Any:
    data = [
        {
            **rest.BITGET,
            "symbol": told.contract.symbol,
            "lastPr": _price(told.mark),
            "indexPrice": _price(told.mark),
            "markPrice": _price(told.mark),
            "fundingRate": _text(told.funding),
            "holdingAmount": _text(told.base, told.word),
            "ts": str(at_ms - told.lag_ms),
        }
        for told in found
    ]
    data = _among(data, {"symbol": "NOTHEREUSDT"})
    return {"code": "00000", "msg": "success", "requestTime": at_ms, "data": data}


SHAPES: dict[str, Callable[[Iterable[Told], int, InForce, dict[str, str]], Any]] = {
    "bybit": bybit,
    "okx": okx,
    "gate": gate,
    "hyperliquid": hyperliquid,
    "bitget": bitget,
}
