"""Two concurrent commands, one or both killed: the result is that of some order of the two."""

import random
import re
import time
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from crash_case import COUNT_ONLY, Killer, Run, Scene
from crash_checks import (
    BrokenStateError,
    LostGenerationError,
    check_clean,
    check_reading,
    check_whole,
    has_project,
    history,
    shown,
)
from skillpm_world import Outcome

RIVALS = {
    "install": "install acme/code",
    "uninstall": "uninstall acme/math",
    "rollback": "rollback",
    "lock": "lock",
    "graft": "graft",
    "gc": "gc --keep 1 --grace 0 -y",
    "publish": "publish ../../math-1.1.0.skillpack",
    "pack": "pack ../../base ../../tuned/sql-1.0.0 --name acme/rival --version 1.0.0",
    "export": "export acme/code@1.0.0 ../rival --format merged",
    "yank": "yank acme/spare@1.0.0",
    "cache-clean": "cache clean",
}
HUNG = 99
_CHANGES = ("added", "removed", "changed")
_ORDERS = ((0, 0), (0, 1, 0), (0, 1, 1), (1, 0, 0), (1, 0, 1), (1, 1))


@dataclass(frozen=True)
class Draw:
    """Two racing commands, with their arguments and their lock timeout in seconds."""

    runs: tuple[Run, Run]
    patience: int


