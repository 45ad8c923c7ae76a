"""``make chaos``: named faults through the real processes, one after another, and a table of what they cost.

Exit status 1 when a wrong value was published, a ban was not respected, a symbol was lost, a fault was not noticed,
or recovery did not come in time.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos import table
from tests.chaos.catalogue import CATALOGUE
from tests.chaos.faults import Fault
from tests.chaos.run import Bench, Result, measure


def say(text: str) -> None:
    print(text, flush=True)


async def run(faults: list[Fault], folder: Path) -> list[Result]:
    """All on one pipeline; after a fault that failed, the next gets a fresh one."""
    results: list[Result] = []
    rest = list(faults)
    while rest:
        async with Bench(folder / f"pipeline-{len(results)}") as bench:
            while rest:
                result = await measure(bench, rest.pop(0))
                results.append(result)
                say(f"{time.strftime('%H:%M:%S')} {table.line(result)}")
                for problem in result.problems:
                    say(f"         {problem}")
                if result.problems:
                    break
    return results


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
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the logs of all processes there")
    args = parser.parse_args()
    faults = chosen(args.only)
    if args.list:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `--list | head`
        say("\n".join(f"{fault.name:<18} {fault.about}" for fault in faults))
        return 0
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="oi-chaos-") as scratch:
        results = asyncio.run(run(faults, args.keep or Path(scratch)))
    took_s = time.monotonic() - begun_s
    say(f"\n{table.table(results)}\n\n{table.summary(results, took_s)}")
    if args.json:
        args.json.write_text(table.as_json(results, took_s))
    return int(any(result.problems for result in results))


if __name__ == "__main__":
    sys.exit(main())
