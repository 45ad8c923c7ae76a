"""How a peer is followed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.ages import Seen
from bench.peer import Peer

SAYS = r"""
import sys, time
sys.stdout.buffer.write(b"BTCUSDT 1.00000500 1764720001000\n\xe5")
sys.stdout.flush()
time.sleep(60)
"""


async def test_a_value_that_was_cut_when_the_time_was_over_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a character, too."""
    script = tmp_path / "says.py"
    script.write_text(SAYS)
    monkeypatch.setattr(Peer, "command", lambda *_: [sys.executable, str(script)])

    seen = await Peer("a peer", "says.py").follow("http://nowhere", [], 2.0)

    assert seen == [Seen("BTCUSDT", 1764720001000, 1764720000500)]
