"""How a request names symbols: any case, any script, however untidy the list."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.funding_api.answers import parse_symbols
from tests.builders import mark
from tests.funding_api.stored import answers, hashes

LISTED = [
    "BTCUSDT",
    "1000SHIBUSDT",
    "4USDT",
    "BTCUSDT_261225",
    "币安人生USDT",
    "我踏马来了USDT",
    "龙虾USDT",
    "牛来USDT",
]
ASKED = answers(hashes(mark(symbol) for symbol in LISTED))
blank = st.sampled_from(["", " ", "\t", "  "])


@st.composite
def cased(draw: st.DrawFn) -> tuple[str, str]:
    """A listed symbol, and one way to write it."""
    symbol = draw(st.sampled_from(LISTED))
    flips = draw(st.lists(st.booleans(), min_size=len(symbol), max_size=len(symbol)))
    return symbol, "".join(c.lower() if flip else c for c, flip in zip(symbol, flips, strict=True))


@given(cased())
def test_a_symbol_is_found_in_any_case(named: tuple[str, str]) -> None:
    symbol, written = named
    answer = ASKED.funding(written)
    assert (answer.status, answer.body.symbol) == (200, symbol)  # type: ignore[attr-defined]


@given(st.lists(st.tuples(cased(), blank, blank, st.sampled_from([",", ",,", ", ,"]))))
def test_a_list_gives_what_was_asked_in_its_order_whatever_stands_between(
    parts: list[tuple[tuple[str, str], str, str, str]],
) -> None:
    text = "".join(f"{before}{written}{after}{comma}" for (_, written), before, after, comma in parts)
    assert parse_symbols(text) == [symbol for (symbol, _), *_ in parts]


@given(st.text())
def test_no_text_breaks_the_list(text: str) -> None:
    """Each name is without blanks at its ends, not empty, and a name read again is itself."""
    names = parse_symbols(text)
    assert all(name and name == name.strip() and "," not in name for name in names)
    assert parse_symbols(",".join(names)) == [name.upper() for name in names]
    assert len(names) <= text.count(",") + 1


@given(st.lists(st.one_of(st.sampled_from(LISTED), st.text(st.characters(exclude_categories=["Cs"])))))
def test_the_books_of_a_batch_close(names: list[str]) -> None:
    """found + missing = total = what was asked for, and each object is about the symbol in its place."""
    answer = ASKED.funding_batch(names)
    body = msgspec.json.decode(msgspec.json.encode(answer.body))
    assert answer.status == 200
    assert body["found"] + body["missing"] == body["total"] == len(body["data"]) == len(names)
    assert body["found"] == sum(name in LISTED for name in names)
    assert [row["symbol"] for row in body["data"]] == names
    assert [("error" in row) for row in body["data"]] == [name not in LISTED for name in names]
