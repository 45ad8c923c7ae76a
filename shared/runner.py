"""What is alike in every service's life: settings, logging, health endpoint, heartbeat, signals, exit status.

Exit status: 0 after SIGTERM or SIGINT, 78 for a setting that cannot be used (a Redis that is too old is one), 1 for a
bug (systemd starts a clean process). There is no stop flag: a signal cancels the main task, every ``await`` ends at
once, ``async with`` cleans up.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, TypeVar

from prometheus_client import GC_COLLECTOR, CollectorRegistry, Gauge, ProcessCollector, disable_created_metrics
from redis.asyncio import Redis

from shared import endpoint, logs, store
from shared.agreed import ExchangeSettings
from shared.alike import digests, version
from shared.clock import Clock, SystemClock
from shared.errors import Refused, SettingsError, Transient
from shared.fence import Fence, FencedRedis
from shared.health import Health
from shared.heartbeat import keep_beating
from shared.lease import Lease, Lost
from shared.notify import Notifier, keep_notifying
from shared.service import Service
from shared.settings import CommonSettings, help_text, load

EXIT_SETTINGS = 78
BEGIN_ANEW = -1  # no exit status: the process goes on as a new one
FIRST_LOOK_S = 0.5  # at Redis: one that is too old is named before any job stumbles over it; one that is away may come
THREADS = "aside"
THREADS_END_S = 0.5
S = TypeVar("S", bound=CommonSettings)
log = logs.EventLog("runner")


Serve = Callable[[S, Service], Awaitable[None]]
Alone = Literal["cold", "warm"] | None


def run(
    name: str,
    about: str,
    settings_type: type[S],
    serve: Serve[S],
    *,
    limit_s: Callable[[S], float],
    alone: Alone = None,
) -> int:
    """Run one service until it is told to stop; returns its exit status.

    ``limit_s`` is how long it may go without doing its job before it counts as stalled. ``alone``: of several
    processes on one Redis one works, and the others stand by: ``cold``, having begun nothing, or ``warm``, doing all
    but write. One that has lost its work begins anew, in the same process.
    """
    logs.no_line_lost(sys.stdout)
    if {"-h", "--help"} & set(sys.argv[1:]):
        sys.stdout.write(help_text(name, about, settings_type) + "\n")
        return 0
    try:
        settings = load(settings_type, os.environ)
    except SettingsError as e:
        sys.stderr.write(f"{name}: {e}\n")
        return EXIT_SETTINGS
    logs.configure(name, settings.log_level, settings.log_format)
    gc.freeze()  # what was imported never becomes garbage: to look through it each time takes 20 ms, between two frames
    status = asyncio.run(_until_told(name, settings, serve, limit_s(settings), alone))
    if status == BEGIN_ANEW:  # its threads end with it, as at a kill
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - nothing of its state is left, and no supervisor notices
    _leave_threads(status)
    return status


class _Threads(ThreadPoolExecutor):
    """What the loop hands to threads: names to look up, a file to write. asyncio would wait for them at the end."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=True)


def _leave_threads(status: int) -> None:
    """End the process though a resolver does not answer: Python would wait for its thread, and SIGTERM go unheard."""
    ours = [thread for thread in threading.enumerate() if thread.name.startswith(THREADS)]
    deadline_s = time.monotonic() + THREADS_END_S
    for thread in ours:
        thread.join(max(0.0, deadline_s - time.monotonic()))
    if any(thread.is_alive() for thread in ours):
        sys.stdout.flush()
        os._exit(status)


async def _until_told(name: str, settings: S, serve: Serve[S], limit_s: float, alone: Alone) -> int:
    asyncio.get_running_loop().set_default_executor(_Threads(thread_name_prefix=THREADS))
    main = asyncio.current_task()
    assert main is not None  # noqa: S101 - we are inside asyncio.run
    told: list[str] = []
    notifier = Notifier(os.environ)
    for number in (signal.SIGTERM, signal.SIGINT):

        def stop(number: signal.Signals = number) -> None:
            told.append(number.name)
            notifier.send(STOPPING=1, STATUS=f"stopping: {number.name}")
            main.cancel()

        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await _serve(name, settings, serve, limit_s, notifier, alone)
    except asyncio.CancelledError:
        log.info("stopped", service=name, signal=",".join(told))
        return 0
    except Exception as e:
        known = _known(e)
        if isinstance(known, Lost):
            log.warning("beginning anew as a standby", cause=str(known))
            return BEGIN_ANEW
        if known:
            log.error("cannot go on", cause=str(known))
            return EXIT_SETTINGS if isinstance(known, SettingsError) else 1
        log.exception("stopped by a bug")
        return 1
    log.error("ended without being told to", service=name)
    return 1


async def _judge_redis(redis: Redis, clock: Clock) -> None:
    """Ask until Redis answers for the first time; raises `SettingsError` if it is too old."""
    while True:
        with contextlib.suppress(Transient):
            return await store.require_version(redis)
        await clock.sleep(FIRST_LOOK_S)


def _known(error: Exception) -> SettingsError | Refused | None:
    """What one of the service's jobs found to be in the way, and is no bug; a setting that cannot be used first."""
    if isinstance(error, ExceptionGroup):
        found = [known for e in error.exceptions if (known := _known(e))]
        return next((e for e in found if isinstance(e, SettingsError)), found[0] if found else None)
    return error if isinstance(error, SettingsError | Refused) else None


async def _serve(name: str, settings: S, serve: Serve[S], limit_s: float, notifier: Notifier, alone: Alone) -> None:
    clock = SystemClock()
    redis = store.connect(settings.redis_url)
    fence = Fence(name, clock, warm=alone == "warm") if alone else None
    service = Service(
        name,
        FencedRedis(redis, fence) if fence else redis,
        Health(clock, limit_s),
        _registry(),
        clock,
        host=settings.host_id,
        egress=settings.egress if isinstance(settings, ExchangeSettings) else "",
        fence=fence,
    )
    lease = Lease(service, fence) if fence else None
    service.agreed = {"version": version(name), "settings": digests(settings)}
    healthy = Gauge("pipeline_healthy", "1 while the service does its job", registry=service.registry)
    healthy.set_function(lambda: float(service.health.report().healthy))
    try:
        told = partial(_told, service)
        async with endpoint.serve(service.registry, told, settings.metrics_host, settings.metrics_port) as address:
            log.info("started", service=name, pid=os.getpid(), health=address)
            async with asyncio.TaskGroup() as jobs:
                notifying = jobs.create_task(keep_notifying(notifier, service))
                asking = jobs.create_task(_judge_redis(redis, clock))
                await asyncio.wait({asking}, timeout=FIRST_LOOK_S)
                helping = [notifying, asking, jobs.create_task(keep_beating(service))]
                if lease and service.warm:
                    helping.append(jobs.create_task(lease.hold()))
                elif lease:
                    await lease.take()
                    helping.append(jobs.create_task(lease.keep()))
                await serve(settings, service)
                for job in helping:  # the work has ended, untold: the process must not outlive it
                    job.cancel()
    finally:
        if lease:
            await lease.give_up()
        await redis.aclose()


def _told(service: Service) -> tuple[bool, dict[str, Any]]:
    said = service.describe()
    return said["state"] == "ok", {**said, "lastSuccess": said["lastSuccess"] or None}


def _registry() -> CollectorRegistry:
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a start time beside each counter doubles the page
    registry = CollectorRegistry()
    registry.register(GC_COLLECTOR)
    ProcessCollector(registry=registry)
    return registry
