"""The old daemon's way with the stream: every frame decoded with ``json``, and all marks written to a file anew.

``file_daemon.py feed ORIGIN SECONDS`` prints its CPU seconds for each second of feed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import common
from websockets.asyncio.client import connect

STREAMS = "/market/stream?streams=!markPrice@arr@1s/!miniTicker@arr"


class State:
    """The marks of all symbols, and the file that other scripts read."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "marks.json"
        self._marks: dict[str, dict[str, str]] = {}

    def take(self, blob: str | bytes) -> None:
        for row in json.loads(blob)["data"]:
            kept = self._marks.setdefault(row["s"], {})
            if row["e"] == "markPriceUpdate":
                kept.update(markPrice=row["p"], fundingRate=row["r"], time=row["E"])
            elif row["e"] == "24hrMiniTicker":
                kept.update(quoteVolume=row["q"])
        self._file.write_text(json.dumps(self._marks))


async def main() -> None:
    _, _, origin, seconds = sys.argv
    feed = common.Feed(seconds)
    with tempfile.TemporaryDirectory() as folder:
        state = State(Path(folder))
        async with connect(origin + STREAMS, max_size=1 << 24, compression=None, ping_interval=None) as ws:
            while not feed.over():
                state.take(await ws.recv())
    feed.tell(version("websockets"))


if __name__ == "__main__":
    asyncio.run(main())
