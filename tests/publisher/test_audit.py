"""The verdict: served against sent, symbol by symbol."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.publisher.attempt import Attempt
from services.publisher.audit import Proof, as_of_right, audit, merged, served_rows, was_taken
from services.publisher.join import SKEW_MS
from services.publisher.ledger import Ledger
from services.publisher.wire import Snapshot
from shared.model import Served
from tests.builders import NOW_MS

BEFORE_MS = NOW_MS - 10_000


def attempt(values: dict[str, float], *others: str, before_ms: int | None = BEFORE_MS) -> Attempt:
    """``others``: the rest of the universe, left out this time."""
    left_out = dict.fromkeys(others, "stale_mark")
    return Attempt("1-0", "s", NOW_MS, NOW_MS + 50, 1.0, before_ms, values, [], left_out, [])  # type: ignore[arg-type]


def judged(
    values: dict[str, float], served: dict[str, float], *, ours: Ledger | None = None, as_of_ms: int | None = NOW_MS
) -> Proof:
    ledger = ours or Ledger()
    ledger.add_sent(values)
    return audit(attempt(values), Snapshot(served, as_of_ms), ledger, NOW_MS + 100)


@pytest.mark.parametrize(
    ("sent", "served", "earlier", "verdict", "right", "word", "symbols"),
    [
        ({"A": 100.0, "B": 2e9}, {"A": 100.0, "B": 2e9 * (1 + 5e-10)}, {}, "VERIFIED", 2, "missing", ""),
        # The incident: 43 of 343 were served, and every line said success.
        ({"A": 1.0, "B": 2.0}, {"B": 2.0}, {}, "PARTIAL", 1, "missing", "A"),
        ({"A": 1.0, "B": 2.0}, {"A": 1.0 + 1e-8, "B": 2.0}, {}, "FOREIGN", 1, "foreign", "A"),
        # A lost POST leaves our last value standing: no other writer is to blame.
        ({"A": 1.0}, {"A": 0.5}, {"A": 0.5}, "PARTIAL", 0, "outdated", "A"),
        ({"A": 1.0}, {"A": 1.0, "G": 2.0}, {"G": 2.0}, "VERIFIED", 1, "ghosts", "G"),
        ({}, {}, {}, "PARTIAL", 0, "missing", ""),
    ],
)
def test_the_verdict_on_what_is_served(
    sent: dict[str, float],
    served: dict[str, float],
    earlier: dict[str, float],
    verdict: str,
    right: int,
    word: str,
    symbols: str,
) -> None:
    ledger = Ledger()
    ledger.add_sent(earlier)

    result = judged(sent, served, ours=ledger)

    assert (result.verdict, result.right, getattr(result, word)) == (verdict, right, set(symbols))


@pytest.mark.parametrize(
    ("as_of_ms", "right"),
    [
        (NOW_MS, True),
        (NOW_MS + 60, True),  # a backend that stamps the arrival
        (BEFORE_MS, False),  # it stands still
        (None, False),
        (NOW_MS - 60_000, False),
        (NOW_MS + 60_000, False),
        (NOW_MS + 100 + SKEW_MS, True),
        (NOW_MS + 101 + SKEW_MS, False),
        (NOW_MS + 50 - SKEW_MS, True),
        (NOW_MS + 49 - SKEW_MS, False),
    ],
)
def test_as_of_is_the_batches_own(as_of_ms: int | None, right: bool) -> None:
    assert as_of_right(attempt({"A": 1.0}), as_of_ms, NOW_MS + 100) is right
    assert judged({"A": 1.0}, {"A": 1.0}, as_of_ms=as_of_ms).verdict == ("VERIFIED" if right else "PARTIAL")


@pytest.mark.parametrize(
    ("late_s", "before_ms", "as_of_ms", "right"),
    [
        # A backend that cuts to whole seconds; its own timestamp is right however late the batch goes out.
        (0, None, NOW_MS, True),
        (89, None, NOW_MS + 777, True),
        (89, None, NOW_MS, True),
        (89, None, NOW_MS + 776, False),
        (89, None, NOW_MS + 1000, False),
        # Two batches within one second, and an asOf that stands still on the second of both.
        (0, NOW_MS, NOW_MS, False),
    ],
)
def test_an_as_of_cut_to_the_second(late_s: int, before_ms: int | None, as_of_ms: int, right: bool) -> None:
    posted_ms = NOW_MS + 900 + late_s * 1000
    batch = Attempt("1-0", "s", NOW_MS + 777, posted_ms, 1.0, before_ms, {"A": 1.0}, [], {}, [])

    assert as_of_right(batch, as_of_ms, posted_ms + 100) is right


def test_an_attempt_of_unknown_outcome_is_found_by_its_rows_and_its_as_of() -> None:
    values = {f"S{n}": float(n) for n in range(20)}
    half = {key: usd for key, usd in values.items() if usd < 10}

    assert was_taken(attempt(values), Snapshot(values, NOW_MS), NOW_MS + 100)
    assert was_taken(attempt(values), Snapshot({**values, "S0": 9.5, "S1": 9.5}, NOW_MS), NOW_MS + 100)
    assert not was_taken(attempt(values), Snapshot(values, BEFORE_MS), NOW_MS + 100)
    assert not was_taken(attempt(values), Snapshot(half, NOW_MS), NOW_MS + 100)  # one piece of two
    assert not was_taken(attempt(values), Snapshot({}, None), NOW_MS + 100)


def test_what_stays_served_though_it_was_not_sent_tells_of_merging() -> None:
    one = attempt({"A": 1.0})

    assert merged(one, Snapshot({"A": 1.0, "B": 2.0}, NOW_MS), {"A", "B"}) is True
    assert merged(one, Snapshot({"A": 1.0}, NOW_MS), {"A", "B"}) is False
    assert merged(one, Snapshot({"A": 1.0}, NOW_MS), {"A"}) is None
    assert merged(one, Snapshot({"A": 1.0, "B": 2.0}, NOW_MS), {"B", "C"}) is None


def test_pieces_into_a_replacing_cache_are_recognised() -> None:
    pieces = [{"A", "B"}, {"C", "D"}, {"E"}]
    values = dict.fromkeys("ABCDE", 1.0)

    assert judged(values, {"E": 1.0}).is_replaced(pieces)
    assert not judged(values, values).is_replaced(pieces)
    assert not judged(values, {}).is_replaced(pieces)
    assert not judged(values, {"A": 1.0, "E": 1.0}).is_replaced(pieces)
    assert not judged(values, {"E": 1.0}).is_replaced([set(values)])
    assert judged({"A": 1.0, "B": 1.0}, {"B": 1.0}).is_replaced([{"A"}, {"B"}])


def test_served_rows_say_since_when_a_value_stands() -> None:
    """A frozen value shows by its age in oi:served, whatever the global asOf says."""
    ledger = Ledger()
    values = {"A": 1.0, "B": 2.0}
    ledger.add_sent(values)
    for moment in (NOW_MS, NOW_MS + 5000):
        snapshot = Snapshot({"A": 1.0, "X": 5.0}, NOW_MS)
        result = audit(attempt(values), snapshot, ledger, moment)
        ledger.see(snapshot.values, result.foreign, values.keys(), moment)

    assert served_rows(result, ledger, NOW_MS + 5000) == {
        "A": Served(1.0, NOW_MS, "verified"),
        "B": Served(None, NOW_MS + 5000, "missing"),
        "X": Served(5.0, NOW_MS, "foreign"),
    }


KEYS = st.sampled_from("ABCDEF")
USD = st.sampled_from([1.0, 1.0 + 1e-12, 2.0, 3.0, 1e12])


@given(st.dictionaries(KEYS, USD), st.dictionaries(KEYS, USD), st.dictionaries(KEYS, USD), st.sets(KEYS))
def test_the_audit_agrees_with_an_obvious_reference(
    values: dict[str, float], earlier: dict[str, float], served: dict[str, float], others: set[str]
) -> None:
    ledger = Ledger()
    ledger.add_sent(earlier)
    ledger.add_sent(values)
    universe = values.keys() | others

    result = audit(attempt(values, *others - values.keys()), Snapshot(served, NOW_MS), ledger, NOW_MS)

    def close(a: float, b: float | None) -> bool:
        return b is not None and abs(a - b) <= 1e-9 * max(abs(a), abs(b))

    right = [k for k in values if close(values[k], served.get(k))]
    foreign = {k for k, v in served.items() if not close(v, values.get(k)) and not close(v, earlier.get(k))}
    assert result.right == len(right)
    assert result.missing == values.keys() - served.keys()
    assert result.foreign == foreign
    assert result.ghosts == served.keys() - universe - foreign
    assert (result.verdict == "VERIFIED") == (bool(values) and len(right) == len(values) and not foreign)
    assert result.right + len(result.missing) + len(result.outdated) + len(foreign & values.keys()) == len(values)


@pytest.mark.parametrize(
    ("served", "unreadable", "unserved"),
    [
        ({}, frozenset(), True),
        ({"A": 1.0}, frozenset(), True),
        ({"A": 1.0, "B": 1.0}, frozenset(), False),  # half of it
        ({"A": 1.0}, frozenset("B"), False),  # what cannot be read may be right
        ({"C": 9.0}, frozenset(), False),  # another writer: posting again would be a quarrel
    ],
)
def test_a_batch_of_which_less_than_half_is_served_is_unserved(
    served: dict[str, float], unreadable: frozenset[str], unserved: bool
) -> None:
    values = dict.fromkeys("ABCD", 1.0)
    snapshot = Snapshot(served, NOW_MS, unreadable)
    ledger = Ledger()
    ledger.add_sent(values)
    result = audit(attempt(values), snapshot, ledger, NOW_MS + 100)

    assert result.is_unserved is unserved
    assert not result._replace(snapshot=None).is_unserved


def test_served_and_not_stored_is_told_from_not_said() -> None:
    result = judged({"A": 1.0}, {"A": 1.0})

    assert [result._replace(stored=stored).is_unstored for stored in (0, 1, None)] == [True, False, False]
    assert not judged({}, {})._replace(stored=0).is_unstored


def test_each_symbol_served_has_the_word_of_its_audit() -> None:
    ledger = Ledger()
    ledger.add_sent({"OLD": 1.0, "GHOST": 3.0, "KEPT": 4.0})
    values = {"GOOD": 1.0, "OLD": 2.0, "ODD": 5.0, "LOST": 6.0}
    ledger.add_sent(values)
    one = attempt(values, "KEPT")
    snapshot = Snapshot({"GOOD": 1.0, "OLD": 1.0, "GHOST": 3.0, "KEPT": 4.0, "X": 7.0}, NOW_MS, frozenset({"ODD"}))
    proof = audit(one, snapshot, ledger, NOW_MS + 100)
    rows = served_rows(proof, ledger, NOW_MS)

    assert rows is not None
    assert list(rows) == sorted(rows)
    assert {key: row.verdict for key, row in rows.items()} == {
        "GOOD": "verified",
        "OLD": "outdated",
        "ODD": "unreadable",
        "LOST": "missing",
        "GHOST": "ghost",
        "KEPT": "kept",
        "X": "foreign",
    }
    assert (proof.verdict, proof.right) == ("FOREIGN", 1)
    assert proof.why == (
        "1 served with values nobody here sent (X); 1 not served (LOST); 1 still served with an earlier value (OLD); "
        "1 served in a form that cannot be read (ODD)"
    )


def test_what_is_not_as_it_should_be_is_said_in_words() -> None:
    assert judged({"A": 1.0}, {"A": 1.0}).why == ""
    assert judged({}, {}, as_of_ms=BEFORE_MS).why == "asOf is not this batch's; nothing was fit to be sent"


def test_fewer_than_were_fit_is_never_verified() -> None:
    """A backend that replaces its cache and takes small batches only: the largest are served, and nobody is told that
    all is well.
    """
    one = msgspec.structs.replace(attempt({"A": 1.0}), unsent=["B", "C"])

    proof = audit(one, Snapshot({"A": 1.0}, NOW_MS), Ledger(), NOW_MS + 100)

    assert (proof.verdict, proof.is_whole) == ("PARTIAL", True)
    assert "takes no more than 1 rows a POST: of 3 the 1 largest" in proof.why
