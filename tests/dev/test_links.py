"""Every relative link of the documents leads somewhere: to a file, a heading of it, or the test its title names.

No site is built of these pages, they are read in the repository as they are: so this is their strict build.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("d*/*/README.md")})
FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\]\(\s*<?([^\s()<>]+)>?(?:\s+\"([^\"]*)\")?\s*\)")
TAG = re.compile(r"<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)=\"([^\"\s]+)")
HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


class Link(NamedTuple):
    target: str
    title: str


def links(text: str) -> list[Link]:
    """Links, pictures and HTML tags of a page, code left out."""
    prose = CODE.sub("", FENCE.sub("", text))
    return [Link(*found) for found in LINK.findall(prose)] + [Link(found, "") for found in TAG.findall(prose)]


def anchors(text: str) -> set[str]:
    """The names that the host gives headings: lower case, punctuation gone, blanks to dashes, repeats numbered."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        repeats = sum(1 for n in range(len(found) + 1) if (f"{name}-{n}" if n else name) in found)
        found.add(f"{name}-{repeats}" if repeats else name)
    return found


def fault(page: Path, link: Link) -> str | None:
    """What is wrong with a link of this page; None when it leads somewhere."""
    if SCHEME.match(link.target):
        return None
    path, _, anchor = link.target.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.is_relative_to(ROOT) or not target.exists():
        return f"{link.target}: no such file"
    if anchor and anchor not in anchors(target.read_text()):
        return f"{link.target}: no such heading"
    if link.title.startswith("test_") and not re.search(rf"\bdef {link.title}\(", target.read_text()):
        return f"{link.target}: no {link.title} in it"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    faults = [fault(page, link) for link in links(page.read_text())]

    assert [one for one in faults if one] == []


def test_the_documents_are_found_and_hold_links() -> None:
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= {page.name for page in PAGES}
    assert sum(len(links(page.read_text())) for page in PAGES) > 50


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[a](docs/nowhere.md)", "docs/nowhere.md: no such file"),
        ("[a](../elsewhere.md)", "../elsewhere.md: no such file"),
        ("[a](docs/runbook.md#banned)", None),
        ("[a](docs/runbook.md#bend)", "docs/runbook.md#bend: no such heading"),
        ("![a](docs/img/none.png)", "docs/img/none.png: no such file"),
        ('<img src="docs/img/none.png">', "docs/img/none.png: no such file"),
        ('[a](tests/dev/test_links.py "test_gone")', "tests/dev/test_links.py: no test_gone in it"),
        ("[a](https://example.org/x)", None),
        ("`[a](none.md)`", "nothing"),
        ("```\n[a](none.md)\n```\n", "nothing"),
    ],
)
def test_a_broken_link_is_seen(text: str, wrong: str | None) -> None:
    found = links(text)

    assert ([fault(ROOT / "README.md", link) for link in found] or ["nothing"]) == [wrong]


def test_headings_are_named_as_the_host_names_them() -> None:
    page = "# A `b` c?\n## Beside [x](y.md): no\n## Beside x no\n```\n# not me\n```\n"

    assert anchors(page) == {"a-b-c", "beside-x-no", "beside-x-no-1"}
