"""`.funding_state.json`: whole or not at all."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from services.funding_api.bodies import Connection, Mark, State
from services.funding_api.state_file import replace

STREAM = Connection(True, 1764719000.5, 3, 240, 1764720000.25)


def state(price: float, symbols: int) -> State:
    return State({f"S{n}USDT": Mark(price, None, 0, None, price) for n in range(symbols)}, STREAM, price)


class OldReader:
    """Reads as the old API (`get_funding`), the old poller (`mark_prices`) and the old health monitor do."""

    def __init__(self, path: Path) -> None:
        self._document = json.loads(path.read_text(encoding="utf-8"))
        self._rows = self._document.get("funding_state", {})
        self.connection = self._document.get("connection_status", {})
        self.updated_at = self._document["updated_at"]

    def get_funding(self, symbol: str, now_s: float) -> dict[str, float]:
        row = self._rows[symbol]
        names = ("markPrice", "fundingRate", "nextFundingTime", "indexPrice", "updatedAt")
        return {**{name: row[name] for name in names}, "ageSeconds": round(now_s - row["updatedAt"], 2)}

    def mark_prices(self) -> dict[str, float]:
        known = {symbol: row.get("markPrice") for symbol, row in self._rows.items()}
        return {symbol: price for symbol, price in known.items() if price is not None and price > 0}


def test_the_old_readers_find_in_it_what_they_look_for(tmp_path: Path) -> None:
    """A file of another shape is no error to them: the old API answers 404, the old poller posts zeros."""
    path = tmp_path / ".funding_state.json"
    mark = Mark(1.5, 0.0001, 1764748800000, None, 1764720000.25)
    replace(path, State({"龙虾USDT": mark}, STREAM, 1764720001.0))

    old = OldReader(path)
    assert old.get_funding("龙虾USDT", 1764720001.25) == {
        "markPrice": 1.5,
        "fundingRate": 0.0001,
        "nextFundingTime": 1764748800000,
        "indexPrice": None,
        "updatedAt": 1764720000.25,
        "ageSeconds": 1.0,
    }
    assert old.mark_prices() == {"龙虾USDT": 1.5}
    assert old.updated_at == 1764720001.0
    assert old.connection == {
        "connected": True,
        "last_connected_time": 1764719000.5,
        "reconnect_attempts": 3,
        "messages_received": 240,
        "last_message_time": 1764720000.25,
    }
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    """Scripts read it whenever they like; half a file would be a crash in all of them."""
    path = tmp_path / "state.json"
    replace(path, state(0, 900))
    ended = threading.Event()
    seen: list[tuple[int, set[float]]] = []

    def read() -> None:
        while not ended.is_set():
            rows = json.loads(path.read_text())["funding_state"]
            seen.append((len(rows), {row["markPrice"] for row in rows.values()}))

    reader = threading.Thread(target=read)
    reader.start()
    number = 0
    while number < 50 or len(seen) < 50:
        number += 1
        replace(path, state(number, 900))
    ended.set()
    reader.join()

    assert len(seen) >= 50
    assert {count for count, _ in seen} == {900}
    assert {len(prices) for _, prices in seen} == {1}


def test_a_folder_that_is_not_there_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace(tmp_path / "gone" / "state.json", state(1, 1))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_replaced_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        replace(path, state(1, 1))
    assert path.is_dir()
