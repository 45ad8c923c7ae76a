"""The publisher's counters and gauges; ``symbol`` is never a label."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import get_args

from prometheus_client import CollectorRegistry

from services.publisher.audit import Verdict
from services.publisher.join import FETCH_FAILED, LEFT_OUT
from shared.meters import Meters

LOST = ("retention", "unreadable", "refused", "deleted")


class Metrics(Meters):
    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        gauge, counter = self.gauge, self.counter
        self.symbols = gauge("pipeline_symbols", "The books of the last cycle", "state", "reason")
        self.unaccounted = gauge("pipeline_books_unaccounted_symbols", "Symbols not in exactly one of its books: 0")
        self.cycles = counter("pipeline_cycles", "Sweeps delivered, by verdict", "verdict")
        self.verdict = gauge("pipeline_last_cycle", "1 for the verdict of the last cycle", "verdict")
        # outcome: accepted, too_large, rejected, rate_limited, refused, away, in_doubt
        self.posts = counter("pipeline_posts", "Batches sent, by what came of it", "outcome")
        self.post_duration = self.histogram(
            "pipeline_post_duration_seconds",
            "From sending a batch to its answer",
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
        )
        self.last_verified = gauge("pipeline_last_verified_timestamp_seconds", "When a cycle was last verified")
        self.served_batch = gauge("pipeline_served_batch_timestamp_seconds", "The asOf last seen served")
        self.served = gauge("pipeline_served_symbols", "Symbols sent and served right, last cycle")
        self.old = gauge("pipeline_served_old_symbols", "Of them, those received over 30 s ago by now")
        self.sent = gauge("pipeline_sent_symbols", "Symbols sent, last cycle")
        self.unserved = gauge("pipeline_unserved_symbols", "Symbols sent and not served right, by how", "reason")
        self.foreign_looks = counter("pipeline_foreign_looks", "Looks between two batches that met another writer")
        self.ghosts = gauge("pipeline_ghost_symbols", "Symbols served that left the universe")
        self.backlog = gauge("pipeline_backlog_sweeps", "Sweeps not yet delivered")
        self.duplicates = counter("pipeline_duplicate_posts", "Batches sent again that the backend may have had")
        self.lost = counter("pipeline_lost_sweeps", "Sweeps that will never be delivered", "cause")
        self.thinned = counter("pipeline_thinned_sweeps", "Late sweeps let go: the backend is slower than they land")
        self.unstored = gauge("pipeline_unstored_rows", "Rows served, not taken by the backend's database, last cycle")
        self.cache_age = gauge("pipeline_served_cache_age_seconds", "Age of what a cache served, last cycle; 0: none")
        self.rejected_rows = counter("pipeline_rejected_rows", "Rows the backend named in its errors")
        # outcome: delivered, found (served after an unclear answer), again (sent again after one); of alerts too:
        # in_doubt, dropped, repeated (the group was set back); of the universe: failed, restored (after another writer)
        self.deliveries = counter("pipeline_deliveries", "Universes and alerts, by outcome", "kind", "outcome")
        # reason: foreign (another writer's universe is served), held_back (ours shrank too much at once)
        self.universe_differing = gauge("pipeline_universe_differing_symbols", "Symbols of one universe only", "reason")

        for verdict in get_args(Verdict):  # a series that appears with its first event shows no increase for it
            self.cycles.labels(verdict)
        for cause in LOST:
            self.lost.labels(cause)
        for reason in ("foreign", "held_back"):
            self.universe_differing.labels(reason)
        for kind, outcome in (("universe", "restored"), ("alert", "in_doubt")):
            self.deliveries.labels(kind, outcome)

    def close_books(self, published: int, named: Mapping[str, Sized]) -> None:
        """``named``: reason -> its symbols."""
        self.symbols.labels("published", "").set(published)
        for reason in LEFT_OUT:
            self.symbols.labels("left_out", reason).set(len(named.get(reason, ())))
        self.symbols.labels("failed", FETCH_FAILED).set(len(named.get(FETCH_FAILED, ())))
