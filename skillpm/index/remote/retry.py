"""When failed requests are repeated, and how long a body may take."""

import random
import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from skillpm.index.remote.errors import TransientError

TOO_MANY, SERVER_ERROR, NOT_IMPLEMENTED, OTHER_VERSION = 429, 500, 501, 505


@dataclass(frozen=True)
class RetryPolicy:
    """How often and after which pauses a request is repeated. Times are in seconds.

    `tries` counts the requests that fail one after another; `first_tries` holds until the registry
    has answered once, because a wrong URL should fail soon; `transfer_tries` holds for blobs, which
    outlast a registry that restarts. The n-th pause is random, between half
    of `pause` · 2ⁿ and the whole, so that clients do not return at the same moment. A server may
    ask for up to `asked_limit` instead. An answer slower than `least_speed` bytes per second over
    `window` counts as a failure; `slow_tries` of them are enough.
    """

    tries: int = 6
    first_tries: int = 2
    transfer_tries: int = 10
    slow_tries: int = 3
    pause: float = 0.5
    pause_limit: float = 8.0
    asked_limit: float = 30.0
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    window: float = 20.0
    least_speed: float = 1000.0

    def wait_after(self, failures: int, problem: TransientError) -> float | None:
        """The pause after this number of failures; None if the server asks for too long a pause."""
        if problem.wait is not None and problem.wait > self.asked_limit:
            return None
        full = min(self.pause_limit, self.pause * 2.0 ** (failures - 1))
        jittered = full * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        return jittered if problem.wait is None else problem.wait + jittered


def is_transient(status: int) -> bool:
    """Whether a request with this HTTP status may succeed later."""
    if status in (NOT_IMPLEMENTED, OTHER_VERSION):
        return False
    return status == TOO_MANY or status >= SERVER_ERROR


def retry_after(value: str | None) -> float | None:
    """The seconds in a `Retry-After` header, a number or a date; None without a valid one."""
    with suppress(ValueError, TypeError, OverflowError):
        seconds = float(value or "")
        return max(0.0, seconds) if seconds < float("inf") else None
    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, parsedate_to_datetime(value or "").timestamp() - time.time())
    return None
