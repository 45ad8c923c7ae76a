"""The name of a process that owns a lease, and whether it is still there.

It is host, process, when that process began in ticks since the boot, ``@``, and what numbers processes there.
"""

from __future__ import annotations

import os
from pathlib import Path

from shared.numbers import whole


def this_process(host: str) -> str:
    pid = os.getpid()
    return f"{host} {pid} {_began(pid)}@{_numbered_by()}"


def is_gone(owner: str, host: str) -> bool:
    """Whether an owner on this host has ended. Of another host, and of what a hand wrote there, nobody can tell.

    Nor of another machine or container that was given the same name: its numbers are not the ones that are seen here.
    """
    its_host, _, rest = owner.partition(" ")
    pid, _, its = rest.partition(" ")
    began, _, numbered_by = its.partition("@")
    number = whole(pid)
    if number is None or (its_host, numbered_by) != (host, _numbered_by()):
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False  # it is there, and another user's; or no process can have that number
    return _began(number) not in {began, ""}


def _began(pid: int) -> str:
    """When a process began, in ticks since the boot: its number may be another's by now. Empty where nobody tells."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _numbered_by() -> str:
    """What gives processes their numbers: a boot of a machine, and in it a namespace. Empty where nobody tells."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text()[:8]}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""
