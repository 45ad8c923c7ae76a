"""Which module may know which: services meet in Redis alone, and no arrow runs back."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for folder in ("services", "shared", "cli") for path in (ROOT / folder).rglob("*.py")}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (whole & MODULES.keys()) or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys()


GRAPH = {name: imported(path) for name, path in MODULES.items()}


def house(module: str) -> str:
    """``services.publisher``, ``shared`` or ``cli``."""
    return ".".join(module.split(".")[: 2 if module.startswith("services.") else 1])


def test_no_module_imports_what_imports_it() -> None:
    """A cycle raises, and names its modules."""
    assert set(TopologicalSorter(GRAPH).static_order()) == MODULES.keys()


def test_services_know_shared_alone_and_shared_knows_nobody() -> None:
    strangers = {
        (name, other)
        for name, others in GRAPH.items()
        for other in others
        if house(other) not in {house(name), "shared"}
    }
    assert not strangers
