"""Compare a command that is killed and repeated with the same command undisturbed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crash_case import COUNT_ONLY, Killer, Run, Scene
from crash_checks import (
    BrokenStateError,
    Final,
    check_clean,
    check_reading,
    check_whole,
    final_state,
    has_project,
    shown,
)


@dataclass(frozen=True)
class Judge:
    """Kills a scene's command in a copy of its folders, and checks law 4."""

    killer: Killer
    scene: Scene
    expected: Final
    allowed: tuple[Any, ...]

    @classmethod
    def of(cls, killer: Killer, scene: Scene) -> "Judge":
        """Learn the undisturbed result, and the sets that may be visible in between."""
        case = scene.fresh()
        before = shown(killer, case)
        killer.ask(case, *scene.command)
        check_clean(case)
        check_whole(killer, case)
        return cls(killer, scene, final_state(killer, case), (before, shown(killer, case)))

    def points(self) -> int:
        """The number of points at which the command can be killed."""
        run = Run(self.scene.command, COUNT_ONLY)
        assert self.killer.race(self.scene.fresh(), run)[0].code == 0
        return self.killer.counted

    def killed_at(
        self,
        kill: int = 0,
        after: float | None = None,
        *,
        other: bool = False,
        meanwhile: Callable[[Path], None] | None = None,
    ) -> bool:
        """Kill once, inspect, repeat, compare. False if the command ended before the kill.

        With `other`, another command runs first, because any writing command cleans up.
        """
        case = self.scene.fresh()
        if not self.killer.kill(case, self.scene.command, kill, after):
            return False
        check_reading(self.killer, case)
        between = ((),) if self.scene.between else ()
        if shown(self.killer, case) not in (*self.allowed, *between):
            raise BrokenStateError(shown(self.killer, case))
        if meanwhile is not None:
            meanwhile(case)
        over = self._is_over(case)
        if has_project(case) and (other or over):
            self._another(case)
        if not over:
            self._repeat(case)
        check_clean(case)
        check_whole(self.killer, case)
        return True

    def _another(self, case: Path) -> None:
        """Run a command that only has to clean up."""
        self.killer.ask(case, "lock")
        check_clean(case, but=("team",))

    def _repeat(self, case: Path) -> None:
        """Run the command again, unless cleaning up completed it."""
        if self._is_over(case):
            return
        again = self.killer.run(case, *self.scene.command)
        if again.code != 0:
            raise BrokenStateError(again)
        found = final_state(self.killer, case)
        if found != self.expected:
            raise BrokenStateError((found, self.expected))

    def _is_over(self, case: Path) -> bool:
        """Whether the command was completed; another rollback, say, would then be a redo."""
        if not self.scene.once or (case / "project" / ".skillpm" / "journal.json").exists():
            return False
        return final_state(self.killer, case) == self.expected
