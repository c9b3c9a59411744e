"""Runs each order (a line of JSON): one skillpm command, or two that race, in forked children.

`kill` counts a child's calls that could affect a file: the child dies by SIGKILL just before or
just after one of them. `after` is a timer instead: the parent kills the child when it expires.
`delay` makes a child start later than the other. With `stop`, a child stops at its n-th such call,
the other runs for `held` seconds or to its end, and the first `dies` there or continues.
"""

import gc
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no threads before a fork
sys.path.insert(0, str(Path(__file__).parents[2]))

from dying import die_at

import skillpm.flows.audit.advisories
import skillpm.flows.audit.audit
import skillpm.flows.change.apply_plan
import skillpm.flows.change.bundle
import skillpm.flows.change.init
import skillpm.flows.change.install
import skillpm.flows.change.install_bundle
import skillpm.flows.change.lock
import skillpm.flows.change.rollback
import skillpm.flows.change.uninstall
import skillpm.flows.graft.export
import skillpm.flows.graft.graft
import skillpm.flows.inspect.listing
import skillpm.flows.pack.pack
import skillpm.flows.packs.publish
import skillpm.flows.upkeep.cache
import skillpm.flows.upkeep.gc
import skillpm.index.open  # noqa: F401 - imported once here, so that a child starts fast
from skillpm.cli import main

HUNG = 60.0
"""Seconds after which a child that was not killed counts as hanging."""


def child(run: dict[str, Any], order: dict[str, Any], counted: int) -> None:
    """Run the command to its end, or to the kill."""
    os.chdir(order["cwd"])
    os.environ.update(order["environment"])
    time.sleep(run["delay"])
    if run["kill"]:
        die_at(run["kill"], counted)
    if run["stop"]:
        die_at(run["stop"], counted, signal.SIGSTOP)
    code: Any = 70
    try:
        main(run["command"])
    except SystemExit as done:
        code = done.code
    finally:
        sys.setprofile(None)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@dataclass
class Child:
    """A started command, and the files that hold its output."""

    pid: int
    files: tuple[int, int, int]
    status: int | None = None

    @classmethod
    def start(cls, run: dict[str, Any], order: dict[str, Any]) -> "Child":
        out, err, counted = map(os.memfd_create, ("out", "err", "counted"))
        forked = os.fork()
        if not forked:
            os.dup2(out, 1)
            os.dup2(err, 2)
            child(run, order, counted)
        return cls(forked, (out, err, counted))

    def stopped(self) -> bool:
        """Wait until it stops; False if it ended instead."""
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            self.status = status
        return os.WIFSTOPPED(status)

    def end(self) -> dict[str, Any]:
        """The outcome; its code is None if it was killed."""
        status, hung = self._wait()
        said = [Path(f"/proc/self/fd/{fd}").read_text() for fd in self.files]
        for fd in self.files:
            os.close(fd)
        code = None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)
        count = int(said[2] or 0)
        return {"code": 99 if hung else code, "out": said[0], "err": said[1], "count": count}

    def _wait(self) -> tuple[int, bool]:
        if self.status is not None:
            return self.status, False
        deadline, pause = time.monotonic() + HUNG, 0.001
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return status, False
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
        os.kill(self.pid, signal.SIGKILL)
        return os.waitpid(self.pid, 0)[1], True


def obey(order: dict[str, Any]) -> list[dict[str, Any]]:
    """How each command of an order ended."""
    runs = order["runs"]
    children: dict[int, Child] = {}
    events: list[tuple[float, int, int]] = []
    for place in sorted(range(len(runs)), key=lambda place: -runs[place]["stop"]):
        run = runs[place]
        children[place] = Child.start(run, order)
        if run["stop"] and children[place].stopped():
            how = signal.SIGKILL if run["dies"] else signal.SIGCONT
            events.append((run["held"], children[place].pid, how))
        if run["after"] is not None:
            events.append((run["after"], children[place].pid, signal.SIGKILL))
    started = time.monotonic()
    for after, pid, kind in sorted(events):
        time.sleep(max(0.0, started + after - time.monotonic()))
        os.kill(pid, kind)  # the child is not reaped yet, so its process id is not reused
    return [children[place].end() for place in range(len(runs))]


if __name__ == "__main__":
    gc.freeze()  # garbage collection in a child would copy every page
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line))), flush=True)  # noqa: T201
