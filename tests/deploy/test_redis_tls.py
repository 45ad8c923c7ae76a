"""A Redis with a password behind TLS, certificate made here: the services use it, and refuse the wrong one by name."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.processes import Child
from dev.redis_server import free_port
from shared import store
from shared.errors import Transient
from tests.pipeline.harness import Pipeline

SERVER = shutil.which("redis-server")
PASSWORD = "a-password-that-must-never-be-seen"
pytestmark = [
    pytest.mark.skipif(not SERVER, reason="no redis-server with TLS (apt: redis-server); the embedded one has none"),
    pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl (apt: openssl)"),
]


def openssl(folder: Path, command: str) -> None:
    subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)


def make_certificates(folder: Path, name: str) -> None:
    """``name-ca.pem`` and a certificate for localhost and 127.0.0.1 that it signed."""
    (folder / f"{name}.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    openssl(folder, f"req -x509 {key} -keyout {name}-ca.key -out {name}-ca.pem -days 2 -subj /CN={name}-ca")
    openssl(folder, f"req {key} -keyout {name}.key -out {name}.csr -subj /CN=localhost")
    sign = f"-CA {name}-ca.pem -CAkey {name}-ca.key -CAcreateserial -extfile {name}.ext"
    openssl(folder, f"x509 -req -in {name}.csr {sign} -days 2 -out {name}.pem")


class SecureRedis:
    def __init__(self, folder: Path) -> None:
        make_certificates(folder, "ours")
        make_certificates(folder, "other")
        self.folder, self.port = folder, free_port()
        argv = [str(SERVER), "--port", "0", "--tls-port", str(self.port), "--bind", "127.0.0.1", "127.0.0.2"]
        argv += ["--tls-cert-file", f"{folder}/ours.pem", "--tls-key-file", f"{folder}/ours.key"]
        argv += ["--tls-auth-clients", "no", "--save", "", "--dir", str(folder), "--requirepass", PASSWORD]
        self.child = Child("redis", argv, {}, folder)
        self.child.start()
        self.child.until_listening(self.port)

    def url(self, ca: str = "ours", host: str = "127.0.0.1") -> str:
        return f"rediss://:{PASSWORD}@{host}:{self.port}/0?ssl_ca_certs={self.folder}/{ca}-ca.pem"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureRedis]:
    server = SecureRedis(tmp_path_factory.mktemp("tls"))
    yield server
    server.child.kill()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake takes its time on a busy machine."""
    monkeypatch.setattr(store, "CONNECT_TIMEOUT_S", 60)


async def test_the_whole_pipeline_runs_over_it(secure: SecureRedis, tmp_path: Path) -> None:
    async with Pipeline(tmp_path, REDIS_URL=secure.url()) as pipeline, store.connect(secure.url()) as client:
        pipeline.start()
        await pipeline.next_verified()
        served, universe = await pipeline.served(), await client.hlen("oi:universe")  # type: ignore[misc]
        assert len(served) == universe > 300
        assert await pipeline.redis.dbsize() == 0, "the plain Redis beside it must stay unused"
        assert PASSWORD not in pipeline.logs()


async def ping(url: str) -> None:
    async with store.connect(url) as client, store.redis_faults():
        await client.ping()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("good", "bad", "why"),
    [
        ({"ca": "ours"}, {"ca": "other"}, "certificate verify failed"),
        ({"host": "localhost"}, {"host": "127.0.0.2"}, "certificate"),  # its name is checked too
    ],
)
async def test_a_wrong_certificate_is_refused(
    secure: SecureRedis, good: dict[str, str], bad: dict[str, str], why: str
) -> None:
    """Whoever stands between us and Redis could change every number."""
    await ping(secure.url(**good))
    with pytest.raises(Transient, match=why):
        await ping(secure.url(**bad))
