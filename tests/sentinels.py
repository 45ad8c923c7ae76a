"""A master, a replica and three Sentinels, all real and on the loopback."""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from dev.processes import Child
from dev.redis_server import EmbeddedRedis, free_port, server_binary
from tests.waiting import eventually

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "operating.md"
NAME = "oi"
DOWN_AFTER_MS = 500
SENTINEL_USER, SENTINEL_PASSWORD = "oi", "a-word-for-sentinels"  # may do what docs/operating.md says, and no more
AMONG_THEMSELVES = "sentinels-own"


def least_acl() -> str:
    (told,) = re.findall(r"^A user of the Sentinels needs no more than `(.*)`\.$", GUIDE.read_text(), re.MULTILINE)
    return str(told)


class Sentinels:
    """``url`` leads to whoever is the master; the Sentinels want a user and a password of their own."""

    def __init__(self) -> None:
        self.first = EmbeddedRedis()
        self.second = EmbeddedRedis(None, "--replicaof", "127.0.0.1", str(self.first.port))
        self._folder = tempfile.TemporaryDirectory(prefix="oi-sentinels-")
        self.ports = [free_port() for _ in range(3)]
        self.children = [self._start(port) for port in self.ports]
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        told = f"sentinel_username={SENTINEL_USER}&sentinel_password={SENTINEL_PASSWORD}"
        self.url = f"redis+sentinel://{hosts}/{NAME}/0?{told}"

    def _start(self, port: int) -> Child:
        path = Path(self._folder.name) / f"{port}.conf"
        path.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {self._folder.name}\nloglevel warning\n"
            f"sentinel monitor {NAME} 127.0.0.1 {self.first.port} 2\n"
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {NAME} 3000\n"
            f"user default off\nuser {SENTINEL_USER} on >{SENTINEL_PASSWORD} -@all {least_acl()}\n"
            f"user {AMONG_THEMSELVES} on >{AMONG_THEMSELVES} allchannels +@all\n"
            f"sentinel sentinel-user {AMONG_THEMSELVES}\nsentinel sentinel-pass {AMONG_THEMSELVES}\n"
        )
        child = Child(f"sentinel-{port}", [server_binary(), str(path), "--sentinel"], {}, path.parent)
        child.start()
        return child

    def asking(self, port: int) -> Redis:
        return Redis(port=port, username=SENTINEL_USER, password=SENTINEL_PASSWORD)

    async def ready(self) -> None:
        """All three know each other and the replica: before, nobody could fail over."""
        await eventually(self._know_all, every_s=0.1)

    async def _know_all(self) -> bool:
        with contextlib.suppress(OSError, ConnectionError):
            for port in self.ports:
                async with self.asking(port) as sentinel:
                    states: Any = await sentinel.sentinel_masters()
                if (states[NAME]["num-other-sentinels"], states[NAME]["num-slaves"]) != (2, 1):
                    return False
            return True
        return False

    def close(self) -> None:
        for child in self.children:
            child.kill()
        self.first.close()
        self.second.close()
        self._folder.cleanup()
