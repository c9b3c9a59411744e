"""Values of the tests of registries over HTTP."""

from collections.abc import Callable
from dataclasses import replace

from skillpm.index.remote.registry import RemoteIndex
from skillpm.index.remote.retry import RetryPolicy
from skillpm.spec.digests import Digest

FAST = RetryPolicy(transfer_tries=6, pause=0.01, pause_limit=0.05, asked_limit=2.0)
"""Short pauses; patience with a busy machine."""
IMPATIENT = replace(FAST, tries=2, transfer_tries=2, read_timeout=0.5, window=0.4, least_speed=1e4)
"""For servers that are slow on purpose."""
CONTENT = b"".join(number.to_bytes(4, "big") for number in range(1 << 20))
"""A blob of 4 MiB."""
DIGEST = Digest.of(CONTENT)
Open = Callable[..., RemoteIndex]
