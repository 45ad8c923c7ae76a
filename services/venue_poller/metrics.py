"""venue_poller's counters and gauges; ``venue`` is a label, ``symbol`` never."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client import CollectorRegistry

from services.venue_poller.sanity import WORDS
from services.venue_poller.venue import BAD_ROWS
from shared.meters import Meters


class Metrics(Meters):
    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.rounds = self.counter(
            "pipeline_venue_rounds", "Rounds of a venue, by what became of them", "venue", "outcome"
        )
        self.contracts = self.gauge(
            "pipeline_venue_contracts",
            "Contracts of a venue's last round: believed, refused, unmatched (no such coin polled at Binance)",
            "venue",
            "state",
        )
        self.refused = self.gauge("pipeline_venue_refused", "Contracts of a venue not believed now", "venue", "reason")
        self.last_round = self.gauge(
            "pipeline_venue_timestamp_seconds",
            "When a round of this venue that was believed last landed; at first, the start",
            "venue",
        )
        self.ban_until = self.gauge(
            "pipeline_venue_ban_until_timestamp_seconds", "Nothing is sent to it before; 0: never told so", "venue"
        )
        self.dissents = self.gauge(
            "pipeline_venue_dissenting_coins", "Coins in which Binance goes another way than every other venue"
        )
        self.duration = self.histogram(
            "pipeline_venue_round_seconds",
            "From the first request of a round to its rows in Redis",
            "venue",
            buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
        )

    def refusals(self, venue: str, reasons: Iterable[str]) -> None:
        """``reasons``: one of each contract. Each word has a series from the start: what begins at 1 has not risen."""
        counts = Counter(reasons)
        for word in (*WORDS, *BAD_ROWS):
            self.refused.labels(venue, word).set(counts[word])
