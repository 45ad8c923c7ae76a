"""What a newcomer runs first, run as they would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.pipeline.harness import ROOT

# As many as the exchange's limit lets be asked for every two seconds.
FEW_SYMBOLS = {"OI_LIQUID_ENTER_QUOTE_24H": "2e8", "OI_LIQUID_EXIT_QUOTE_24H": "1e8", "OI_MIN_INTERVAL_SEC": "2"}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def started(*words: str, **env: str) -> subprocess.Popen[str]:
    command, env = [sys.executable, "-m", *words], {**os.environ, **env}
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def lines_until(process: subprocess.Popen[str], wanted: str, within_s: float = 90.0) -> Iterator[str]:
    deadline = time.monotonic() + within_s
    assert process.stdout
    for line in process.stdout:
        yield line
        if wanted in line:
            return
        assert time.monotonic() < deadline, f"no {wanted!r} within {within_s:g} s"
    pytest.fail(f"it ended without {wanted!r}")


def test_the_demo_verifies_a_cycle_revives_what_is_killed_and_leaves_nothing_behind() -> None:
    demo = started("dev.demo", "--port", "0", **FEW_SYMBOLS)
    try:
        said = "".join(lines_until(demo, "verdict=VERIFIED"))
        pids = {path.stem: int(path.read_text()) for path in (ROOT / ".demo" / "run").glob("*.pid")}
        pids.pop("stage")
        os.kill(pids["publisher"], signal.SIGKILL)
        again = "".join(lines_until(demo, "publisher started again"))
        again += "".join(lines_until(demo, "verdict=VERIFIED"))
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
    finally:
        demo.kill()
        demo.communicate()

    assert "page      http://127.0.0.1:" in said
    assert "publisher killed by SIGKILL; starting it again" in again
    assert {"redis", "exchange", "backend", "ws_daemon", "oi_poller", "publisher"} <= set(pids)
    assert not [name for name, pid in pids.items() if alive(pid)]


def test_the_incident_is_replayed_named_and_healed() -> None:
    """343 symbols in chunks of 100 into a replacing backend leave 43: shown, and then mended."""
    incident = started("dev.incident")
    said, _ = incident.communicate(timeout=150)

    assert incident.returncode == 0, said
    assert "every log line: 343/343 inserted" in said
    assert "served:         43 of 343" in said
    assert "the backend replaced its cache: 43 of 343 served" in said
    assert "served: 343; BTCUSDT $" in said


def test_the_live_run_says_why_where_the_exchange_cannot_be_reached() -> None:
    environ = {**os.environ, "BINANCE_REST_URL": "http://127.0.0.1:1"}
    ended = subprocess.run(
        [sys.executable, "-m", "dev.demo", "--live"], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("the exchange at http://127.0.0.1:1 cannot be reached from here: ")
