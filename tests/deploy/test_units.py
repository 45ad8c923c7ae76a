"""The systemd units: read without complaint, hardly exposed, alike, and none able to stop another."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dev.env_example import service_names

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
MODULES = {unit: re.search(r"-m services\.(\w+)$", unit.read_text(), re.MULTILINE)[1] for unit in UNITS}
TIES = ("Requires", "Requisite", "BindsTo", "Upholds", "Conflicts", "PropagatesStopTo", "StopPropagatedFrom")
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze (apt: systemd)")


def settings(unit: Path) -> list[tuple[str, str]]:
    lines = [line for line in unit.read_text().splitlines() if line and line[0] not in "#[;"]
    return [(name, value) for name, _, value in (line.partition("=") for line in lines)]


@pytest.fixture
def installed(tmp_path: Path) -> list[Path]:
    """Copies of the units whose programs exist: verify looks for them."""
    prefix = tmp_path / "opt"
    for program in (".venv/bin/python", "systemd/restart-delay"):
        (prefix / program).parent.mkdir(parents=True)
        (prefix / program).write_text("#!/bin/sh\n")
        (prefix / program).chmod(0o755)
    copies = []
    for source in (*UNITS, FOLDER / "oi-pipeline.target"):
        copy = tmp_path / source.name
        copy.write_text(source.read_text().replace("/opt/oi-pipeline", str(prefix)))
        copies.append(copy)
    return copies


@needs_systemd
def test_systemd_has_nothing_to_say_about_them(installed: list[Path]) -> None:
    """An unknown key is only a warning, and the protection it was meant to give is not there."""
    done = subprocess.run(["systemd-analyze", "verify", *installed], capture_output=True, text=True)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_exposure_is_at_most_one_and_a_half(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_there_is_one_for_each_service_and_the_target_wants_them_all() -> None:
    wanted = dict(settings(FOLDER / "oi-pipeline.target"))["Wants"].split()

    assert sorted(MODULES.values()) == service_names()
    assert sorted(wanted) == [unit.name for unit in UNITS]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_no_unit_can_stop_or_hold_up_another(unit: Path) -> None:
    found = settings(unit)
    after = [word for name, value in found if name == "After" for word in value.split()]

    assert [name for name, _ in found if name in TIES] == []
    assert [name for name in after if name.startswith("oi-")] == []


def test_they_differ_only_in_what_is_their_own() -> None:
    """A protection added to four of five is the one that is missed."""
    own = {
        "oi-funding-api.service": {"RuntimeDirectory", "RuntimeDirectoryMode", "UMask", "User"},
        "oi-keeper.service": {"User"},
        "oi-publisher.service": {"LoadCredential"},
    }
    everyone = {"Description", "ExecStart", "StateDirectory"}

    def common(unit: Path) -> list[tuple[str, str]]:
        return [item for item in settings(unit) if item[0] not in everyone | own.get(unit.name, set())]

    first, *others = UNITS
    for unit in others:
        assert [item for item in common(unit) if item[0] != "UMask"] == [
            item for item in common(first) if item[0] != "UMask"
        ]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_what_is_relaxed_says_why(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    relaxed = ("ProcSubset=all", "PrivateNetwork=no", "RestrictAddressFamilies=", "UMask=0022")
    for number, line in enumerate(lines):
        if line.startswith(relaxed):
            assert lines[number - 1].startswith("# "), f"{unit.name}: {line}"


def test_only_the_publisher_is_given_the_key() -> None:
    holders = [unit.name for unit in UNITS if "LoadCredential" in dict(settings(unit))]
    assert holders == ["oi-publisher.service"]


def test_the_file_of_the_past_is_read_by_its_writer_s_user_and_by_no_other() -> None:
    """One user whose folder it is: else SQLite's readers could not hold it while they read."""
    holders = {unit.name for unit in UNITS if "oi-pipeline/oi_keeper" in dict(settings(unit))["StateDirectory"].split()}
    users = {unit.name: dict(settings(unit)).get("User") for unit in UNITS}

    assert holders == {"oi-keeper.service", "oi-funding-api.service"}
    assert {name for name, user in users.items() if user} == holders
    assert len({users[name] for name in holders}) == 1


class Starts:
    """``restart-delay`` with a ``sleep`` that only tells how long it was asked to take."""

    def __init__(self, folder: Path) -> None:
        self.record = folder / "starts"
        self._folder = folder
        (folder / "sleep").write_text('#!/bin/sh\necho "$1" >"$STATE_DIRECTORY/slept"\n')
        (folder / "sleep").chmod(0o755)

    def next_s(self) -> int:
        env = {"STATE_DIRECTORY": str(self._folder), "PATH": f"{self._folder}:/usr/bin:/bin"}
        subprocess.run([FOLDER / "restart-delay"], env=env, check=True, capture_output=True)
        slept_s = int((self._folder / "slept").read_text())
        self.pass_s(slept_s)
        return slept_s

    def ended(self, **how: str) -> None:
        env = {"STATE_DIRECTORY": str(self._folder), "PATH": "/usr/bin:/bin", **how}
        subprocess.run([FOLDER / "restart-delay", "ended"], env=env, check=True, capture_output=True)

    def pass_s(self, seconds: int) -> None:
        if not self.record.is_file():
            return
        last, delay = self.record.read_text().split()
        self.record.write_text(f"{int(last) - seconds} {delay}\n")


@pytest.fixture
def starts(tmp_path: Path) -> Starts:
    return Starts(tmp_path)


def test_delays_grow_while_starts_follow_one_another(starts: Starts) -> None:
    """A service that dies at each start must not ask the exchange for everything every second."""
    assert [starts.next_s() for _ in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]


def test_two_minutes_of_life_clear_the_record(starts: Starts) -> None:
    for _ in range(4):
        starts.next_s()
    starts.pass_s(180)
    assert (starts.next_s(), starts.next_s()) == (0, 1)


@pytest.mark.parametrize(
    ("how", "delays"),
    [
        ({"SERVICE_RESULT": "success"}, (0, 1)),
        ({"SERVICE_RESULT": "exit-code", "EXIT_STATUS": "78"}, (0, 1)),
        ({"SERVICE_RESULT": "exit-code", "EXIT_STATUS": "1"}, (2, 4)),
        ({"SERVICE_RESULT": "signal", "EXIT_STATUS": "KILL"}, (2, 4)),
        ({"SERVICE_RESULT": "watchdog"}, (2, 4)),
    ],
)
def test_only_an_accident_delays_the_next_start(starts: Starts, how: dict[str, str], delays: tuple[int, int]) -> None:
    """An operator who restarts a service, or mends its setting, is not made to wait."""
    starts.next_s(), starts.next_s()
    starts.ended(**how)
    assert (starts.next_s(), starts.next_s()) == delays


@pytest.mark.parametrize("text", ["", "x y", "12", "08 08", "9" * 40 + " 1", "4102444800 30", "-1 2"])  # year 2100
def test_a_record_that_cannot_be_used_never_keeps_a_service_down(starts: Starts, text: str) -> None:
    starts.record.write_text(text)
    assert starts.next_s() == 0


def test_a_record_that_cannot_be_written_never_keeps_a_service_down(starts: Starts) -> None:
    """A full disk stops nothing that needs no disk."""
    starts.record.mkdir()
    assert starts.next_s() == 0
