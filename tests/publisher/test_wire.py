"""What goes to the backend, and what its answers mean."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from functools import partial

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.publisher import wire
from services.publisher.join import Record
from services.publisher.wire import InDoubt, Snapshot, TooLarge
from shared.errors import RateLimited, Refused, Rejected, WireError
from shared.model import Member, backend_key
from shared.reply import Reply
from tests.builders import NOW_MS, reply
from tests.strategies import JSON

HTML = b"<html><body>502 Bad Gateway</body></html>"


def test_a_batch_has_the_fields_of_the_contract_and_numbers_not_strings() -> None:
    rows = [Record("BTCUSDT", 82345.123, 7661501742.1, 93041.35202399, 0.0001), Record("AUSDT", 1.0, 2.0, 2.0, None)]

    body = json.loads(wire.encode_batch(rows, 1_764_738_600_123, 343))

    assert body == {
        "data": [
            {
                "symbol": "BTCUSDT",
                "openInterest": 82345.123,
                "openInterestUsd": 7661501742.1,
                "markPrice": 93041.35202399,
                "fundingRate": 0.0001,
            },
            {"symbol": "AUSDT", "openInterest": 1.0, "openInterestUsd": 2.0, "markPrice": 2.0},
        ],
        "timestamp": "2025-12-03T05:10:00.123Z",
        "totalSymbols": 343,
        "source": "realtime",
    }


def test_the_universe_has_the_fields_of_the_contract() -> None:
    member = Member("BTCUSDT", Decimal("123456789.12"), 1_764_738_600_000, 1_764_738_660_000, 0)

    body = json.loads(wire.encode_universe([member], 1_764_738_660_000))

    assert body == {
        "symbols": [
            {
                "symbol": "BTCUSDT",
                "quoteVolume24h": 123456789.12,
                "enteredAt": "2025-12-03T05:10:00.000Z",
                "lastSeenAt": "2025-12-03T05:11:00.000Z",
            }
        ],
        "updatedAt": "2025-12-03T05:11:00.000Z",
    }


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (reply(200), None),
        (reply(200, HTML), InDoubt),
        (reply(200, b""), InDoubt),
        (reply(307, b"", location="https://elsewhere.example"), Refused),
        (reply(400), Rejected),
        (reply(400, HTML), Refused),  # not the backend's own word: a proxy's, about every request
        (reply(401), Refused),
        (reply(402), Refused),  # a hosting platform: the bill is not paid
        (reply(403, HTML), Refused),
        (reply(404), Refused),
        (reply(408), InDoubt),
        (reply(410), Refused),
        (reply(413, HTML), TooLarge),
        (reply(422), Rejected),
        (reply(429), RateLimited),
        (reply(500), InDoubt),
        (reply(502, HTML), InDoubt),
        (reply(504, HTML), InDoubt),
    ],
)
def test_what_each_answer_means(answer: Reply, meaning: type[Exception] | None) -> None:
    error = wire.failure(answer, NOW_MS)

    assert (None if error is None else type(error)) == meaning


@pytest.mark.parametrize(("header", "wait_s"), [("7", 7.0), ("0", 0.1), ("999999", 3600.0), ("soon", 5.0), (None, 5.0)])
def test_retry_after_is_obeyed_within_reason(header: str | None, wait_s: float) -> None:
    error = wire.failure(reply(429, **({"retry_after": header} if header else {})), NOW_MS)

    assert isinstance(error, RateLimited)
    assert error.retry_after_s == wait_s


def test_a_long_body_is_cut_in_the_error() -> None:
    """A proxy's page must not flood the journal."""
    assert len(str(wire.failure(reply(500, b"x" * 100_000), NOW_MS))) < 200


@pytest.mark.parametrize(
    ("data", "as_of", "read"),
    [
        ('{"BTCUSDT": 7661501742.1, "eth-usdt": 5}', "17", Snapshot({"BTCUSDT": 7661501742.1, "ETHUSDT": 5.0}, 17)),
        ('{"A": "7661501742.10"}', '"17"', Snapshot({"A": 7661501742.1}, 17)),  # so a decimal column leaves many APIs
        (
            '{"A": 1.5, "B": null, "C": "seven", "D": true, "E": [1], "F": "NaN"}',
            "null",
            Snapshot({"A": 1.5}, None, frozenset("BCDEF")),
        ),
    ],
    ids=["the backend's spelling", "numbers in quotes", "what is no number costs only its symbol"],
)
def test_what_is_served_is_read(data: str, as_of: str, read: Snapshot) -> None:
    assert wire.decode_snapshot(f'{{"data": {data}, "stale": false, "asOf": {as_of}}}'.encode()) == read


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", HTML, b'{"data": []}', b'{"data": {"A": 1', b'{"data": {"A": NaN}}', b"[" * 5000, b"\xff"],
)
def test_a_body_that_cannot_be_trusted_is_one_error(body: bytes) -> None:
    with pytest.raises(WireError):
        wire.decode_snapshot(body)


