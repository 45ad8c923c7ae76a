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
        self.symbols = self.gauge("pipeline_symbols", "The books of the last cycle", "state", "reason")
        self.unaccounted = self.gauge(
            "pipeline_books_unaccounted_symbols",
            "Symbols not in exactly one of published, left out and failed: always 0",
        )
        self.cycles = self.counter("pipeline_cycles", "Sweeps delivered, by verdict", "verdict")
        self.verdict = self.gauge("pipeline_last_cycle", "1 for the verdict of the last cycle", "verdict")
        # outcome: accepted, too_large, rejected, rate_limited, refused, away, in_doubt
        self.posts = self.counter("pipeline_posts", "Batches sent, by what came of it", "outcome")
        self.post_duration = self.histogram(
            "pipeline_post_duration_seconds",
            "From sending a batch to its answer",
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
        )
        self.last_verified = self.gauge("pipeline_last_verified_timestamp_seconds", "When a cycle was last verified")
        self.served_batch = self.gauge(
            "pipeline_served_batch_timestamp_seconds", "The asOf the backend was last seen to serve"
        )
        self.served = self.gauge("pipeline_served_symbols", "Symbols sent and served right, last cycle")
        self.old = self.gauge(
            "pipeline_served_old_symbols", "Of them, those whose open interest was received over 30 s ago, by now"
        )
        self.sent = self.gauge("pipeline_sent_symbols", "Symbols sent, last cycle")
        self.unserved = self.gauge("pipeline_unserved_symbols", "Symbols sent and not served right, by how", "reason")
        self.foreign_looks = self.counter(
            "pipeline_foreign_looks", "Looks between two batches that met values nobody here sent"
        )
        self.ghosts = self.gauge("pipeline_ghost_symbols", "Symbols served that left the universe")
        self.backlog = self.gauge("pipeline_backlog_sweeps", "Sweeps not yet delivered")
        self.duplicates = self.counter(
            "pipeline_duplicate_posts", "Batches sent again that the backend may have had already"
        )
        self.lost = self.counter("pipeline_lost_sweeps", "Sweeps that will never be delivered", "cause")
        self.thinned = self.counter(
            "pipeline_thinned_sweeps", "Late sweeps let go: the backend is slower than sweeps land"
        )
        self.unstored = self.gauge(
            "pipeline_unstored_rows", "Rows served and not taken by the backend's database, last cycle"
        )
        self.cache_age = self.gauge(
            "pipeline_served_cache_age_seconds", "Age of what a cache before the backend served, last cycle; 0: none"
        )
        self.rejected_rows = self.counter("pipeline_rejected_rows", "Rows the backend named in its errors")
        # outcome: delivered, found (served after an unclear answer), again (sent again after one); of alerts too:
        # in_doubt, dropped, repeated (the group was set back); of the universe: failed, restored (after another writer)
        self.deliveries = self.counter("pipeline_deliveries", "Universes and alerts, by outcome", "kind", "outcome")
        self.universe_differing = self.gauge(
            "pipeline_universe_differing_symbols",
            "Symbols in which the backend's universe is not ours: another writer's, or ours held back",
            "reason",
        )

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
