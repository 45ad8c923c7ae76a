"""Runs inside the booted system, by its own Python: installs as the manual says, then does what a bad night does."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

SOURCE = Path("/srv/source")
CLONE = Path("/usr/local/src/oi-pipeline")
ENV = Path("/etc/oi-pipeline/oi-pipeline.env")
KEY_FILE = Path("/etc/oi-pipeline/backend_api_key")
KEY = "the-key-that-nobody-else-may-read"
UNITS = ("oi-ws-daemon", "oi-poller", "oi-publisher", "oi-alerter", "oi-funding-api", "oi-keeper", "oi-venue-poller")
STAND_INS = """\
BINANCE_WS_URL=ws://127.0.0.1:18090
BINANCE_REST_URL=http://127.0.0.1:18090
OI_MAX_REQ_PER_MIN=60000
OI_MIN_INTERVAL_SEC=2
OI_MAX_INTERVAL_SEC=6
"""
begun_s = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - begun_s:6.1f} s  {text}", flush=True)


def sh(command: str, stdin: str = "") -> str:
    done = subprocess.run(["bash", "-c", command], input=stdin, capture_output=True, text=True, timeout=180)
    if done.returncode:
        raise AssertionError(f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def show(unit: str, name: str) -> str:
    return sh(f"systemctl show -P {name} {unit}.service").strip()


def eventually(what: str, condition: Callable[[], object], within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        time.sleep(0.1)


def health() -> dict[str, str]:
    try:
        with urllib.request.urlopen("http://127.0.0.1:9103/healthz", timeout=2) as answer:
            return dict(json.load(answer))
    except (OSError, ValueError, http.client.HTTPException):
        return {"state": "away", "lastSuccess": ""}


def verified_again(within_s: float = 30) -> None:
    """A cycle that ended from now on was verified."""
    since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 1))
    eventually("a VERIFIED cycle", lambda: health()["state"] == "ok" and health()["lastSuccess"] > since, within_s)


def active(*units: str) -> bool:
    return all(show(unit, "ActiveState") == "active" for unit in units or UNITS)


def manual() -> list[str]:
    """The commands of the first block of docs/operating.md."""
    block = re.search(r"```sh\n(.*?)```", (SOURCE / "docs/operating.md").read_text(), re.DOTALL)
    assert block is not None
    return block[1].strip().splitlines()


def installs_as_the_manual_says() -> None:
    """As written, but for the network: packages are there already, and the backend is a stand-in."""
    commands = manual()
    assert len(commands) < 10, "the manual promises fewer than ten commands"
    for command in commands:
        if command.startswith("systemctl enable"):
            ENV.write_text(ENV.read_text() + STAND_INS)
            sh("systemctl start redis-server standin-exchange standin-backend")
        if command.startswith("apt-get"):
            continue
        if command.startswith("cp -R . "):
            command = f"cp -R {SOURCE} {CLONE}"
        stdin = f"{KEY}\n" if "backend_api_key" in command else ""
        out = sh(command.replace("https://backend.example", "http://127.0.0.1:8787"), stdin)
    assert out.count("verdict=VERIFIED") >= 1, out


def all_are_ready_and_say_how_they_stand() -> None:
    eventually("all of them active", active, 60)
    for unit in UNITS:
        status = show(unit, "StatusText")
        say(f"  {unit}: {status}")
        assert status.startswith("ok: "), (unit, status)
        assert show(unit, "NRestarts") == "0", unit
    verified_again()


def the_past_is_answered_out_of_the_keeper_s_file() -> None:
    def told() -> object:
        with urllib.request.urlopen("http://127.0.0.1:8888/history/BTCUSDT?step=1m", timeout=5) as answer:
            return json.load(answer)["rows"]

    eventually("a row of the past", told, 60)
    sh("systemctl stop oi-keeper")
    assert told(), "without the keeper too"
    sh("systemctl start oi-keeper")
    assert "the file of the past is sound" in sh("oi doctor || true")


def nothing_listens_beyond_loopback() -> None:
    listeners = [line.split()[3] for line in sh("ss -Hltn").splitlines()]
    assert len(listeners) >= 6, listeners
    assert [at for at in listeners if not at.startswith(("127.", "[::1]", "[::ffff:127."))] == []


def nobody_else_can_read_the_key() -> None:
    credential = Path("/run/credentials/oi-publisher.service/backend_api_key")
    assert KEY_FILE.stat().st_mode & 0o777 == 0o600
    assert credential.read_text().strip() == KEY
    publisher, poller = (show(unit, "MainPID") for unit in ("oi-publisher", "oi-poller"))
    users = {Path(f"/proc/{pid}").stat().st_uid for pid in (publisher, poller)} | {pwd.getpwnam("nobody").pw_uid}
    refused = [uid for uid in users if not readable_by(uid, credential)]
    assert len(users) == 3
    assert sorted(refused) == sorted(users - {Path(f"/proc/{publisher}").stat().st_uid})
    assert not [uid for uid in users if readable_by(uid, KEY_FILE)]
    for place in ("environ", "cmdline"):
        assert KEY.encode() not in Path(f"/proc/{publisher}/{place}").read_bytes()
    assert KEY not in sh("journalctl --no-pager; systemctl show 'oi-*'")


def readable_by(uid: int, path: Path) -> bool:
    command = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "cat", str(path)]
    return subprocess.run(command, capture_output=True).returncode == 0


def a_killed_service_comes_back_alone() -> None:
    for unit in UNITS:
        before = {name: show(name, "MainPID") for name in UNITS}
        os.kill(int(before[unit]), signal.SIGKILL)
        eventually(f"{unit} back", lambda u=unit, b=before: show(u, "MainPID") not in ("0", b[u]) and active(u), 30)  # type: ignore[misc]
        assert {n: show(n, "MainPID") for n in UNITS if n != unit} == {n: p for n, p in before.items() if n != unit}
    verified_again()


def a_service_that_hangs_is_started_again() -> None:
    before = {unit: show(unit, "MainPID") for unit in UNITS}
    for pid in before.values():
        os.kill(int(pid), signal.SIGSTOP)
    eventually(
        "all five killed by the watchdog and back",
        lambda: all(show(unit, "MainPID") not in ("0", before[unit]) for unit in UNITS) and active(),
        75,
    )
    for unit in UNITS:
        assert "Watchdog timeout" in sh(f"journalctl --no-pager -u {unit} -n 100"), unit
    verified_again()


def a_bad_setting_stays_down_and_is_named() -> None:
    good = ENV.read_text()
    ENV.write_text(good + "OI_MAX_REQ_PER_MIN=lots\n")
    subprocess.run(["systemctl", "restart", "oi-poller"], capture_output=True, timeout=60)
    eventually("oi-poller given up", lambda: show("oi-poller", "ActiveState") == "failed", 15)
    assert show("oi-poller", "ExecMainStatus") == "78"
    time.sleep(3)  # longer than RestartSec: a restart would have come by now
    assert show("oi-poller", "ActiveState") == "failed"
    assert show("oi-poller", "NRestarts") == "0"
    assert "OI_MAX_REQ_PER_MIN='lots': not a whole number" in sh("journalctl --no-pager -u oi-poller -n 20")
    assert active(*(unit for unit in UNITS if unit != "oi-poller")), "another service went with it"
    ENV.write_text(good)
    sh("systemctl restart oi-poller")
    verified_again()


def waiting_for_redis_is_no_failure() -> None:
    """With a start limit of 5 s in place of 60 s: it would be used up many times over."""
    drop_in = Path("/run/systemd/system/oi-ws-daemon.service.d/short.conf")
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nTimeoutStartSec=5\n")
    sh("systemctl daemon-reload && systemctl stop redis-server && systemctl restart --no-block oi-ws-daemon")
    eventually("it says so", lambda: "waiting for Redis" in show("oi-ws-daemon", "StatusText"), 10)
    pid = show("oi-ws-daemon", "MainPID")
    time.sleep(12)
    assert (show("oi-ws-daemon", "ActiveState"), show("oi-ws-daemon", "MainPID")) == ("activating", pid)
    assert active(*(unit for unit in UNITS if unit != "oi-ws-daemon")), "Redis away must end nobody"
    sh("systemctl start redis-server")
    eventually("ready after Redis came back", lambda: active("oi-ws-daemon"), 15)
    assert show("oi-ws-daemon", "MainPID") == pid
    drop_in.unlink()
    sh("systemctl daemon-reload")
    verified_again()


def an_upgrade_restarts_one_at_a_time() -> None:
    settings, before = ENV.read_text(), {unit: show(unit, "MainPID") for unit in UNITS}
    upgrade = subprocess.Popen(
        ["make", "-C", str(CLONE), "install"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    most_away = 0
    while upgrade.poll() is None:
        states = sh("systemctl show -P ActiveState " + " ".join(f"{unit}.service" for unit in UNITS)).split()
        most_away = max(most_away, len([state for state in states if state != "active"]))
        time.sleep(0.05)
    out = upgrade.stdout.read() if upgrade.stdout else ""
    assert upgrade.returncode == 0, out
    assert most_away == 1, f"{most_away} services were away at the same time"
    assert not [unit for unit in UNITS if show(unit, "MainPID") == before[unit]], out
    assert (ENV.read_text(), KEY_FILE.read_text().strip()) == (settings, KEY)
    verified_again()


def an_upgrade_that_fails_changes_nothing() -> None:
    """Packages that cannot be had, half-way: the version in use stays whole, and runs on."""
    lock, before = CLONE / "requirements/base.lock", {unit: show(unit, "MainPID") for unit in UNITS}
    text = lock.read_text()
    lock.write_text(text + "# another lock\n")
    command = ["make", "-C", str(CLONE), "install"]
    failed = subprocess.run(command, env={**os.environ, "PIP_FIND_LINKS": "/nowhere"}, capture_output=True, timeout=120)
    lock.write_text(text)
    assert failed.returncode != 0
    assert {unit: show(unit, "MainPID") for unit in UNITS} == before
    sh("systemctl restart oi-ws-daemon")
    verified_again()


def a_package_of_it_can_be_made() -> None:
    """DESTDIR and PREFIX are honoured, and nothing is started or restarted."""
    before = {unit: show(unit, "MainPID") for unit in UNITS}
    sh(f"make -C {CLONE} install DESTDIR=/srv/dest PREFIX=/usr/lib/oi-pipeline")
    units = Path("/srv/dest/usr/local/lib/systemd/system")
    assert {path.stem for path in units.glob("*.service")} == set(UNITS)
    assert "/opt/" not in "".join(path.read_text() for path in units.iterdir())
    assert Path("/srv/dest/etc/oi-pipeline/oi-pipeline.env").stat().st_mode & 0o777 == 0o600
    sh("/srv/dest/usr/lib/oi-pipeline/.venv/bin/python -c 'import redis, msgspec, aiohttp, websockets'")
    assert {unit: show(unit, "MainPID") for unit in UNITS} == before


def all_stop_within_five_seconds() -> None:
    start_s = time.monotonic()
    sh("systemctl stop oi-pipeline.target")
    eventually("all stopped", lambda: not [u for u in UNITS if show(u, "ActiveState") != "inactive"], 10)
    took_s = time.monotonic() - start_s
    assert took_s < 5, f"{took_s:.1f} s"
    assert {show(unit, "Result") for unit in UNITS} == {"success"}
    say(f"  {took_s:.1f} s")


def uninstalls_and_leaves_the_settings() -> None:
    sh("systemctl start oi-pipeline.target")
    sh(f"make -C {CLONE} uninstall")
    left = [
        path for path in ("/opt/oi-pipeline", "/usr/local/lib/systemd/system") for path in Path(path).glob("**/oi-*")
    ]
    assert left == []
    assert not Path("/opt/oi-pipeline").exists()
    assert "oi-" not in sh("systemctl list-units --all --no-legend 'oi-*.service' --state=active")
    assert ENV.exists()
    assert KEY_FILE.read_text().strip() == KEY


CHECKS = (
    installs_as_the_manual_says,
    all_are_ready_and_say_how_they_stand,
    the_past_is_answered_out_of_the_keeper_s_file,
    nothing_listens_beyond_loopback,
    nobody_else_can_read_the_key,
    a_killed_service_comes_back_alone,
    a_service_that_hangs_is_started_again,
    a_bad_setting_stays_down_and_is_named,
    waiting_for_redis_is_no_failure,
    an_upgrade_restarts_one_at_a_time,
    an_upgrade_that_fails_changes_nothing,
    a_package_of_it_can_be_made,
    all_stop_within_five_seconds,
    uninstalls_and_leaves_the_settings,
)


def main() -> int:
    for check in CHECKS:
        try:
            check()
        except (AssertionError, subprocess.TimeoutExpired) as e:
            say(f"FAILED  {check.__name__.replace('_', ' ')}: {e}")
            subprocess.run(["systemctl", "--no-pager", "status", "oi-*", "standin-*", "redis-server"])
            subprocess.run(["journalctl", "--no-pager", "-n", "60"])
            return 1
        say(f"ok      {check.__name__.replace('_', ' ')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
