"""The page's pure modules, tested where they run: in Node. And what the whole page weighs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from dev.node import require_node
from tests.backend.stand_in import Backend

UNITS = Path(__file__).parent / "page.test.mjs"
PAGE = Path(__file__).parents[2] / "dev" / "backend" / "page"
WEIGHT_LIMIT = 150 * 1000


def test_formatting_and_verdicts() -> None:
    run = subprocess.run(
        [require_node(), "--test", "--test-reporter=tap", str(UNITS)], capture_output=True, text=True, timeout=50
    )

    assert run.returncode == 0, run.stdout
    passed = re.search(r"^# pass (\d+)$", run.stdout, re.MULTILINE)
    assert passed
    assert int(passed[1]) >= 25, "the tests were not found"


def test_the_page_is_small_and_asks_nobody_else(backend: Backend) -> None:
    files = ["", *(path.name for path in PAGE.iterdir() if path.name != "index.html")]

    answers = [backend.http.get(f"/{name}") for name in files]

    assert {answer.status_code for answer in answers} == {200}
    assert sum(len(answer.content) for answer in answers) < WEIGHT_LIMIT
    for answer in answers:
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", answer.text)
