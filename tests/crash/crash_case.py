"""One command, killed somewhere and then repeated, against the same command left in peace."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skillpm_world import Outcome, snapshot

COUNT_ONLY = -1
ONCE = ("init", "rollback", "uninstall")
"""Commands that do something else, or nothing, once they have done their work."""


class Killer:
    """The process that runs commands and kills them; see `killer.py`."""

    counted = 0

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("killer.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, case: Path, *command: object, kill: int = 0, after: float | None = None
    ) -> Outcome | None:
        """Run a command in a case's project; None where it was killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {
            "command": [str(word) for word in command],
            "cwd": str(case / "project"),
            "environment": {"SKILLPM_HOME": str(case / "home")},
            "kill": kill,
            "after": after,
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        ended = json.loads(self._process.stdout.readline())
        self.counted = ended.pop("count")
        return None if ended["code"] is None else Outcome(**ended)

    def ask(self, case: Path, *command: object) -> dict[str, Any]:
        """The document of a command that must succeed."""
        outcome = self.run(case, *command, "--json")
        assert outcome is not None
        assert outcome.code == 0, outcome
        return outcome.json

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@dataclass(frozen=True)
class Scene:
    """A command, and the folders that it finds: `project` and `home`; the base lies beside them."""

    name: str
    command: tuple[str, ...]
    template: Path


@dataclass(frozen=True)
class Final:
    """What must come out the same, killed or not."""

    history: list[Any]
    files: dict[str, str]
    releases: list[Any]


def final_state(killer: Killer, case: Path) -> Final:
    """Generations without their times; lock, project file, graft; what is published."""
    history: list[Any] = []
    if (case / "project" / "skillpm.toml").exists():
        history = killer.ask(case, "history")["generations"]
    for one in history:
        del one["created"]
    project = snapshot(case / "project")
    kept = {name: text for name, text in project.items() if not name.startswith(".skillpm")}
    return Final(history, kept, killer.ask(case, "search")["results"])


def strays(case: Path) -> list[str]:
    """What only a cut-off command leaves: staged files and folders."""
    marks = (".tmp", ".skillpm-new", ".skillpm-old")
    found = [name for name in snapshot(case) if any(mark in name for mark in marks)]
    for folder in ("home/tmp", "home/store/tmp", "home/registry/tmp"):
        if (case / folder).exists():
            found.extend(str(path) for path in (case / folder).iterdir())
    return found


def check_reading(killer: Killer, case: Path, allowed: list[Any]) -> None:
    """Reading commands show a complete generation, the old or the new one, and write nothing."""
    if not (case / "project" / ".skillpm" / "current").exists():
        return
    before = snapshot(case)
    listed = killer.ask(case, "list")
    history = killer.ask(case, "history")
    assert snapshot(case) == before, "a reading command wrote"
    assert history["current"] == listed["generation"] == len(history["generations"]) - 1
    assert [one["skill"] for one in listed["skills"]] in allowed, listed


def shown_sets(killer: Killer, case: Path) -> list[Any]:
    if not (case / "project" / ".skillpm" / "current").exists():
        return []
    return [[one["skill"] for one in killer.ask(case, "list")["skills"]]]


def peaceful(killer: Killer, scene: Scene, folder: Path) -> tuple[Final, list[Any]]:
    """What comes out without a kill, and the sets of skills that may be seen on the way."""
    case = fresh(scene, folder)
    allowed = shown_sets(killer, case)
    outcome = killer.run(case, *scene.command)
    assert outcome is not None
    assert outcome.code == 0, outcome
    return final_state(killer, case), allowed + shown_sets(killer, case)


def fresh(scene: Scene, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(scene.template, folder))


@dataclass(frozen=True)
class Judge:
    """Kills a scene's command in a copy of its folders, and checks law 4."""

    killer: Killer
    scene: Scene
    folder: Path
    expected: Final
    allowed: list[Any]

    def points(self) -> int:
        """How many points there are to kill the command at."""
        case = fresh(self.scene, self.folder)
        assert self.killer.run(case, *self.scene.command, kill=COUNT_ONLY)
        return self.killer.counted

    @classmethod
    def of(cls, killer: Killer, scene: Scene, folder: Path) -> "Judge":
        expected, allowed = peaceful(killer, scene, folder)
        return cls(killer, scene, folder, expected, allowed)

    def killed_at(
        self,
        kill: int = 0,
        after: float | None = None,
        meanwhile: Callable[[Path], None] | None = None,
    ) -> bool:
        """Kill once, look, repeat, compare. False where the command ended before the kill."""
        case = fresh(self.scene, self.folder)
        was_killed = self.killer.run(case, *self.scene.command, kill=kill, after=after) is None
        if not was_killed:
            return False
        check_reading(self.killer, case, self.allowed)
        if meanwhile is not None:
            meanwhile(case)
        if self._is_over(case):
            return True
        again = self.killer.run(case, *self.scene.command)
        assert again is not None
        assert again.code == 0, again
        found = final_state(self.killer, case)
        assert found == self.expected, (found, self.expected)
        left = strays(case)
        assert left == [], left
        return True

    def _is_over(self, case: Path) -> bool:
        """Whether all was done, so that another rollback would be a redo, say."""
        if (case / "project" / ".skillpm" / "journal.json").exists():
            return False
        return self.scene.name in ONCE and final_state(self.killer, case) == self.expected
