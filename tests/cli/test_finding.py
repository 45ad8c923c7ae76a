"""How `oi doctor` prints what it found: names apart from what is said of them, long lines within their column."""

from __future__ import annotations

import pytest
from rich.console import Console

from cli.doctor.finding import Finding, shown
from cli.show import DEGRADED
from dev.env_example import service_names


@pytest.mark.parametrize("name", ["ban", *service_names()])
def test_a_name_never_runs_into_what_is_said_of_it(name: str) -> None:
    console = Console(width=60, force_terminal=False)
    with console.capture() as captured:
        console.print(shown(Finding(name, DEGRADED, "word " * 20, f"ws://{'long' * 20}", fix="mend " * 20)))
    first, *rest = captured.get().splitlines()

    assert "…" not in captured.get(), "an address that was cut cannot be looked up"
    assert first.startswith(f"▲ {name} ")
    assert {line.index(line.strip()) for line in rest} == {first.index("word")}
