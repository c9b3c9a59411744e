"""A sandbox ends with its parent, killed or not, and leaves no process and no file."""

import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from escape_attempts import HERE, MODULE

from skillpm.sandbox.errors import FailureKind, ForeignWorkError
from skillpm.sandbox.policy import SandboxPolicy
from skillpm.sandbox.process import Sandbox
from skillpm.sandbox.report import SandboxLayer, SandboxReport
from skillpm.sandbox.self_check import probe_sandbox

POLICY = SandboxPolicy(MODULE)
NAMESPACES = frozenset({
    SandboxLayer.PID_NAMESPACE, SandboxLayer.MOUNT_NAMESPACE, SandboxLayer.USER_NAMESPACE,
})  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files, which must be empty at the end."""
    made = tmp_path / "temporary"
    made.mkdir()
    monkeypatch.setenv("PYTHONPATH", f"{HERE.parents[1]}{os.pathsep}{HERE}")
    monkeypatch.setenv("TMPDIR", str(made))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield made
    assert list(made.iterdir()) == []


def _family(pid: int) -> set[int]:
    """A process and its descendants."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found, left = set(), [pid]
    while left:
        one = left.pop()
        found.add(one)
        left += parents.get(one, [])
    return found


def _living(pids: set[int]) -> set[int]:
    states = {pid: Path(f"/proc/{pid}/stat") for pid in pids}
    return {pid for pid, state in states.items() if state.exists() and ") Z " not in _text(state)}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ") Z "


def _supervisor(sandbox: Sandbox) -> int:
    assert sandbox._process is not None
    return sandbox._process.pid


@pytest.mark.parametrize("without", [frozenset(), NAMESPACES], ids=["all", "no namespaces"])
def test_close_ends_every_process(without: frozenset[SandboxLayer]) -> None:
    sandbox = Sandbox(replace(POLICY, without=without))
    sandbox.open({"a": b"a"}, 10.0)
    family = _family(_supervisor(sandbox))
    assert len(family) >= 2
    sandbox.close()
    assert _living(family) == set()


def test_garbage_collected_sandbox_ends_every_process() -> None:
    sandbox = Sandbox(POLICY)
    sandbox.open({}, 10.0)
    family = _family(_supervisor(sandbox))
    del sandbox
    gc.collect()
    assert _living(family) == set()


def test_each_session_has_a_new_process() -> None:
    sandbox = Sandbox(POLICY)
    first = sandbox.open({"a": b"a"}, 10.0)
    before = _family(_supervisor(sandbox))
    second = sandbox.open({"b": b"b"}, 10.0)
    assert _living(before) == {_supervisor(sandbox)}
    with pytest.raises(ForeignWorkError, match="has ended"):
        first.ask({"attempt": "files"})
    with pytest.raises(ForeignWorkError, match="No such file"):
        second.ask({"attempt": "read", "path": "a"})
    assert second.ask({"attempt": "read", "path": "b"}) == {"got": "b"}
    sandbox.close()


def test_killed_supervisor_is_an_error_and_is_replaced() -> None:
    sandbox = Sandbox(POLICY)
    session = sandbox.open({}, 10.0)
    family = _family(_supervisor(sandbox))
    leftovers = list(Path(tempfile.gettempdir()).iterdir())
    os.kill(_supervisor(sandbox), signal.SIGKILL)
    with pytest.raises(ForeignWorkError) as caught:
        session.ask({"attempt": "sleep"})
    assert caught.value.kind is FailureKind.CRASHED
    assert sandbox.open({}, 10.0).ask({"attempt": "allocate", "bytes": 1}) == {"got": 1}
    assert _living(family) == set()
    assert not any(path.exists() for path in leftovers)
    sandbox.close()


ASKING = """
import sys
from skillpm.sandbox.layers import environment
from skillpm.sandbox.policy import SandboxPolicy
from skillpm.sandbox.process import Sandbox
from skillpm.sandbox.report import SandboxLayer
without = frozenset(map(SandboxLayer, sys.argv[1].split()))
sandbox = Sandbox(SandboxPolicy("escape_worker", without=without))
session = sandbox.open({"a": b"a"}, 60.0)
print(sandbox._process.pid, flush=True)
session.ask({"attempt": sys.argv[2]})
"""


@pytest.mark.parametrize("attempt", ["sleep", "spin"])
@pytest.mark.parametrize("without", [frozenset(), NAMESPACES], ids=["all", "no namespaces"])
def test_killed_command_leaves_no_process(attempt: str, without: frozenset[SandboxLayer]) -> None:
    command = [sys.executable, "-c", ASKING, " ".join(without), attempt]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        family = _family(int(asking.stdout.readline()))
        assert len(family) >= 2
        time.sleep(0.2)
        asking.kill()
    deadline = time.monotonic() + 30
    while _living(family) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _living(family) == set()


@pytest.mark.parametrize("way", ["close", "next", "crash"])
def test_supervisor_is_the_worker_if_forks_are_disabled(way: str) -> None:
    """As on macOS: each session has its own supervisor."""
    sandbox = Sandbox(replace(POLICY, forks=False, without=NAMESPACES))
    session = sandbox.open({"a": b"a"}, 10.0)
    family = _family(_supervisor(sandbox))
    assert session.ask({"attempt": "read", "path": "a"}) == {"got": "a"}
    if way == "crash":
        with pytest.raises(ForeignWorkError) as caught:
            session.ask({"attempt": "crash"})
        assert caught.value.kind is FailureKind.CRASHED
    if way != "close":
        assert sandbox.open({}, 10.0).ask({"attempt": "allocate", "bytes": 1}) == {"got": 1}
        assert _living(family) == set()
    sandbox.close()
    assert _living(family) == set()


def test_report_round_trips_through_json_and_names_missing_protections() -> None:
    report = probe_sandbox()
    again = SandboxReport.from_layers(report.to_dict()["layers"])
    assert again == report
    assert SandboxLayer.ENVIRONMENT in report.active
    bare = SandboxReport(tuple(one for one in report.layers if one.layer == "environment"))
    assert set(bare.missing) == set(bare.to_dict()["protections"])
