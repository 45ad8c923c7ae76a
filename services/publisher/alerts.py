"""``oi:alerts`` -> the backend, one by one and in order; an alert is acknowledged when the backend has it.

An alert whose POST ended unclear is looked for before it is sent again. Where the backend shows its alerts to nobody
but a user's session, it cannot be looked for: ``ALERTS_IN_DOUBT`` says whether it is then sent once or again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, cast

from services.publisher.again import LastPost, Unclear, keep
from services.publisher.backend import Backend
from services.publisher.metrics import Metrics
from services.publisher.report import Report
from services.publisher.settings import Settings
from services.publisher.wire import UNREADABLE_S, Away
from shared.alert import FIELD, AlertBody, decode_alert
from shared.backoff import Backoff
from shared.clock import from_iso
from shared.errors import UNREADABLE, Refused, Rejected, WireError
from shared.logs import EventLog
from shared.model import backend_key
from shared.service import Service
from shared.store import ALERTS, PUBLISHER, redis_faults
from shared.sweeplog import BEGINNING, BLOCK_MS, Fields, GroupReader, entry_order, read_entry_id

GROUP = "publisher"
POSTED = "alert"  # field of oi:publisher: the alert whose POST has begun
DELIVERED = "alert_delivered"  # the newest that is done with, so that a group that was lost repeats nothing
IN_DOUBT = "alerts_in_doubt"  # how many were neither seen at the backend nor sent again
WAIT = "alerts wait in oi:alerts"
STALE_MS = 900_000  # an alert that could not be stored for so long helps nobody any more
log = EventLog("publisher")


def is_same(alert: AlertBody, row: Mapping[str, Any]) -> bool:
    """Whether a row of the backend's database is this alert.

    There the time is ``ts`` and decimals are text. Old rows have no time frame, so baseline and current have to tell
    two alerts of one instant apart.
    """
    try:
        if (backend_key(row["symbol"]), row["direction"]) != (backend_key(alert.symbol), alert.direction):
            return False
        if from_iso(row.get("ts") or row["timestamp"]) != from_iso(alert.timestamp):
            return False
        if row.get("timeframe"):
            return bool(row["timeframe"] == alert.timeframe)
        numbers = ((row["baseline"], alert.baseline), (row["current"], alert.current))
        return all(math.isclose(float(theirs), ours, rel_tol=1e-9, abs_tol=1e-8) for theirs, ours in numbers)
    except (*UNREADABLE, KeyError, TypeError, AttributeError):
        return False


@dataclass
class AlertDelivery:
    settings: Settings
    service: Service
    backend: Backend
    report: Report
    metrics: Metrics

    def __post_init__(self) -> None:
        self._redis, self._clock = self.service.redis, self.service.clock
        self._last = LastPost(self._redis, POSTED, self.settings.timeout_s, self._clock)
        self._backoff = Backoff(min(0.5, self.settings.retry_max_s), self.settings.retry_max_s)
        self._tried = ""  # the entry that was tried last
        self._doubted = False  # what became of the last is not known
        self._done_id = BEGINNING  # the newest that is done with

    async def run(self) -> NoReturn:
        await keep(self.deliver_next, self._complain, self._backoff, self._clock)

    def _complain(self, error: Exception, wait_s: float) -> None:
        self.report.complain(WAIT, error, retry_s=wait_s)

    async def deliver_next(self) -> float:
        """The oldest that is not acknowledged, else wait for a new one; returns how long to wait before the next."""
        delivered_id = await self._delivered_id()
        reader = GroupReader(self._redis, ALERTS, GROUP, GROUP, start=delivered_id)
        rows = await reader.read("0", 1) or await reader.read(">", 1, BLOCK_MS)
        if not rows and not self._doubted:  # nothing waits any more, and Redis answers
            self._well()
        for blob, fields in rows:
            entry_id = blob.decode()
            if entry_order(entry_id) <= entry_order(delivered_id):  # the group was set back
                self.metrics.deliveries.labels("alert", "repeated").inc()
                await reader.acknowledge(entry_id)
                continue
            outcome = await self._deliver(entry_id, fields)
            await self._done(entry_id, in_doubt=outcome == "in_doubt")
            self.metrics.deliveries.labels("alert", outcome).inc()
            self._doubted = outcome == "in_doubt"
            if self._doubted:  # whatever is wrong there, the next alert is not spent on it at once
                return self._backoff.next_s()
            self._well()
        return 0.0

    def _well(self) -> None:
        self._backoff.reset()
        self.service.health.over(WAIT)

    async def _delivered_id(self) -> str:
        """The newest that is done with. A Redis that was set back knows of an earlier one; an emptied one has none."""
        async with redis_faults():
            kept = read_entry_id(cast("bytes | None", await self._redis.hget(PUBLISHER, DELIVERED)))
        self._done_id = max(self._done_id, kept, key=entry_order) if kept else BEGINNING
        return self._done_id

    async def _deliver(self, entry_id: str, fields: Fields | None) -> str:
        """What became of it: delivered, found, in_doubt or dropped."""
        try:
            alert = decode_alert((fields or {}).get(FIELD))
            if self._tried == entry_id and self._clock.now_ms() - entry_order(entry_id)[0] > STALE_MS:
                raise Rejected("it could not be stored for a quarter of an hour")
            self._tried = entry_id
            unclear = await self._last.unclear()
            if unclear is None or unclear.what != entry_id:
                await self._last.send(entry_id, partial(self.backend.send_alert, alert))
                return "delivered"
            served, cause = await self._served(alert, unclear)
            if served:
                return "found"
            if served is None and self.settings.alerts_in_doubt == "once":
                facts = {"symbol": alert.symbol, "direction": alert.direction, "timeframe": alert.timeframe}
                log.warning("an alert in doubt is not sent again", **facts, at=alert.timestamp, cause=cause)
                return "in_doubt"
            if served is not None and self._last.is_at_work(unclear):
                raise Away(f"alert {entry_id} is not served yet", answered=True)
            self.metrics.deliveries.labels("alert", "again").inc()
            await self._last.send(entry_id, partial(self.backend.send_alert, alert), unclear)
        except (WireError, Rejected) as e:
            self.metrics.bad_rows.labels("alerts", e.reason if isinstance(e, WireError) else "refused").inc()
            log.error("alert dropped", entry=entry_id, error=str(e))
            return "dropped"
        return "delivered"

    async def _served(self, alert: AlertBody, unclear: Unclear) -> tuple[bool | None, str]:
        """Whether the backend has it; None where that cannot be seen, and why not."""
        if not self.settings.audit:
            return None, "BACKEND_AUDIT=off"
        try:
            rows = await self.backend.recent_alerts(alert.symbol)
        except (Refused, Rejected, WireError) as e:
            return None, f"the backend does not show its alerts: {e}"
        except Away as e:
            if not e.answered or self._last.is_at_work(unclear, beyond_s=UNREADABLE_S):
                raise
            return None, f"the backend shows nothing readable: {e}"
        return any(is_same(alert, row) for row in rows), ""

    async def _done(self, entry_id: str, *, in_doubt: bool) -> None:
        async with redis_faults(), self._redis.pipeline(transaction=True) as pipe:
            pipe.xack(ALERTS, GROUP, entry_id)
            pipe.hdel(PUBLISHER, POSTED)
            pipe.hset(PUBLISHER, DELIVERED, entry_id)
            if in_doubt:
                pipe.hincrby(PUBLISHER, IN_DOUBT, 1)
            await pipe.execute()
        self._done_id = entry_id
