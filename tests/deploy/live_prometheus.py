"""A real Prometheus on a running pipeline: every rule and board expression answers, and a fault fires its own alert.

Run by `make test-prometheus`, not by the ordinary suite: minutes of real time pass. Scrapes and rules come every second
instead of every five; the alerts are the shipped ones.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from dev.redis_server import free_port
from dev.venues.market import LISTS
from shared.agreed import METRICS_PORTS
from tests.deploy.test_monitoring import PROMETHEUS, board_expressions, expressions
from tests.pipeline.harness import SERVICES, Pipeline
from tests.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


class Watched:
    """A pipeline and the Prometheus that scrapes it."""

    def __init__(self, folder: Path) -> None:
        self.pipeline = Pipeline(folder)
        self.port = free_port()
        self._config(folder)

    def _config(self, folder: Path) -> None:
        text = (PROMETHEUS / "prometheus.yml").read_text()
        for name, port in METRICS_PORTS.items():
            text = text.replace(f'"127.0.0.1:{port}"', f'"127.0.0.1:{self.pipeline.ports[name]}"')
        text = re.sub(r"(scrape|evaluation)_interval: \S+", r"\1_interval: 1s", text).replace(
            "timeout: 4s", "timeout: 1s"
        )
        (folder / "prometheus.yml").write_text(text)
        for rules in ("rules.yml", "alerts.yml"):
            shutil.copy(PROMETHEUS / rules, folder)

    def start(self) -> None:
        """All services: the board and the rules look at all of them."""
        self.pipeline.start()
        self.pipeline.start("venues")
        urls = ",".join(f"{name}={self.pipeline.origin('venues')}/{name}" for name in LISTS)
        for name in METRICS_PORTS:
            if name not in SERVICES:
                self.pipeline.start_service(name, VENUES="all", VENUE_URLS=urls, FUNDING_API_PORT="0")

    def watch(self) -> None:
        folder, listen = self.pipeline.folder, f"--web.listen-address=127.0.0.1:{self.port}"
        command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb", listen]
        self.pipeline.start_child("prometheus", command, {})

    async def ask(self, path: str, **query: str) -> Any:
        answer = await self.pipeline.api.get(f"http://127.0.0.1:{self.port}/api/v1/{path}", params=query)
        body = answer.json()
        assert body["status"] == "success", (query, body)
        return body["data"]

    async def query(self, expr: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.ask("query", query=expr))["result"]
        return found

    async def firing(self) -> set[str]:
        alerts = (await self.ask("alerts"))["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    async def fires(self, name: str, within_s: float = 60.0) -> None:
        async def found() -> bool:
            return name in await self.firing()

        await eventually(found, within_s, every_s=0.2)

    async def calm(self, within_s: float = 60.0) -> None:
        async def none() -> bool:
            return not await self.firing()

        await eventually(none, within_s, every_s=0.5)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    it = Watched(tmp_path_factory.mktemp("watched"))
    it.start()
    try:
        await it.pipeline.next_verified()
        it.watch()
        await eventually(lambda: scraped(it), every_s=0.2)
        yield it
    finally:
        await it.pipeline.close()


async def scraped(it: Watched) -> bool:
    """Every service answers; while Prometheus opens its storage it refuses connections, then says 503 in plain text."""
    try:
        ready = await it.pipeline.api.get(f"http://127.0.0.1:{it.port}/-/ready")
    except httpx.TransportError:
        return False
    if ready.status_code != 200:
        return False
    up = await it.query("sum(up)")
    return bool(up and float(up[0]["value"][1]) == len(METRICS_PORTS))


async def test_a_healthy_pipeline_raises_nothing(watched: Watched) -> None:
    """A pager that cries at every start is switched off by the second week."""
    await asyncio.sleep(20)
    pending = (await watched.ask("alerts"))["alerts"]
    assert await watched.firing() == set(), pending
    assert float((await watched.query("pipeline:served_fresh:ratio"))[0]["value"][1]) == 1


async def test_no_service_is_near_its_memory_limit(watched: Watched) -> None:
    """The units and the containers allow 256 MB."""
    used = {
        row["metric"]["service"]: float(row["value"][1]) for row in await watched.query("process_resident_memory_bytes")
    }
    print({service: f"{size / 1e6:.0f} MB" for service, size in used.items()})
    assert sorted(used) == sorted(METRICS_PORTS)
    assert max(used.values()) < 128e6, used


async def test_every_expression_of_the_board_answers(watched: Watched) -> None:
    """`> 0` may leave nothing, and so may a service that has not met the case; that it is an error may not be."""
    empty = [expr for expr in board_expressions() if not await watched.query(expr)]
    assert [expr for expr in empty if not expr.endswith("> 0") and "stream_endings" not in expr] == []


async def test_every_series_of_the_rules_exists(watched: Watched) -> None:
    asked = {
        name for file in ("rules.yml", "alerts.yml") for expr in expressions(PROMETHEUS / file) for name in names(expr)
    }
    assert [name for name in sorted(asked) if not await watched.query(name)] == []


def names(expr: str) -> list[str]:
    return re.findall(r"\b(?:pipeline_\w+|process_start_time_seconds|up)\b", re.sub(r'"[^"]*"', "", expr))


async def test_mute_streams_are_a_mute_feed_and_not_more(watched: Watched) -> None:
    await watched.pipeline.fault("exchange", {"fault": "ws_mute"})
    await watched.fires("FeedMute")
    assert not await watched.firing() & {"MarksStale", "NotVerified", "SweepOverdue"}, "premiumIndex stands in"
    await watched.pipeline.fault("exchange", {}, "/control/reset")
    await watched.calm()


async def test_another_writer_is_named(watched: Watched) -> None:
    """One batch of somebody else's is enough; the counter tells of it though the next cycle is verified again."""
    await watched.pipeline.fault(
        "backend", {"fault": {"kind": "second-writer", "values": {"BTCUSDT": 123.45}, "times": 1}}
    )
    await watched.fires("ForeignWriter")


async def test_a_ban_is_named(watched: Watched) -> None:
    await watched.pipeline.fault("exchange", {"fault": "ban", "ban_s": 8})
    await watched.fires("Banned")
    await watched.pipeline.fault("exchange", {}, "/control/reset")


async def test_a_service_that_is_gone_is_named(watched: Watched) -> None:
    watched.pipeline["publisher"].kill()
    await watched.fires("ServiceDown")
    assert float((await watched.query("pipeline:served_fresh:ratio"))[0]["value"][1]) == 0
    watched.pipeline["publisher"].start()
