"""What the server tells Prometheus of itself."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)  # seconds


class Metrics:
    """Counters of one server. `waiting`, `running` and `workers` are asked when it is read."""

    def __init__(
        self, waiting: Callable[[], int], running: Callable[[], int], workers: Callable[[], int]
    ) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "diffufix_requests", "Requests by path and status.", ["path", "status"],
            registry=registry,
        )  # fmt: skip
        self.verdicts = Counter(
            "diffufix_verdicts", "Verdicts by state.", ["state"], registry=registry
        )
        self.seconds = Histogram(
            "diffufix_request_seconds", "Seconds from request to answer.", ["path"],
            buckets=BUCKETS, registry=registry,
        )  # fmt: skip
        for name, said, ask in (
            ("diffufix_queue_depth", "Requests that wait for a slot.", waiting),
            ("diffufix_running", "Requests that are being worked on.", running),
            ("diffufix_live_workers", "Fork servers that are up.", workers),
        ):
            Gauge(name, said, registry=registry).set_function(ask)

    def page(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