def test_what_its_database_took_is_read() -> None:
    assert wire.decode_accepted(b'{"success": true, "inserted": 3}', 200) == (3, 0, "", 200)
    newer = b'{"success": false, "inserted": 2, "cached": 3, "errors": ["bad A"]}'
    assert wire.decode_accepted(newer, 201) == (2, 1, "bad A", 201)
    assert wire.decode_accepted(b'{"success": false}', 200).stored == 0
    assert wire.decode_accepted(b"{}", 200).stored is None


def test_all_errors_are_counted_and_a_few_are_kept() -> None:
    accepted = wire.decode_accepted(json.dumps({"inserted": 0, "errors": ["x" * 1000] * 900}).encode(), 200)

    assert accepted.refused == 900
    assert len(accepted.errors) < 5 * 203


def test_the_cause_that_its_database_tells_is_kept() -> None:
    """The call comes first, in lines of its own and at times with the lines of code around it; the cause comes last."""
    call = "Failed to insert BTCUSDT: \nInvalid `prisma.openInterestSnapshot.create()` invocation:\n\n\n"
    code = "  51 const symbol = normalize(item.symbol)\n" * 8
    cause = "Can't reach database server at `db:5432`\n\nPlease make sure your database server is running at `db:5432`."

    for text in (call + cause, call + code + cause, cause):
        told = wire.decode_accepted(json.dumps({"success": False, "errors": [text]}).encode(), 200).errors
        assert "Can't reach database server at `db:5432` Please" in told
        assert len(told) <= 200


@pytest.mark.parametrize(
    ("status", "body", "headers", "keyed", "words"),
    [
        (403, HTML, {"cf_mitigated": "challenge"}, False, "the public GET is stopped by a bot wall"),
        (403, HTML, {}, False, "the public GET is stopped by its edge"),
        (403, HTML, {}, True, "a POST with the key is stopped by its edge"),
        (401, b'{"error":"Unauthorized"}', {}, True, "BACKEND_API_KEY"),
        (401, b'{"error":"Unauthorized"}', {}, False, "without a user's session"),
        (302, b"", {}, False, "BACKEND_URL"),
        (405, b"{}", {}, True, "BACKEND_URL"),
        (410, b"{}", {}, True, "its host or a proxy"),
    ],
)
def test_a_refusal_blames_what_refused(
    status: int, body: bytes, headers: dict[str, str], keyed: bool, words: str
) -> None:
    """A GET carries no key: that one is stopped says nothing of the key."""
    error = wire.failure(reply(status, body, **headers), NOW_MS, keyed=keyed)

    assert isinstance(error, Refused)
    assert words in str(error)


BODIES = (
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries({"data": JSON, "asOf": JSON, "symbols": JSON, "alerts": JSON, "errors": JSON}).map(
        lambda value: json.dumps(value).encode()
    )
)


@given(BODIES)
def test_any_body_becomes_facts_or_one_error(body: bytes) -> None:
    accepted = partial(wire.decode_accepted, status=200)
    for decode in (wire.decode_snapshot, accepted, wire.decode_universe, wire.decode_alerts):
        said = ""
        try:
            decode(body)
        except WireError as e:
            said = str(e)
        assert len(said) < 400


@given(st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)), st.none() | st.integers(0, 2**53))
def test_what_was_served_comes_back_whole(data: dict[str, float], as_of: int | None) -> None:
    snapshot = wire.decode_snapshot(json.dumps({"data": data, "asOf": as_of}).encode())

    assert snapshot.as_of_ms == as_of
    assert snapshot.values.keys() == {backend_key(symbol) for symbol in data}
    assert all(math.isfinite(value) for value in snapshot.values.values())


@given(st.integers(100, 599), st.binary(max_size=300), st.text(max_size=20))
def test_any_answer_has_a_meaning(status: int, body: bytes, retry_after: str) -> None:
    headers = httpx.Headers([(b"retry-after", retry_after.encode())])

    error = wire.failure(Reply(status, headers, body), NOW_MS)

    assert error is None or len(str(error)) < 400
    if isinstance(error, RateLimited):
        assert 0 < (error.retry_after_s or 0) <= 3600
