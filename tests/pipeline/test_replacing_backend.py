"""The same against a backend that replaces its cache with each POST: what was sent is what is served."""

from __future__ import annotations

from pathlib import Path

from tests.pipeline.harness import Pipeline


async def test_every_symbol_sent_is_served(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, cache_mode="replace")
    pipeline.start()
    try:
        await pipeline.next_verified()
        await pipeline.next_verified()
        assert set(await pipeline.served()) == await pipeline.universe()
        assert len(await pipeline.served()) > 300
    finally:
        await pipeline.close()
