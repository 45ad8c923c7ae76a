"""What one service wrote another reads back exactly; what nobody here wrote is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.codec import decode_sweep, encode_sweep
from shared.errors import WireError
from shared.model import MarkPrice, Member, OpenInterest, QuoteVolume, Reading, Served, Sweep
from shared.store import CONTRACTS, MARK_TEXTS, MARKS, SERVED, UNIVERSE, VOLUMES, Stored
from tests.builders import NOW_MS, mark, reading, sweep, volume

few = settings(max_examples=40)  # of large documents; the pieces have their own tests
SYMBOL = "BTCUSDT"
YEAR_2100_MS = 4_102_444_800_000

symbols = st.text(min_size=1, max_size=20)
instants = st.integers(0, YEAR_2100_MS)
unsigned = st.builds(lambda n, places: Decimal(n).scaleb(-places), st.integers(0, 10**24 - 1), st.integers(0, 12))
above_zero = unsigned.filter(lambda value: value > 0)
signed = st.builds(lambda value, negative: -value if negative else value, unsigned, st.booleans())

marks = st.builds(MarkPrice, symbols, above_zero, st.none() | signed, st.none() | signed, instants, instants, instants)
volumes = st.builds(QuoteVolume, symbols, unsigned, instants)
contracts = st.builds(OpenInterest, symbols, unsigned, instants, instants)
readings = st.builds(Reading, contracts, st.none() | above_zero)
members = st.builds(Member, symbols, unsigned, instants, instants, instants)
served = st.builds(Served, st.none() | st.floats(allow_nan=False, allow_infinity=False), instants, st.text(max_size=9))
sweeps = st.builds(
    Sweep,
    st.text(max_size=40),
    instants,
    instants,
    st.lists(readings, max_size=6).map(lambda rows: {row.open_interest.symbol: row for row in rows}),
    st.dictionaries(symbols, st.text(max_size=40), max_size=6),
)

MEMBER = Member(SYMBOL, Decimal("5000000.10"), NOW_MS, NOW_MS + 1, 1_569_398_400_000)
HASHES: dict[str, tuple[Stored[Any], dict[str, Any]]] = {
    "stored_mark": (MARKS, json.loads(MARKS.encode(mark()))),
    "stored_volume": (VOLUMES, json.loads(VOLUMES.encode(volume()))),
    "stored_contracts": (CONTRACTS, json.loads(CONTRACTS.encode(reading()))),
    "stored_universe": (UNIVERSE, json.loads(UNIVERSE.encode(MEMBER))),
    "stored_served": (SERVED, json.loads(SERVED.encode(Served(1.5, NOW_MS, "verified")))),
}
MARK = HASHES["stored_mark"][1]
FIELDS = sorted({field for _, row in HASHES.values() for field in row})
every_hash = pytest.mark.parametrize("name", HASHES)


def refusal(decode: Callable[[], object]) -> str:
    """The reason it was refused for; empty where it was read. Any other error ends the test."""
    try:
        decode()
    except WireError as refused:
        return refused.reason
    return ""


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["1", "0", "-1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | st.text(), inner, max_size=6),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("facts", "stored"),
    [(marks, MARKS), (volumes, VOLUMES), (readings, CONTRACTS), (members, UNIVERSE), (served, SERVED)],
)
@few
@given(st.data())
def test_a_fact_survives_redis_unchanged(
    facts: st.SearchStrategy[Any], stored: Stored[Any], data: st.DataObject
) -> None:
    item = data.draw(facts)
    line = stored.encode(item)
    symbol = item.open_interest.symbol if isinstance(item, Reading) else getattr(item, "symbol", SYMBOL)

    assert stored.decode(symbol, line) == item
    assert stored.encode(stored.decode(symbol, line)) == line  # trailing zeros too, which == does not see
    assert b"\n" not in line


@few
@given(sweeps)
def test_a_sweep_survives_redis_unchanged(item: Sweep) -> None:
    """The poller's sweep is the publisher's outbox and the alerter's history: nothing may be lost on the way."""
    blob = encode_sweep(item)

    assert decode_sweep(blob) == item
    assert encode_sweep(decode_sweep(blob)) == blob


