"""Values of the tests of registries over HTTP."""

from collections.abc import Callable
from dataclasses import replace

from skillpm.index.remote.registry import RemoteIndex
from skillpm.index.remote.retry import RetryPolicy
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName

FAST = RetryPolicy(transfer_tries=6, pause=0.01, pause_limit=0.05, asked_limit=2.0)
"""Short pauses; patience with a busy machine."""
IMPATIENT = replace(
    FAST, tries=2, transfer_tries=2, slow_tries=2, read_timeout=0.5, window=0.4, least_speed=1e4
)
"""For servers that are slow on purpose."""
CONTENT = b"".join(number.to_bytes(4, "big") for number in range(1 << 20))
"""A blob of 4 MiB."""
DIGEST = Digest.of(CONTENT)
Open = Callable[..., RemoteIndex]
MATH = SkillName.parse("acme/math")
INDEX = "/index/acme/math.json"
ENTRY = {
    "version": "1.0.0", "digest": str(Digest.of(b"image")), "size": 10,
    "base": str(Digest.of(b"base")), "architecture": "Llama", "requires": ["acme/x ^1"],
    "summary": "sums", "scheme": "lossless", "payload_bytes": 5,
    "created": "2026-01-01T00:00:00Z", "published": "2026-01-01T00:00:00Z",
}  # fmt: skip


def listing(*versions: str, skill: str = "acme/math", **changes: object) -> bytes:
    releases = [{**ENTRY, "version": version, **changes} for version in versions]
    return json.canonical({"api": 1, "skill": skill, "releases": releases})
