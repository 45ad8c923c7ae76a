"""The real publisher against the real Node stand-in: what is sent, and in how many pieces."""

from __future__ import annotations

import pytest

from tests.publisher.seen import SYMBOLS, Make, expected, sizes


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
