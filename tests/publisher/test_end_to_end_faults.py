"""The real publisher against the real Node stand-in: one fault at a time, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.model import notional
from tests.publisher.harness import Publisher

Make = Callable[..., Publisher]
SYMBOLS = 20


def stored_twice(publisher: Publisher) -> int:
    return int(publisher.stand_in.control()["rows"]["repeated"])


def sizes(publisher: Publisher) -> list[int]:
    return [batch["rows"] for batch in publisher.batches() if batch["rows"]]


def expected(publisher: Publisher) -> dict[str, float]:
    """What the newest sweep has to look like on the dashboard."""
    readings = publisher.poller.landed[-1].readings
    return {
        symbol: float(notional(reading.open_interest.open_interest, reading.mark_price))
        for symbol, reading in readings.items()
        if reading.mark_price is not None
    }


@pytest.mark.parametrize("cache_mode", ["merge", "replace"])
async def test_a_whole_batch_is_one_post_and_served_whole(publisher: Make, cache_mode: str) -> None:
    one = publisher()
    one.stand_in.control(cacheMode=cache_mode)
    await one.start()

    await one.poller.land()
    health = await one.until_verdict("VERIFIED")

    assert health["status"] == 200
    assert sizes(one) == [SYMBOLS]
    assert one.served() == expected(one)


async def test_a_symbol_that_cannot_be_published_is_named_and_never_zero(publisher: Make) -> None:
    """BTC at $0.00: a symbol without a price was posted all the same."""
    one = publisher()
    await one.start()

    await one.poller.land(without_mark="S003USDT")
    await one.until_verdict("VERIFIED")

    assert "S003USDT" not in one.served()
    assert min(one.served().values()) > 0
    assert await one.redis.hgetall("oi:left_out") == {b"S003USDT": b"missing_mark"}
    assert await one.metric('pipeline_symbols{reason="missing_mark",state="left_out"}') == 1
    assert await one.metric('pipeline_symbols{reason="",state="published"}') == SYMBOLS - 1
    assert set(await one.redis.hkeys("oi:served")) == {s.encode() for s in one.served()}


async def test_a_carried_reading_is_served_and_counted_as_old(publisher: Make) -> None:
    """Its batch is young; the number in it is not."""
    one = publisher()
    await one.start()

    await one.poller.land(carried="S003USDT", carried_s=40)
    await one.until_verdict("VERIFIED")

    assert one.served() == expected(one)
    assert await one.metric("pipeline_served_symbols") == SYMBOLS
    assert await one.metric("pipeline_served_old_symbols") == 1

    await one.poller.land()
    await one.until_verdict("VERIFIED")
    assert await one.metric("pipeline_served_old_symbols") == 0


async def test_chunks_into_a_replacing_backend_heal_into_single_batches(publisher: Make) -> None:
    """The incident itself: pieces replace one another, and only the last is served."""
    one = publisher(BACKEND_MAX_ROWS="7")
    one.stand_in.control(cacheMode="replace")
    await one.start()

    await one.poller.land()
    await one.until_verdict("VERIFIED")
    await one.poller.land()
    await one.until_verdict("VERIFIED")

    assert sizes(one) == [7, 7, 6, SYMBOLS, SYMBOLS]
    assert "the backend replaced its cache: 6 of 20 served" in one.log()
    assert await one.counted("pipeline_duplicate_posts_total") == 1
    assert one.served() == expected(one)


async def test_chunks_into_a_merging_backend_are_left_as_they_are(publisher: Make) -> None:
    one = publisher(BACKEND_MAX_ROWS="7")
    await one.start()

    await one.poller.land()
    await one.until_verdict("VERIFIED")

    assert sizes(one) == [7, 7, 6]


async def test_a_size_limit_is_found_once_and_remembered_across_a_restart(publisher: Make) -> None:
    one = publisher(own=True)
    one.stand_in.control(bodyLimit="1kb")
    await one.start()
    await one.poller.land()
    await one.until_verdict("VERIFIED")
    refused = [batch["status"] for batch in one.batches()].count(413)

    one.child.kill()
    await one.start()
    await one.poller.land()
    await one.until_verdict("VERIFIED")

    assert refused >= 1
    assert [batch["status"] for batch in one.batches()].count(413) == refused
    assert one.served() == expected(one)


async def test_a_replacing_backend_with_a_size_limit_keeps_the_largest(publisher: Make) -> None:
    """When not all can be served, it is the majors that must be; and nobody is told that all is well."""
    one = publisher(own=True)
    one.stand_in.control(cacheMode="replace", bodyLimit="1kb")
    await one.start()
    await one.poller.land()
    await one.until_verdict("PARTIAL")
    before = len(one.batches())

    await one.poller.land()
    health = await one.until_verdict("PARTIAL")

    values = expected(one)
    largest = sorted(values, key=lambda symbol: values[symbol])[-len(one.served()) :]
    assert one.served() == {symbol: values[symbol] for symbol in largest}
    assert len(one.batches()) == before + 1
    assert health["status"] == 503
    assert "replaces its cache and takes no more than" in health["detail"]


TRANSIENT = [
    {"kind": "status", "status": 500, "times": 2},
    {"kind": "status", "status": 502, "times": 2},
    {"kind": "status", "status": 503, "times": 1},
    {"kind": "status", "status": 401, "times": 2},
    {"kind": "html", "times": 1},
    {"kind": "garbage", "times": 1},
    {"kind": "hang", "times": 1},
    {"kind": "reset-reading", "times": 1},
]
PROCESSED = [
    {"kind": "processed-then-status", "status": 500, "times": 1},
    {"kind": "processed-then-status", "status": 504, "times": 1},
    {"kind": "processed-then-hang", "times": 1},
    {"kind": "reset-answering", "times": 1},
    {"kind": "slow", "delay": 1.8, "times": 1},
]


def named(fault: dict[str, Any]) -> str:
    return f"{fault['kind']}-{fault.get('status', '')}".strip("-")


@pytest.mark.parametrize("fault", TRANSIENT, ids=named)
async def test_a_post_that_was_not_taken_is_repeated(publisher: Make, fault: dict[str, Any]) -> None:
    one = publisher()
    await one.start()
    await one.poller.land()
    await one.until_verdict("VERIFIED")

    one.stand_in.control(fault=fault)
    for _ in range(3):
        await one.poller.land()
    await one.until_delivered()

    assert one.stored() == one.poller.timestamps()
    assert stored_twice(one) == 0
    assert (await one.until_verdict("VERIFIED"))["status"] == 200


@pytest.mark.parametrize("fault", PROCESSED, ids=named)
async def test_a_post_that_was_taken_is_found_and_not_repeated(publisher: Make, fault: dict[str, Any]) -> None:
    """Each repetition would be 343 rows twice in the backend's database."""
    one = publisher()
    await one.start()
    await one.poller.land()
    await one.until_verdict("VERIFIED")

    one.stand_in.control(fault=fault)
    for _ in range(3):
        await one.poller.land()
    await one.until_delivered()

    assert one.stored() == one.poller.timestamps()
    assert stored_twice(one) == 0
    assert len(one.batches()) == 4
    assert await one.counted("pipeline_duplicate_posts_total") == 0


