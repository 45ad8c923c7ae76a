"""One word, one meaning: the names in the code keep to the table in CONTRIBUTING.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| ([a-z, ]+) \| (.+?) \| ([a-z, ]*) ?\|$", re.MULTILINE)


def banned() -> set[str]:
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## Words")[2].partition("\n## ")[0]
    return {word.strip() for row in ROW.findall(section) for word in row[2].split(",") if word.strip()} - {"not"}


def named(path: Path) -> Iterator[str]:
    """Words of every name that a module binds: functions, classes, arguments, variables, fields."""
    for node in ast.walk(ast.parse(path.read_text())):
        for kind in ("name", "id", "arg", "attr"):
            name = getattr(node, kind, None)
            if isinstance(name, str):
                yield from (word.lower() for word in re.findall(r"[a-z]+|[A-Z][a-z]*", name))


def test_no_name_says_it_in_another_word() -> None:
    assert {"pair", "zombie", "skipped"} <= banned()
    trespasses = [
        f"{path.relative_to(ROOT)}: {word}"
        for folder in ("services", "shared", "cli")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for word in sorted(set(named(path)) & banned())
    ]
    assert trespasses == []
