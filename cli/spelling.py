"""How people write a symbol: one rule for every command that takes one. Pure."""

from __future__ import annotations

from shared.model import backend_key


def spellings(typed: str) -> tuple[str, ...]:
    """What may be meant, the likeliest first: ``eth``, ``ETH-USDT`` and ``eth/usdt`` are ETHUSDT."""
    plain = typed.strip().upper()
    return plain, backend_key(plain), f"{plain}USDT", plain.replace("/", "")
