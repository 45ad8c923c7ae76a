"""The alerter's loop: recall, then look at every sweep once, in order, and write down what came of it.

After any fault of Redis all is read from it anew, history included, so that this process never goes on from a state
that Redis no longer holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from services.oi_alerter import wire
from services.oi_alerter.detector import Alert, Detector, Findings
from services.oi_alerter.history import History, Sample, UnitChange
from services.oi_alerter.memory import GROUP, Memory, Moved
from services.oi_alerter.metrics import Metrics
from services.oi_alerter.settings import Settings
from shared.alert import encode_alert
from shared.backoff import Backoff
from shared.errors import Transient, WireError
from shared.logs import EventLog, OncePer
from shared.model import Member, Sweep
from shared.service import Service
from shared.store import MARKS, UNIVERSE
from shared.sweeplog import Entry, SweepReader, entry_order

log = EventLog("oi_alerter")
AT_ONCE = 8
MARGIN_MS = 660_000  # a sweep is written after its samples were taken, by a clock that may differ
FUNDING_AGE_MS = 60_000  # an older or later rate is not the one of the alert's moment


def samples_of(sweep: Sweep, skip: frozenset[str]) -> dict[str, Sample]:
    """What is news in a sweep: not what failed and is carried, and no zero, which is no reading one could divide by."""
    return {
        symbol: Sample(
            reading.open_interest.received_ms,
            float(reading.open_interest.open_interest),
            None if reading.mark_price is None else float(reading.mark_price),
        )
        for symbol, reading in sweep.readings.items()
        if symbol not in sweep.failures and symbol not in skip and reading.open_interest.open_interest > 0
    }


def look_at(
    samples: Mapping[str, Sample], members: Mapping[str, Member], history: History, detector: Detector, memory: Memory
) -> Findings:
    """Add one sweep's samples to the history, and look at each."""
    found = Findings()
    for symbol, sample in samples.items():
        member = members.get(symbol)
        added = history.add(symbol, sample, member.onboard_ms if member else 0)
        if isinstance(added, UnitChange):
            found.unit_changes.append(added)
        elif added is not None:
            detector.look(symbol, added, sample, memory.latches, found)
    return found


