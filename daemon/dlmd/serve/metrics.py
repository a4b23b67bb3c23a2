"""What `/metrics` tells, in Prometheus' text format: counts and times, never a text.

One registry for each daemon, because the library's own is one for each process and tests
start many. Must not know how requests are answered.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from dlmd.wire.protocol import SERVING, Failure, Result, Status

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 30)
TYPE = CONTENT_TYPE_LATEST


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        kept = self.registry
        self.http = Counter(
            "dlmd_http_requests",
            "HTTP requests answered.",
            ("route", "status"),
            registry=kept,
        )
        self.ends = Counter(
            "dlmd_infills", "Infills by how they ended.", ("end",), registry=kept
        )
        self.forwards = Counter(
            "dlmd_forwards", "Forward passes of infills.", ("kind",), registry=kept
        )
        self.steps = Counter("dlmd_steps", "Denoising steps of infills.", registry=kept)
        self.first = Histogram(
            "dlmd_first_state_seconds",
            "From request to first denoising state.",
            buckets=SECONDS,
            registry=kept,
        )
        self.total = Histogram(
            "dlmd_infill_seconds",
            "From request to result.",
            buckets=SECONDS,
            registry=kept,
        )
        self.serving = Gauge(
            "dlmd_serving", "1 when a request asked now is computed.", registry=kept
        )
        self.queue = Gauge(
            "dlmd_queue", "Infills that wait or are computed.", registry=kept
        )

    def ended(self, end: Result | Failure) -> None:
        if isinstance(end, Failure):
            self.ends.labels(end.code).inc()
            return
        self.ends.labels("result").inc()
        self.forwards.labels("full").inc(end.usage.forwards_full)
        self.forwards.labels("cached").inc(end.usage.forwards_cached)
        self.steps.inc(end.usage.steps)
        if end.usage.ms_first_state is not None:
            self.first.observe(end.usage.ms_first_state / 1000)
        if end.usage.ms_total is not None:
            self.total.observe(end.usage.ms_total / 1000)

    def text(self, status: Status) -> bytes:
        self.serving.set(status.phase in SERVING)
        self.queue.set(status.queue)
        return generate_latest(self.registry)