@dataclass(frozen=True)
class Race:
    """A scene's command and a rival, with all results that law 4 allows."""

    killer: Killer
    scene: Scene
    commands: tuple[tuple[str, ...], tuple[str, ...]]
    states: frozenset[Any]
    failures: tuple[frozenset[Any], frozenset[Any]]
    seconds: tuple[float, float]
    counted: dict[int, int] = field(default_factory=dict)
    """Kill points of each side, counted when they are needed."""

    @classmethod
    def of(cls, killer: Killer, scene: Scene, rival: str) -> "Race":
        """Learn the result of each order of both commands; `same` repeats the scene's own."""
        other = scene.command if rival == "same" else tuple(RIVALS[rival].split())
        commands = tuple((*one, "--json") for one in (scene.command, other))
        states, failures = set[Any](), (set[Any](), set[Any]())
        seconds = [inf, inf]
        for order in _ORDERS:
            case = scene.fresh()
            states.add(shown(killer, case))
            for turn, side in enumerate(order):
                started = time.monotonic()
                outcome = killer.run(case, *commands[side])
                if turn == 0:  # the later runs have less to import
                    seconds[side] = min(seconds[side], time.monotonic() - started)
                if outcome.code:
                    failures[side].add((outcome.code, outcome.error["kind"]))
                if turn == 0 or order in ((0, 1, 0), (1, 0, 1)):
                    states.add(shown(killer, case))
        known = (frozenset(failures[0]), frozenset(failures[1]))
        if scene.between:
            states.add(())
        both = (commands[0], commands[1]), frozenset(states), known, (seconds[0], seconds[1])
        return cls(killer, scene, *both)

    def draw(self, chance: random.Random) -> Draw:
        """Stop one at a random call while the other runs, or run both."""
        runs = self._held(chance) if chance.random() < 0.6 else self._free(chance)
        return Draw((runs[0], runs[1]), chance.choice((0, 30, 30)))

    def points(self, side: int) -> int:
        """The number of kill points of a command."""
        if side not in self.counted:
            self.killer.race(self.scene.fresh(), Run(self.commands[side], COUNT_ONLY))
            self.counted[side] = max(1, self.killer.counted)
        return self.counted[side]

    def _held(self, chance: random.Random) -> list[Run]:
        """One stops, and dies there or continues; if it continues, the other dies at some time."""
        side, held = chance.randrange(2), chance.uniform(0.01, 1.5 * max(self.seconds))
        dies = chance.random() < 0.5
        stop = chance.randint(1, self.points(side))
        runs = [Run(command) for command in self.commands]
        runs[side] = Run(self.commands[side], stop=stop, held=held, dies=dies)
        if not dies:
            after = chance.uniform(0, held + self.seconds[1 - side])
            runs[1 - side] = Run(self.commands[1 - side], after=after)
        return runs

    def _free(self, chance: random.Random) -> list[Run]:
        """Start the commands at random times, and kill one or both at random times."""
        late, victims = chance.randrange(2), chance.choice(((0,), (0,), (1,), (0, 1)))
        runs = []
        for side in (0, 1):
            delay = chance.uniform(0, self.seconds[1 - side]) if side == late else 0.0
            kill, after = 0, None
            if side in victims:
                after = delay + chance.uniform(0, 1.5 * self.seconds[side])
            if side in victims and side == 0 and chance.random() < 0.5:
                kill, after = chance.randint(1, self.points(0)), None
            runs.append(Run(self.commands[side], kill, after, delay))
        return runs

    def run(self, draw: Draw) -> bool:
        """Race once, inspect, repeat what was killed, inspect again. False without a kill."""
        case, killer = self.scene.fresh(), self.killer
        before = history(killer, case)
        outcomes = killer.race(case, *draw.runs, patience=draw.patience)
        check_reading(killer, case)
        seen = history(killer, case) if has_project(case) else []
        for side, outcome in enumerate(outcomes):
            self._check_outcome(side, outcome)
        if has_project(case):
            killer.ask(case, "lock")
            check_clean(case, but=("team",))
        if shown(killer, case) not in self.states:
            raise BrokenStateError((shown(killer, case), self.states))
        self._check_kept(case, before, seen, outcomes)
        for side, outcome in enumerate(outcomes):
            if outcome.code is None:
                self._check_outcome(side, killer.run(case, *self.commands[side]))
        check_clean(case)
        check_whole(killer, case)
        self._check_kept(case, before, seen, outcomes)
        return any(outcome.code is None for outcome in outcomes)

    def _check_outcome(self, side: int, outcome: Outcome) -> None:
        """Check that a survivor succeeds, fails as in some order, or names the lock holder."""
        if not outcome.code:
            return
        if outcome.code == HUNG or not outcome.out:
            raise BrokenStateError(outcome)
        error = outcome.error
        if (outcome.code, error["kind"]) in self.failures[side]:
            return
        if error["kind"] != "state" or not re.search(r"process \d+", error["message"]):
            raise BrokenStateError((self.commands[side], outcome))

    def _check_kept(
        self, case: Path, before: list[Any], seen: list[Any], outcomes: list[Outcome]
    ) -> None:
        """Check that every earlier, visible or reported generation is in `history`."""
        generations = _bare(history(self.killer, case))
        for known in (_bare(before), _bare(seen)):
            if generations[: len(known)] != known:
                raise LostGenerationError((known, generations))
        for outcome in outcomes:
            made = _made(outcome)
            if made is not None and not _is_recorded(made, generations):
                raise LostGenerationError((made, generations))


def _bare(generations: list[Any]) -> list[Any]:
    """The state without the parts that `gc` may change."""
    return [{**one, "pruned": False, "graft": None} for one in generations]


def _made(outcome: Outcome) -> dict[str, Any] | None:
    """The generations that a command reported, even if it was killed after the report."""
    if outcome.code or not outcome.out.endswith("\n"):
        return None
    document = outcome.json
    moved = any(document.get(key) for key in _CHANGES)
    return document if moved and "generation" in document else None


def _is_recorded(made: dict[str, Any], generations: list[Any]) -> bool:
    if made["generation"] >= len(generations):
        return False
    skills = {one["skill"]: one["version"] for one in generations[made["generation"]]["skills"]}
    added = [*made["added"], *made["changed"]]
    return all(skills.get(one["skill"]) == one["version"] for one in added) and not any(
        one["skill"] in skills for one in made["removed"]
    )