def test_the_stored_lines_are_the_documented_ones() -> None:
    """Other versions and people with redis-cli read these names; a renamed field is a broken neighbour."""
    assert json.loads(MARKS.encode(mark(funding_rate=None))) == {
        "mark": "93041.35202399",
        "index": "93010.00000000",
        "funding": None,
        "next": NOW_MS + 3_600_000,
        "t": NOW_MS,
        "at": NOW_MS,
    }
    assert HASHES["stored_volume"][1] == {"quote": "123456789.12", "t": NOW_MS}
    assert HASHES["stored_contracts"][1] == {
        "oi": "82345.123",
        "t": NOW_MS - 500,
        "at": NOW_MS,
        "mark": "93041.35202399",
    }
    assert HASHES["stored_universe"][1] == {
        "quoteVolume24h": "5000000.10",
        "enteredAt": "2025-12-03T00:00:00.000Z",
        "lastSeenAt": "2025-12-03T00:00:00.001Z",
        "onboardDate": 1_569_398_400_000,
    }
    assert HASHES["stored_served"][1] == {"usd": 1.5, "since": NOW_MS, "verdict": "verified"}


def test_a_packed_sweep_is_the_documented_one() -> None:
    item = sweep(reading("BTCUSDT"), reading("ETHUSDT", "10", price=None), failures={"ETHUSDT": "timeout"})

    assert msgpack.unpackb(encode_sweep(item)) == {
        "v": 1,
        "id": item.sweep_id,
        "start": NOW_MS - 900,
        "end": NOW_MS,
        "oi": {
            "BTCUSDT": ["82345.123", NOW_MS - 500, NOW_MS, "93041.35202399"],
            "ETHUSDT": ["10", NOW_MS - 500, NOW_MS, None],
        },
        "failed": {"ETHUSDT": "timeout"},
    }


@few
@given(marks)
def test_a_mark_that_is_only_passed_on_keeps_its_text(item: MarkPrice) -> None:
    """ws_daemon recalls its own rows so; it must take what the others take, and write it back as it was."""
    line = MARKS.encode(item)

    assert MARK_TEXTS.encode(MARK_TEXTS.decode(item.symbol, line)) == line


@every_hash
def test_a_field_of_tomorrow_is_ignored(name: str) -> None:
    """A newer writer beside an older reader is an ordinary upgrade."""
    stored, row = HASHES[name]
    tomorrow = {**row, "tomorrow": [1, {"x": None}]}

    assert stored.decode(SYMBOL, json.dumps(tomorrow).encode()) == stored.decode(SYMBOL, json.dumps(row).encode())


@every_hash
@few
@given(data=st.data())
def test_any_stored_bytes_are_finite_numbers_or_refused_by_name(name: str, data: st.DataObject) -> None:
    """An exception of any other kind would end the process for one bad row; and nearly right is the dangerous kind."""
    stored, row = HASHES[name]
    spoilt = st.builds(lambda field, value: {**row, field: value}, st.sampled_from(sorted(row)), values)
    blob = data.draw(st.binary() | (spoilt | values).map(lambda value: json.dumps(value).encode()))
    try:
        item = stored.decode(SYMBOL, blob)
    except WireError as refused:
        assert refused.reason == name  # noqa: PT017 - either ending is right, each has its own condition
        return
    flat = [item.open_interest.open_interest, item.mark_price] if isinstance(item, Reading) else _facts(item)
    assert all(fact.is_finite() for fact in flat if isinstance(fact, Decimal))


def _facts(item: Any) -> list[Any]:
    return [getattr(item, name) for name in item.__struct_fields__]


packed_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["v", "id", "start", "end", "oi", "failed"]) | st.text(), inner, max_size=6)
    ),
    max_leaves=12,
)


SWEEP = msgpack.unpackb(encode_sweep(sweep(reading(), failures={"ETHUSDT": "timeout"})))
spoilt_sweeps = st.builds(lambda part, value: {**SWEEP, part: value}, st.sampled_from(sorted(SWEEP)), packed_values)


@given(st.binary() | packed_values.map(msgpack.packb) | spoilt_sweeps.map(msgpack.packb))
def test_any_blob_in_the_stream_is_a_sweep_or_refused_by_name(blob: bytes) -> None:
    """A blob that raises anything else would be read, and would kill its reader, again after every restart."""
    try:
        item = decode_sweep(blob)
    except WireError as refused:
        assert refused.reason == "stored_sweep"  # noqa: PT017 - either ending is right, each has its own condition
        return
    assert all(row.open_interest.open_interest >= 0 for row in item.readings.values())


