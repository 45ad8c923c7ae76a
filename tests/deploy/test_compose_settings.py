"""What an operator writes into .env reaches the containers: Compose hands over only what its file names."""

from __future__ import annotations

import re
from pathlib import Path

from dev.env_example import service_names, settings_of
from shared.settings import declared

COMPOSE = (Path(__file__).resolve().parents[2] / "docker-compose.yml").read_text()
FIXED = {  # by the containers themselves
    *("METRICS_HOST", "METRICS_PORT", "FUNDING_API_HOST", "FUNDING_API_PORT", "HISTORY_PATH"),
    "CREDENTIALS_DIRECTORY",  # systemd's
    "STATE_FILE",  # no folder of a container is the host's
}


def test_every_setting_can_be_told_to_a_container() -> None:
    """One that was left out kept its default, and nothing said so."""
    every = {item.name for name in service_names() for item in declared(settings_of(name))}
    taken = set(re.findall(r"\b([A-Z][A-Z0-9_]+): \"?\$\{\1:-", COMPOSE))
    assert every - FIXED - taken == set()


def test_the_key_is_told_to_the_publisher_and_the_backend_alone() -> None:
    common, _, services = COMPOSE.partition("\nservices:\n")
    parts = dict(re.findall(r"^  (\w+):\n((?:    .*\n|\n)+)", services, re.MULTILINE))
    assert "BACKEND_API_KEY:" not in common
    assert {name for name, part in parts.items() if "{BACKEND_API_KEY:" in part} == {"publisher", "backend"}
