"""Stages 4 and 5: fine-tune the base on right answers (SFT), then on pairs (DPO)."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skillpm.flows.transfer.run import TransferRun
from skillpm.journal.atomic import sync_folder, write_atomic
from skillpm.parallel import Advance
from skillpm.spec.digests import Digest
from skillpm.transfer.rounding import round_to_base
from skillpm.transfer.selection import LEAST_PAIRS, Rows, to_lines
from skillpm.transfer.stages import Stage
from skillpm.transfer.training import Trained, Training, train_on_answers, train_on_pairs

_ROWS, _TUNED = "rows.sha256", "tuned"
Train = Callable[[Path, Sequence[Mapping[str, Any]], Training, Path, Advance], Trained]


@dataclass(frozen=True)
class TrainedStage:
    """A trained model: in float32, and in `tuned` rounded to the base's dtypes.

    `name` is that of the stage, or has the share of the change that is kept: `sft-0.5`. `digest` is
    that of everything that it learnt.
    """

    name: str
    stage: Stage
    trained: Trained
    tuned: Path
    digest: str


def train_sft(run: TransferRun, rows: Rows) -> TrainedStage:
    """Fine-tune the base on the SFT rows. Raises the errors of `train_on_answers`."""
    table = run.plan.document.train.sft
    training = _training(run, table.epochs, table.lr)
    digest = str(Digest.of(to_lines(rows.sft)))
    work = _TrainingWork(Stage.SFT, train_on_answers, run.plan.base_folder, rows.sft, digest)
    return _train(run, work, training)


def train_dpo(run: TransferRun, rows: Rows, sft: TrainedStage) -> TrainedStage | None:
    """Tune the SFT model on pairs; None for fewer than `LEAST_PAIRS`, or without epochs."""
    table = run.plan.document.train.dpo
    if not table.epochs:
        return None
    if len(rows.pairs) < LEAST_PAIRS:
        run.say(f"DPO is skipped: {len(rows.pairs)} pairs, fewer than {LEAST_PAIRS}")
        return None
    training = _training(run, table.epochs, table.lr, table.beta)
    digest = str(Digest.of(sft.digest.encode() + to_lines(rows.pairs)))
    work = _TrainingWork(Stage.DPO, train_on_pairs, sft.trained.folder, rows.pairs, digest)
    return _train(run, work, training)


def _training(run: TransferRun, epochs: float, rate: float, beta: float = 0.0) -> Training:
    table = run.plan.document.train
    return Training(
        epochs=epochs,
        learning_rate=rate,
        beta=beta,
        batch=table.batch,
        micro=table.micro,
        max_length=table.max_tokens,
        seed=int(run.plan.key[:7], 16),
        device=run.plan.request.device,
    )


@dataclass(frozen=True)
class _TrainingWork:
    """A training: the function that trains, the model that it starts from, and the rows."""

    stage: Stage
    train: Train
    model: Path
    rows: Sequence[Mapping[str, Any]]
    digest: str


def _train(run: TransferRun, work: _TrainingWork, training: Training) -> TrainedStage:
    folder = run.workspace.path / work.stage
    _start_anew_for_other_rows(folder, work.digest)
    advance = run.session.progress(f"{work.stage} steps", training.steps(len(work.rows)))
    trained = work.train(work.model, work.rows, training, folder, advance)
    model = TrainedStage(str(work.stage), work.stage, trained, folder / _TUNED, work.digest)
    return _rounded(run, model, run.plan.document.train.interpolate[0])


def with_share(run: TransferRun, model: TrainedStage, share: float) -> TrainedStage:
    """A trained model with another share of the change of weights."""
    name = f"{model.stage}-{share:g}"
    digest = str(Digest.of(f"{model.digest} {share:g}".encode()))
    tuned = model.tuned.with_name(f"{_TUNED}-{share:g}")
    return _rounded(run, TrainedStage(name, model.stage, model.trained, tuned, digest), share)


def _rounded(run: TransferRun, model: TrainedStage, share: float) -> TrainedStage:
    if not model.tuned.is_dir():
        round_to_base(run.plan.base, model.trained.folder, model.tuned, interpolate=share)
    return model


def _start_anew_for_other_rows(folder: Path, digest: str) -> None:
    """Remove a training on other rows: its answers were removed or edited."""
    mark = folder / _ROWS
    if mark.is_file() and mark.read_text() == digest:
        return
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    write_atomic(mark, digest.encode())
    sync_folder(folder.parent)
