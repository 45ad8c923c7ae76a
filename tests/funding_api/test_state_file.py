"""`.funding_state.json`: whole or not at all."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from services.funding_api.__main__ import replace
from services.funding_api.bodies import Connection, Mark, State

STREAM = Connection(True, 1764719000.5, 3, 240, 1764720000.25)


def state(price: float, symbols: int) -> State:
    return State({f"S{n}USDT": Mark(price, None, 0, None, price) for n in range(symbols)}, STREAM, price)


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
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


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
