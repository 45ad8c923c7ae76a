"""Who may import whom: services meet only in Redis."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def imported(source: str, package: str) -> set[str]:
    """Dotted names of every module that a source text of ``package`` may load, relative ones made absolute."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return names


@cache
def modules(folder: str) -> dict[str, set[str]]:
    """Path of each module under ``folder`` -> what it imports."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        relative = path.relative_to(ROOT)
        found[str(relative)] = imported(path.read_text(encoding="utf-8"), ".".join(relative.parent.parts))
    return found


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_the_walker_sees_every_form_of_import() -> None:
    """A rule that is checked by a blind eye is kept by accident."""
    source = """
import services.a.one as one, services.b
from services import c
from ..d import two
from .three import x
def late():
    from services.e.four import y
"""
    seen = imported(source, "services.a")

    assert {"services.a.one", "services.b", "services.c", "services.d.two", "services.a.three"} <= seen
    assert "services.e.four" in seen
    assert "shared.runner" in modules("services")["services/ws_daemon/__main__.py"]


def test_no_service_imports_another() -> None:
    """Each must start, crash and be replaced alone; an import would tie their lives and their versions together."""
    trespasses = [
        f"{path} imports {name}"
        for path, names in modules("services").items()
        for name in sorted(names)
        if within(name, "services") and not within(name, ".".join(Path(path).parts[:2])) and name != "services"
    ]

    assert trespasses == []


@pytest.mark.parametrize(
    ("folder", "strangers"),
    [
        # What two services agree on knows neither of them; stand-ins and tests never reach production.
        ("shared", ("services", "cli", "dev", "tests")),
        ("services", ("cli", "dev", "tests")),
    ],
)
def test_what_runs_in_production_imports_nothing_above_it(folder: str, strangers: tuple[str, ...]) -> None:
    trespasses = [
        f"{path} imports {name}"
        for path, names in modules(folder).items()
        for name in sorted(names)
        if any(within(name, package) for package in strangers)
    ]

    assert trespasses == []
