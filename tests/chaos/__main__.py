"""``make chaos``: named faults through the real processes, one after another, and a table of what they cost.

``make soak``: faults at random for an hour, of any length, some with a kill on top.

Exit status 1 when a wrong value was published, a ban was not respected, a symbol was lost, a fault was not noticed,
recovery did not come in time, a process ended by itself, or memory grew.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from tests.chaos import table
from tests.chaos.catalogue import CATALOGUE
from tests.chaos.faults import Fault, kill
from tests.chaos.rig import Rig
from tests.chaos.run import Bench, Result, measure
from tests.pipeline.harness import SERVICES

KILL_TOO = 1 / 3  # of the rounds of a soak also kill a service outright


def say(text: str) -> None:
    print(text, flush=True)


async def run(faults: Iterable[Fault], folder: Path) -> list[Result]:
    """All on one pipeline; after a fault that failed, the next gets a fresh one."""
    results: list[Result] = []
    todo = iter(faults)
    fault = next(todo, None)
    while fault:
        async with Bench(folder / f"pipeline-{len(results)}") as bench:
            failed = False
            while fault and not failed:
                result = await measure(bench, fault)
                results.append(result)
                say(f"{time.strftime('%H:%M:%S')} {table.line(result)}")
                for problem in result.problems:
                    say(f"         {problem}")
                failed, fault = bool(result.problems), next(todo, None)
        say(f"\n{bench.memory.table()}\n")
    return results


def at_random(minutes: float, seed: int) -> Iterator[Fault]:
    """So long as there is time; nobody has to notice, for a fault may be over sooner than it can be noticed."""
    dice, until_s = random.Random(seed), time.monotonic() + minutes * 60
    while time.monotonic() < until_s:
        fault = dice.choice(list(CATALOGUE.values()))
        hold_s = fault.hold_s * dice.uniform(0.3, 1.2)
        if dice.random() < KILL_TOO:
            fault = with_kill(fault, dice.choice(SERVICES))
        yield replace(fault, hold_s=hold_s, noticed=(), age_s=None, holds=None, recover_s=max(30.0, fault.recover_s))


def with_kill(fault: Fault, service: str) -> Fault:
    async def inject(rig: Rig) -> None:
        await fault.inject(rig)
        if service not in rig.ended:
            await kill(service)(rig)

    return replace(fault, inject=inject)


def chosen(names: str) -> list[Fault]:
    if not names:
        return list(CATALOGUE.values())
    unknown = [name for name in names.split(",") if name not in CATALOGUE]
    if unknown:
        sys.exit(f"no such fault: {', '.join(unknown)}; --list names them all")
    return [CATALOGUE[name] for name in names.split(",")]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="NAME[,NAME]", help="these faults, in this order")
    parser.add_argument("--list", action="store_true", help="name the faults and end")
    parser.add_argument("--minutes", type=float, default=0.0, help="faults at random for so long")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of those: the same again")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the logs of all processes there")
    args = parser.parse_args()
    faults: Iterable[Fault] = chosen(args.only)
    if args.list:
        say("\n".join(f"{fault.name:<18} {fault.about}" for fault in faults))
        return 0
    if args.minutes:
        say(f"seed {args.seed}")
        faults = at_random(args.minutes, args.seed)
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="oi-chaos-") as scratch:
        results = asyncio.run(run(faults, args.keep or Path(scratch)))
    if args.minutes:
        times = Counter(result.fault.name for result in results)
        say(", ".join(f"{name} {count}" for name, count in sorted(times.items())))
    else:
        say(table.table(results))
    say(f"\n{table.summary(results, time.monotonic() - begun_s)}")
    return int(any(result.problems for result in results))


if __name__ == "__main__":
    sys.exit(main())
