"""The whole pipeline behind a proxy with a login: all that goes to the exchange goes through it, nothing else does."""

from __future__ import annotations

from pathlib import Path

from tests.pipeline.harness import Pipeline
from tests.proxies import PASSWORD, running
from tests.waiting import eventually


async def test_everything_that_goes_to_the_exchange_goes_through_the_proxy(tmp_path: Path) -> None:
    with running(tmp_path) as through:
        async with Pipeline(tmp_path / "pipeline", BINANCE_PROXY_URL=through.url) as pipeline:
            pipeline.start()
            await pipeline.next_verified()
            exchange, backend = (f"127.0.0.1:{pipeline.ports[name]}" for name in ("exchange", "backend"))
            asked = (await pipeline.get("exchange", "/control"))["requests"]

            async def names_it(service: str) -> bool:
                return (await pipeline.status(service)).get("proxy") == through.where

            for service in ("ws_daemon", "oi_poller"):
                await eventually(lambda service=service: names_it(service))
            said = "".join(child.tail(10_000) for child in pipeline.children.values())

        assert through.passed(f"CONNECT {exchange}") >= 2  # two streams
        assert through.passed(f"{exchange}/fapi/v1/exchangeInfo") >= asked["exchangeInfo"] >= 1  # it may ask again
        assert through.passed(f"{exchange}/fapi/v1/openInterest") >= asked["openInterest"] > 300
        assert through.passed(backend) == 0
    assert PASSWORD not in said
