"""Which module may know which: services meet in Redis alone, and no arrow runs back."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("services", "shared", "cli", "dev", "bench", "tests")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for folder in ("services", "shared", "cli") for path in (ROOT / folder).rglob("*.py")}


def imported(source: str) -> set[str]:
    """What of this repository a text imports, anywhere in it. A relative import, which none needs, is refused."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.module
            assert not node.level
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (whole & MODULES.keys()) or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.partition(".")[0] in FOLDERS}


GRAPH = {name: imported(path.read_text()) for name, path in MODULES.items()}


def house(module: str) -> str:
    """``services.publisher``, ``shared`` or ``cli``."""
    return ".".join(module.split(".")[: 2 if module.startswith("services.") else 1])


def test_every_form_of_import_is_seen() -> None:
    """A rule that is checked by a blind eye is kept by accident."""
    source = """
import cli.status as one, dev.demo, json
from shared import clock
def late():
    from services.publisher.join import join
"""
    assert imported(source) == {"cli.status", "dev.demo", "shared.clock", "services.publisher.join"}


def test_no_module_imports_what_imports_it() -> None:
    """A cycle raises, and names its modules."""
    assert set(TopologicalSorter(GRAPH).static_order()) == MODULES.keys()


def test_services_know_shared_alone_and_shared_knows_nobody() -> None:
    """Each must start, crash and be replaced alone; and no stand-in or test reaches production."""
    strangers = {
        (name, other)
        for name, others in GRAPH.items()
        for other in others
        if house(other) not in {house(name), "shared"}
    }
    assert not strangers
