"""`oi` as a person runs it: a process of its own, against a running pipeline."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.pipeline.harness import ROOT

LIMIT_S = 60.0


class Said(NamedTuple):
    exit_status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def oi(*args: str, env: Mapping[str, str]) -> Said:
    """Run one command to its end; ``env`` is all it is told."""
    told = {"PATH": os.environ["PATH"], "COLUMNS": "160", "PYTHONDONTWRITEBYTECODE": "1", **env}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", *args, cwd=ROOT, env=told, stdout=-1, stderr=-1, stdin=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Said(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))
