"""The usage of processes that this one started and that still run."""

import subprocess
import sys
from pathlib import Path

import pytest

from skillpm.flows.pack import child_processes
from skillpm.flows.pack.child_processes import ChildUsage

WORK = "x = sum(range(20_000_000)); print(x, flush=True); input()"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_usage_of_a_running_child_is_counted() -> None:
    before = ChildUsage.now()
    with subprocess.Popen(
        [sys.executable, "-c", WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        during = ChildUsage.now()
        child.stdin.write("\n")
        child.stdin.flush()
    assert during.processor > before.processor
    assert during.peak_bytes > 1 << 20


def test_without_proc_nothing_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_processes, "_PROC", tmp_path)
    assert ChildUsage.now() == ChildUsage(0.0, 0)
