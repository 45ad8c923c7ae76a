"""The limiter: the venue's clock minute, its refusals, its bans."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.exchange.weights import MINUTE_MS, Limiter, Rules

NOON = 1_790_000_040_000 // MINUTE_MS * MINUTE_MS


@pytest.fixture
def limiter() -> Limiter:
    return Limiter(Rules(limit=100, ban_after=2, ban_s=120))


def test_the_counter_starts_anew_on_the_clock_minute(limiter: Limiter) -> None:
    """The window is the UTC minute, not the last sixty seconds: a governor that slides errs by up to twice."""
    assert limiter.charge(90, NOON + 59_999).used == 90
    assert limiter.charge(1, NOON + 60_000).used == 1


def test_exactly_the_limit_passes_and_one_more_is_refused_until_the_minute_ends(limiter: Limiter) -> None:
    assert limiter.charge(100, NOON + 1000).status == 200
    refused = limiter.charge(1, NOON + 15_500)
    assert (refused.status, refused.used, refused.retry_after_s) == (429, 101, 45)
    assert limiter.charge(1, NOON + MINUTE_MS).status == 200


def test_going_on_after_429_brings_a_ban_with_its_end(limiter: Limiter) -> None:
    limiter.charge(101, NOON)
    limiter.charge(1, NOON + 1)
    banned = limiter.charge(1, NOON + 2)
    assert (banned.status, banned.banned_until_ms, banned.retry_after_s) == (418, NOON + 2 + 120_000, 120)
    assert limiter.during_ban == 0, "the request that brought the ban was not sent during it"


def test_a_request_during_a_ban_is_counted_and_starts_the_ban_anew(limiter: Limiter) -> None:
    limiter.ban(20, NOON)
    assert limiter.charge(1, NOON + 5_000).banned_until_ms == NOON + 25_000
    assert limiter.charge(1, NOON + 24_000).banned_until_ms == NOON + 44_000
    assert limiter.charge(1, NOON + 44_000).status == 200
    assert (limiter.during_ban, limiter.during_ban_late, limiter.last_into_ban_ms) == (2, 2, 24_000)


def test_requests_in_flight_when_the_ban_falls_are_told_apart(limiter: Limiter) -> None:
    """A client may have thirty-two requests under way; only those sent after it could know are its fault."""
    limiter.ban(20, NOON)
    assert limiter.charge(1, NOON + 40).banned_until_ms == NOON + 20_000
    assert (limiter.during_ban, limiter.during_ban_late) == (1, 0)


def test_each_ban_is_twice_as_long_as_the_last(limiter: Limiter) -> None:
    lengths = []
    for minute in (0, 60, 120):
        at_ms = NOON + minute * MINUTE_MS
        limiter.charge(101, at_ms)
        limiter.charge(1, at_ms)
        lengths.append(limiter.charge(1, at_ms).retry_after_s)
    assert lengths == [120, 240, 480]


def test_others_on_the_address_use_the_same_pool(limiter: Limiter) -> None:
    limiter.charge(1, NOON)
    limiter.burned = 98
    assert limiter.charge(1, NOON).used == 100
    assert limiter.charge(1, NOON).status == 429


def test_retry_after_can_be_withheld(limiter: Limiter) -> None:
    limiter.rules.retry_after = False
    limiter.charge(101, NOON)
    assert limiter.charge(1, NOON).retry_after_s is None
    assert limiter.charge(1, NOON).retry_after_s is None


def test_one_ban_without_its_end_changes_nothing_for_the_next(limiter: Limiter) -> None:
    limiter.ban(20, NOON, header=False, text=False)
    assert (limiter.charge(1, NOON).retry_after_s, limiter.charge(1, NOON).banned_until_ms) == (None, 0)
    limiter.ban(20, NOON + MINUTE_MS)
    assert limiter.charge(1, NOON + MINUTE_MS).retry_after_s == 20


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 30_000)), max_size=60))
def test_no_request_passes_over_the_limit_or_within_a_ban(steps: list[tuple[int, int]]) -> None:
    limiter, now_ms = Limiter(Rules(limit=100, ban_after=2, ban_s=5)), NOON
    for weight, wait_ms in steps:
        now_ms += wait_ms
        banned = now_ms < limiter.ban_until_ms
        verdict = limiter.charge(weight, now_ms)
        assert (verdict.status == 200) == (verdict.used <= 100 and not banned)
        assert verdict.status != 418 or verdict.banned_until_ms > now_ms
