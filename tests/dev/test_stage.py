"""One stage a checkout, and none that is kept out by one that is long gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dev.stage import claim


def test_the_second_of_a_checkout_is_told_which_is_there(tmp_path: Path) -> None:
    first = claim(tmp_path / "demo")

    with pytest.raises(SystemExit, match=f"another demo runs here already, as process {os.getpid()}; end it first"):
        claim(tmp_path / "demo")

    first.close()
    claim(tmp_path / "demo").close()


@pytest.mark.parametrize("left", ["1", "ours", "", "soon"])
def test_one_that_was_killed_keeps_nobody_out(tmp_path: Path, left: str) -> None:
    """Its number may be another process's by now, and another user's."""
    mark = tmp_path / "demo" / "run" / "stage.pid"
    mark.parent.mkdir(parents=True)
    mark.write_text(left.replace("ours", str(os.getpid())))

    claim(tmp_path / "demo").close()

    assert mark.read_text() == str(os.getpid())
