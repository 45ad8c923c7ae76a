"""A Redis that somebody else runs: an older server, and a user who may do what the services need and nothing else."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.command import oi
from tests.pipeline.harness import ROOT, Pipeline
from tests.redis_servers import servers
from tests.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]
MANAGED = "ACL SETUSER oi on '>a-long-password' '~oi:*' +@all -@dangerous -@admin"  # as most of them give it


def printed() -> str:
    """The command as docs/operating.md has it."""
    (line,) = re.findall(r"^redis-cli (ACL SETUSER oi .*)$", (ROOT / "docs/operating.md").read_text(), re.MULTILINE)
    return line


CASES = [(server, user) for server in servers() for user in (printed(), MANAGED)]


@pytest.mark.parametrize(
    ("server", "user"), CASES, ids=[f"{s}, {'least' if u != MANAGED else 'managed'}" for s, u in CASES]
)
async def test_all_of_it_works_with_a_limited_user(server: str, user: str, tmp_path: Path) -> None:
    """By the server's own book nothing was refused to any service; to `oi`, INFO alone."""
    url = "redis://oi:a-long-password@127.0.0.1:{redis}/0"
    async with Pipeline(tmp_path, redis_binary=servers()[server], REDIS_URL=url) as pipeline:
        pipeline.start()
        for name in ("oi_alerter", "funding_api", "oi_keeper"):
            pipeline.start_service(name, FUNDING_API_PORT="0")
        await eventually(pipeline.redis.ping)
        await pipeline.redis.execute_command(*shlex.split(user))
        await pipeline.redis.execute_command("ACL", "LOG", "RESET")  # who came before there was a user
        await pipeline.next_verified()
        for name in ("publisher", "oi_poller", "ws_daemon"):
            pipeline[name].kill()
            pipeline[name].start()
        await pipeline.next_verified()
        for command in (["status"], ["explain", "BTCUSDT"], ["top", "--once"], ["tail", "--count", "1"], ["doctor"]):
            await eventually(
                lambda c=command: _well(c, pipeline.env), within_s=60
            )  # a heartbeat comes every other second
        refused = {entry[b"object"].decode() for entry in await pipeline.redis.execute_command("ACL", "LOG")}
        assert refused <= {"info"}, pipeline.logs()


async def _well(command: list[str], env: dict[str, str]) -> bool:
    return (await oi(*command, env=env)).exit_status in {0, 1}
