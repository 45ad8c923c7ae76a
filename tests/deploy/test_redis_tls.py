"""A Redis with a password behind TLS, certificate made here: the services use it, and refuse the wrong one by name."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.processes import Child
from dev.redis_server import free_port
from shared import store
from shared.errors import Transient
from tests.pipeline.harness import Pipeline
from tests.waiting import eventually

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
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT)

    def url(self, ca: str = "ours", password: str = PASSWORD, host: str = "127.0.0.1") -> str:
        return f"rediss://:{password}@{host}:{self.port}/0?ssl_ca_certs={self.folder}/{ca}-ca.pem"

    def wait_until_listening(self) -> None:
        deadline_s = time.monotonic() + 10
        while time.monotonic() < deadline_s:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.02)
            else:
                return
        raise AssertionError((self.folder / "log").read_text())


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureRedis]:
    server = SecureRedis(tmp_path_factory.mktemp("tls"))
    try:
        server.wait_until_listening()
        yield server
    finally:
        server.process.kill()
        server.process.wait()


async def test_the_whole_pipeline_runs_over_it(secure: SecureRedis, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, REDIS_URL=secure.url())
    pipeline.start()
    client = store.connect(secure.url())
    try:
        await pipeline.next_verified()
        served, universe = await pipeline.served(), await client.hlen("oi:universe")  # type: ignore[misc]
        assert len(served) == universe > 300
        assert await pipeline.redis.dbsize() == 0, "the plain Redis beside it must stay unused"
        assert PASSWORD not in pipeline.logs()
    finally:
        await client.aclose()
        await pipeline.close()


async def ping(url: str) -> None:
    client = store.connect(url)
    try:
        async with store.redis_faults():
            await client.ping()  # type: ignore[misc]
    finally:
        await client.aclose()


async def test_a_certificate_of_another_authority_is_refused(secure: SecureRedis) -> None:
    """Whoever stands between us and Redis could change every number."""
    await ping(secure.url())
    with pytest.raises(Transient, match="certificate verify failed"):
        await ping(secure.url(ca="other"))


async def test_the_hosts_name_is_checked_too(secure: SecureRedis) -> None:
    await ping(secure.url(host="localhost"))
    with pytest.raises(Transient, match="certificate"):
        await ping(secure.url(host="127.0.0.2"))


async def test_a_wrong_password_is_said_and_not_shown(secure: SecureRedis, tmp_path: Path) -> None:
    """It can be mended while the service waits: it stays, says why, and the log holds neither password."""
    env = {"REDIS_URL": secure.url(password="not-the-password"), "METRICS_PORT": "0"}
    env |= {"BINANCE_WS_URL": "ws://127.0.0.1:9", "BINANCE_REST_URL": "http://127.0.0.1:9"}
    child = Child("ws_daemon", [sys.executable, "-m", "services.ws_daemon"], env, tmp_path)
    child.start()
    try:
        await eventually(lambda: "AuthenticationError" in child.tail())
        assert child.status() is None
        log = child.log.read_text()
        assert "not-the-password" not in log
        assert PASSWORD not in log
    finally:
        child.stop()
