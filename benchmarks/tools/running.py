"""Timed processes with their peak memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SKILLPM = str(Path(sysconfig.get_path("scripts")) / "skillpm")


@dataclass(frozen=True, slots=True)
class Ran:
    """A successful process: wall time, peak resident bytes, its output, processor time.

    `processor` is the processor time of all its threads, which a busy machine changes less.
    """

    seconds: float
    peak: int
    out: str
    processor: float

    @property
    def document(self) -> dict[str, Any]:
        """The document of a `--json` command."""
        document: dict[str, Any] = json.loads(self.out)
        return document


def run(*command: str, cwd: Path | None = None, home: Path | None = None) -> Ran:
    """Run a process; a failure ends the benchmark.

    The kernel includes the parent's peak in a child's peak, so benchmarks that report memory keep
    their own process small and make their data in another process.
    """
    left_out = ("SKILLPM_", "PYTHONDONTWRITEBYTECODE")  # an installed skillpm is compiled
    kept = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    environment = {**kept, "SKILLPM_HOME": str(home)} if home else kept
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode:
        sys.exit(f"`{' '.join(command)}` gave exit code {process.returncode}: {out.decode()}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Ran(seconds, usage.ru_maxrss * unit, out.decode(), usage.ru_utime + usage.ru_stime)


def skillpm(*arguments: str, cwd: Path | None = None, home: Path) -> Ran:
    """Run `skillpm` with its own home."""
    return run(SKILLPM, *arguments, "--json", cwd=cwd, home=home)


def python(code: str) -> Ran:
    """Run a line of Python."""
    return run(sys.executable, "-c", code)


def medians_side_by_side(
    times: int, peers: Sequence[Callable[[], Ran]]
) -> list[tuple[float, float]]:
    """The median and the least wall time of each peer; they alternate, so that load affects all."""
    seconds: list[list[float]] = [[] for _ in peers]
    for once in peers:
        once()  # the first run reads files that later runs find in the page cache
    for _ in range(times):
        for place, once in enumerate(peers):
            seconds[place].append(once().seconds)
    return [(statistics.median(each), min(each)) for each in seconds]
