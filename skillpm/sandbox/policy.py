"""The configuration of a sandbox: the worker's module, limits, and excluded layers."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from skillpm.sandbox.report import SandboxLayer


@dataclass(frozen=True)
class SandboxLimits:
    """Limits of one session, in bytes and seconds."""

    memory: int = 2 << 30
    """Address space in addition to that of the libraries."""
    processor_seconds: int = 600
    folder_bytes: int = 0
    """Bytes that the worker may write to its folder; with 0 it cannot write files."""
    open_files: int = 64
    answer_bytes: int = 32 << 20
    """The largest size of an answer, which is one line of JSON."""
    request_bytes: int = 512 << 20
    """The largest size of a request, including its files."""


@dataclass(frozen=True)
class SandboxPolicy:
    """A worker's module, its limits, and layers that tests exclude to examine the others.

    The module is trusted code. Its function `worker()` returns a `Handler`: a function from a
    request to an answer, both JSON objects.
    """

    module: str
    limits: SandboxLimits = SandboxLimits()
    without: frozenset[SandboxLayer] = field(default_factory=frozenset)
    hidden: tuple[str, ...] = ()
    """Installed packages that the worker cannot import, so that it starts faster."""
    programs: bool = False
    """Whether the worker may replace itself by an installed program (`execve`). The program has the
    same confinement, and can start no other process. Linux only."""
    forks: bool = sys.platform == "linux"
    """Whether the supervisor forks a worker for each session. The frameworks of macOS do not
    work after a fork: there, a supervisor serves one session and becomes its worker."""

    def to_dict(self) -> dict[str, Any]:
        """The policy as a JSON object, for the command line of the supervisor."""
        return {
            "module": self.module,
            "limits": asdict(self.limits),
            "without": sorted(map(str, self.without)),
            "hidden": list(self.hidden),
            "programs": self.programs,
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
            programs=plain["programs"],
            forks=plain["forks"],
        )
