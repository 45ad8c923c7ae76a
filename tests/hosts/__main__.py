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
from tests.hosts.rig import Rig

QUICK = ("handover of all", "publisher killed for good", "master of Redis killed", "power cut")


async def run(folder: Path, names: list[str], before: Path | None) -> list[str]:
    """Why it did not pass."""
    rig, wrong = Rig(folder, before), list[str]()
    try:
        await rig.start()
        await rig.whole()
        for name in names:
            wrong += await hurt(rig, name)
        judged, false = await rig.wrong_values()
        print(f"{judged} rows judged, {len(false)} wrong", *false[:5], flush=True)
        gaps = sorted(rig.minutes_of_one())
        print(f"minutes in the history of one host only: {gaps or 'none'}")
        return [*wrong, *false, *map(str, gaps)]
    finally:
        await rig.close()


async def hurt(rig: Rig, name: str) -> list[str]:
    verified, facts, wrong = "-", "", list[str]()
    try:
        outcome = await FAULTS[name](rig)
        wrong = outcome.wrong
        verified = f"{outcome.verified_s:.1f}"
        facts = ", ".join(f"{key} {value}" for key, value in outcome.facts.items())
        await rig.whole()
    except Exception as e:  # noqa: BLE001 - the next fault shows whether it was left whole
        wrong.append(f"not whole again: {e!r}")
    print(f"| {name} | {verified} | {facts} | {'; '.join(wrong) or 'passed'} |", flush=True)
    return wrong


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
        wrong = asyncio.run(run(folder, chosen(told), told.before))
    return int(bool(wrong))


def chosen(told: argparse.Namespace) -> list[str]:
    if told.random:
        return random.Random(told.seed).choices(list(FAULTS), k=told.random)
    return told.only or list(FAULTS if told.all else QUICK)


if __name__ == "__main__":
    sys.exit(main())
