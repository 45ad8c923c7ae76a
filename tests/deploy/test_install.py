"""`make install` into a folder, over and over: what an operator wrote stays, and what is another's too."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCK = "requirements/base.lock"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """With a venv of this lock in place, which is taken over: nothing is downloaded."""
    venv = tmp_path / "opt/oi-pipeline/.venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(sys.executable)
    version = subprocess.run([sys.executable, "-V"], capture_output=True, text=True, check=True).stdout.strip()
    digest = hashlib.sha256((ROOT / LOCK).read_bytes()).hexdigest()
    (venv / ".made-of").write_text(f"{version} {digest}  {LOCK}\n")
    return tmp_path


def deploy(machine: Path, what: str) -> str:
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DESTDIR": str(machine), "PYTHON": sys.executable}
    done = subprocess.run([ROOT / "deploy/install.sh", what], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_settings_and_key_are_kept_and_nobody_else_reads_them(machine: Path) -> None:
    settings, key = (machine / "etc/oi-pipeline" / name for name in ("oi-pipeline.env", "backend_api_key"))
    deploy(machine, "install")
    assert (machine / "opt/oi-pipeline/.env.example").read_text() == settings.read_text()  # for `oi doctor`
    assert [path.stat().st_mode & 0o777 for path in (settings, key)] == [0o600, 0o600]
    settings.write_text("BACKEND_URL=https://backend.example\n")
    key.write_text("a-key\n")

    deploy(machine, "install")
    deploy(machine, "uninstall")

    assert (settings.read_text(), key.read_text()) == ("BACKEND_URL=https://backend.example\n", "a-key\n")
    assert [path.stat().st_mode & 0o777 for path in (settings, key)] == [0o600, 0o600]
    assert not (machine / "opt/oi-pipeline").exists()


def test_the_command_is_linked_anew_where_it_is_ours(machine: Path) -> None:
    command = machine / "usr/local/bin/oi"
    command.parent.mkdir(parents=True)
    command.symlink_to("/srv/before/cli/oi")

    deploy(machine, "install")

    assert command.readlink() == Path("/opt/oi-pipeline/cli/oi")


@pytest.mark.parametrize("other", ["a link", "a file"])
def test_a_command_of_that_name_that_is_anothers_stays(machine: Path, other: str) -> None:
    command = machine / "usr/local/bin/oi"
    command.parent.mkdir(parents=True)
    if other == "a link":
        command.symlink_to("/opt/other/bin/oi")
    else:
        command.write_text("#!/bin/sh\n")

    said = deploy(machine, "install")
    deploy(machine, "uninstall")

    assert "is something else and stays; the command is /opt/oi-pipeline/cli/oi" in said
    assert command.is_symlink() is (other == "a link")
    assert other == "a file" or command.readlink() == Path("/opt/other/bin/oi")


def test_a_service_that_an_upgrade_brings_is_started_where_the_others_run(tmp_path: Path) -> None:
    """It would wait for the next boot, and be missed until then. Who was stopped by hand, or is masked, stays so."""
    calls, units = tmp_path / "calls", tmp_path / "usr/local/lib/systemd/system"
    units.mkdir(parents=True)
    for unit in (ROOT / "systemd").glob("oi-*"):
        if unit.stem not in {"oi-keeper", "oi-venue-poller"}:
            (units / unit.name).write_text("of before")
    systemctl = tmp_path / "bin/systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(
        f"""#!/bin/sh
case "$*" in
  "is-active --quiet oi-pipeline.target") exit 0 ;;
  is-active*keeper*|is-active*venue*|is-active*alerter*) echo inactive; exit 3 ;;
  is-active*) echo active ;;
  is-enabled*venue*) echo masked; exit 1 ;;
  is-enabled*) echo static ;;
  *) echo "$*" >> {calls} ;;
esac
"""
    )
    systemctl.chmod(0o755)
    functions = (ROOT / "deploy/install.sh").read_text().partition('\ncase "${1:-}"')[0]
    env = {"PATH": f"{systemctl.parent}:/usr/sbin:/usr/bin:/sbin:/bin", "DESTDIR": str(tmp_path)}

    command = ["bash", "-c", f"{functions}\nunits\nrestart_one_at_a_time", str(ROOT / "deploy/install.sh")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    wanted = ("oi-ws-daemon", "oi-poller", "oi-keeper", "oi-funding-api", "oi-publisher")
    assert calls.read_text().split("\n") == [*(f"restart {unit}.service" for unit in wanted), ""]