@dataclass
class Alerter:
    """``ready`` is set while the history is whole."""

    settings: Settings
    service: Service
    memory: Memory
    history: History
    metrics: Metrics
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._redis, self._clock = self.service.redis, self.service.clock
        self._detector = Detector(self.settings.frames, self.settings.min_contracts)
        self._once = OncePer(self._clock, 60.0)
        self._heard_s = self._clock.monotonic_s()
        self._backoff = Backoff(0.25, 5.0)
        self._alerts = 0

    async def run(self) -> NoReturn:
        while True:
            try:
                reader = await self._open()
                while True:
                    await self._turn(reader)
            except Transient as e:
                self.metrics.redis_failures.inc()
                self.service.health.bad("waiting for Redis", e)
            except Moved as e:
                self.service.health.bad("Redis no longer holds what this process left there: beginning anew", e)
            self.ready.clear()
            await self._clock.sleep(self._backoff.next_s())

    async def _open(self) -> SweepReader:
        """Latches, cursor and history as Redis has them now."""
        await self.memory.recall(self.metrics.bad_in_redis)
        self.history.series.clear()
        sweeps = 0
        async for sweep in self.memory.past(self.history.horizon_ms + MARGIN_MS, self.metrics.bad_in_redis):
            for symbol, sample in samples_of(sweep, self.settings.skip).items():
                self.history.add(symbol, sample)
            sweeps += 1
        log.info("history recalled", sweeps=sweeps, symbols=len(self.history.series), latches=len(self.memory.latches))
        self.ready.set()
        return SweepReader(self._redis, GROUP, GROUP, start=self.memory.cursor)

    async def _turn(self, reader: SweepReader) -> None:
        """What was handed out before and not finished, else what is new."""
        entries = await reader.unacknowledged(AT_ONCE) or await reader.wait(AT_ONCE)
        for entry in entries:
            if entry_order(entry.entry_id) <= entry_order(self.memory.cursor):
                await reader.acknowledge(entry.entry_id)  # looked at already
            else:
                await self.take(entry)
        silent_s = self._clock.monotonic_s() - self._heard_s
        if not entries and silent_s > self.service.health.limit_s:
            self.service.health.bad("no sweep comes", f"none for {silent_s:.0f} s: is oi_poller running?")

    async def take(self, entry: Entry) -> None:
        """Look at one sweep and write down what came of it, all at once or not at all."""
        if isinstance(entry.sweep, WireError):
            self.metrics.bad_in_redis(entry.sweep)
            return await self.memory.commit(entry.entry_id, {}, (), ())
        samples = samples_of(entry.sweep, self.settings.skip)
        newest_ms = max((sample.at_ms for sample in samples.values()), default=entry.sweep.ended_ms)
        members = await UNIVERSE.all(self._redis, self.metrics.bad_in_redis)
        found = look_at(samples, members, self.history, self._detector, self.memory)
        self.history.forget_left(newest_ms)
        latches = self.memory.latches | found.latches
        idle = self._detector.idle(latches, newest_ms, self.history.horizon_ms)
        alerts = await self._encode(found.alerts)
        await self.memory.commit(entry.entry_id, found.latches, idle, alerts)
        return self._looked(len(samples), found, newest_ms)

    async def _encode(self, alerts: Sequence[Alert]) -> list[bytes]:
        """The funding rate is the one known now, if now is the alert's moment."""
        symbols = {alert.key.symbol for alert in alerts}
        marks = await MARKS.all(self._redis, self.metrics.bad_in_redis, symbols) if symbols else {}
        encoded = []
        for alert in alerts:
            mark, rate = marks.get(alert.key.symbol), None
            if mark is not None and abs(mark.received_ms - alert.current.at_ms) <= FUNDING_AGE_MS:
                rate = mark.funding_rate
            encoded.append(encode_alert(wire.alert_body(alert, rate)))
        return encoded

    def _looked(self, fresh: int, found: Findings, newest_ms: int) -> None:
        for alert in found.alerts:
            self.metrics.alerts.labels(alert.key.timeframe, alert.key.direction).inc()
            facts = {"change": f"{alert.change:+.2%}", "contracts": f"{alert.contracts:+.15g}"}
            log.info("alert", **alert.key._asdict(), **facts, baseline=alert.baseline.open_interest)
        for change in found.unit_changes:
            contracts = f"{change.before.open_interest:.15g} -> {change.after.open_interest:.15g}"
            log.warning("the contract's unit changed", symbol=change.symbol, factor=change.factor, contracts=contracts)
        for reason, count in found.held_back.items():
            self.metrics.suppressed.labels(reason).inc(count)
        self._alerts += len(found.alerts)
        self._backoff.reset()
        self._heard_s = self._clock.monotonic_s()
        self._tell(newest_ms)
        if fresh:
            self.service.health.good(f"{fresh} symbols looked at, {len(self.memory.latches)} latches")
        else:
            self.service.health.bad("the last sweep has no fresh reading", "oi status says why")

    def _tell(self, newest_ms: int) -> None:
        series = self.history.series.values()
        spans = sorted(one.span_ms for one in series)
        facts = {
            "watched": len(spans),
            "samples": sum(len(one) for one in series),
            "history_s": spans[len(spans) // 2] / 1000 if spans else 0.0,
            "alerts": self._alerts,
            "latches": len(self.memory.latches),
        }
        self.metrics.last_sweep.set(newest_ms / 1000)
        self.service.facts.update({name: str(value) for name, value in facts.items()})
        if self._once.due("summary"):
            log.info("watching", **facts)
