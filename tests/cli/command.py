"""`oi` as a person runs it, in this process: told nothing but ``env``, and heard byte by byte."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from cli.__main__ import main

LIMIT_S = 60.0


class Said(NamedTuple):
    exit_status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def oi(*args: str, env: Mapping[str, str], encoding: str = "utf-8") -> Said:
    """Run one command to its end; ``encoding`` is the terminal's. In a thread: it has an event loop of its own."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            patch.delenv(name)
        for name, value in {"COLUMNS": "160", **env}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        async with asyncio.timeout(LIMIT_S):
            status = await asyncio.to_thread(main, list(args))
    out.flush(), err.flush()
    return Said(status, *(stream.buffer.getvalue().decode(errors="replace") for stream in (out, err)))  # type: ignore[attr-defined]
