"""What `oi doctor` makes of what it is answered: who said it, and what that means."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from cli import doctor, outside
from cli.doctor import backend, exchange, inside
from cli.doctor.finding import Check, Finding, Patient
from cli.settings import find
from cli.show import DEGRADED, DOWN, GOOD, UNKNOWN
from cli.state import Snapshot, read_or_why
from services.oi_keeper.schema import open_to_write
from shared import store
from shared.agreed import METRICS_PORTS
from shared.clock import SystemClock, iso
from tests.cli.world import World
from tests.redis_servers import ScriptedRedis

Answer = Callable[[httpx.Request], httpx.Response]
ENVIRON = {"REDIS_URL": "redis://h", "BACKEND_URL": "https://b.example", "BACKEND_API_KEY": "a-key"}
WALL = httpx.Response(403, html="<html>Just a moment...</html>", headers={"cf-mitigated": "challenge"})


def served_now(**changes: object) -> dict[str, object]:
    return {"data": {"BTCUSDT": 1.0}, "asOf": SystemClock().now_ms(), **changes}


async def found(check: Check, answer: Answer, **environ: str) -> Finding:
    given = find({**ENVIRON, **environ})
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        (finding,) = await check(Patient(given, Redis(), client, Snapshot(0), ""))
    return finding


async def test_a_wall_before_the_public_get_is_no_refused_key() -> None:
    """The GET carries no key; the POSTs pass."""

    def answer(request: httpx.Request) -> httpx.Response:
        return WALL if request.method == "GET" else httpx.Response(400, json={"error": "Invalid payload"})

    serving = await found(backend.serving, answer)
    assert serving.state == DOWN
    assert "stopped by a bot wall at its edge (HTTP 403, cf-mitigated: challenge)" in serving.evidence
    assert "edge" in serving.fix
    assert (await found(backend.key, answer)).state == GOOD


@pytest.mark.parametrize(
    ("answer", "state", "says"),
    [
        (httpx.Response(400, json={}), GOOD, "takes the key"),
        (httpx.Response(422, json={}), GOOD, "takes the key"),
        (httpx.Response(401, json={}), DOWN, "refuses the key"),
        (httpx.Response(403, json={}), DOWN, "refuses the key"),
        (WALL, DOWN, "POSTs with the key are stopped by a bot wall"),
        (httpx.Response(403, html="<html>"), DOWN, "POSTs with the key are stopped by its edge"),
        (httpx.Response(502, html="<html>"), UNKNOWN, "cannot be told"),
    ],
)
async def test_the_key_is_judged_by_the_request_that_carries_it(answer: httpx.Response, state: str, says: str) -> None:
    finding = await found(backend.key, lambda _: answer)
    assert finding.state == state
    assert says in finding.what


@pytest.mark.parametrize(("key", "says"), [('"a-key"', "quotes on"), ("ключ", "no header"), ("a\nkey", "no header")])
async def test_what_can_be_no_key_is_not_sent(key: str, says: str) -> None:
    """No header carries it: the whole command ended with a traceback."""
    finding = await found(backend.key, pytest.fail, BACKEND_API_KEY=key)
    assert (finding.state, finding.what) == (DOWN, "BACKEND_API_KEY is no key")
    assert says in finding.evidence
    assert key not in finding.evidence


SERVING: list[tuple[dict[str, object], dict[str, str], str, str]] = [
    ({}, {}, GOOD, "the backend serves"),
    ({}, {"Age": "9", "X-Cache": "HIT"}, DEGRADED, "what is served comes from a cache, 9.0s old: that old is what"),
    ({"data": {"A": "8,370,000.10", "B": "1,200"}}, {}, DEGRADED, "2 symbols are served in a form that is no number"),
    ({"data": {}}, {}, DEGRADED, "what the backend serves is old or nothing"),
    ({"asOf": 1}, {}, DEGRADED, "what the backend serves is old or nothing"),
    ({"asOf": None}, {}, DEGRADED, "what the backend serves is old or nothing"),
]


@pytest.mark.parametrize(("changes", "headers", "state", "what"), SERVING)
async def test_what_the_backend_serves_is_looked_at(
    changes: dict[str, object], headers: dict[str, str], state: str, what: str
) -> None:
    answer = httpx.Response(200, json=served_now(**changes), headers=headers)
    finding = await found(backend.serving, lambda _: answer)
    assert finding.state == state
    assert finding.what.startswith(what)


async def test_a_cache_that_does_not_say_so_is_seen_by_what_lies_behind_it() -> None:
    now_ms = SystemClock().now_ms()

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=served_now(asOf=now_ms if request.url.query else now_ms - 20_000))

    finding = await found(backend.serving, answer)

    assert finding.state == DEGRADED
    assert "comes from a cache that does not say so, 20s older than the backend's own" in finding.what


async def test_what_is_no_number_costs_only_its_symbol() -> None:
    data = {"A": 1, "B": "2.50", "C": None, "D": "NaN", "E": True, "F": {}, "G": 10**400, "H": [1.5]}

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=json.dumps({"data": data}))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        assert (await outside.served(client, "https://b.example")).values == {"A": 1.0, "B": 2.5}


@pytest.mark.parametrize(
    ("merges", "state", "says"), [("yes", GOOD, "merges"), ("no", GOOD, "replaces"), ("", UNKNOWN, "not known yet")]
)
async def test_the_publisher_tells_whether_the_backend_merges(redis: Redis, merges: str, state: str, says: str) -> None:
    world = World()
    world.beats["publisher"] |= {"backendMerges": merges}
    finding = (await of_world(backend.cache, world, redis))["cache"]
    assert finding.state == state
    assert says in finding.what


async def of_world(
    check: Check, world: World, redis: Redis, answer: Answer = pytest.fail, **environ: str
) -> dict[str, Finding]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        patient = Patient(find({**ENVIRON, **environ}), redis, client, await world.seen(redis), "")
        return {finding.check: finding for finding in await check(patient)}


async def test_a_limit_of_rows_is_told_while_it_is_new(redis: Redis) -> None:
    world = World()
    assert (await of_world(backend.sizes, world, redis))["size"].state == GOOD
    world.learnt = {"max_rows": "150", "refused_rows": "155", "refused_ms": str(world.now_ms - 1000)}
    size = (await of_world(backend.sizes, world, redis))["size"]
    assert size.state == DEGRADED
    assert "at most 150 rows a POST" in size.evidence


def foreign(world: World, fact: str, ago_s: int) -> None:
    world.beats["publisher"] |= {fact: iso(world.now_ms - ago_s * 1000), "foreignSymbols": "3"}


WALLED = {"verdict": "UNVERIFIED", "why": "could not read back: a bot wall"}
WRITERS: list[tuple[str, Callable[[World], object], str, str]] = [
    ("nobody", lambda _: None, GOOD, "nobody else writes (4 symbols served, all sent from here)"),
    ("a value", lambda w: w.served.update(ETHUSDT="foreign"), DOWN, "nobody here sent (1 symbols: ETHUSDT)"),
    ("between two batches", lambda w: foreign(w, "foreignAt", 21), DOWN, "of 3 symbols"),
    ("long ago", lambda w: foreign(w, "foreignAt", 1000), GOOD, "nobody else writes"),
    ("the universe", lambda w: foreign(w, "universeForeignAt", 21), DEGRADED, "replaces the universe"),
    ("the universe long ago", lambda w: foreign(w, "universeForeignAt", 1000), GOOD, "nobody else writes"),
    ("not read back", lambda w: w.beats["publisher"].update(WALLED), UNKNOWN, f"cannot be told ({WALLED['why']})"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "state", "says"), [case[1:] for case in WRITERS], ids=[case[0] for case in WRITERS])
async def test_another_writer_is_named(redis: Redis, spoil: Callable[[World], object], state: str, says: str) -> None:
    """The old timer replaces the universe every five minutes, which is a writer too. While nothing can be read back the
    rows of ``oi:served`` are of an earlier look, and another writer may have come since.
    """
    world = World()
    spoil(world)
    writers = (await of_world(backend.writers, world, redis))["writers"]
    assert writers.state == state
    assert says in f"{writers.what} ({writers.evidence})"


async def test_a_ban_silences_it_too(redis: Redis) -> None:
    world = World()
    world.ban_ms = world.now_ms + 60_000
    ban = (await of_world(exchange.rest, world, redis))["ban"]
    assert ban.state == DOWN
    assert "do not delete oi:ban" in ban.fix


async def test_a_silent_service_is_named_with_its_unit(redis: Redis) -> None:
    world = World()
    del world.beats["publisher"], world.beats["funding_api"]
    world.beats["oi_poller"] |= {"state": "degraded", "detail": "any words"}
    found = await of_world(inside.services, world, redis)
    assert {name: f.state for name, f in found.items()} == {
        "publisher": DOWN,
        "funding_api": DEGRADED,
        "oi_poller": DEGRADED,
    }
    assert "systemctl restart oi-publisher" in found["publisher"].fix


async def test_a_venue_poller_is_missed_only_where_venues_are_wanted(redis: Redis) -> None:
    assert set(await of_world(inside.services, World(), redis)) == {"services"}
    wanted = await of_world(inside.services, World(), redis, VENUES="okx")
    assert {name: finding.state for name, finding in wanted.items()} == {"venue_poller": DEGRADED}


async def test_a_check_that_cannot_be_made_costs_itself(redis: Redis, redis_url: str) -> None:
    """Most managed servers let nobody ask for INFO or CONFIG."""
    await redis.execute_command("ACL", "SETUSER", "guest", "on", ">word", "~oi:*", "+@all", "-@dangerous", "-@admin")
    seen = await World().seen(redis)
    guest = Redis.from_url(redis_url.replace("redis://", "redis://guest:word@"))
    environ = {"BINANCE_WS_URL": "ws://127.0.0.1:1", "BINANCE_REST_URL": "http://127.0.0.1:1"}
    given = find({"REDIS_URL": redis_url, **environ})
    async with httpx.AsyncClient() as client, guest:
        findings = {f.check: f for f in await doctor.examine(Patient(given, guest, client, seen, ""))}
    await redis.execute_command("ACL", "DELUSER", "guest")

    assert findings["keeping"].state == UNKNOWN
    assert "NOPERM" in findings["keeping"].evidence or "no permissions" in findings["keeping"].evidence
    assert findings["redis"].state == GOOD
    assert {"backend", "key", "services", "writers"} <= set(findings)


def whole(_: Path) -> None:
    """As it was made."""


def hurt(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xa5" * 512)


@pytest.mark.parametrize(("spoil", "state"), [(whole, GOOD), (hurt, DEGRADED), (Path.unlink, UNKNOWN)])
async def test_the_file_of_the_past_is_checked_as_a_whole(
    spoil: Callable[[Path], None], state: str, redis: Redis, tmp_path: Path
) -> None:
    path = tmp_path / "history.db"
    shutil.copy(Path(__file__).parents[1] / "oi_keeper/files/history-1.db", path)
    open_to_write(str(path)).close()
    spoil(path)
    world = World()
    del world.beats["oi_keeper"]
    finding = (await of_world(inside.history, world, redis, HISTORY_PATH=str(path)))["history"]
    assert finding.state == state
    assert str(path) in finding.evidence


async def test_what_differs_from_the_exchange_s_statistic_is_named(redis: Redis, tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    open_to_write(str(path)).close()
    world = World()
    world.beats["oi_keeper"] |= {"compared": "340", "differing": "BTCUSDT,LITUSDT"}
    finding = (await of_world(inside.history, world, redis, HISTORY_PATH=str(path)))["history"]
    assert finding.state == DEGRADED
    assert "BTCUSDT, LITUSDT" in finding.what
    assert "of 340 compared" in finding.evidence


async def test_without_redis_nothing_is_said_of_what_it_holds() -> None:
    """Not that no service runs, nor that nobody else writes: who cannot look does not know."""
    given = find({**ENVIRON, "REDIS_URL": "redis://127.0.0.1:1", "BINANCE_WS_URL": "ws://127.0.0.1:1"})
    answers = httpx.MockTransport(lambda _: httpx.Response(503))
    async with store.connect("redis://127.0.0.1:1") as redis, httpx.AsyncClient(transport=answers) as client:
        seen, why = await read_or_why(redis)
        found = await doctor.examine(doctor.Patient(given, redis, client, seen, why))

    assert {finding.check for finding in found} >= {"redis", "stream", "rest", "backend"}
    assert {finding.check for finding in found}.isdisjoint(
        {"services", "keeping", "sizes", "cache", "writers", "hosts", *METRICS_PORTS}
    )


async def test_a_server_that_is_too_old_is_named_with_what_is_needed() -> None:
    """It cannot be read at all: its version is the reason, not whether it runs."""
    async with ScriptedRedis({}, otherwise=b"-ERR unknown command `HELLO`\r\n") as old, httpx.AsyncClient() as client:
        given = find({"REDIS_URL": old.url})
        async with store.connect(old.url) as redis:
            seen, why = await read_or_why(redis)
            (finding,) = await inside.redis(Patient(given, redis, client, seen, why))
    assert finding.state == DOWN
    assert finding.what == "Redis 5 or older is there, and 6.2 or newer is needed, or Valkey"
