"""The table must not flatter: what was not measured is not met, and a floor is no peer."""

from __future__ import annotations

import json

from bench import document, table
from bench.results import FLOOR, NotThereError, Results
from bench.rows import BY_KEY, ROWS


def some() -> Results:
    results = Results()
    results.ours("sweep_cpu", 0.1)
    results.theirs("sweep_cpu", "ccxt", 0.3)
    results.theirs("sweep_cpu", "tardis-dev", 0.25)
    results.theirs("sweep_cpu", FLOOR, 0.05)
    results.ours("sweep_wall", 0.41)
    with results.of("cryptofeed", "sweep_cpu"):
        raise NotThereError("it cannot be pointed anywhere")
    return results


def test_the_ratio_is_to_the_best_peer_and_the_floor_is_none() -> None:
    assert some().ratio(BY_KEY["sweep_cpu"]) == 2.5
    assert some().ratio(BY_KEY["sweep_wall"]) is None


def test_a_row_without_a_figure_is_not_met() -> None:
    results = some()
    assert results.met(BY_KEY["sweep_cpu"]) is True
    assert results.met(BY_KEY["sweep_wall"]) is False
    assert results.met(BY_KEY["mark_age"]) is None


def test_none_refused_is_met() -> None:
    results = Results()
    results.ours("refused", 0)
    assert results.met(BY_KEY["refused"]) is True
    assert "| 0 " in table.markdown(results)


def test_the_table_names_misses_and_what_was_not_measured() -> None:
    text = table.markdown(some())
    assert "**no**" in text
    assert len({len(line) for line in text.splitlines()}) == 1
    assert "cryptofeed: CPU of one sweep" in table.remarks(some())


def test_the_document_has_every_row() -> None:
    machine = {"date": "2026-01-01"}
    rows = json.loads(table.as_json(machine, some(), 12.34))["rows"]
    assert [row["key"] for row in rows] == [row.key for row in ROWS]
    assert rows[0]["figures"]["ours"] == 0.1


def test_the_page_keeps_what_stands_around_the_table() -> None:
    page = f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n"
    once = document.replaced(page, "new")
    assert once == f"before\n{document.BEGIN}\n\nnew\n\n{document.END}\nafter\n"
    assert document.replaced(once, "new") == once


def test_the_performance_page_has_its_marks() -> None:
    """Else `python -m bench --markdown` ends after five minutes with nothing."""
    assert document.replaced(document.PAGE.read_text(), "x")
