"""``oi doctor``: from the outside in, what is wrong and what mends it. Safe beside production.

It asks the exchange for its clock (weight 1, never during a ban), listens to one stream for a few seconds, and sends
the backend an empty object, which is no batch, to learn whether it takes the key. A check that cannot be made says so.
"""

from __future__ import annotations

import asyncio

from cli.doctor import backend, exchange, inside
from cli.doctor.finding import ORDER, Finding, Patient, exit_status, shown

__all__ = ["Finding", "Patient", "examine", "exit_status", "shown"]
CHECKS = (
    inside.told_settings,
    inside.redis,
    inside.services,
    exchange.rest,
    backend.serving,
    backend.key,
    backend.sizes,
    backend.cache,
    backend.writers,
)


async def examine(patient: Patient) -> list[Finding]:
    """All checks, the stream beside the others; the heaviest finding first."""
    listening = asyncio.create_task(exchange.stream(patient))
    found: list[Finding] = []
    for check in CHECKS:
        found += await check(patient)
    found += await listening
    return sorted(found, key=lambda finding: ORDER.index(finding.state))
