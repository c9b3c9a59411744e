"""What one sandbox may use: the worker module, its limits, and the layers to leave out."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from skillpm.sandbox.report import SandboxLayer


@dataclass(frozen=True)
class SandboxLimits:
    """Bounds of one session. Bytes and seconds."""

    memory: int = 2 << 30
    """Address space that the worker may take beside its libraries."""
    processor_seconds: int = 600
    folder_bytes: int = 0
    """What the worker may write into its folder; with 0 it writes no file at all."""
    open_files: int = 64
    answer_bytes: int = 32 << 20
    """The longest answer, one line of JSON."""
    request_bytes: int = 512 << 20
    """The longest request, its files included."""


@dataclass(frozen=True)
class SandboxPolicy:
    """A worker module, its limits, and layers that tests leave out to show that the others hold.

    The module is ours and is trusted; it has a function `worker()` that returns a function from
    a request to an answer, both JSON objects.
    """

    module: str
    limits: SandboxLimits = SandboxLimits()
    without: frozenset[SandboxLayer] = field(default_factory=frozenset)
    hidden: tuple[str, ...] = ()
    """Packages that the worker does not import although they are installed (speed)."""
    forks: bool = sys.platform == "linux"
    """Whether one supervisor forks a worker for each session. The frameworks of macOS do not
    survive a fork: there a supervisor becomes the worker of its only session."""

    def to_dict(self) -> dict[str, Any]:
        """The policy as JSON, for the command line of the supervisor."""
        return {
            "module": self.module,
            "limits": asdict(self.limits),
            "without": sorted(map(str, self.without)),
            "hidden": list(self.hidden),
            "forks": self.forks,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "SandboxPolicy":
        """The policy from its JSON."""
        return cls(
            module=plain["module"],
            limits=SandboxLimits(**plain["limits"]),
            without=frozenset(map(SandboxLayer, plain["without"])),
            hidden=tuple(plain["hidden"]),
            forks=plain["forks"],
        )
