"""``make bench``: what the pipeline costs and how fresh it is, beside its peers; one table, and bench/out/result.json.

Eleven minutes. Figures of different machines do not compare; the ratios of one run do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench import brisk, document, feed, fresh, past, scale, sweeps, table, visible
from bench.machine import ROOT, machine
from bench.results import Results

OUT = Path(__file__).resolve().parent / "out" / "result.json"
PARTS: dict[str, Callable[[Results], Awaitable[None]]] = {
    "sweeps": sweeps.measure,
    "feed": feed.measure,
    "visible": visible.measure,
    "fresh": fresh.measure,
    "brisk": brisk.measure,
    "scale": scale.measure,
    "past": past.measure,
}


async def run(names: list[str]) -> Results:
    """A part that fails costs its own rows."""
    results = Results()
    for name in names:
        begun_s = time.monotonic()
        try:
            await PARTS[name](results)
        except Exception as e:  # noqa: BLE001 - the other parts are still worth having, and this one is named
            results.missing[f"ours: {name}"] = f"{type(e).__name__}: {e}"[:300]
        print(f"{name}: {time.monotonic() - begun_s:.0f} s", file=sys.stderr, flush=True)
    return results


def chosen(names: str) -> list[str]:
    wanted = names.split(",") if names else list(PARTS)
    if unknown := [name for name in wanted if name not in PARTS]:
        sys.exit(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return wanted


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default="", metavar="PART[,PART]", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--markdown", action="store_true", help="put the table into docs/performance.md as well")
    args = parser.parse_args()
    names = chosen(args.only)
    os.chdir(ROOT)
    about, begun_s = machine(), time.monotonic()
    results = asyncio.run(run(names))
    took_s = time.monotonic() - begun_s
    text = "\n\n".join([table.about(about, results), table.markdown(results), table.remarks(results)])
    print(f"{text}\n\n{took_s:.0f} s")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(table.as_json(about, results, took_s))
    if args.markdown:
        document.write(text)
    return int(any(what.startswith("ours: ") for what in results.missing))


if __name__ == "__main__":
    sys.exit(main())
