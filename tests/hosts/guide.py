"""The commands of docs/two-hosts.md, as written, on three bare Debian 12 machines: ``python -m tests.hosts.guide``.

As root. What differs from the page: the stand-ins in place of exchange and backend, and apt, which is run before the
machines are cut off from the world.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from dev.node import require_node
from dev.processes import Child
from tests.hosts import net
from tests.hosts.machines import ROOT, Machine, bare_debian
from tests.pipeline.harness import KEY

PAGE = (ROOT / "docs" / "two-hosts.md").read_text()
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
BACKEND, EXCHANGE = f"http://{net.WORLD}:18080", f"{net.WORLD}:18090"
CLONE = "/usr/local/src/oi-pipeline"
STAND_INS = f"""cat >> /etc/oi-pipeline/oi-pipeline.env <<'END'
BACKEND_ALLOW_HTTP=on
BINANCE_WS_URL=ws://{EXCHANGE}
BINANCE_REST_URL=http://{EXCHANGE}
OI_MAX_REQ_PER_MIN=60000
OI_MIN_INTERVAL_SEC=2
END
"""
begun_s = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - begun_s:6.1f} s  {text}", flush=True)


def blocks() -> list[str]:
    """Of the section that leads to a tested failover."""
    section = PAGE.partition("## From three bare")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def apt(text: str) -> str:
    (line,) = re.findall(r"apt-get update && apt-get install -y [a-z0-9 -]+", text)
    return str(line)


def eventually(what: str, condition: Callable[[], object], within_s: float) -> float:
    """Seconds until it held."""
    since_s = time.monotonic()
    while not condition():
        assert time.monotonic() - since_s < within_s, f"not within {within_s:g} s: {what}"
        time.sleep(0.3)
    return time.monotonic() - since_s


class Guide:
    def __init__(self, a: Machine, b: Machine, c: Machine) -> None:
        self.a, self.b, self.c = a, b, c
        self.pipeline, self.replica, self.sentinel, self.start = blocks()

    def packages(self) -> None:
        third = apt(PAGE.partition("On the third alone:")[2].partition("\n```")[0])
        for machine in (self.a, self.b):
            machine.before_it_is_cut_off(apt(self.pipeline))
        self.c.before_it_is_cut_off(third)

    def installed(self) -> None:
        block = self.pipeline.replace(apt(self.pipeline), "").replace("https://backend.example", BACKEND)
        for machine in (self.a, self.b):
            machine.sh(block + STAND_INS, f"{KEY}\n")
        self.b.sh(self.replica)
        for machine in (self.a, self.b, self.c):
            third = machine is self.c
            machine.sh(
                "\n".join(line for line in self.sentinel.splitlines() if not (third and "not on the third" in line))
            )

    def started(self) -> None:
        enable, *looks = [line.partition("#")[0].strip() for line in self.start.splitlines()]
        assert looks == ["oi status", "oi doctor"], looks
        for machine in (self.a, self.b):
            machine.sh(enable)
        took_s = eventually("hosts good on both", lambda: all(good(one) for one in (self.a, self.b)), 120)
        say(f"hosts good {took_s:.0f} s after the second was started")
        eventually("oi doctor finds nothing", lambda: all(sound(one) for one in (self.a, self.b)), 60)

    def rebooted(self) -> None:
        works, other = self.who_works()
        works.sh("systemctl reboot")
        since_s = time.monotonic()
        moved_s = eventually("the other works", lambda: works_alone(other), 60)
        works.boot_again()
        eventually("it stands by", lambda: good(other) and good(works), 120)
        back_s = time.monotonic() - since_s
        assert self.who_works()[0] is other
        say(f"the other worked {moved_s:.1f} s after systemctl reboot, the first stood by after {back_s:.0f} s")

    def upgraded(self) -> None:
        works, other = self.who_works()
        for machine in (other, works):
            machine.sh(f"echo '# another version' >> {CLONE}/shared/__init__.py && make -C {CLONE} install")
            if machine is other:
                other.sh("oi handover all")
                assert self.who_works()[0] is other
        eventually("hosts good", lambda: good(self.a) and good(self.b), 60)
        eventually("oi doctor finds nothing", lambda: sound(works) and sound(other), 60)

    def left_alone(self) -> None:
        """The host that works and the third machine are lost for good: the way out of the runbook."""
        works, other = self.who_works()
        for lost in (works, self.c):
            lost.close()
        section = RUNBOOK.partition("## NobodyWorks")[2].partition("\n## ")[0]
        (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
        other.sh(block)
        verified = "journalctl -u oi-publisher -g verdict=VERIFIED --since -5s -n 1"
        alone_s = eventually("it works alone", lambda: works_alone(other) and other.says(verified)[0] == 0, 60)
        say(f"it worked alone, and verified, after {alone_s:.0f} s")

    def who_works(self) -> tuple[Machine, Machine]:
        """Who does the publisher's work, and the other."""
        owner = self.a.sh("redis-cli -h 10.77.0.3 -p 26379 sentinel get-master-addr-by-name oi").split()[0]
        lease = self.a.sh(f"redis-cli -h {owner} -a a-long-password --no-auth-warning get oi:lease:publisher")
        return (self.a, self.b) if lease.startswith("oi-a") else (self.b, self.a)


def good(machine: Machine) -> bool:
    _, said = machine.says("oi status")
    return bool(re.search(r"hosts +● good", said))


def sound(machine: Machine) -> bool:
    status, _ = machine.says("oi doctor")
    return status == 0


def works_alone(machine: Machine) -> bool:
    _, said = machine.says("oi status")
    return all(
        re.search(rf"^ *{of} +oi-{machine.host}", said, re.MULTILINE) for of in ("publisher", "oi_poller", "ws_daemon")
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.hosts.guide", description=__doc__)
    parser.add_argument("--base", type=Path, help="a folder for the bare root, kept from one run to the next")
    told = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oi-guide-", dir="/var/tmp")))
        base = told.base or folder / "base"
        bare_debian(base)
        say("a bare Debian 12")
        machines = {host: Machine(host, base, folder / host) for host in net.ADDRESSES}
        for machine in machines.values():
            stack.callback(machine.close)
        guide = Guide(**machines)
        guide.packages()
        say("packages")
        stack.enter_context(net.network())
        net.enter_outside()
        for child in stand_ins(folder):
            child.start()
            stack.callback(child.stop)
        for machine in machines.values():
            machine.boot()
        say("three machines")
        for step in (guide.installed, guide.started, guide.rebooted, guide.upgraded, guide.left_alone):
            step()
            say(f"ok  {step.__name__}")
    return 0


def stand_ins(folder: Path) -> list[Child]:
    host, _, port = EXCHANGE.partition(":")
    exchange = [sys.executable, "-m", "dev.exchange", "--host", host, "--port", port, "--weight-limit", "100000"]
    backend = {"PORT": "18080", "HOST": net.WORLD, "API_KEY": KEY, "CACHE_MODE": "merge"}
    return [
        Child("exchange", exchange, {}, folder),
        Child("backend", [require_node(), "dev/backend/server.mjs"], backend, folder),
    ]


if __name__ == "__main__":
    sys.exit(main())
