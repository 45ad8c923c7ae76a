"""``.funding_state.json`` for scripts that read the file instead of asking: one object, symbol -> what is known of it.

Replaced whole, so that a reader sees the old file or the new one and never a part. A symbol whose mark is stale is not
in it; while Redis is away the file stays as it is, and its ``updatedAt`` grow old.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from services.funding_api.bodies import Mark


def replace(path: Path, state: Mapping[str, Mark]) -> None:
    """Raises OSError. The temporary file stands beside it: a rename is atomic only within one file system."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(msgspec.json.encode(state))
    temporary.replace(path)