async def test_a_slow_backend_is_waited_for(publisher: Make) -> None:
    one = publisher(BACKEND_TIMEOUT_SEC="5")
    one.stand_in.control(fault={"kind": "slow", "delay": 1.5, "times": 1})
    await one.start()

    await one.poller.land()
    await one.until_verdict("VERIFIED")

    assert len(one.batches()) == 1


async def test_retry_after_is_obeyed(publisher: Make) -> None:
    one = publisher()
    await one.start()
    await one.poller.land()
    await one.until_verdict("VERIFIED")

    one.stand_in.control(fault={"kind": "status", "status": 429, "retryAfter": 2, "times": 1})
    await one.poller.land()
    await one.until_verdict("VERIFIED")

    first, refused, then = one.batches()
    assert (first["status"], refused["status"], then["status"]) == (200, 429, 200)
    assert then["receivedAt"] - refused["receivedAt"] >= 2000


async def test_a_refused_key_is_said_once_and_names_what_to_check(publisher: Make) -> None:
    one = publisher(BACKEND_API_KEY="not-the-key-at-all")
    await one.start()
    await one.poller.land()

    await one.until(lambda: len(one.batches()) >= 4)
    health = await one.health()

    assert one.log().count("BACKEND_API_KEY") == 1
    assert (health["status"], "BACKEND_API_KEY" in health["detail"]) == (503, True)


async def test_accepted_and_lost_is_posted_again(publisher: Make) -> None:
    one = publisher()
    one.stand_in.control(fault={"kind": "lost", "times": 1})
    await one.start()

    await one.poller.land()
    await one.until_verdict("VERIFIED")

    assert [batch["stored"] for batch in one.batches()] == [0, SYMBOLS]


async def test_accepted_and_lost_is_not_posted_for_ever(publisher: Make) -> None:
    one = publisher(own=True)
    one.stand_in.control(fault={"kind": "lost"})
    await one.start()

    for _ in range(3):
        await one.poller.land()
        health = await one.until_verdict("PARTIAL", within_s=20)

    assert len(one.batches()) == 3 + 3  # three sweeps, and three repetitions in all
    assert health["status"] == 503
    assert "20 not served" in health["detail"]
    assert await one.counted("pipeline_duplicate_posts_total") == 3


async def test_a_wrong_value_is_foreign_and_named_until_it_is_right(publisher: Make) -> None:
    one = publisher()
    one.stand_in.control(fault={"kind": "wrong-value", "symbols": {"S004USDT": 1.01}})
    await one.start()

    await one.poller.land()
    health = await one.until_verdict("FOREIGN")
    one.stand_in.control(faults=[])
    await one.poller.land()
    healed = await one.until_verdict("VERIFIED")

    assert health["status"] == 503
    assert "S004USDT" in health["detail"]
    assert healed["status"] == 200
    assert b'"verdict":"verified"' in await one.redis.hget("oi:served", "S004USDT")


