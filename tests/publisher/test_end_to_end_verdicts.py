"""The real publisher against the real Node stand-in: served otherwise than sent, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.publisher.seen import Make


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
    ids=lambda fault: fault["kind"],
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
