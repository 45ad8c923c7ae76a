"""The command as scripts see it: exit status, JSON, and nothing secret in sight.

A process of its own is started only for what a process shows: the link, the locale, a pipe that nobody reads.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from redis.asyncio import Redis

from cli.__main__ import main
from cli.hosts import SHARED
from tests.cli.command import oi
from tests.cli.world import World
from tests.pipeline.harness import ROOT

SECRET = "a-word-that-must-never-be-seen"
COMMANDS = (["status"], ["explain", "BTCUSDT"], ["top", "--once"], ["tail", "--count", "1"])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
async def test_every_command_says_that_all_is_well(redis: Redis, redis_url: str, command: list[str]) -> None:
    await World().write(redis)
    said = await oi(*command, env={"REDIS_URL": redis_url})
    as_json = await oi(*command, "--json", env={"REDIS_URL": redis_url})

    assert (said.exit_status, said.err) == (0, "")
    assert (as_json.exit_status, as_json.err) == (0, "")
    assert as_json.json["state"] == "good"
    assert said.out.strip()


@pytest.mark.parametrize("command", [*COMMANDS, ["doctor"]], ids=lambda command: command[0])
async def test_without_redis_nobody_pretends_to_know(command: list[str]) -> None:
    env = {"REDIS_URL": f"redis://:{SECRET}@127.0.0.1:1/0", "BACKEND_API_KEY": SECRET}
    env |= {"PIPELINE_HEALTH": "publisher=http://127.0.0.1:1/healthz", "BINANCE_WS_URL": "ws://127.0.0.1:1"}
    said = await oi(*command, env=env)

    assert said.exit_status == (2 if command == ["doctor"] else 3)
    assert "Redis" in said.out + said.err
    assert SECRET not in said.out + said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "wrong", [["nonsense"], ["explain"], ["tail", "--count", "many"], ["tail", "--count=-1"], ["status", "--nonsense"]]
)
def test_a_mistyped_command_is_no_verdict(wrong: list[str]) -> None:
    """Status 2 means down; a typing error must not look like it."""
    assert main(wrong) == 3


@pytest.mark.parametrize("command", [*COMMANDS, ["doctor"]], ids=lambda command: command[0])
async def test_an_instant_that_no_calendar_has_ends_no_command(
    redis: Redis, redis_url: str, command: list[str]
) -> None:
    """A ban typed by hand, or a stamp in another unit, would be of the year 33658."""
    world = World()
    never = "9" * 15
    world.beats["oi_keeper"] |= {"series": "1", "oldest_ms": never, "newest_ms": never}
    world.beats["publisher"] |= {"batch": "0001-01-01T00:00:00+23:59", "universeForeignAt": "0001-01-01T00:00:00+23:59"}
    world.learnt = {"delivered": f"{never}999-0", "max_rows": "100", "refused_ms": never}
    await world.write(redis)
    await redis.set("oi:ban", never)
    await redis.hset("oi:status:publisher", b"\xff", b"\xff")
    env = {"REDIS_URL": redis_url, "BINANCE_WS_URL": "ws://127.0.0.1:1"}

    said = await oi(*command, env=env)

    assert said.exit_status in {0, 1, 2, 3}
    assert said.err == ""
    assert said.out.strip()


async def test_ctrl_c_ends_a_tail_with_the_status_of_the_last_cycle(redis: Redis, redis_url: str) -> None:
    await World().write(redis)
    command = [sys.executable, "-m", "cli", "tail", "--json"]
    tail = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=told(redis_url),
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what runs in a shell's background ignores it
    )
    assert tail.stdout
    async with asyncio.timeout(60):
        assert json.loads(await tail.stdout.readline())["state"] == "good"
        tail.send_signal(signal.SIGINT)
        assert await tail.wait() == 0


def test_ctrl_c_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 3 said that it could not be told."""

    def interrupted(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.__main__.find", interrupted)
    assert main(["status"]) == 130


async def test_help_names_the_commands() -> None:
    said = await oi("--help", env={})
    assert (said.exit_status, said.err) == (0, "")
    assert {"status", "handover", "explain", "top", "history", "export", "tail", "doctor"} <= set(said.out.split())


async def test_help_of_a_handover_names_what_can_be_handed_over() -> None:
    said = await oi("handover", "--help", env={})
    assert {*SHARED, "all"} <= set(said.out.replace(",", " ").split())


async def test_a_bad_setting_is_named(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text(f"REDIS_URL=http://:{SECRET}@h\n")
    said = await oi("status", "--env-file", str(path), env={})

    assert said.exit_status == 3
    kinds = "redis:// or rediss:// or unix:// or redis+sentinel:// or rediss+sentinel://"
    assert said.err == f"oi: REDIS_URL=(secret): must start with {kinds}\n"


async def test_top_gives_its_rows_to_scripts(redis: Redis, redis_url: str) -> None:
    world = World()
    await world.write(redis)
    found = {row["symbol"]: row for row in (await oi("top", "--json", env={"REDIS_URL": redis_url})).json["rows"]}

    assert set(found) == world.universe
    assert found["BTCUSDT"]["usd"] == world.usd("BTCUSDT")
    assert found["BTCUSDT"]["change5m"] is None


async def test_the_command_that_setup_links_runs_from_anywhere(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    """Also where a folder named cli lies about, and where Python takes the terminal for ASCII."""
    await World().write(redis)
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "__main__.py").write_text("raise SystemExit(9)")
    link = tmp_path / "oi"
    link.symlink_to(ROOT / "cli" / "oi")
    env = {"PATH": os.environ["PATH"], "REDIS_URL": redis_url, "LANG": "C"}
    env |= {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([link, "status"], cwd=tmp_path, env=env, capture_output=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"* good" in done.stdout


@pytest.mark.parametrize("command", [["top", "--json"], ["top", "--once"], ["--help"]], ids=" ".join)
async def test_a_reader_that_leaves_is_no_trouble(redis: Redis, redis_url: str, command: list[str]) -> None:
    """It has left before the first byte: each write to the pipe fails, and the last at the end of the process."""
    await World().write(redis)
    reading, writing = os.pipe()
    os.close(reading)
    done = run(command, redis_url, stdout=writing)
    os.close(writing)

    assert (done.returncode, done.stderr) == (3, b"")


@pytest.mark.parametrize("command", [["top", "--json"], ["top", "--once"]], ids=" ".join)
async def test_an_output_that_takes_nothing_is_no_verdict(redis: Redis, redis_url: str, command: list[str]) -> None:
    """A full disk, with the status of 'degraded' and a traceback."""
    await World().write(redis)
    full = os.open("/dev/full", os.O_WRONLY)
    done = run(command, redis_url, stdout=full)
    os.close(full)

    assert (done.returncode, done.stderr) == (3, b"oi: [Errno 28] No space left on device\n")


async def test_who_closes_the_output_gets_the_exit_status(redis: Redis, redis_url: str) -> None:
    await World().write(redis)
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -m cli status >&- 2>&-', sys.executable], cwd=ROOT, env=told(redis_url), timeout=60
    )

    assert done.returncode == 0


def told(redis_url: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "REDIS_URL": redis_url}


def run(command: list[str], redis_url: str, stdout: int) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "cli", *command]
    return subprocess.run(command, cwd=ROOT, env=told(redis_url), stdout=stdout, stderr=subprocess.PIPE, timeout=60)


@pytest.mark.parametrize("encoding", ["iso-8859-1", "ascii"])
async def test_a_terminal_that_knows_few_characters_shows_what_it_can(
    redis: Redis, redis_url: str, encoding: str
) -> None:
    """Signs of state stay apart; a Chinese symbol is as wide as ever; JSON is UTF-8 everywhere."""
    world = World()
    world.left_out = {"龙虾USDT": "stale_mark"}
    await world.write(redis)
    env = {"REDIS_URL": redis_url}
    hops = await oi("status", env=env, encoding=encoding)
    top = await oi("top", "--once", env=env, encoding=encoding)
    as_json = await oi("explain", "龙虾USDT", "--json", env=env, encoding=encoding)

    assert (hops.exit_status, hops.err) == (1, "")
    assert "* good" in hops.out
    assert "! degraded" in hops.out
    assert (top.exit_status, top.err) == (1, "")
    assert "????USDT" in top.out
    assert as_json.json["symbol"] == "龙虾USDT"


async def test_what_is_no_text_on_the_command_line_is_no_symbol(redis: Redis, redis_url: str) -> None:
    await World().write(redis)
    said = await oi("explain", "\udcff", "--json", env={"REDIS_URL": redis_url})
    assert (said.exit_status, said.err) == (3, "")
