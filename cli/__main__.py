"""oi: is it right, since when not, and which hop is at fault? Reads what the services left in Redis.

Only `handover` changes anything there.

Exit status of every command: 0 good, 1 degraded, 2 down, 3 cannot tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter
from redis.asyncio import Redis
from rich.console import RenderableType
from rich.text import Text

from cli import show
from cli.settings import Given, find
from shared import http, store
from shared.clock import SystemClock
from shared.errors import Refused, SettingsError, Transient

CANNOT_TELL = show.EXIT[show.UNKNOWN]
Json = Annotated[bool, Parameter(name="--json", negative="", help="print JSON instead of text")]
EnvFile = Annotated[Path | None, Parameter(name="--env-file", help="settings, instead of those found by themselves")]
app = App(name="oi", help=__doc__, version_flags=[], help_format="plaintext", suppress_keyboard_interrupt=False)


@asynccontextmanager
async def opened(env_file: Path | None) -> AsyncIterator[tuple[Given, Redis]]:
    given = find(os.environ, env_file)
    async with store.connect(given.settings.redis_url) as redis:
        yield given, redis


@app.command
async def status(*, json: Json = False, env_file: EnvFile = None) -> int:
    """One screen: each hop from the exchange to what is served, how it stands, since when, and why."""
    from cli import hosts
    from cli.outside import health
    from cli.state import read_or_why
    from cli.status import status, without_redis

    async with opened(env_file) as (given, redis):
        seen, why = await read_or_why(redis, egress=given.settings.egress)
        if why:
            found = without_redis(why, await health(given.settings.health), seen.now_ms, given.source)
        else:
            found = status(seen, given.settings, given.source, await hosts.read(redis, seen.now_ms))
    head = Text.assemble("oi-pipeline ", show.mark(found.state), f"  {show.clock(found.at)} UTC  ")
    head.append(f"{given.settings.redis_shown}, {found.source}", "dim")
    beside = ("", hosts.table(found.hosts)) if found.hosts else ()
    show.report(json, found, head, "", show.hop_table(found.hops), *beside)
    return found.exit_status


@app.command
async def handover(service: str, /, *, env_file: EnvFile = None) -> int:
    """Move the work of a service to the host that stands by, before maintenance of the one that works.

    Exit status: 0 moved, 1 nobody stands by for one, which is left, 2 one not moved within 20 s, 3 no Redis.

    Parameters
    ----------
    service
        ws_daemon, oi_poller, publisher, oi_alerter, oi_keeper, venue_poller, or all of them: all
    """
    from cli import hosts

    clock, states = SystemClock(), {show.GOOD}
    async with opened(env_file) as (_, redis):
        for share in hosts.require(await hosts.read(redis, clock.now_ms()), service):
            try:
                await hosts.ask(redis, share, clock.now_ms())
            except Refused as e:
                show.say(Text(str(e), show.STYLE[show.DEGRADED]))
                states.add(show.DEGRADED)
                continue
            now = await hosts.until_moved(redis, share, clock)
            states.add(show.GOOD if now else show.DOWN)
            said = hosts.told(now.handover) if now else f"{share.works} did not give it away"
            show.say(Text(f"{share.service}: {said}"))
    return max(show.EXIT[state] for state in states)


@app.command
async def explain(symbol: str, /, *, json: Json = False, env_file: EnvFile = None) -> int:
    """The whole life of one number, and why it is missing where it is.

    Exit status: 0 right, 1 served but not to be trusted, 2 not served, 3 unknown symbol or no Redis.

    Parameters
    ----------
    symbol
        BTCUSDT, or btc
    """
    import msgspec

    from cli import explain as explaining
    from cli import outside, venues
    from cli.spelling import spellings
    from cli.state import SWEEPS_READ, read
    from shared.venuelines import read_venues

    async with opened(env_file) as (given, redis), http.client(connections=1) as client:
        settings = given.settings
        seen = await read(redis, wanted=spellings(symbol), sweeps=SWEEPS_READ, egress=settings.egress)
        meant, near = explaining.resolve(symbol, seen)
        live: outside.Live | str | None = None
        told = await read_venues(redis, lambda _: None) if seen.venues else None
        if meant and settings.backend_url:
            try:
                live = await outside.served(client, settings.backend_url)
            except Transient as e:
                live = str(e)
    found = explaining.explain(meant, seen, settings, live) if meant else explaining.unknown(symbol, near)
    over = venues.over_venues(meant, told, seen.now_ms) if meant and told else None
    found = msgspec.structs.replace(found, venues=over)
    parts: list[RenderableType] = [Text(found.answer, show.STYLE[found.state])]
    if found.hops:
        parts += ["", show.hop_table(found.hops)]
    if found.venues:
        parts += ["", venues.table(found.venues)]
    if found.look:
        parts += ["", Text(f"look  {found.look}", "dim")]
    show.report(json, found, *parts)
    return found.exit_status


@app.command
async def top(*, once: bool = False, json: Json = False, env_file: EnvFile = None) -> int:
    """The universe live: value served, contracts, mark, funding, changes, age and verdict of each symbol.

    Parameters
    ----------
    once
        print one screen and end, as where there is no terminal
    """
    from cli import top

    console = show.console()
    async with opened(env_file) as (given, redis):
        latest = top.Latest(redis, given)
        if json:
            await latest.look(console.width)
            show.emit({"state": latest.status.state, "at": latest.status.at, "note": latest.note, "rows": latest.rows})
        elif once or not (sys.stdin.isatty() and sys.stdout.isatty()):
            await top.once(latest, console)
        else:
            await top.live(latest, console)
    return show.EXIT[show.UNKNOWN] if latest.note else latest.status.exit_status


@app.command
def history(
    symbol: str, /, *, since: str = "24h", csv: bool = False, json: Json = False, env_file: EnvFile = None
) -> int:
    """Open interest of a symbol in the past, drawn; or every row, as CSV or JSON.

    Exit status: 0 there are rows, 3 there are none.

    Parameters
    ----------
    symbol
        BTCUSDT, or btc
    since
        how far back: 90m, 24h, 7d, 2w
    csv
        print CSV instead of a drawing
    """
    from cli import past

    given, now_ms = find(os.environ, env_file), SystemClock().now_ms()
    found = past.read(given.settings.history_path, symbol, past.Span(now_ms - past.since_ms(since), now_ms))
    if json:
        show.emit(found)
    elif csv:
        past.write_csv(sys.stdout, past.as_csv(found))
    elif found.rows:
        out = show.console()
        show.say(Text(past.summary(found)), *(Text(line) for line in past.draw(found, out.width)))
    else:
        what = f"{found.symbol}: nothing is kept of that time" if found.symbol else f"{symbol}: nothing is kept of it"
        show.say(Text(what, show.STYLE[show.UNKNOWN]))
    return found.exit_status


@app.command
def export(*, day: str, to: Path, env_file: EnvFile = None) -> int:
    """All that is kept of one day of UTC, into a CSV file, or with pyarrow into Parquet.

    Parameters
    ----------
    day
        2026-11-25
    to
        FILE.csv, or FILE.parquet
    """
    from cli import past

    given = find(os.environ, env_file)
    try:
        count = past.export(given.settings.history_path, past.day_of(day), to)
    except OSError as e:
        raise SettingsError(f"--to {to}: {e.strerror or e}") from None
    show.say(Text(f"{count} rows of {day} in {to}"))
    return show.EXIT[show.GOOD] if count else CANNOT_TELL


@app.command
async def tail(*, count: int = 0, json: Json = False, env_file: EnvFile = None) -> int:
    """Cycles as they end, until Ctrl-C. The exit status is that of the last one.

    Parameters
    ----------
    count
        end after so many; 0: never
    """
    from cli.tail import cycles

    if count < 0:
        raise SettingsError(f"--count {count}: must be a number of cycles, or 0 for no end")
    out, status = show.console(), CANNOT_TELL
    async with opened(env_file) as (_, redis):
        with contextlib.suppress(asyncio.CancelledError):  # Ctrl-C
            async for found in cycles(redis, SystemClock()):
                if json:
                    show.emit(found, indent=0)
                else:
                    out.print(found.line(), soft_wrap=True)
                status, count = found.exit_status, count - 1
                if count == 0:
                    break
    return status


@app.command
async def doctor(*, json: Json = False, env_file: EnvFile = None) -> int:
    """Checks from the outside in, heaviest finding first, each with its fix. Safe beside production."""
    from cli import doctor
    from cli.state import read_or_why

    async with opened(env_file) as (given, redis), http.client(connections=2) as client:
        seen, why = await read_or_why(redis, egress=given.settings.egress)
        findings = await doctor.examine(doctor.Patient(given, redis, client, seen, why))
    show.report(json, {"findings": findings}, *(doctor.shown(finding) for finding in findings))
    return doctor.exit_status(findings)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status, which is never a stand-in for another meaning."""
    show.prepare_output()
    typed = [word.encode(errors="replace").decode() for word in (sys.argv[1:] if argv is None else argv)]
    try:
        status = int(app(typed, exit_on_error=False, print_error=True, result_action="return_value") or 0)
        sys.stdout.flush()  # here it can still be told that nobody took it
    except CycloptsError:
        return CANNOT_TELL  # it has said what is wrong with the command line
    except (SettingsError, Transient) as e:
        sys.stderr.write(f"oi: {e}\n")
        return CANNOT_TELL
    except KeyboardInterrupt:
        return 130
    except (OSError, SystemExit) as e:  # the second is rich's, of a pipe that nobody reads
        if not isinstance(e, BrokenPipeError | SystemExit):
            sys.stderr.write(f"oi: {e}\n")
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # no complaint at exit either
        return CANNOT_TELL
    return status


if __name__ == "__main__":
    sys.exit(main())
