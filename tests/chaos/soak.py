"""``make soak``: faults and kills at random, one every 20 s, for an hour; then the account.

Passes when no wrong value was published or served, nothing was asked during a ban, no process ended by itself, memory
stayed bounded, and the pipeline is whole and VERIFIED within 30 s of the end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

from tests.chaos.catalogue import CATALOGUE
from tests.chaos.faults import Fault
from tests.chaos.memory import Memory
from tests.chaos.run import Bench
from tests.chaos.watch import now_ms
from tests.pipeline.harness import SERVICES
from tests.waiting import eventually

EVERY_S = 20.0
LONGEST_S = 14.0  # of one fault, so that most of a round's end is calm
KILL_TOO = 1 / 3  # of the rounds also kill a service outright
END_S = 30.0
LEFT_OUT = {"over-the-limit"}  # it takes more than a round


class Soak:
    def __init__(self, bench: Bench, seed: int, minutes: float) -> None:
        self._bench = bench
        self._random = random.Random(seed)
        self._until_s = time.monotonic() + minutes * 60
        self._skew_ms = 0
        self.memory = Memory(bench.rig)
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.whole_rounds = self.rounds = self.during_ban = 0

    async def run(self) -> None:
        self._bench.served.expected = await self._bench.rig.universe()
        self._bench.served.forget()
        begun_s = said_s = time.monotonic()
        while time.monotonic() < self._until_s:
            await self._round()
            if time.monotonic() - said_s >= 60:
                said_s = time.monotonic()
                say(f"{(said_s - begun_s) / 60:5.1f} min  {self.progress()}")
        await self._end()

    async def _round(self) -> None:
        """A fault for a while, perhaps a kill on top, then calm until the next."""
        bench, next_s = self._bench, time.monotonic() + EVERY_S
        fault = self._random.choice([fault for name, fault in CATALOGUE.items() if name not in LEFT_OUT])
        bench.served.skews_ms = frozenset({0, fault.skew_ms, self._skew_ms})  # the last one's may still be on its way
        self._skew_ms = fault.skew_ms
        hold_s = min(LONGEST_S, fault.hold_s * self._random.uniform(0.3, 1.2))
        begun_s = time.monotonic()
        await self._inject(fault)
        if self._random.random() < KILL_TOO:
            self._kill(self._random.choice(SERVICES))
        await asyncio.sleep(max(0.0, begun_s + hold_s - time.monotonic()))
        with contextlib.suppress(AssertionError):
            await eventually(lambda: not bench.rig.manners.banned_s, next_s - time.monotonic())
        self._note_crashes(fault)
        self._note_bans(fault)
        await bench.rig.heal()
        self.rounds += 1
        with contextlib.suppress(AssertionError):
            await bench.until_whole(now_ms(), next_s - time.monotonic())
            self.whole_rounds += 1
        await asyncio.sleep(max(0.0, next_s - time.monotonic()))
        self.memory.sample()

    async def _inject(self, fault: Fault) -> None:
        try:
            async with asyncio.timeout(LONGEST_S):
                await fault.inject(self._bench.rig)
            self.counts[fault.name] += 1
        except (AssertionError, httpx.HTTPError, TimeoutError):
            self.counts[f"{fault.name} (not possible then)"] += 1

    def _kill(self, service: str) -> None:
        """As systemd would have it: dead, and started again at once."""
        if service not in self._bench.rig.ended:
            self._bench.rig[service].kill()
            self._bench.rig[service].start()
            self.counts[f"kill -9 {service}"] += 1

    def _note_crashes(self, fault: Fault) -> None:
        for crash in self._bench.rig.crashed():
            self._problem(f"during {fault.name}: {crash}\n{self._bench.rig[crash.split()[0]].tail(5)}")

    def _note_bans(self, fault: Fault) -> None:
        asked = self._bench.rig.manners.during_ban
        self.during_ban += len(asked)
        if asked:
            self._problem(f"during {fault.name}: {len(asked)} requests in a ban, such as {asked[0]}")

    def _problem(self, text: str) -> None:
        self.problems.append(text)
        say(f"         {text}")

    async def _end(self) -> None:
        since_ms = now_ms()
        try:
            await self._bench.until_whole(since_ms, END_S)
        except AssertionError:
            self._problem(f"not whole and VERIFIED within {END_S:g} s of the end")
        served = self._bench.served
        if served.wrong_count:
            self._problem(f"{served.wrong_count} wrong values, such as {served.wrong[0]}")
        self.problems += self.memory.problems()

    def progress(self) -> str:
        served = self._bench.served
        return (
            f"rounds {self.rounds}, whole again before the next {self.whole_rounds}, rows judged {served.judged}, "
            f"wrong {served.wrong_count}, during a ban {self.during_ban}, "
            f"worst served age {served.worst_ms / 1000:.1f} s, MiB {self.memory.now()}"
        )

    def account(self) -> str:
        counts = "\n".join(f"| {name} | {count} |" for name, count in sorted(self.counts.items()))
        return f"{self.memory.table()}\n\n| fault | times |\n| --- | --- |\n{counts}"


def say(text: str) -> None:
    print(text, flush=True)


async def run(minutes: float, seed: int, folder: Path) -> int:
    async with Bench(folder) as bench:
        soak = Soak(bench, seed, minutes)
        await soak.run()
    say(f"\n{soak.account()}\n\n{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}, {os.cpu_count()} cores")
    say(f"{minutes:g} min, seed {seed}: {soak.progress()}")
    say("passed" if not soak.problems else f"FAILED: {len(soak.problems)} problems, the first: {soak.problems[0]}")
    return int(bool(soak.problems))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None, help="the same faults in the same order")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the logs of all processes there")
    args = parser.parse_args()
    seed = random.randrange(1_000_000) if args.seed is None else args.seed
    say(f"soak of {args.minutes:g} min, seed {seed}")
    with tempfile.TemporaryDirectory(prefix="oi-soak-") as scratch:
        return asyncio.run(run(args.minutes, seed, args.keep or Path(scratch)))


if __name__ == "__main__":
    sys.exit(main())
