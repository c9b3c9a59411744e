"""One bar over the stages of a command never goes backwards, and its time left follows speeds."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from plain_models import plain_tensors, write_plain, write_tuned
from rich.progress import Progress
from skillpm_world import World

from skillpm.cli import progress as bars
from skillpm.cli.progress import Bars
from skillpm.cli.staged import StagedProgress
from skillpm.parallel import PlannedStage


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def plan(*stages: tuple[str, float]) -> list[PlannedStage]:
    return [PlannedStage(*stage) for stage in stages]


def test_shares_follow_the_planned_seconds() -> None:
    staged = StagedProgress(plan(("hash", 1), ("encode", 3)), Clock())
    assert staged.share == 0
    staged.start("hash", 10)(5)
    assert staged.share == pytest.approx(1 / 8)
    staged.start("encode", 100)(50)
    assert staged.share == pytest.approx(5 / 8)


def test_later_stages_take_as_much_longer_as_the_first_one() -> None:
    clock = Clock()
    staged = StagedProgress(plan(("hash", 1), ("encode", 3)), clock)
    assert staged.seconds_left is None
    advance = staged.start("hash", 10)
    clock.now = 2.0
    advance(10)
    assert staged.seconds_left == pytest.approx(6)
    advance = staged.start("encode", 100)
    clock.now = 5.0
    advance(50)
    assert staged.seconds_left == pytest.approx(3), "the speed of the stage itself"


def test_trials_that_are_not_needed_are_skipped() -> None:
    staged = StagedProgress(plan(*[("encode", 1)] * 3, ("check", 1)), Clock())
    staged.start("encode", 4)(4)
    staged.start("check", 4)
    assert staged.share == pytest.approx(3 / 4)
    assert staged.label == "check"


def test_more_trials_than_planned_add_nothing() -> None:
    staged = StagedProgress(plan(("encode", 1), ("check", 1)), Clock())
    staged.start("encode", 4)(4)
    before = staged.share
    staged.start("compare", 1)(1)
    staged.start("encode", 4)(2)
    assert staged.share == before


def test_a_new_plan_replaces_only_the_stages_that_follow() -> None:
    staged = StagedProgress(plan(("hash", 1), ("encode", 1)), Clock())
    staged.start("hash", 2)(2)
    before = staged.share
    staged.plan(plan(("survey", 8), ("encode", 1)))
    assert staged.share == before, "not backwards, although more is left than was planned"
    staged.start("survey", 8)(8)
    assert staged.share == pytest.approx(9 / 10)


def test_threads_advance_a_stage_together() -> None:
    staged = StagedProgress(plan(("hash", 1)), Clock())
    advance = staged.start("hash", 4000)

    def many() -> None:
        for _ in range(1000):
            advance(1)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert staged.share == 1


class Watched(Bars):
    """Shows one bar that is not drawn, and records every share that it has."""

    shares: list[float]
    labels: list[str]
    tasks: int

    def __init__(self) -> None:
        super().__init__(shown=True)
        self.shares, self.labels = [], []

    def start(self, label: str, total: int) -> Callable[[int], None]:
        advance = super().start(label, total)
        self._record(label)

        def counted(amount: int) -> None:
            advance(amount)
            self._record(label)

        return counted

    def _record(self, label: str) -> None:
        assert self._progress is not None
        (task,) = self._progress.tasks
        self.shares.append(task.completed)
        self.labels.append(label)
        assert task.total == 1


@pytest.mark.parametrize(
    "options", [(), ("--budget", "14kB"), ("--keep", "0.9"), ("--scheme", "graftllm")], ids=str
)
def test_pack_shows_one_bar_that_never_goes_backwards(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Sequence[str]
) -> None:
    watched = Watched()
    monkeypatch.setattr(bars, "_staged_columns", lambda *_: Progress(disable=True))
    monkeypatch.setattr(bars, "Bars", lambda **_: watched)
    base = write_plain(tmp_path / "b", plain_tensors())
    world.pack((base, write_tuned(tmp_path / "t", "mlp")), "acme/staged", "1.0.0", *options)
    assert watched.shares == sorted(watched.shares)
    assert watched.shares[-1] == pytest.approx(1)
    stages = list(dict.fromkeys(watched.labels))
    assert stages[:2] == ["hashing base", "hashing tuned"]
    assert stages[-1] == "checking"
