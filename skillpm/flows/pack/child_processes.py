"""What the processes that this one started have used so far, where the system has `/proc`."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_PARENT, _USER, _SYSTEM = 1, 11, 12
"""Fields of `/proc/PID/stat` after the name of the program; see proc(5)."""
_PEAK = "VmHWM:"


@dataclass(frozen=True)
class ChildUsage:
    """Processor seconds of all children that run, and the largest memory of one of them."""

    processor: float
    peak_bytes: int

    @classmethod
    def now(cls) -> "ChildUsage":
        """Read the children of this process, and theirs; zeros where there is no `/proc`."""
        processes = dict(_processes())
        found, ancestors = set[int](), {os.getpid()}
        while ancestors:
            ancestors = {pid for pid, stat in processes.items() if stat[_PARENT] in ancestors}
            found |= ancestors
        ticks = sum(processes[pid][_USER] + processes[pid][_SYSTEM] for pid in found)
        per_second = os.sysconf("SC_CLK_TCK")
        return cls(ticks / per_second, max(map(_peak, found), default=0))


def _processes() -> Iterator[tuple[int, list[int]]]:
    """The numbers of every process, after the name of its program, and a 0 for its state."""
    for folder in _PROC.glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:  # the process has ended
            continue
        _state, *numbers = fields.rpartition(")")[2].split()
        yield int(folder.name), [0, *map(int, numbers)]


def _peak(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(_PEAK)), 0)
