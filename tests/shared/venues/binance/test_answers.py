"""What each answer of the exchange means."""

from __future__ import annotations

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Banned, RateLimited, Refused, Rejected, Transient, WireError
from shared.reply import Reply
from shared.venues.binance.answers import failure, used_weight
from tests.builders import NOW_MS, reply

DATE = "Wed, 03 Dec 2025 00:00:00 GMT"  # NOW_MS, as the exchange writes it
DAY_S = 86_400.0

TOO_MANY = (
    b'{"code":-1003,"msg":"Too many requests; current limit of IP(192.0.2.7) is 2400 requests per minute. '
    b'Please use the websocket for live updates to avoid polling the API."}'
)
HTML = b"<!DOCTYPE HTML>\n<HTML><HEAD><TITLE>ERROR</TITLE></HEAD><BODY><H1>403 ERROR</H1>Request blocked.</BODY></HTML>"
LOCATION = b'{"code": 0, "msg": "Service unavailable from a restricted location according to \'b. Eligibility\'"}'
DELIVERING = b'{"code":-4108,"msg":"Symbol is on delivering or delivered or settling or closed or pre-trading."}'
MALFORMED = b'{"code":-1102,"msg":"Mandatory parameter \'symbol\' was not sent, was empty/null, or malformed."}'
WAY_TOO_MUCH = "Way too much request weight used; IP banned until {}. Please use WebSocket Streams to avoid bans."
OPEN_INTEREST = b'{"symbol":"BTCUSDT","openInterest":"95744.938","time":1764719999119}'


def banned_until(ms: int, wording: str = "Way too many requests; IP(192.0.2.7) banned until {}.") -> bytes:
    return json.dumps({"code": -1003, "msg": wording.format(ms)}).encode()


@pytest.mark.parametrize(
    ("answer", "wait_s"),
    [
        (reply(429, TOO_MANY, retry_after="37"), 37.0),
        (reply(429, TOO_MANY, retry_after="Wed, 03 Dec 2025 00:00:37 GMT"), 37.0),
        (reply(429, TOO_MANY, retry_after="Wed, 03 Dec 2025 00:00:37 GMT", date="Wed, 03 Dec 2025 00:00:30 GMT"), 7.0),
        (reply(429, TOO_MANY), 60.0),
        (reply(429, TOO_MANY, retry_after="soon"), 60.0),
        (reply(429, TOO_MANY, retry_after="0"), 60.0),
        (reply(429, TOO_MANY, retry_after="-5"), 60.0),
        (reply(429, TOO_MANY, retry_after="999999999"), 7 * DAY_S),
        (reply(429, HTML), 60.0),
        (reply(429), 60.0),
    ],
    ids=lambda value: str(dict(value.headers) or value.body[:9]) if isinstance(value, Reply) else str(value),
)
def test_too_many_requests_says_how_long_to_wait(answer: Reply, wait_s: float) -> None:
    """Going on after a 429 is what turns it into a ban; a slip of the header must not silence us for years."""
    error = failure(answer, NOW_MS)

    assert type(error) is RateLimited
    assert error.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("answer", "wait_s"),
    [
        (reply(418, banned_until(NOW_MS + 999_000), retry_after="300"), 300.0),
        (reply(418, banned_until(NOW_MS + 300_000), date=DATE), 300.0),
        (reply(418, banned_until(NOW_MS + 300_000, WAY_TOO_MUCH)), 300.0),
        (reply(418, banned_until(NOW_MS + 300_000), retry_after="later"), 300.0),
        (reply(418, banned_until(NOW_MS + 300_000), retry_after="0"), 300.0),
        (reply(418, banned_until(NOW_MS + 3 * 86_400_000), date=DATE), 3 * DAY_S),
        (reply(418, banned_until(NOW_MS - 5_000), date=DATE), 1.0),
        (reply(418, banned_until(9_999_999_999_999), date=DATE), 7 * DAY_S),
        (reply(418, TOO_MANY), 120.0),
        (reply(418, HTML), 120.0),
        (reply(418), 120.0),
        (reply(418, banned_until(NOW_MS + 300_000), date="yesterday"), 300.0),
    ],
)
def test_a_ban_says_when_it_ends(answer: Reply, wait_s: float) -> None:
    """By the header, else by the time in the text, else two minutes; a request too early makes it longer."""
    error = failure(answer, NOW_MS)

    assert type(error) is Banned
    assert error.retry_after_s == wait_s
    assert error.until_ms == NOW_MS + wait_s * 1000


