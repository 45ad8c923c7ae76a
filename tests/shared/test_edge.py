"""Whose answer is it: the server's, a cache's, or that of a wall before it?"""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.edge import cache_age_s, wall
from shared.reply import Reply
from tests.builders import reply

NOW_MS = 1_764_738_609_000  # 2025-12-03 05:10:09 UTC
DATE = "Wed, 03 Dec 2025 05:10:00 GMT"


@pytest.mark.parametrize(
    ("headers", "age_s"),
    [
        ({}, None),
        ({"Date": DATE}, None),
        ({"Age": "0", "X-Cache": "MISS"}, None),
        ({"Age": "9"}, 9.0),
        ({"Age": "soon", "CF-Cache-Status": "DYNAMIC"}, None),
        ({"CF-Cache-Status": "HIT", "Age": "4", "Date": DATE}, 4.0),
        ({"CF-Cache-Status": "HIT", "Date": DATE}, 9.0),
        ({"X-Cache": "Hit from cloudfront", "Date": DATE}, 9.0),
        ({"X-Cache-Status": "STALE"}, 0.0),
        ({"X-Cache": "HIT", "Date": "yesterday"}, 0.0),
    ],
)
def test_an_answer_out_of_a_cache_is_known_by_its_headers(headers: dict[str, str], age_s: float | None) -> None:
    assert cache_age_s(Reply(200, httpx.Headers(headers), b"{}"), NOW_MS) == age_s


def test_a_bot_wall_is_no_answer_of_the_backend() -> None:
    """Its 403 says nothing of a key: the public GET carries none."""
    assert "cf-mitigated: challenge" in wall(reply(403, b"<html>Just a moment", cf_mitigated="challenge"))
    assert "HTML" in wall(reply(403, b"<!DOCTYPE html>", content_type="text/html"))
    assert wall(reply(403, b'{"error": "forbidden"}', content_type="application/json")) == ""
    assert wall(reply(401, b"Unauthorized")) == ""
    assert wall(reply(200, b"<html>")) == ""


TEXT = st.text(st.characters(max_codepoint=255))  # as a header is read


@given(st.sampled_from(["age", "date", "x-cache", "cf-cache-status"]), TEXT, st.binary(), st.integers(100, 599))
def test_any_headers_have_an_answer(name: str, value: str, body: bytes, status: int) -> None:
    found = Reply(status, {name: value, "x-cache": "HIT"}, body)
    assert (cache_age_s(found, NOW_MS) or 0) >= 0
    assert isinstance(wall(found), str)
