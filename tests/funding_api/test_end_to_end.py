"""The real processes: the API beside the running pipeline, and what it says while one of them is gone."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import pytest_asyncio

from dev.processes import Child
from dev.redis_server import free_port
from tests.pipeline.harness import Pipeline
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_AGE_S = 3  # where a test waits for it; 180 in production
NAME = "funding_api"


class Api:
    """One process of the API; status 0 while nobody listens."""

    def __init__(self, pipeline: Pipeline, folder: Path, name: str, **env: str) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self.state_file = folder / f"{name}.json"
        self._http = pipeline.api
        settings = {
            "REDIS_URL": pipeline["ws_daemon"].env["REDIS_URL"],
            "METRICS_PORT": str(self.metrics_port),
            "FUNDING_API_PORT": str(self.port),
            "STATE_FILE": str(self.state_file),
            **env,
        }
        self.child = Child(name, [sys.executable, "-m", f"services.{NAME}"], settings, folder)
        self.child.start()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def get(self, path: str) -> tuple[int, Any]:
        try:
            answer = await self._http.get(self.origin + path)
        except httpx.HTTPError as e:
            return 0, repr(e)
        return answer.status_code, answer.json()

    async def status_is(self, path: str, status: int) -> Any:
        """The body once the status is this one, and {} until then."""
        answered, body = await self.get(path)
        return body if answered == status else {}

    async def healthz(self) -> Any:
        """{} while nobody listens."""
        try:
            return (await self._http.get(f"http://127.0.0.1:{self.metrics_port}/healthz")).json()
        except httpx.HTTPError:
            return {}

    async def state(self) -> Any:
        return json.loads(self.state_file.read_text())["funding_state"] if self.state_file.exists() else None

    async def well(self) -> None:
        for path in ("/funding/health", "/funding/BTCUSDT", "/open-interest/BTCUSDT"):
            await eventually(lambda path=path: self.status_is(path, 200))


class Host(Api):
    """A pipeline with the API beside it."""

    def __init__(self, pipeline: Pipeline, folder: Path) -> None:
        super().__init__(pipeline, folder, NAME)
        self.pipeline = pipeline
        self.folder = folder
        pipeline.children[NAME] = self.child
        pipeline.ports[NAME] = self.metrics_port

    @contextmanager
    def another(self, **env: str) -> Iterator[Api]:
        api = Api(self.pipeline, self.folder, "another", **env)
        try:
            yield api
        finally:
            api.child.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    folder = tmp_path_factory.mktemp("host")
    pipeline = Pipeline(folder)
    try:
        pipeline.start()
        host = Host(pipeline, folder)
        await pipeline.next_verified()
        await host.well()
        yield host
    finally:
        await pipeline.close()


async def test_answers_are_what_stands_in_redis_and_what_the_backend_serves(host: Host) -> None:

    async def whole() -> bool:
        _, body = await host.get("/open-interest/all")
        universe = await host.pipeline.universe()
        return {row["symbol"] for row in body["data"]} == universe and body["found"] == len(universe) > 300

    await eventually(whole)

    async def verified() -> Any:
        served = await host.pipeline.served()
        _, row = await host.get("/open-interest/BTCUSDT")
        return row if (row["verdict"], row["servedUsd"]) == ("verified", served["BTCUSDT"]) else None

    row = await eventually(verified)
    assert row["openInterestUsd"] == pytest.approx(row["openInterest"] * row["markPrice"], rel=1e-12)

    async def same_mark() -> bool:
        before = await host.pipeline.redis.hget("oi:mark", "BTCUSDT")
        _, funding = await host.get("/funding/btcusdt")
        stored = json.loads(before)
        keys = {"markPrice": "mark", "indexPrice": "index", "fundingRate": "funding", "nextFundingTime": "next"}
        return all(funding[key] == float(stored[kept]) for key, kept in keys.items())

    await eventually(same_mark)


async def test_the_state_file_is_kept_new(host: Host) -> None:
    async def whole() -> Any:
        _, body = await host.get("/funding/all")
        state = await host.state()
        return state if state and state.keys() == {row["symbol"] for row in body["data"]} else None

    first = await eventually(whole)
    assert first["BTCUSDT"].keys() == {"markPrice", "fundingRate", "nextFundingTime", "indexPrice", "updatedAt"}

    async def newer() -> bool:
        return bool((await host.state())["BTCUSDT"]["updatedAt"] > first["BTCUSDT"]["updatedAt"])

    await eventually(newer)


async def test_health_tells_of_the_stream(host: Host) -> None:
    async def connected() -> Any:
        now = await host.status_is("/funding/health", 200)
        return now and now["websocketConnected"] and now

    before = await eventually(connected)
    assert before["symbolCount"] > 900
    assert 0 <= before["newestDataAgeSeconds"] <= before["oldestDataAgeSeconds"]
    assert abs(time.time() - before["lastConnectedTime"]) < 120

    await host.pipeline.fault("exchange", {"fault": "ws_close", "conn": "all", "code": 1001, "reason": "test"})

    async def reconnected() -> Any:
        now = await host.status_is("/funding/health", 200)
        return now and now["reconnectAttempts"] >= before["reconnectAttempts"] + 2 and now["websocketConnected"] and now

    after = await eventually(reconnected)
    assert after["messagesReceived"] > before["messagesReceived"]
    assert after["lastConnectedTime"] > before["lastConnectedTime"]
    assert after["uptimeSeconds"] > before["uptimeSeconds"]


async def test_killed_and_started_again_it_answers_at_once(host: Host) -> None:
    child = host.pipeline[NAME]
    child.kill()
    assert (await host.get("/funding/BTCUSDT"))[0] == 0

    child.start()

    await host.well()


async def test_a_second_one_on_the_same_port_says_so_and_ends(host: Host) -> None:
    """The likeliest mishap of a migration: the old API still listens there."""
    with host.another(FUNDING_API_PORT=str(host.port)) as second:
        await eventually(lambda: second.child.status() is not None)
        assert second.child.status() == 1
        assert f"FUNDING_API_PORT={host.port}: cannot listen there" in second.child.tail()
        assert "Traceback" not in second.child.tail()
    assert (await host.get("/funding/BTCUSDT"))[0] == 200


async def test_a_dead_feed_is_stale_and_never_an_old_price(host: Host) -> None:
    """kill -9 of ws_daemon: everything that is answered says how old it is, and recovers when the feed does."""
    with host.another(FUNDING_MAX_AGE_SEC=str(MAX_AGE_S)) as api:
        await api.well()
        host.pipeline["ws_daemon"].kill()
        try:
            stale = (await eventually(lambda: api.status_is("/funding/btcusdt", 503)))["detail"]
            assert stale.pop("ageSeconds") > MAX_AGE_S
            assert stale == {"error": "Data stale", "symbol": "BTCUSDT", "maxAgeSeconds": MAX_AGE_S}

            oi = (await eventually(lambda: api.status_is("/open-interest/BTCUSDT", 503)))["detail"]
            assert (oi["error"], oi["symbol"]) == ("Data stale", "BTCUSDT")
            health = await eventually(lambda: api.status_is("/funding/health", 503))
            assert health["status"] == "unhealthy"
            assert f"the limit is {MAX_AGE_S} s" in health["error"]
            status, batch = await api.get("/funding/batch?symbols=BTCUSDT,ETHUSDT")
            assert (status, batch["found"], batch["missing"]) == (200, 0, 2)
            await eventually(lambda: _is_empty(api))
            await eventually(lambda: _is_degraded(api, "the newest mark is"))
        finally:
            host.pipeline["ws_daemon"].start()
        await api.well()
        await eventually(lambda: _is_filled(api))


async def _is_empty(api: Api) -> bool:
    return bool(await api.state() == {})


async def _is_filled(api: Api) -> bool:
    return "BTCUSDT" in await api.state()


async def _is_degraded(api: Api, why: str) -> bool:
    health = await api.healthz()
    return bool(health) and health["state"] == "degraded" and why in health["detail"]


async def test_redis_away_is_503_with_the_cause_and_heals_by_itself(host: Host) -> None:
    await host.well()
    pid = host.pipeline[NAME].pid
    host.pipeline["redis"].kill()
    try:
        for path in ("/funding/BTCUSDT", "/funding/batch?symbols=BTCUSDT", "/funding/all", "/open-interest/all"):
            body = await eventually(lambda path=path: host.status_is(path, 503))
            assert body["detail"]["error"] == "Data unavailable"
            assert body["detail"]["cause"].startswith("Redis: ")
        health = await eventually(lambda: host.status_is("/funding/health", 503))
        assert (health["status"], health["error"][:7]) == ("unhealthy", "Redis: ")
        assert await host.get("/funding/batch") == (400, {"detail": {"error": "No symbols provided"}})
        assert (await host.get("/openapi.json"))[0] == 200
        await eventually(lambda: _is_degraded(host, "Redis: "))
    finally:
        host.pipeline["redis"].start()
    await host.well()
    assert host.pipeline[NAME].pid == pid
    assert host.pipeline[NAME].status() is None


async def test_a_state_file_that_cannot_be_written_is_said_and_costs_no_answer(host: Host) -> None:
    await host.well()
    with host.another(STATE_FILE=str(host.folder / "gone" / "state.json")) as api:

        async def said() -> bool:
            return "STATE_FILE=" in (await api.healthz()).get("detail", "")

        await eventually(said)
        assert (await api.get("/funding/BTCUSDT"))[0] == 200


async def test_sigterm_ends_it_cleanly_whoever_is_still_connected(host: Host) -> None:
    child = host.pipeline[NAME]
    async with aiohttp.ClientSession() as session, session.get(f"{host.origin}/funding/BTCUSDT") as answer:
        assert answer.status == 200
        await answer.read()
        begun_s = time.monotonic()
        assert await asyncio.to_thread(child.stop) == 0, child.tail()
        assert time.monotonic() - begun_s < 4
