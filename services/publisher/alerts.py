"""``oi:alerts`` -> the backend, one by one and in order; an alert is acknowledged when the backend has it.

The backend knows no alert id either, so an alert whose POST ended unclear is looked for before it is sent again.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn, cast

import msgpack
from redis.asyncio import Redis

from services.publisher.backend import Backend
from services.publisher.metrics import Metrics
from services.publisher.report import Report
from services.publisher.settings import Settings
from services.publisher.wire import Away, InDoubt
from shared.backoff import Backoff
from shared.clock import Clock, from_iso
from shared.errors import RateLimited, Refused, Rejected, Transient, WireError
from shared.logs import EventLog
from shared.model import backend_key
from shared.store import ALERTS, PUBLISHER, redis_faults
from shared.sweeplog import BLOCK_MS, Fields, GroupReader

FIELD = b"alert"
TEXTS = ("symbol", "direction", "timeframe", "timestamp", "source")
NUMBERS = ("baseline", "current", "pctChange", "absChange")
OPTIONAL_NUMBERS = ("priceChange", "fundingRate")
LOOKS = 10  # answers with nothing readable in them, before an alert in doubt is sent again
POSTED = "alert"  # field of oi:publisher: the alert whose POST has begun, and until when the backend may be at it
AT_WORK_MS = 500  # after a POST that ended without an answer, but not by its own timeout
log = EventLog("publisher")


def decode_alert(fields: Fields | None) -> dict[str, Any]:
    """One stream entry -> the body to post; unknown fields are left out, absent optional ones stay absent."""
    try:
        packed: Any = msgpack.unpackb((fields or {})[FIELD])
        alert: dict[str, Any] = {name: _text(packed[name]) for name in TEXTS}
        alert |= {name: _number(packed[name]) for name in NUMBERS}
        alert |= {name: _number(packed[name]) for name in OPTIONAL_NUMBERS if packed.get(name) is not None}
        if alert["direction"] not in {"UP", "DOWN"}:
            raise ValueError(f"direction {alert['direction']!r:.20}")
        from_iso(alert["timestamp"])
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, msgpack.UnpackException) as e:
        raise WireError("stored_alert", f"{type(e).__name__}: {e}"[:160]) from e
    return alert


def _text(value: Any) -> str:
    if type(value) is not str or not value:
        raise ValueError(f"no text: {value!r:.40}")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"no finite number: {value!r:.40}")
    return float(value)


def is_same(alert: dict[str, Any], served: dict[str, Any]) -> bool:
    """One alert, however the backend spells symbol and time."""
    try:
        same_time = from_iso(served["timestamp"]) == from_iso(alert["timestamp"])
        same_symbol = backend_key(served["symbol"]) == backend_key(alert["symbol"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return False
    return same_time and same_symbol and all(served.get(name) == alert[name] for name in ("direction", "timeframe"))


class AlertDelivery:
    def __init__(
        self, settings: Settings, redis: Redis, backend: Backend, report: Report, metrics: Metrics, clock: Clock
    ) -> None:
        self._audited = settings.audit
        self._timeout_ms = int(settings.timeout_s * 1000)
        self._looks = 0
        self._redis = redis
        self._backend = backend
        self._report = report
        self._metrics = metrics
        self._clock = clock
        self._backoff = Backoff(min(0.5, settings.retry_max_s), settings.retry_max_s)
        self._reader = GroupReader(redis, ALERTS, "publisher", "publisher")

    async def run(self) -> NoReturn:
        while True:
            try:
                await self.deliver_next()
            except (Transient, Refused) as e:
                wait_s = e.retry_after_s if isinstance(e, RateLimited) and e.retry_after_s else self._backoff.next_s()
                self._report.complain("alerts wait in oi:alerts", e, retry_s=wait_s)
                await self._clock.sleep(wait_s)

    async def deliver_next(self) -> None:
        """The oldest that is not acknowledged; else wait for a new one."""
        rows = await self._reader.read("0", 1) or await self._reader.read(">", 1, BLOCK_MS)
        for entry_id, fields in rows:
            outcome = await self._deliver(entry_id.decode(), fields)
            await self._done(entry_id.decode())
            self._metrics.deliveries.labels("alert", outcome).inc()
            self._backoff.reset()

    async def _deliver(self, entry_id: str, fields: Fields | None) -> str:
        try:
            alert = decode_alert(fields)
            if await self._was_posted(entry_id, alert):
                return "found"
            await self._post(entry_id, alert)
        except (WireError, Rejected) as e:
            reason = e.reason if isinstance(e, WireError) else "refused"
            self._metrics.bad_rows.labels("alerts", reason).inc()
            log.error("alert dropped", entry=entry_id, error=str(e))
            return "dropped"
        return "delivered"

    async def _post(self, entry_id: str, alert: dict[str, Any]) -> None:
        await self._note(entry_id, AT_WORK_MS)
        try:
            await self._backend.send_alert(alert)
        except InDoubt as e:
            if e.timed_out:
                await self._note(entry_id, self._timeout_ms)  # it may be at work on it for as long again
            raise
        except (Transient, Refused, Rejected):
            async with redis_faults():
                await self._redis.hdel(PUBLISHER, POSTED)
            raise

    async def _note(self, entry_id: str, patience_ms: int) -> None:
        async with redis_faults():
            await self._redis.hset(PUBLISHER, POSTED, f"{entry_id} {self._clock.now_ms() + patience_ms}")

    async def _was_posted(self, entry_id: str, alert: dict[str, Any]) -> bool:
        async with redis_faults():
            noted = cast("bytes | None", await self._redis.hget(PUBLISHER, POSTED))
        begun, _, until = (noted or b"").partition(b" ")
        if begun != entry_id.encode():
            return False
        served = await self._look(alert["symbol"]) if self._audited else []
        if any(is_same(alert, row) for row in served):
            return True
        if self._audited and self._is_at_work(until):
            raise Away(f"alert {entry_id} is not served yet", answered=True)
        self._metrics.deliveries.labels("alert", "again").inc()
        return False

    def _is_at_work(self, until: bytes) -> bool:
        """Whether the backend may still be at it; a time that nobody here can have written is none."""
        left_ms = int(until) - self._clock.now_ms() if until.isdigit() and len(until) < 16 else 0
        return 0 < left_ms <= max(AT_WORK_MS, self._timeout_ms)

    async def _look(self, symbol: str) -> list[dict[str, Any]]:
        """The alerts served; none where there is nothing to look at: rather twice than never."""
        try:
            served = await self._backend.recent_alerts(symbol)
        except (Refused, Rejected, WireError):
            return []
        except Away as e:
            self._looks += e.answered
            if self._looks < LOOKS:
                raise
            served = []
        self._looks = 0
        return served

    async def _done(self, entry_id: str) -> None:
        async with redis_faults(), self._redis.pipeline(transaction=True) as pipe:
            pipe.xack(ALERTS, "publisher", entry_id)
            pipe.hdel(PUBLISHER, POSTED)
            await pipe.execute()
