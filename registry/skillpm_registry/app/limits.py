"""Rate limits: a token bucket for each client and class of requests."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

CLIENTS = 100_000
"""Buckets that are kept. Beyond, the one that was used longest ago is forgotten."""
_BURST = 10.0
"""Seconds of the rate that a client may save up: a tenth of it is a burst after a pause."""


@dataclass(slots=True)
class _Bucket:
    level: float
    at: float


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether a request is allowed, how many more are, and the seconds until the next one is."""

    allowed: bool
    remaining: int
    reset: float


class RateLimit:
    """At most `per_minute` requests of one client on average, with bursts of ten seconds' worth.

    With 0 there is no limit. May be used by several threads. Times are in seconds of one clock.
    """

    def __init__(self, name: str, per_minute: int) -> None:
        self.name = name
        self.per_minute = per_minute
        self._rate = per_minute / 60
        self._size = max(1.0, self._rate * _BURST)
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._guard = threading.Lock()

    def take(self, client: str, now: float) -> Allowance:
        """Count a request of a client."""
        if not self.per_minute:
            return Allowance(allowed=True, remaining=1 << 30, reset=0)
        with self._guard:
            bucket = self._refilled(client, now)
            allowed = bucket.level >= 1
            if allowed:
                bucket.level -= 1
            wait = max(0.0, 1 - bucket.level) / self._rate
            return Allowance(allowed, int(bucket.level), wait)

    def give_back(self, client: str, now: float) -> None:
        """Do not count the client's last request: it was answered with 304."""
        if self.per_minute:
            with self._guard:
                bucket = self._refilled(client, now)
                bucket.level = min(self._size, bucket.level + 1)

    def headers(self, allowance: Allowance) -> dict[str, str]:
        """The headers `RateLimit` and `RateLimit-Policy` of a response."""
        if not self.per_minute:
            return {}
        policy = f'"{self.name}";q={int(self._size)};w={int(_BURST)}'
        state = f'"{self.name}";r={allowance.remaining};t={int(allowance.reset + 0.999)}'
        return {"ratelimit": state, "ratelimit-policy": policy}

    def _refilled(self, client: str, now: float) -> _Bucket:
        bucket = self._buckets.pop(client, None) or _Bucket(self._size, now)
        elapsed = max(0.0, now - bucket.at)
        bucket.level = min(self._size, bucket.level + elapsed * self._rate)
        bucket.at = now
        self._buckets[client] = bucket
        if len(self._buckets) > CLIENTS:
            self._buckets.popitem(last=False)
        return bucket
