"""Kill points of `benchmarks.commands.kills`: one command, killed alone and in races."""

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[2] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "crash")]

from crash_case import Killer, Run, Scene  # noqa: E402 - the tests own the judges
from crash_checks import LeakedFileError, LostGenerationError  # noqa: E402
from crash_comparison import Judge  # noqa: E402
from crash_race import RIVALS, Race  # noqa: E402

TRIES = 200
"""After this many draws without a kill in time, the command counts as too fast to kill."""


@dataclass
class Row:
    """Results of one command. A kill that comes too late is drawn again and not counted."""

    kills: int = 0
    racing: int = 0
    broken_states: int = 0
    lost_generations: int = 0
    leaked_files: int = 0

    @property
    def fails(self) -> bool:
        """Whether anything was broken, lost or leaked."""
        return bool(self.broken_states or self.lost_generations or self.leaked_files)

    def blame(self, problem: AssertionError) -> None:
        """Count the problems of one kill."""
        self.leaked_files += isinstance(problem, LeakedFileError)
        self.lost_generations += isinstance(problem, LostGenerationError)
        self.broken_states += not isinstance(problem, LeakedFileError | LostGenerationError)


@dataclass
class Points:
    """Random kill points of one command: by system call, by timer, and in a race."""

    judge: Judge
    chance: random.Random
    count: int
    seconds: float
    races: dict[str, Race]

    @classmethod
    def of(cls, killer: Killer, scene: Scene, seed: int) -> "Points":
        """Measure the undisturbed command: its result and its run time."""
        judge = Judge.of(killer, scene)
        count, case = judge.points(), scene.fresh()
        started = time.monotonic()
        killer.race(case, Run(scene.command))
        seconds = time.monotonic() - started
        return cls(judge, random.Random(f"{seed} {scene.name}"), count, seconds, {})

    def called(self) -> bool:
        """Kill at a system call."""
        return self.judge.killed_at(self.chance.randint(1, self.count), other=self._other())

    def timed(self) -> bool:
        """Kill when a timer expires."""
        return self.judge.killed_at(after=self.chance.uniform(0, self.seconds), other=self._other())

    def raced(self) -> bool:
        """Kill one or both of two commands."""
        name = self.chance.choice([*RIVALS, "same"])
        if name not in self.races:
            self.races[name] = Race.of(self.judge.killer, self.judge.scene, name)
        draw = self.races[name].draw(self.chance)
        try:
            return self.races[name].run(draw)
        except AssertionError as problem:
            problem.add_note(f"against {name}: {draw}")
            raise

    def _other(self) -> bool:
        return self.chance.random() < 0.5


def attack(killer: Killer, scene: Scene, turns: range, seed: int) -> Row:
    """Kill a command repeatedly, every fourth time in a race, and print the problems."""
    row, points = Row(), Points.of(killer, scene, seed)
    for turn in turns:
        racing = turn % 4 == 3
        row.racing += racing
        row.kills += 1
        try:
            alone = points.called if points.chance.random() < 0.5 else points.timed
            _killed(points.raced if racing else alone)
        except AssertionError as problem:
            row.blame(problem)
            notes = " ".join(getattr(problem, "__notes__", ()))
            print(f"{scene.name}: {type(problem).__name__} {problem} {notes}", file=sys.stderr)
    return row


def _killed(point: Callable[[], bool]) -> None:
    """Draw until a kill comes in time."""
    for _ in range(TRIES):
        if point():
            return
    raise AssertionError("no kill came in time")
