"""Through a real proxy with a login: every way to the exchange, and what is said where it fails."""

from __future__ import annotations

import asyncio
import gc
import shutil
import ssl
import traceback
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from redis.asyncio import Redis

from services.oi_poller.transport import sweep_client
from services.ws_daemon.coverage import Coverage
from services.ws_daemon.latest import Merged
from services.ws_daemon.settings import Settings
from services.ws_daemon.stream import Watch, follow
from shared import http
from shared.ban import Ban
from shared.errors import Banned, Refused, SettingsError, Transient
from shared.proxy import Proxy, proxy
from shared.reply import Get
from shared.settings import load
from shared.venues.binance.stream import open_stream
from tests.deploy.test_redis_tls import make_certificates
from tests.fakes import FakeClock
from tests.proxies import PASSWORD, RunningProxy, running
from tests.served import served
from tests.waiting import eventually

WAIT_S = 20.0
# A busy machine ends a loop before each library has closed its sockets; those of a stream are counted by its own test.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    with running(tmp_path_factory.mktemp("proxy")) as it:
        yield it


class Venue:
    """Answers REST and streams one frame after the other, with TLS or without."""

    def __init__(self, certificate: ssl.SSLContext | None) -> None:
        self.certificate = certificate
        self.origin = ""

    async def get(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.json_response({"serverTime": 7})
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        while not ws.closed:
            await ws.send_str('{"data":[]}')
            await asyncio.sleep(0.02)
        return ws


@pytest.fixture(scope="module", params=["plain", "tls"])
def certificates(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """Where those of the venue stand; None: it goes without."""
    if request.param == "plain":
        return None
    if not shutil.which("openssl"):
        pytest.skip("no openssl (apt: openssl)")
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder, "venue")
    return folder


@pytest.fixture
async def venue(certificates: Path | None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Venue]:
    certificate = None
    if certificates:
        certificate = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.load_cert_chain(certificates / "venue.pem", certificates / "venue.key")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "venue-ca.pem"))
        # aiohttp makes its own once, when it is imported
        monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", ssl.create_default_context())
    it = Venue(certificate)
    before = watched()
    async with served(web.get("/{path:.*}", it.get), certificate=certificate) as it.origin:
        yield it
    await eventually(lambda: watched() <= before)  # TLS says goodbye on both sides before a socket is closed


def watched() -> int:
    """Sockets that the loop waits for: each that was opened, until it is closed."""
    return len(asyncio.get_running_loop()._selector.get_map())  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["BINANCE_PROXY", "BINANCE_PROXY_URL"])
def test_it_is_read_by_its_old_name_too_and_never_shown(name: str) -> None:
    settings = load(Settings, {name: "http://guest:p%40ss@Proxy.test:3128/"})

    assert settings.proxy == Proxy("proxy.test:3128", "guest", "p@ss")
    assert settings.proxy.url == "http://guest:p%40ss@proxy.test:3128"
    assert "ss" not in repr(settings.proxy)
    assert "p@ss" not in repr(settings)


@pytest.mark.parametrize(
    "bad",
    ["proxy.test:3128", "http://guest:p@ss/word@proxy.test:3128", "http://guest:hidden@proxy.test", "socks5://a:1",
     "http://guest:hidden@a..b:3128", "http://guest:hidden@proxy.test:port", "http://guest:hidden@proxy.test:1/?x"],
)  # fmt: skip
def test_what_is_no_proxy_ends_the_start_and_is_not_repeated(bad: str) -> None:
    with pytest.raises(SettingsError, match=r"BINANCE_PROXY=\(secret\): ") as refused:
        load(Settings, {"BINANCE_PROXY": bad})
    assert not any(part in str(refused.value) for part in ("guest", "hidden", "p@ss"))


async def ask(get: Get, venue: Venue) -> bytes:
    return (await get(f"{venue.origin}/fapi/v1/time", None, timeout_s=WAIT_S, max_bytes=99)).body


async def test_rest_passes_through_it(venue: Venue, through: RunningProxy) -> None:
    """What asks now and then, and the sweeps."""
    way = proxy(through.url)
    async with http.client(1, proxy=way) as client, sweep_client(1, way) as sweeping:
        assert await ask(http.getting(client), venue) == await ask(sweeping, venue) == b'{"serverTime": 7}'

    await eventually(lambda: through.passed(venue.origin.partition("//")[2]) >= 2)