@pytest.mark.parametrize("our_error_ms", [-3_600_000, 90_000])
def test_the_time_in_the_text_is_measured_by_the_exchanges_clock(our_error_ms: int) -> None:
    """With our clock an hour ahead, a ban of five minutes would look over, and the next request would prolong it."""
    answer = reply(418, banned_until(NOW_MS + 300_000), date=DATE)
    our_now_ms = NOW_MS + our_error_ms

    error = failure(answer, our_now_ms)

    assert isinstance(error, Banned)
    assert error.retry_after_s == 300.0
    assert error.until_ms == our_now_ms + 300_000  # told in our own time, by which we wait


INVALID = b'{"code":-1121,"msg":"Invalid symbol."}'
NOT_VALID = b'{"code":-1130,"msg":"Data sent for parameter \'symbol\' is not valid."}'
INTERNAL = b'{"code":-1001,"msg":"Internal error; unable to process your request. Please try again."}'
MAINTENANCE = b'{"239999":"The system is under maintenance"}'


@pytest.mark.parametrize(
    ("answer", "verdict", "told"),
    [
        # What no retry will change: a blocked address, a country, a maintenance. Asking 343 times more is noise at
        # best, a ban at worst.
        (reply(403, HTML, content_type="text/html"), Refused, None),
        (reply(403, b""), Refused, None),
        (reply(451, LOCATION), Refused, None),
        (reply(451, HTML), Refused, None),
        (reply(400, b'{"code":-1016,"msg":"Service is under maintenance."}'), Refused, None),
        (reply(503, b'{"code":-1016,"msg":"This service is no longer available."}'), Refused, None),
        (reply(503, MAINTENANCE), Refused, None),
        (reply(400, MAINTENANCE), Refused, None),
        (reply(200, MAINTENANCE), Refused, None),
        (reply(503, b"<html>Scheduled maintenance</html>"), Refused, None),
        # What fails for good, with the exchange's code: -1121 and -4108 take one symbol out of the universe; they must
        # not stop, or be retried with, the others.
        (reply(400, INVALID), Rejected, -1121),
        (reply(400, DELIVERING), Rejected, -4108),
        (reply(400, MALFORMED), Rejected, -1102),
        (reply(400, NOT_VALID), Rejected, -1130),
        (reply(200, INVALID), Rejected, -1121),
        (reply(404, HTML), Rejected, 0),
        (reply(400, b""), Rejected, 0),
        (reply(302, b"", location="https://example.org/"), Rejected, 0),
        # Trouble on the other side, and whether it says when to return: the symbol is fine; dropping it for the
        # exchange's own stumble would empty the universe in a bad minute.
        (reply(503, b'{"code":-1000,"msg":"Unknown error, please check your request."}'), Transient, None),
        (reply(503, INTERNAL), Transient, None),
        (reply(503, b'{"code":-1008,"msg":"Request throttled by system-level protection."}'), Transient, None),
        (reply(503, b"Service Unavailable."), Transient, None),
        (reply(503, b"Service Unavailable.", retry_after="7"), Transient, 7.0),
        (reply(502, HTML), Transient, None),
        (reply(504, b""), Transient, None),
        (reply(500, INVALID), Transient, None),
        (reply(408, b'{"code":-1007,"msg":"Timeout waiting for response from backend server."}'), Transient, None),
        (reply(408, b""), Transient, None),
        (reply(400, INTERNAL), Transient, None),
        (reply(200, b'{"code":-1000,"msg":"An unknown error occurred."}'), Transient, None),
        # A good status over something else: captive portals and proxies answer 200 with a page.
        *((reply(200, body), WireError, "not_json") for body in (HTML, b"", b"   ", b"OK", b"\xff\xfe", b"NaN")),
        *((reply(200, body), None, None) for body in (OPEN_INTEREST, b"{}", b"[]", b' \n[{"symbol":"BTCUSDT"}]')),
    ],
    ids=lambda value: f"{value.status} {value.body[:30]!r}" if isinstance(value, Reply) else "",
)  # fmt: skip
def test_what_each_answer_means(answer: Reply, verdict: type[Exception] | None, told: object) -> None:
    error = failure(answer, NOW_MS)

    assert (None if error is None else type(error)) is verdict
    of_verdict = {Rejected: "code", Transient: "retry_after_s", WireError: "reason"}
    assert getattr(error, of_verdict.get(verdict, ""), None) == told  # type: ignore[arg-type]


