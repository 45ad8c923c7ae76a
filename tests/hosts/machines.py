"""Bare Debian 12 machines, booted by systemd-nspawn: an overlay of one root each, at a host's place in the network.

Root, mmdebstrap and systemd-container are needed, and Debian's packages within reach; pip's wheels are fetched before.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from pathlib import Path

from tests.hosts.net import namespace

ROOT = Path(__file__).resolve().parents[2]
MIRROR = "http://deb.debian.org/debian"
SOURCE = "/srv/source"  # where the operator stands: a checkout
PIP = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/srv/wheels"}
ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    **PIP,
}
NSPAWN = ["systemd-nspawn", "-q", "--register=no", "--keep-unit", "--private-users=no", "--link-journal=no"]
PATIENCE_S = 300


def run(argv: list[str], stdin: str = "") -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=PATIENCE_S)
    if done.returncode:
        raise AssertionError(f"{argv[-1]}\nstatus {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def bare_debian(base: Path) -> None:
    """What an installer leaves, with wheels of what the services need, for inside nothing but the hosts is reached."""
    if not (base / "srv/wheels").exists():
        run(["mmdebstrap", "-q", "--variant=important", "bookworm", str(base), MIRROR])
        run(["/usr/bin/python3", "-m", "venv", str(base / "srv/pip")])  # Debian's, as inside
        fetch = ["download", "-q", "--no-deps", "--require-hashes", "-r", str(ROOT / "requirements/base.lock")]
        run([str(base / "srv/pip/bin/pip"), *fetch, "--dest", str(base / "srv/wheels")])


class Machine:
    def __init__(self, host: str, base: Path, folder: Path) -> None:
        """``folder`` is made, and gone with `close`."""
        self.host, self.root, self._folder = host, folder / "root", folder
        layer = folder / "layer"
        for path in (self.root, layer):
            path.mkdir(parents=True)
        run(["mount", "-t", "tmpfs", "tmpfs", str(layer)])
        for part in ("up", "work"):
            (layer / part).mkdir()
        where = f"lowerdir={base},upperdir={layer}/up,workdir={layer}/work"
        run(["mount", "-t", "overlay", "overlay", "-o", where, str(self.root)])
        run(["umount", "-l", str(layer)])  # the overlay holds it; gone with it
        (self.root / "etc/machine-id").write_text(uuid.uuid4().hex + "\n")
        (self.root / "etc/hostname").write_text(f"oi-{host}\n")
        files = run(["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"])
        copy = ["tar", "-C", str(ROOT), "-T", "-", "-cf", str(folder / "source.tar"), "--ignore-failed-read"]
        run(copy, files)
        (self.root / SOURCE.lstrip("/")).mkdir(parents=True)
        run(["tar", "-xf", str(folder / "source.tar"), "-C", str(self.root / SOURCE.lstrip("/"))])
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._init = 0

    def before_it_is_cut_off(self, script: str) -> None:
        """Run in it before it boots, with the way to the outside that it has not later."""
        run([*NSPAWN, "--pipe", "-D", str(self.root), "bash", "-ec", script])

    def boot(self) -> None:
        where = f"--network-namespace-path=/run/netns/{namespace(self.host)}"
        argv = [*NSPAWN, "-D", str(self.root), "--boot", where, "--console=pipe", "--kill-signal=SIGRTMIN+3"]
        with (self._folder / "console").open("ab") as console:
            self._nspawn = subprocess.Popen(
                [*argv, f"--machine=oi-{self.host}", "systemd.unit=multi-user.target"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        deadline_s = time.monotonic() + PATIENCE_S
        while not self._is_up():
            assert time.monotonic() < deadline_s, f"{self.host} did not come up"
            time.sleep(0.2)

    def _is_up(self) -> bool:
        assert self._nspawn is not None
        pid = self._nspawn.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self._init = int(children[0]) if children else 0
        if not self._init or Path(f"/proc/{self._init}/comm").read_text() != "systemd\n":
            return False
        asked = subprocess.run(self._inside("systemctl is-system-running"), capture_output=True, text=True)
        return asked.stdout.strip() in {"running", "degraded"}

    def _inside(self, script: str) -> list[str]:
        env = [f"{name}={value}" for name, value in ENV.items()]
        enter = ["nsenter", "-t", str(self._init), "-m", "-u", "-i", "-n", "-p", "-C"]
        return [*enter, "env", "-i", "-C", SOURCE, *env, "bash", "-ec", script]

    def sh(self, script: str, stdin: str = "") -> str:
        """As root at its console, in the checkout. Raises AssertionError where a command fails."""
        return run(self._inside(script), stdin)

    def says(self, script: str) -> tuple[int, str]:
        done = subprocess.run(self._inside(script), capture_output=True, text=True, timeout=PATIENCE_S)
        return done.returncode, done.stdout + done.stderr

    def boot_again(self) -> None:
        """After ``systemctl reboot``, which ends it."""
        assert self._nspawn is not None
        self._nspawn.wait(PATIENCE_S)
        self.boot()

    def close(self) -> None:
        """Pull its plug; what was in it is gone."""
        if self._nspawn is not None and self._nspawn.poll() is None:
            os.kill(self._init or self._nspawn.pid, signal.SIGKILL)  # of the first process: all others go with it
            self._nspawn.wait(PATIENCE_S)
        subprocess.run(["umount", "-l", str(self.root)], capture_output=True)
