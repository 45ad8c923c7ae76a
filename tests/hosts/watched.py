"""A Prometheus outside, with the shipped rules, that scrapes both hosts as docs/two-hosts.md says: what it fires."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx

from tests.hosts.net import WORLD
from tests.hosts.outcome import Outcome, gather_on
from tests.hosts.rig import ROOT, SERVICES, Rig, told
from tests.hosts.seen import until

SHIPPED = ROOT / "deploy" / "prometheus"
URL = f"http://{WORLD}:9090"
WELL_S = 60.0  # in which what fires without need would do so
NO_STANDBY, NOBODY_WORKS = "NoStandby", "NobodyWorks"


async def alerts(rig: Rig) -> Outcome:
    """Of the host that stands by the power is cut, then the third machine's Sentinel ends: one vote is no majority."""
    await gather_on(rig, "a")
    outcome = Outcome()
    _start(rig)
    await until(lambda: _sees_both(rig))
    await asyncio.sleep(WELL_S)
    outcome.must(not await _firing(rig), f"fires while both are well: {await _firing(rig)}")
    rig.kill_host("b")
    outcome.facts["no_standby_s"] = round(await until(lambda: _fires_for_all(rig, NO_STANDBY), 240), 1)
    wrong = await _firing(rig) - {(NO_STANDBY, of) for of in SERVICES} - {("ServiceDown", of) for of in SERVICES}
    outcome.must(not wrong, f"all works, and there fires {wrong}")
    rig.children["c", "sentinel"].kill()
    outcome.facts["nobody_works_s"] = round(await until(lambda: _fires_for_all(rig, NOBODY_WORKS), 120), 1)
    rig.start_sentinel("c")
    rig.start_redis("b", replica_of="a")
    rig.start_sentinel("b")
    rig.start_services("b")
    await rig.whole()
    outcome.facts["over_s"] = round(await until(lambda: _silent(rig), 120), 1)
    rig.children["world", "prometheus"].kill()
    return outcome


def _start(rig: Rig) -> None:
    folder = rig.folder / "prometheus"
    folder.mkdir(exist_ok=True)
    for shipped in ("prometheus.yml", "rules.yml", "alerts.yml"):
        shutil.copy(SHIPPED / shipped, folder)
    config = folder / "prometheus.yml"
    subprocess.run(told(r"^sed .*").replace("/etc/prometheus/prometheus.yml", str(config)), shell=True, check=True)
    lines = config.read_text().splitlines()
    here = [line for line in lines if "labels: {" not in line or any(f"service: {of} " in line for of in SERVICES)]
    config.write_text("\n".join(here) + "\n")
    rig.child("world", "prometheus", _command(folder), {})


def _command(folder: Path) -> list[str]:
    listen = f"--web.listen-address={WORLD}:9090"
    return ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb", listen]


async def _sees_both(rig: Rig) -> bool:
    with contextlib.suppress(httpx.TransportError, ValueError):
        answer = await rig.api.get(f"{URL}/api/v1/query", params={"query": "count(pipeline_lease_owner)"})
        found: list[Any] = answer.json()["data"]["result"]
        return bool(found) and float(found[0]["value"][1]) == 2 * len(SERVICES)
    return False


async def _firing(rig: Rig) -> set[tuple[str, str]]:
    """Alert and service."""
    alerts = (await rig.api.get(f"{URL}/api/v1/alerts")).json()["data"]["alerts"]
    labels = [alert["labels"] for alert in alerts if alert["state"] == "firing"]
    return {(of["alertname"], of.get("service", "")) for of in labels}


async def _of(rig: Rig, alert: str) -> set[str]:
    return {service for name, service in await _firing(rig) if name == alert}


async def _fires_for_all(rig: Rig, alert: str) -> bool:
    return await _of(rig, alert) == set(SERVICES)


async def _silent(rig: Rig) -> bool:
    return not await _firing(rig)