def test_a_large_answer_is_not_searched_for_an_error() -> None:
    """exchangeInfo is 1.2 MB and may hold any word."""
    body = b'{"symbols":[' + b'{"msg":"maintenance"},' * 100 + b"{}]}"

    assert failure(reply(200, body), NOW_MS) is None


def test_a_failure_is_one_short_line() -> None:
    """It ends up in a log line and in a heartbeat."""
    error = failure(reply(403, HTML + b"\n<BR>" * 100_000), NOW_MS)

    assert "\n" not in str(error)
    assert len(str(error)) < 300


SHAPES = st.sampled_from(
    [TOO_MANY, HTML, LOCATION, OPEN_INTEREST, banned_until(NOW_MS), b"maintenance", b"[" * 100_000]
)
BODIES = (
    st.binary()
    | SHAPES
    | st.builds(lambda shape, cut: shape[:cut], SHAPES, st.integers(0, 200))
    | st.dictionaries(
        st.sampled_from(["code", "msg", "239999"]),
        st.none() | st.integers() | st.text() | st.floats() | st.lists(st.integers()),
    ).map(lambda fields: json.dumps(fields).encode())
)
HEADER_VALUES = st.text() | st.sampled_from(
    [
        "0",
        "9" * 5000,
        "-1",
        DATE,
        "Wed, 03 Dec 2025 00:00:00 +99999999999999",
        "Wed, 03 Dec 2025 00:00:00 -9999",
        "Wed, 03 Dec 2025 00:00:00",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 01 Jan 99999 00:00:00 GMT",
        "1e5",
        "١٢",
    ]
)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "date", "x-mbx-used-weight-1m", "content-type"]), HEADER_VALUES
).map(lambda pairs: httpx.Headers([(name.encode(), value.encode()) for name, value in pairs.items()]))


@given(st.sampled_from([200, 400, 403, 408, 418, 429, 451, 500, 503]) | st.integers(100, 999), HEADERS, BODIES)
def test_any_answer_gets_a_verdict(status: int, headers: httpx.Headers, body: bytes) -> None:
    """An answer that raises here ends the service, or worse, hides the 418 it was."""
    answer = Reply(status, headers, body)

    error = failure(answer, NOW_MS)

    if status == 418:
        assert isinstance(error, Banned)
    elif status == 429:
        assert type(error) is RateLimited
    elif status == 200:
        assert error is None or type(error) in {WireError, Transient, Rejected, Refused}
    else:
        assert type(error) in {Transient, Rejected, Refused}
    if isinstance(error, RateLimited):
        assert error.retry_after_s is not None
        assert 0 < error.retry_after_s <= 7 * DAY_S
    weight = used_weight(answer)
    assert weight is None or weight >= 0


@pytest.mark.parametrize(
    ("headers", "weight"),
    [
        ({"x_mbx_used_weight_1m": "1432"}, 1432),
        ({"X_MBX_USED_WEIGHT_1M": "0"}, 0),
        ({}, None),
        ({"x_mbx_used_weight_1m": "many"}, None),
    ],
)
def test_the_exchanges_own_count_is_read_from_the_header(headers: dict[str, str], weight: int | None) -> None:
    """It includes every other script on this address; a guess in its place would be 0, and a 429 would follow."""
    assert used_weight(reply(200, OPEN_INTEREST, **headers)) == weight
