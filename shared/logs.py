"""Log lines: one an event, ``event key=value ...`` for people or one JSON object for machines, on stdout.

No timestamp in the text form: journald and docker add their own. Values are cut and escaped, so that a body from
outside can neither flood the journal nor forge a line.
"""

from __future__ import annotations

import io
import json
import logging
import math
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from shared.clock import Clock, iso

LONGEST_VALUE = 300
SAY_AGAIN_S = 60.0
_NOISY = ("httpx", "httpcore", "aiohttp", "websockets", "redis", "asyncio")


class EventLog:
    """A stdlib logger that takes an event and its facts: ``log.info("sweep landed", symbols=343)``."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def info(self, event: str, **facts: Any) -> None:
        self._logger.info(event, extra={"facts": facts})

    def warning(self, event: str, **facts: Any) -> None:
        self._logger.warning(event, extra={"facts": facts})

    def error(self, event: str, **facts: Any) -> None:
        self._logger.error(event, extra={"facts": facts})

    def exception(self, event: str) -> None:
        """A bug: the one place for a traceback."""
        self._logger.exception(event, extra={"facts": {}})


class OncePer:
    """Let an event through once per ``every_s`` and key."""

    def __init__(self, clock: Clock, every_s: float) -> None:
        self._clock = clock
        self._every_s = every_s
        self._last: dict[str, float] = {}

    def due(self, key: str) -> bool:
        """Keys are few and fixed (reasons, not symbols), so the memory is bounded by the code that calls this."""
        now_s = self._clock.monotonic_s()
        if key in self._last and now_s - self._last[key] < self._every_s:
            return False
        self._last[key] = now_s
        return True


def first_names(names: Iterable[str], most: int = 10) -> str:
    """The first few in order, and how many more there are: a line stays a line."""
    listed = sorted(names)
    return ",".join(listed[:most]) + (f",+{len(listed) - most}" if len(listed) > most else "")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    shown = str(value)[:LONGEST_VALUE]
    if shown and shown.isprintable() and not any(c in shown for c in ' "='):
        return shown
    return json.dumps(shown, ensure_ascii=not shown.isprintable())


def _is_json(value: Any) -> bool:
    return isinstance(value, int | None) or (isinstance(value, float) and math.isfinite(value))


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", {})
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        line = level + " ".join([record.getMessage(), *(f"{key}={_shown(value)}" for key, value in facts.items())])
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": iso(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "service": self._service,
            "event": record.getMessage(),
        }
        for key, value in getattr(record, "facts", {}).items():
            line.setdefault(key, value if _is_json(value) else str(value)[:LONGEST_VALUE])
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        text = json.dumps(line, ensure_ascii=False)
        return text if text.isprintable() else json.dumps(line)


def no_line_lost(stream: TextIO) -> None:
    """What a stream's encoding cannot write is escaped: a line that names a Chinese symbol is otherwise lost whole."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def configure(service: str, level: str, form: str) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service) if form == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _NOISY:  # httpx logs each request at INFO; at DEBUG websockets would print whole frames
        logging.getLogger(name).setLevel(logging.WARNING)
