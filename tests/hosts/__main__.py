"""Each fault of two hosts, and a table of what came of it: ``python -m tests.hosts``, as root."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.hosts import net
from tests.hosts.faults import FAULTS
from tests.hosts.outcome import Outcome
from tests.hosts.rig import Rig

QUICK = ("handover of all", "publisher killed for good", "master of Redis killed", "power cut")


async def run(folder: Path, names: list[str], before: Path | None) -> list[Outcome]:
    rig, found = Rig(folder, before), list[Outcome]()
    try:
        await rig.start()
        await rig.whole()
        for name in names:
            found.append(await hurt(rig, name))
            print(line(name, found[-1]), flush=True)
        values = await rig.wrong_values()
        print(f"{values[0]} rows judged, {len(values[1])} wrong", *values[1][:5], flush=True)
        gaps = sorted(rig.minutes_of_one())
        print(f"minutes in the history of one host only: {gaps or 'none'}")
        found.append(Outcome(wrong=[*values[1], *map(str, gaps)]))
    finally:
        await rig.close()
    return found


async def hurt(rig: Rig, name: str) -> Outcome:
    outcome = Outcome()
    try:
        outcome = await FAULTS[name](rig)
        await rig.whole()
    except Exception as e:  # noqa: BLE001 - the next fault shows whether it was left whole
        outcome.wrong.append(f"not whole again: {e!r}")
    return outcome


def line(name: str, outcome: Outcome) -> str:
    facts = ", ".join(f"{key} {value}" for key, value in outcome.facts.items())
    verified = "-" if outcome.verified_s is None else f"{outcome.verified_s:.1f}"
    return f"| {name} | {verified} | {facts} | {'; '.join(outcome.wrong) or 'passed'} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.hosts", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(FAULTS))
    parser.add_argument("--all", action="store_true", help="all of them, not the quick ones alone")
    parser.add_argument("--random", type=int, default=0, metavar="N", help="so many at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder that stays, with all logs")
    parser.add_argument("--before", type=Path, help="a checkout of the version that 'rolling upgrade' begins with")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="oi-hosts-") as temporary, net.network():
        folder = told.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        net.enter_outside()
        found = asyncio.run(run(folder, chosen(told), told.before))
    return int(any(outcome.wrong for outcome in found))


def chosen(told: argparse.Namespace) -> list[str]:
    if told.random:
        return random.Random(told.seed).choices([name for name in FAULTS if name != "alerts"], k=told.random)
    return told.only or list(FAULTS if told.all else QUICK)


if __name__ == "__main__":
    sys.exit(main())
