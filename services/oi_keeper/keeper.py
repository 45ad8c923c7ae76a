"""The keeper's loop: sweeps into the file, acknowledged when they are in it.

What the file does not take stays in ``oi:sweeps`` for three hours, and is kept as soon as the file takes it again. Each
host has a file and a consumer group of its own, which a standby fills, too: a handover leaves a gap in neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from services.oi_keeper.metrics import Metrics
from services.oi_keeper.readings import ExchangeClock, Listings, readings_of, stamps_of
from services.oi_keeper.schema import open_to_write
from services.oi_keeper.settings import Settings
from services.oi_keeper.writer import Reading, Writer
from shared.backoff import Backoff
from shared.errors import Refused, Transient, WireError
from shared.history.file import file_faults
from shared.logs import EventLog
from shared.runner import THREADS
from shared.service import Service
from shared.store import UNIVERSE
from shared.sweeplog import Entry, SweepReader

GROUP = "keeper"  # and the host
AT_ONCE = 4  # sweeps: decoded, each is 170 kB, which the process would hardly give back
UNKEPT = "the file takes nothing: what comes waits in Redis, three hours at most"
UNLISTED = "symbols whose listing is not known are not kept"
T = TypeVar("T")
log = EventLog("oi_keeper")


class FileAway(Exception):
    """The file cannot be opened or written now; the text says why."""


@dataclass
class Keeper:
    settings: Settings
    service: Service
    metrics: Metrics

    def __post_init__(self) -> None:
        self._clock = self.service.clock
        self._backoff = Backoff(0.5, 20.0)
        self._heard_s = self._clock.monotonic_s()
        self._writer: Writer | None = None
        self._exchange_clock = ExchangeClock()
        self.opened = asyncio.Event()  # once the file was there and could be written
        self._aside = ThreadPoolExecutor(1, thread_name_prefix=THREADS)

    async def run(self) -> NoReturn:
        while True:
            try:
                await self._keep()
            except FileAway as e:
                self.metrics.write_failures.inc()
                self.service.health.bad(UNKEPT, e)
            await self._clock.sleep(self._backoff.next_s())

    async def _keep(self) -> NoReturn:
        """Until the file is away: raises `FileAway`."""
        db = await self._in_file(open_to_write, self.settings.path)
        try:
            writer = self._writer = await self._in_file(Writer, db)
            log.info("file opened", path=self.settings.path, series=len(writer.numbers))
            self.opened.set()
            listings = Listings(writer.numbers)
            reader = SweepReader(self.service.unfenced, f"{GROUP}:{self.service.host}", GROUP)
            while True:
                try:
                    await self._turn(reader, writer, listings)
                except Transient as e:
                    self.metrics.redis_failures.inc()
                    self.service.health.bad("waiting for Redis", e)
                    await self._clock.sleep(self._backoff.next_s())
        finally:
            self._writer = None
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._aside, db.close))

    async def _turn(self, reader: SweepReader, writer: Writer, listings: Listings) -> None:
        """What was handed out before and not kept, else what is new."""
        entries = await reader.unacknowledged(AT_ONCE) or await reader.wait(AT_ONCE)
        if not entries:
            return self._silent()
        listings.learn(await UNIVERSE.all(self.service.redis, self.metrics.bad_in_redis))
        readings, unkept = self._readings(entries, listings)
        added = await self._in_file(writer.add, readings)
        await reader.acknowledge(*(entry.entry_id for entry in entries))
        if not readings:
            self._heard()
            return self.service.health.bad("the last sweep has no fresh reading", unkept or "oi status says why")
        newest_ms = max(reading.row.received_ms for reading in readings)
        if len(entries) < AT_ONCE:  # nothing waits behind these
            await self._tidy(writer, newest_ms)
        return await self._kept(writer, readings, added, newest_ms)

    def _readings(self, entries: list[Entry], listings: Listings) -> tuple[list[Reading], str]:
        """And why the last of the sweeps was not looked at, where one was not."""
        found: list[Reading] = []
        unlisted: set[str] = set()
        unkept = ""
        for entry in entries:
            sweep = entry.sweep
            if not isinstance(sweep, WireError):
                sweep = self._exchange_clock.judge(stamps_of(sweep)) or sweep
            if isinstance(sweep, WireError):
                self.metrics.bad_in_redis(sweep)
                unkept = str(sweep)
                continue
            readings, unknown = readings_of(sweep, listings)
            found += readings
            unlisted |= unknown
            self.metrics.unlisted.inc(len(unknown))
        if unlisted:
            self.service.health.aside(UNLISTED, count=len(unlisted), example=min(unlisted))
        return found, unkept

    async def _tidy(self, writer: Writer, now_ms: int) -> None:
        """Once a day, when nothing waits, a day that is over becomes blocks; sweeps wait in Redis meanwhile.

        ``now_ms`` is by the clock that stamped the rows: this host's may be another, and wrong.
        """
        while (day := await self._in_file(writer.over, now_ms)) is not None:
            self.service.health.quiet(60.0)
            begun_s = self._clock.monotonic_s()
            await self._in_file(writer.fold, day)
            await self._in_file(writer.let_go, now_ms)
            log.info("day folded", day=day, took_s=self._clock.monotonic_s() - begun_s)

    async def _kept(self, writer: Writer, readings: list[Reading], added: int, newest_ms: int) -> None:
        self._heard()
        size, oldest_ms = await self._in_file(lambda: (_size(self.settings.path), writer.oldest_ms()))
        self.metrics.rows.inc(added)
        self.metrics.bytes.set(size)
        self.metrics.last_row.set(newest_ms / 1000)
        facts = {"series": len(writer.numbers), "bytes": size, "oldest_ms": oldest_ms, "newest_ms": newest_ms}
        self.service.facts.update({name: str(value) for name, value in facts.items()})
        kept = f"{len({r.series for r in readings})} symbols, {size / 1e6:.1f} MB"
        return self.service.health.good("; ".join(filter(None, (self.service.standby, kept))))

    def _heard(self) -> None:
        self._backoff.reset()
        self._heard_s = self._clock.monotonic_s()

    def _silent(self) -> None:
        silent_s = self._clock.monotonic_s() - self._heard_s
        if silent_s > self.service.health.limit_s:
            self.service.health.bad("no sweep comes", f"none for {silent_s:.0f} s: is oi_poller running?")

    async def in_file(self, work: Callable[..., T], *arguments: Any) -> T:
        """One of `Writer`'s methods, for others of this process. Raises `FileAway`, also while the file is not open."""
        writer = self._writer
        if writer is None:
            raise FileAway(f"HISTORY_PATH={self.settings.path}: not open")
        return await self._in_file(work, writer, *arguments)

    async def _in_file(self, work: Callable[..., T], *arguments: Any) -> T:
        """In the one thread that uses the file, for a disk may take its time. Raises `FileAway`."""

        def named() -> T:
            with file_faults(self.settings.path):
                return work(*arguments)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._aside, named)
        except (Transient, Refused) as e:
            raise FileAway(str(e)) from e
        except OSError as e:
            raise FileAway(f"HISTORY_PATH={self.settings.path}: {e}") from e


def _size(path: str) -> int:
    return sum(file.stat().st_size for file in (Path(path), Path(f"{path}-wal")) if file.exists())