def test_a_sweep_cut_short_is_refused() -> None:
    blob = encode_sweep(sweep(reading(), reading("ETHUSDT"), failures={"SOLUSDT": "timeout"}))

    assert {refusal(partial(decode_sweep, blob[:cut])) for cut in range(len(blob))} == {"stored_sweep"}


def test_a_sweep_of_another_version_is_refused() -> None:
    """Guessing at another version's meaning is how a price change becomes a price."""
    with pytest.raises(WireError, match="version 2, not 1"):
        decode_sweep(msgpack.packb({**SWEEP, "v": 2}))


def test_what_is_nested_without_end_is_refused() -> None:
    """It ends in the interpreter's recursion limit, which is no ValueError."""
    nested = json.dumps(MARK)[:-1] + ',"x":' + "[" * 100_000

    assert refusal(lambda: MARKS.decode(SYMBOL, nested.encode())) == "stored_mark"
    assert refusal(lambda: decode_sweep(b"\x81\xa1v" + b"\x91" * 100_000)) == "stored_sweep"


@pytest.mark.parametrize("stored", [MARKS, MARK_TEXTS])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("mark", bad) for bad in ("0", "0.00000000", "-54.1500", "NaN", "1e5", 93041.35, None)),
        ("index", "Infinity"),
        ("index", "1e5"),
        ("funding", "x"),
        *(("t", bad) for bad in ("1764720000000", 1.5, -1)),
        ("at", None),
    ],
)
def test_a_mark_that_could_be_published_wrongly_is_refused(stored: Stored[Any], field: str, value: object) -> None:
    """Zero, negative, NaN: each has stood on a dashboard. One that is only passed on is checked all the same."""
    with pytest.raises(WireError, match="stored_mark: oi:mark BTCUSDT: "):
        stored.decode(SYMBOL, json.dumps({**MARK, field: value}).encode())


def test_an_empty_rate_is_not_taken_for_none() -> None:
    with pytest.raises(WireError, match="stored_mark"):
        MARKS.decode(SYMBOL, json.dumps({**MARK, "funding": ""}).encode())


@pytest.mark.parametrize(("name", "field"), [(name, field) for name in HASHES for field in HASHES[name][1]])
def test_a_row_that_lacks_a_field_is_refused(name: str, field: str) -> None:
    stored, row = HASHES[name]

    with pytest.raises(WireError, match=field):
        stored.decode(SYMBOL, json.dumps({other: value for other, value in row.items() if other != field}).encode())


@pytest.mark.parametrize(("column", "value"), [(0, "NaN"), (0, "-1"), (3, "-5"), (1, NOW_MS * 1000), (2, -1)], ids=str)
def test_one_number_gone_wrong_costs_only_its_symbol(column: int, value: object) -> None:
    """None of hundreds may wait for the one that cannot be read, or that tells of another century."""
    document = msgpack.unpackb(encode_sweep(sweep(reading("BTCUSDT"), reading("ETHUSDT"))))
    document["oi"]["ETHUSDT"][column] = value

    item = decode_sweep(msgpack.packb(document))

    assert item.readings.keys() == {"BTCUSDT"}
    assert item.failures == {"ETHUSDT": "unreadable"}
    assert item.universe() == {"BTCUSDT", "ETHUSDT"}


@every_hash
@pytest.mark.parametrize("ms", [-1, NOW_MS * 1000, 10**30])
def test_an_instant_out_of_this_century_is_refused(name: str, ms: int) -> None:
    """A row from the future would be fresh for ever."""
    stored, row = HASHES[name]
    field = {"stored_universe": "onboardDate", "stored_served": "since"}.get(name, "t")

    with pytest.raises(WireError, match=field):
        stored.decode(SYMBOL, json.dumps({**row, field: ms}).encode())


def test_a_reading_that_cannot_be_packed_costs_only_itself() -> None:
    """It ended the poller, at every start: 341 good symbols for one bad one."""
    bad = Reading(OpenInterest("ETHUSDT", Decimal(1), 10**30, NOW_MS), None)

    item = decode_sweep(encode_sweep(sweep(reading("BTCUSDT"), bad, failures={"SOLUSDT": "timeout"})))

    assert item.readings == {"BTCUSDT": reading("BTCUSDT")}
    assert item.failures == {"ETHUSDT": "unreadable", "SOLUSDT": "timeout"}
