"""Puts the table of a run into docs/performance.md, between its two marks."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- the table of one run: python -m bench --markdown -->", "<!-- end of the table -->"


def replaced(page: str, text: str) -> str:
    """The page with ``text`` between the marks; ValueError where they are not both there, in order."""
    before, begun, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (begun and ended):
        raise ValueError(f"the page lacks {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}"


def write(text: str, page: Path = PAGE) -> None:
    page.write_text(replaced(page.read_text(), text))
