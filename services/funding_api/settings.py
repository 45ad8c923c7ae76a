"""What funding_api can be told."""

from __future__ import annotations

from dataclasses import dataclass

from shared.agreed import HISTORY_PATH, METRICS_PORTS
from shared.settings import CommonSettings, file_path, host, integer, metrics_port, number, setting, take


@dataclass(frozen=True)
class Settings(CommonSettings):
    host: str = setting("FUNDING_API_HOST", "127.0.0.1", host, "address the API listens on; it asks for no key")
    port: int = setting("FUNDING_API_PORT", "8888", integer(0, 65535), "its port; 0 takes a free one")
    max_age_s: float = setting(
        "FUNDING_MAX_AGE_SEC", "180", number(0.1, 86_400), "older data is answered with 503, Data stale"
    )
    state_file: str = setting(
        "STATE_FILE", "", file_path, "path of a .funding_state.json to keep for scripts that read one; empty: none"
    )
    history_path: str = take(HISTORY_PATH)
    metrics_port: int = metrics_port(METRICS_PORTS["funding_api"])
