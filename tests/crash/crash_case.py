"""A command's folders, and processes that run commands in them and are killed."""

import gc
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from skillpm_world import Outcome, run_here

COUNT_ONLY = -1
EPOCH = "1715940000"
"""A SOURCE_DATE_EPOCH, so that packing again gives the same bytes."""


@dataclass(frozen=True)
class Run:
    """A command, and when it starts, stops and dies; see `killer.py`."""

    command: tuple[str, ...]
    kill: int = 0
    after: float | None = None
    delay: float = 0.0
    stop: int = 0
    held: float = 0.0
    dies: bool = False


class Killer:
    """The process that runs commands and kills them; see `killer.py`.

    Commands that are not killed run in this process, which is a hundred times faster, and do not
    call fsync: a kill loses no written data.
    """

    counted = 0

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("killer.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def race(self, case: Path, *runs: Run, patience: int = 30) -> list[Outcome]:
        """Run commands side by side in a case's project; see `Outcome.code`: None if killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {
            "runs": [asdict(run) for run in runs],
            "cwd": str(case / "project"),
            "environment": _environment(case, patience),
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        ended = json.loads(self._process.stdout.readline())
        self.counted = max(one.pop("count") for one in ended)
        return [Outcome(**one) for one in ended]

    def kill(self, case: Path, command: tuple[str, ...], at: int, after: float | None) -> bool:
        """Run a command that is to be killed; False if it ended before the kill."""
        (ended,) = self.race(case, Run(command, at, after))
        return ended.code is None

    def run(self, case: Path, *command: object) -> Outcome:
        """Run a command undisturbed."""
        with _within(case):
            ended = run_here(*command)
        gc.collect()  # the store's lock is released with the last object that holds it
        gc.freeze()
        return ended

    def ask(self, case: Path, *command: object) -> dict[str, Any]:
        """The document of a command that must succeed."""
        outcome = self.run(case, *command, "--json")
        assert outcome.code == 0, (command, outcome)
        return outcome.json

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _environment(case: Path, patience: int = 30) -> dict[str, str]:
    return {
        "SKILLPM_HOME": str(case / "home"),
        "SKILLPM_CONFIG": str(case / "config.toml"),
        "SKILLPM_LOCK_TIMEOUT": str(patience),
        "SOURCE_DATE_EPOCH": EPOCH,
    }


@contextmanager
def _within(case: Path) -> Iterator[None]:
    before, fsync = dict(os.environ), os.fsync
    os.environ.update(_environment(case))
    os.fsync = lambda fd: None  # noqa: ARG005
    try:
        with chdir(case / "project"):
            yield
    finally:
        os.fsync = fsync
        os.environ.clear()
        os.environ.update(before)


@dataclass(frozen=True)
class Scene:
    """A command, and its folders: `project` and `home`; the base is beside them.

    A command that is done `once` does something else, or nothing, when it is repeated. A command of
    two steps shows an empty environment in `between`.
    """

    name: str
    command: tuple[str, ...]
    template: Path
    once: bool = False
    between: bool = False

    @property
    def case(self) -> Path:
        """The path of the folders while the command runs, which is always the same.

        A home identifies projects by their paths, so a copy at another path would be another
        project.
        """
        return self.template.parent / "case"

    def fresh(self) -> Path:
        """The initial folders of the command, at that path."""
        shutil.rmtree(self.case, ignore_errors=True)
        return Path(shutil.copytree(self.template, self.case))
