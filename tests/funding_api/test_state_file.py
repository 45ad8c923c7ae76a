"""`.funding_state.json`: whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

from services.funding_api.__main__ import replace
from services.funding_api.bodies import Connection, Mark, State

STREAM = Connection(True, 1764719000.5, 3, 240, 1764720000.25)


def state(price: float) -> State:
    return State({"BTCUSDT": Mark(price, None, 0, None, price)}, STREAM, price)


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    """Scripts read it whenever they like; half a file would be a crash in all of them."""
    path = tmp_path / "state.json"
    replace(path, state(1))
    with path.open() as old:
        replace(path, state(2))
        assert json.load(old)["updated_at"] == 1
    assert json.loads(path.read_text())["updated_at"] == 2
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
