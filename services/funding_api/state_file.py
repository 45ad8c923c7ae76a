"""``.funding_state.json`` for scripts that read the file instead of asking, in the shape that the old daemon gave it.

Replaced whole, so that a reader sees the old file or the new one and never a part. A symbol whose mark is stale is not
in it; while Redis is away the file stays as it is, and its ``updated_at`` and ``updatedAt`` grow old.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from services.funding_api.bodies import State


def replace(path: Path, state: State) -> None:
    """Raises OSError. The temporary file stands beside it: a rename is atomic only within one file system."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(msgspec.json.encode(state))
    temporary.replace(path)
