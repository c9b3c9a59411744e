"""Progress: every stage of a command ends at exactly its total."""

import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from plain_models import plain_tensors, write_plain, write_tuned
from rich.progress import Progress
from skillpm_world import World

from skillpm.cli import progress as bars
from skillpm.cli.progress import Bars, time_left


class Recorder:
    """The totals and the counts of every stage."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = defaultdict(int)
        self.counts: dict[str, int] = defaultdict(int)
        self.guard = threading.Lock()

    def start(self, label: str, total: int) -> Callable[[int], None]:
        self.totals[label] += total

        def advance(count: int) -> None:
            with self.guard:
                self.counts[label] += count

        return advance


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(Bars, "start", lambda _self, label, total: recorder.start(label, total))
    return recorder


def test_every_stage_ends_at_its_total(world: World, tmp_path: Path, recorded: Recorder) -> None:
    base = write_plain(tmp_path / "b", plain_tensors())
    world.init(base)
    one = world.pack((base, write_tuned(tmp_path / "t", "mlp")), "acme/one", "1.0.0")
    other = world.pack(
        (base, write_tuned(tmp_path / "u", "attn", 2)), "acme/two", "1.0.0", "--keep", "0.9"
    )
    world.ask("verify", one, "--base", base)
    world.ask("install", one, other)
    world.ask("graft")
    world.ask("graft")
    world.ask("uninstall", "acme/two")
    world.ask("graft")
    world.ask("audit")
    world.ask("cache", "verify")
    world.ask("identify", base, "--against", tmp_path / "t")
    world.ask("export", "acme/one", "--format", "merged", tmp_path / "merged")
    assert "surveying" in recorded.counts
    assert recorded.counts == {label: total for label, total in recorded.totals.items() if total}


def test_repeated_stage_extends_its_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Progress(disable=True)
    monkeypatch.setattr(bars, "_columns", lambda _color: shown)
    made = Bars(shown=True)
    made.start("encoding", 10)(10)
    made.start("encoding", 30)(15)
    (task,) = shown.tasks
    assert (task.completed, task.total) == (25, 40)
    made.close()


@pytest.mark.parametrize(
    ("done", "total", "elapsed", "left"),
    [(0, 10, 5, "-"), (5, 10, 60, "0:01:00"), (10, 10, 9, "0:00:00"), (1, 10, 3600, "9:00:00")],
)
def test_time_left_follows_from_the_mean_speed(
    done: float, total: float, elapsed: float, left: str
) -> None:
    assert time_left(done, total, elapsed) == left