async def test_a_second_writer_is_noticed(publisher: Make) -> None:
    one = publisher()
    one.stand_in.control(fault={"kind": "second-writer", "values": {"S001USDT": 5.0, "XYZUSDT": 7.0}})
    await one.start()

    await one.poller.land()
    health = await one.until_verdict("FOREIGN")

    assert "2 served with values nobody here sent (S001USDT,XYZUSDT)" in health["detail"]
    assert await one.counted('pipeline_cycles_total{verdict="FOREIGN"}') == 1


async def test_an_as_of_that_stands_still_is_partial(publisher: Make) -> None:
    """The dashboard judges freshness by asOf: right values under an old one are shown as stale."""
    one = publisher()
    await one.start()
    await one.poller.land()
    await one.until_verdict("VERIFIED")

    one.stand_in.control(fault={"kind": "stale-asof"})
    await one.poller.land()
    health = await one.until_verdict("PARTIAL")

    assert "asOf" in health["detail"]
    assert len(one.batches()) == 2


@pytest.mark.parametrize(
    "fault",
    [{"kind": "status", "status": 500}, {"kind": "html"}, {"kind": "garbage"}, {"kind": "huge"}, {"kind": "hang"}],
    ids=named,
)
async def test_what_cannot_be_read_back_is_unverified(publisher: Make, fault: dict[str, Any]) -> None:
    one = publisher(BACKEND_TIMEOUT_SEC="0.5")
    one.stand_in.control(fault={**fault, "route": "read"})
    await one.start()

    await one.poller.land()
    health = await one.until_verdict("UNVERIFIED")

    assert health["status"] == 503
    assert "could not read back" in health["detail"]
    assert len(one.batches()) == 1
    assert len(one.log()) < 10_000


async def test_without_an_audit_every_cycle_says_so(publisher: Make) -> None:
    one = publisher(BACKEND_AUDIT="off")
    one.stand_in.control(fault={"kind": "status", "status": 404, "route": "read"})
    await one.start()

    for _ in range(2):
        await one.poller.land()
        health = await one.until_verdict("UNAUDITED")

    assert health["status"] == 200
    assert one.log().count("BACKEND_AUDIT=off") == 2


async def test_symbols_that_left_the_universe_are_counted_as_ghosts(publisher: Make) -> None:
    """A merging backend never forgets: a dead symbol keeps its last value for ever, under a fresh asOf."""
    one = publisher()
    await one.start()
    await one.poller.land()
    await one.until_verdict("VERIFIED")

    gone = one.poller.symbols.pop()
    await one.poller.land()
    await one.until_verdict("VERIFIED")

    assert await one.metric("pipeline_ghost_symbols") == 1
    assert b'"verdict":"ghost"' in await one.redis.hget("oi:served", gone)


async def test_the_key_is_nowhere_to_be_seen(publisher: Make) -> None:
    one = publisher(own=True)
    faults = [{"kind": "redirect", "location": "/elsewhere", "times": 1}, {"kind": "hang", "times": 1}]
    one.stand_in.control(faults=faults)
    await one.start()
    await one.poller.land()
    await one.until_verdict("VERIFIED")

    hashes = ("oi:publisher", "oi:served", "oi:left_out", "oi:status:publisher")
    redis = [await one.redis.hgetall(key) for key in hashes]
    assert "redirect" in one.log()
    for place in (one.log(), str(await one.health()), await one.text("/metrics"), str(redis)):
        assert one.KEY not in place


async def test_the_process_list_does_not_show_the_key(publisher: Make) -> None:
    one = publisher()
    await one.start()

    assert one.KEY not in Path(f"/proc/{one.pid}/cmdline").read_bytes().decode()


async def test_the_universe_is_delivered_when_it_changes(publisher: Make) -> None:
    one = publisher(own=True)
    one.stand_in.control(fault={"kind": "lost", "route": "universe", "times": 1})
    await one.start()
    await one.poller.land()
    await one.until(lambda: len(one.universe()) == SYMBOLS)

    one.poller.symbols.append("NEWUSDT")
    await one.poller.land()

    await one.until(lambda: "NEWUSDT" in one.universe())
    entry = one.universe()["NEWUSDT"]
    assert entry["quoteVolume24h"] == 5_000_000
    assert entry["enteredAt"].endswith("Z")


@pytest.mark.parametrize(
    "fault", [None, *TRANSIENT[:1], *PROCESSED], ids=lambda fault: named(fault) if fault else "none"
)
async def test_alerts_arrive_once_and_in_order(publisher: Make, fault: dict[str, Any] | None) -> None:
    one = publisher()
    if fault:
        one.stand_in.control(fault={**fault, "route": "alerts", "method": "POST", "after": 1})
    await one.start()

    for n in range(4):
        await one.poller.alert(n)
    await one.until(lambda: len(one.alerts()) >= 4)

    async def all_acknowledged() -> bool:
        return (await one.redis.xpending("oi:alerts", "publisher"))["pending"] == 0

    await one.until(all_acknowledged)
    assert [alert["baseline"] for alert in one.alerts()] == [1000.0, 1001.0, 1002.0, 1003.0]