async def test_the_stream_passes_through_it(venue: Venue, through: RunningProxy) -> None:
    heard = asyncio.Event()

    def handle(_: bytes) -> Merged:
        heard.set()
        return Merged()

    url = venue.origin.replace("http", "ws")
    following = asyncio.create_task(follow(url, handle, Coverage(), Watch(), WAIT_S, proxy(through.url)))
    async with asyncio.timeout(WAIT_S):
        await heard.wait()
    following.cancel()
    await asyncio.wait({following})

    await eventually(lambda: through.passed(venue.origin.partition("//")[2]))


async def test_a_stream_cancelled_at_any_moment_of_its_opening_leaves_no_socket(
    venue: Venue, through: RunningProxy
) -> None:
    """A socket left open is a warning when it is collected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # what others left is not ours
    with warnings.catch_warnings(record=True, category=ResourceWarning) as left:
        warnings.simplefilter("always")
        for turns in range(150):  # of the event loop, until it is cancelled
            opening = asyncio.create_task(open_stream(venue.origin.replace("http", "ws"), proxy=proxy(through.url)))
            for _ in range(turns):
                await asyncio.sleep(0)
            if opening.done():
                (await opening).transport.abort()
                break
            opening.cancel()
            await asyncio.wait({opening})
            del opening
        gc.collect()
    assert not [str(warning.message) for warning in left]


async def test_a_login_it_refuses_is_named_and_no_password_is_shown(venue: Venue, through: RunningProxy) -> None:
    """Nothing mends it but a person: the sweeps rest long, and the cause names the setting."""
    wrong = proxy(through.url.replace("word", "wort"))
    said = []
    async with http.client(1, proxy=wrong) as client, sweep_client(1, wrong) as sweeping:
        for get in (http.getting(client), sweeping):
            if venue.certificate is None:  # no CONNECT: the 407 comes as the answer
                assert (await get(f"{venue.origin}/", None, timeout_s=WAIT_S, max_bytes=9999)).status in {401, 407}
                continue
            with pytest.raises(Refused, match=f"BINANCE_PROXY at {through.where}") as refused:
                await ask(get, venue)
            said.append("".join(traceback.format_exception(refused.value)))
    url = venue.origin.replace("http", "ws")
    ending = await follow(url, lambda _: Merged(), Coverage(), Watch(), WAIT_S, wrong)

    assert len(said) == (2 if venue.certificate else 0)
    assert ending.why == "unreachable"
    assert "HTTP 40" in ending.detail
    assert f"(through {through.where})" in ending.detail
    assert "wort" not in "".join([*said, ending.detail, repr(wrong), str(wrong)])


async def test_a_proxy_that_is_away_is_named(tmp_path: Path) -> None:
    with running(tmp_path) as gone:
        way = proxy(gone.url)
    async with http.client(1, proxy=way) as client, sweep_client(1, way) as sweeping:
        for get in (http.getting(client), sweeping):
            with pytest.raises(Transient, match=f"through {gone.where}") as e:
                await get("https://fapi.test/", None, timeout_s=WAIT_S, max_bytes=9)
            assert PASSWORD not in "".join(traceback.format_exception(e.value))
    ending = await follow("wss://fstream.test", lambda _: Merged(), Coverage(), Watch(), WAIT_S, way)
    assert f"through {gone.where}" in ending.detail


async def test_its_ban_is_its_own(redis: Redis, clock: FakeClock) -> None:
    """The exchange bans the address that it sees; the way without the proxy stays open, and the other way about."""
    way = "proxy.test:3128"
    await Ban(redis, clock, way).record(Banned("418", 300.0, clock.now_ms() + 300_000))

    reborn, direct = Ban(redis, clock, way), Ban(redis, clock, "host-a")
    await reborn.refresh()
    await direct.refresh()

    assert (reborn.remaining_s() > 299, direct.remaining_s()) == (True, 0)
    assert await redis.keys("oi:ban*") == [b"oi:ban:proxy.test:3128"]
