"""skillpm's scheme `auto` as a user runs it: `skillpm pack --budget` in its own process."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benchmarks.peers.files import read_skillpack
from benchmarks.peers.task import Budget, Candidate, Clock, Task
from benchmarks.tools.running import skillpm

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = "model.safetensors"


def auto(task: Task, budget: Budget | None) -> Candidate:
    """Without calibration text."""
    return _packed(task, budget, ())


def auto_calibrated(task: Task, budget: Budget | None) -> Candidate:
    """With the calibration text that the recipe uses."""
    return _packed(task, budget, ("--calibration", str(task.calibration.absolute())))


def _packed(task: Task, budget: Budget | None, options: tuple[str, ...]) -> Candidate:
    """Pack, then decode the pack as a graft does. A failure of the command ends the benchmark."""
    if budget is None:
        message = "`auto` is measured at a budget"
        raise ValueError(message)
    clock = Clock()
    file = task.folder / "auto.skillpack"
    file.unlink(missing_ok=True)
    tuned = weights_alone(task, task.folder / "weights")
    named = ("--name", "acme/bench", "--version", "1.0.0", "-o", str(file.absolute()))
    asked = ("--scheme", "auto", "--budget", f"{budget}B", *options)
    home = task.folder / "home"
    skillpm("pack", str(task.base.absolute()), str(tuned), *named, *asked, home=home)
    state = read_skillpack(file, task.base)
    return Candidate(state, file.stat().st_size, clock.seconds, {"budget": budget})


def weights_alone(task: Task, folder: Path) -> Path:
    """The tuned weights with the base's small files: no peer carries tokenizers, so no pack does.

    Returns the absolute path of `folder`; the weights are links.
    """
    shutil.rmtree(folder, ignore_errors=True)
    ignored = shutil.ignore_patterns("*.safetensors", "*.safetensors.index.json")
    shutil.copytree(task.base, folder, ignore=ignored)
    (folder / WEIGHTS).symlink_to((task.tuned / WEIGHTS).absolute())
    return folder.absolute()


OURS = {"auto": auto, "auto-calibrated": auto_calibrated}
