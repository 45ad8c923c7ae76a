"""What has to be alike on all hosts that share a service's work: its version, and most of its settings."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Of a host, or a way to say the same in other words. Of secrets not even a digest leaves the process.
MAY_DIFFER = {
    *("HOST_ID", "EGRESS_ID", "METRICS_HOST", "METRICS_PORT", "LOG_LEVEL", "LOG_FORMAT", "STATE_FILE"),
    *("FUNDING_API_HOST", "FUNDING_API_PORT", "CREDENTIALS_DIRECTORY"),
}


@cache
def version(service: str) -> str:
    """A digest of the source a service is made of: what is installed, whatever it calls itself."""
    found = hashlib.sha256()
    for folder in (ROOT / "shared", ROOT / "services" / service):
        for path in sorted(folder.rglob("*.py")):
            found.update(path.relative_to(ROOT).as_posix().encode())
            found.update(path.read_bytes())
    return found.hexdigest()[:8]


def digests(settings: Any) -> dict[str, str]:
    """Setting -> a digest of its value."""
    found = {}
    for field in fields(settings):
        item, value = field.metadata["setting"], getattr(settings, field.name)
        if item.name not in MAY_DIFFER and not item.secret:
            text = repr(sorted(value) if isinstance(value, frozenset) else value)
            found[item.name] = hashlib.sha256(text.encode()).hexdigest()[:8]
    return found
