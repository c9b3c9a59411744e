"""When a training writes a checkpoint: as often as a share of its time allows."""

from types import SimpleNamespace

import pytest

from skillpm.transfer import training_progress
from skillpm.transfer.training_progress import SAVE_SHARE, TrainingProgress


class Clock:
    """A clock that tests set."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def saves(clock: Clock, progress: TrainingProgress, at: float, *, step: int = 1) -> bool:
    clock.now = at
    state = SimpleNamespace(global_step=step, max_steps=100)
    return bool(progress.on_step_end(None, state, SimpleNamespace()).should_save)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(training_progress, "time", clock)
    return clock


def progress(parameters: int = 100_000_000) -> TrainingProgress:
    return TrainingProgress(lambda _step: None, saves=True, parameters=parameters)


def test_first_checkpoint_of_a_large_model_waits_for_its_expected_cost(clock: Clock) -> None:
    made = progress()
    assert not saves(clock, made, 6 / SAVE_SHARE - 1)  # 1.2 GB at 200 MB a second
    assert saves(clock, made, 6 / SAVE_SHARE)


def test_later_checkpoints_wait_for_the_measured_cost(clock: Clock) -> None:
    made = progress()
    assert saves(clock, made, 200.0)
    clock.now = 201.0  # the checkpoint took a second
    made.on_save()
    assert not saves(clock, made, 201 + 1 / SAVE_SHARE - 0.5)
    assert saves(clock, made, 201 + 1 / SAVE_SHARE)


def test_last_step_is_not_saved_twice(clock: Clock) -> None:
    assert not saves(clock, progress(), 1000.0, step=100)
