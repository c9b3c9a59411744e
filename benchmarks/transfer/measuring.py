"""What a model can do: right items, kept general answers and the loss of prose, as `transfer` does.

Answers are recorded batch by batch, so that a killed measurement continues.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skillpm.checks.judge import Judge
from skillpm.parallel import no_advance
from skillpm.transfer.evaluation import kept_answers, prose_loss
from skillpm.transfer.filtering import share_right
from skillpm.transfer.generated import SamplingSettings
from skillpm.transfer.sampling import SamplingTask, requests_of, sample
from skillpm.transfer.sources.folder import FolderSource
from skillpm.transfer.workspace import TransferWorkspace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.transfer.experiment import Experiment
    from skillpm.transfer.answers import RecordedAnswer
    from skillpm.transfer.prompts import Prompt

DEVICE = "cpu"
_LOCK_SECONDS = 600.0
_KEY = "answers"


@dataclass(frozen=True)
class Measured:
    """Right items, kept general answers, and nats per token of prose; None if not measured."""

    items: int
    general: int | None = None
    prose: float | None = None


def measure_source(experiment: Experiment, model: Path, folder: Path) -> Measured:
    """A source on the items alone: it has no general ability."""
    source = FolderSource.load(model, DEVICE)
    return Measured(_right(experiment, _items(experiment, source, folder)))


def measure(experiment: Experiment, model: Path, folder: Path, base_folder: Path) -> Measured:
    """A target. `folder` keeps its answers, `base_folder` those of the base."""
    source = FolderSource.load(model, DEVICE)
    items = _right(experiment, _items(experiment, source, folder))
    after = _general(experiment, source, folder)
    prose = prose_loss(source.runner)
    base = FolderSource.load(experiment.base, DEVICE)
    before = _general(experiment, base, base_folder)
    kept = kept_answers(base.runner, experiment.general, before, after)
    return Measured(items, sum(kept.values()), prose)


def _items(
    experiment: Experiment, source: FolderSource, folder: Path
) -> tuple[RecordedAnswer, ...]:
    sampling = SamplingSettings(0.0, 1.0, experiment.skill.answer_tokens)
    return _answers(experiment, source, folder, ("items", experiment.measured, sampling))


def _general(
    experiment: Experiment, source: FolderSource, folder: Path
) -> tuple[RecordedAnswer, ...]:
    sampling = SamplingSettings(0.0, 1.0, experiment.sizes.tokens)
    return _answers(experiment, source, folder, ("general", experiment.general, sampling))


def _answers(
    experiment: Experiment,
    source: FolderSource,
    folder: Path,
    asked: tuple[str, Sequence[Prompt], SamplingSettings],
) -> tuple[RecordedAnswer, ...]:
    name, prompts, sampling = asked
    with TransferWorkspace.open(folder, _KEY, timeout=_LOCK_SECONDS, say=print) as workspace:
        requests = requests_of(prompts, sampling, 1, name)
        file = workspace.answers(name)
        task = SamplingTask(requests, sampling, file, name, experiment.sizes.batch)
        return sample(lambda: source, task, no_advance)


def _right(experiment: Experiment, answers: Sequence[RecordedAnswer]) -> int:
    with Judge(allow_exec=True) as judge:
        share = share_right(experiment.measured, answers, judge)
    return round(share * len(experiment.measured))
