"""sd_notify: what the service manager is told, over the datagram socket that NOTIFY_SOCKET names.

READY after the job was done once. WATCHDOG, and before READY more time to start, only while the service does its job
or says what it waits for: Redis or the exchange being away is not mended by a restart, a hang is.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from typing import NoReturn

from shared.service import Service

EVERY_S = 1.0
START_WITHIN_S = 60  # counted anew with each message: no limit for one that waits, a short one for one that hangs


class Notifier:
    """Without a service manager it says nothing. No message is worth failing or waiting for."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address  # @: an abstract socket

    def send(self, **fields: str | int) -> None:
        if not self._address:
            return
        text = "\n".join(f"{name}={value}" for name, value in fields.items())
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(text.encode(errors="replace"), self._address)


async def keep_notifying(notifier: Notifier, service: Service) -> NoReturn:
    """Tell how it stands, once a second; from the event loop, so that a loop that is blocked falls silent too."""
    while True:
        notifier.send(**message(service))
        await service.clock.sleep(EVERY_S)


def message(service: Service) -> dict[str, str | int]:
    said = service.describe()
    fields: dict[str, str | int] = {"STATUS": " ".join(f"{said['state']}: {said['detail']}".split())}
    done_once = bool(said["lastSuccess"])
    if done_once:
        fields["READY"] = 1
    if not service.health.hangs():
        fields["WATCHDOG"] = 1
        if not done_once:
            fields["EXTEND_TIMEOUT_USEC"] = START_WITHIN_S * 1_000_000
    return fields
