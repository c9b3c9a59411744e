"""Counters for Prometheus, in the text format of `/metrics`."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The metrics of one service. Labels have few values: routes, methods and statuses."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "skillpm_requests", "Requests by route, method and status.",
            ["route", "method", "status"], registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "skillpm_request_seconds", "Time from request to response.",
            ["route", "method"], buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.received = Counter(
            "skillpm_upload_bytes", "Bytes of uploads that are durable.", registry=self.registry
        )
        self.published = Counter(
            "skillpm_releases_published", "Releases that were published.", registry=self.registry
        )
        self.limited = Counter(
            "skillpm_requests_limited", "Requests that were refused by a rate limit.",
            ["limit"], registry=self.registry,
        )  # fmt: skip
        self.in_flight = Gauge(
            "skillpm_requests_in_flight", "Requests that are being handled.",
            registry=self.registry,
        )  # fmt: skip

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self.requests.labels(route, method, str(status)).inc()
        self.seconds.labels(route, method).observe(seconds)

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)
