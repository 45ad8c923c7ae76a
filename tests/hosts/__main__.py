"""Each fault of two hosts, and a table of what came of it: ``python -m tests.hosts``, as root."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.hosts import net
from tests.hosts.faults import FAULTS, Outcome
from tests.hosts.rig import Rig


async def run(folder: Path, names: list[str]) -> dict[str, Outcome]:
    rig, found = Rig(folder), dict[str, Outcome]()
    try:
        await rig.start()
        await rig.whole()
        for name in names:
            try:
                found[name] = await FAULTS[name](rig)
                await rig.whole()
            except AssertionError as e:
                found.setdefault(name, Outcome()).wrong.append(f"not whole again: {e}")
            print(line(name, found[name]), flush=True)
            if found[name].wrong:
                break
    finally:
        await rig.close()
    return found


def line(name: str, outcome: Outcome) -> str:
    facts = ", ".join(f"{key} {value}" for key, value in outcome.facts.items())
    verified = "-" if outcome.verified_s is None else f"{outcome.verified_s:.1f}"
    return f"| {name} | {verified} | {facts} | {'; '.join(outcome.wrong) or 'passed'} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.hosts", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(FAULTS))
    parser.add_argument("--keep", type=Path)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="oi-hosts-") as temporary, net.network():
        folder = told.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        net.enter_outside()
        found = asyncio.run(run(folder, told.only or list(FAULTS)))
    return int(any(outcome.wrong for outcome in found.values()))


if __name__ == "__main__":
    sys.exit(main())
