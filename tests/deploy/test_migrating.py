"""docs/migrating.md: what it tells an operator to type takes over what is ours, and nothing else."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs/migrating.md").read_text()
OLD_ENV = """\
# comment
export OI_MAX_REQ_PER_MIN=1500
OI_LIQUID_ENTER_QUOTE_24H="4000000"
  VOLSPIKE_API_URL=https://backend.example
export VOLSPIKE_API_KEY="the key"
VOLSPIKE_API_URL_DEV=https://dev.example
VOLSPIKE_API_KEY_DEV=another secret
TELEGRAM_TOKEN=a third
"""


def test_only_our_settings_are_taken_over_and_nobody_else_can_read_them(tmp_path: Path) -> None:
    script = re.search(r"sudo sh -eu <<'EOF'\n(.*?)\nEOF\n", PAGE, re.DOTALL)
    assert script
    (tmp_path / "old.env").write_text(OLD_ENV)
    here = script[1].replace("/home/trader/.volspike.env", f"{tmp_path}/old.env")

    subprocess.run(["sh", "-eu"], input=here.replace("new=/etc/oi-pipeline", f"new={tmp_path}"), text=True, check=True)

    env, key = tmp_path / "oi-pipeline.env", tmp_path / "backend_api_key"
    assert env.read_text().splitlines() == [
        "OI_MAX_REQ_PER_MIN=1500",
        'OI_LIQUID_ENTER_QUOTE_24H="4000000"',
        "VOLSPIKE_API_URL=https://backend.example",
    ]
    assert key.read_text() == "the key\n"
    assert {path.stat().st_mode & 0o777 for path in (env, key)} == {0o600}


def test_each_old_unit_is_stopped_and_each_is_started_on_the_way_back() -> None:
    """Two timers undo the changeover within minutes, if they are forgotten."""
    over, back = (
        re.search(rf"## {name}\n.*?for unit in (.*?); do", PAGE, re.DOTALL) for name in ("Changing over", "Going back")
    )
    assert over
    assert back
    services = {f"{name}.service" for name in ("oi-realtime-poller", "binance-funding-api", "binance-funding-ws")}
    timers = {"oi-liquid-universe.timer", "funding-health-check.timer"}
    their_own = {timer.replace(".timer", ".service") for timer in timers}

    assert set(over[1].replace("\\\n", "").split()) == services | timers | their_own
    assert set(over[1].split()[:2]) == timers  # before what they would start again
    assert set(back[1].replace("\\\n", "").split()) == services | timers
