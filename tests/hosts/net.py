"""Network namespaces as hosts, joined by a bridge; root and iproute2 are needed.

The bridge lies in the world outside (exchange, backend, and whoever watches), whose address every host reaches.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

ADDRESSES = {"a": "10.77.0.1", "b": "10.77.0.2", "c": "10.77.0.3"}
WORLD = "10.77.0.9"
OUTSIDE = "oi-world"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def namespace(host: str) -> str:
    return f"oi-{host}"


def inside(host: str, argv: list[str]) -> list[str]:
    return ["ip", "netns", "exec", namespace(host), *argv]


@contextmanager
def network() -> Iterator[None]:
    take_down()
    ip("netns", "add", OUTSIDE)
    try:
        ip("-n", OUTSIDE, "link", "add", "br0", "type", "bridge")
        ip("-n", OUTSIDE, "addr", "add", f"{WORLD}/24", "dev", "br0")
        for name in ("lo", "br0"):
            ip("-n", OUTSIDE, "link", "set", name, "up")
        for host, address in ADDRESSES.items():
            _add(host, address)
        yield
    finally:
        take_down()


def _add(host: str, address: str) -> None:
    there, port = namespace(host), f"to-{host}"
    ip("netns", "add", there)
    ip("-n", OUTSIDE, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", there)
    ip("-n", OUTSIDE, "link", "set", port, "master", "br0", "up")
    ip("-n", there, "addr", "add", f"{address}/24", "dev", "eth0")
    for name in ("lo", "eth0"):
        ip("-n", there, "link", "set", name, "up")


def take_down() -> None:
    """Also what a run before left that was killed."""
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout.split()
    for name in {OUTSIDE, *map(namespace, ADDRESSES)} & set(listed):
        ip("netns", "del", name)


def cable(host: str, *, plugged: bool) -> None:
    """Pull it at the wall: the host still has its address, and hears nothing."""
    ip("-n", OUTSIDE, "link", "set", f"to-{host}", "up" if plugged else "down")


def cut(host: str, others: list[str], *, undo: bool = False) -> None:
    """Between this host and others nothing passes, in either direction."""
    for other in others:
        ip("-n", namespace(host), "route", "del" if undo else "add", "blackhole", f"{ADDRESSES[other]}/32")


def enter_outside() -> None:
    """This process goes on in the world outside, from where it reaches every host."""
    fd = os.open(f"/run/netns/{OUTSIDE}", os.O_RDONLY)
    os.setns(fd, os.CLONE_NEWNET) if hasattr(os, "setns") else _setns(fd)
    os.close(fd)


def _setns(fd: int) -> None:
    """Python has `os.setns` since 3.12."""
    import ctypes

    if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns")
