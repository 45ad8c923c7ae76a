"""``oi doctor``: from the outside in, what is wrong and what mends it. Safe beside production.

It asks the exchange for its clock (weight 1, never during a ban), listens to one stream for a few seconds, and sends
the backend an empty object, which is no batch, to learn whether it takes the key. A check that cannot be made says so.
"""

from __future__ import annotations

import asyncio

from cli.doctor import backend, exchange, hosts, inside
from cli.doctor.finding import ORDER, Check, Finding, Patient, exit_status, shown
from cli.show import UNKNOWN
from shared.errors import Refused, Rejected, Transient, WireError

__all__ = ["Finding", "Patient", "examine", "exit_status", "shown"]
CHECKS: tuple[Check, ...] = (
    inside.told_settings,
    inside.redis,
    inside.history,
    hosts.sentinels,
    exchange.rest,
    backend.serving,
    backend.key,
)
OF_REDIS: tuple[Check, ...] = (  # of what it holds: not made where it cannot be read
    inside.keeping,
    inside.services,
    hosts.sharing,
    hosts.replica,
    backend.sizes,
    backend.cache,
    backend.writers,
)


async def examine(patient: Patient) -> list[Finding]:
    """All checks, the stream beside the others; the heaviest finding first."""
    listening = asyncio.create_task(_made(exchange.stream, patient))
    found: list[Finding] = []
    for check in CHECKS if patient.why else CHECKS + OF_REDIS:
        found += await _made(check, patient)
    found += await listening
    return sorted(found, key=lambda finding: ORDER.index(finding.state))


async def _made(check: Check, patient: Patient) -> list[Finding]:
    """A check that cannot be made costs itself: the others are made all the same."""
    try:
        return await check(patient)
    except (Transient, Refused, Rejected, WireError) as e:
        return [Finding(check.__name__, UNKNOWN, "this could not be looked at", str(e)[:200])]
