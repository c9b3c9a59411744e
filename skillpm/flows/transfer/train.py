"""Stages 4 and 5: fine-tune the base on right answers (SFT), then on pairs (DPO)."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skillpm.flows.transfer.run import TransferRun
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
    """A trained model: in float32, and in `tuned` rounded to the base's dtypes."""

    stage: Stage
    trained: Trained
    tuned: Path


def train_sft(run: TransferRun, rows: Rows) -> TrainedStage:
    """Fine-tune the base on the SFT rows. Raises the errors of `train_on_answers`."""
    table = run.plan.document.train.sft
    training = _training(run, table.epochs, table.lr)
    return _train(run, Stage.SFT, (train_on_answers, run.plan.base_folder, rows.sft), training)


def train_dpo(run: TransferRun, rows: Rows, sft: TrainedStage) -> TrainedStage | None:
    """Tune the SFT model on pairs; None for fewer than `LEAST_PAIRS`, or without epochs."""
    table = run.plan.document.train.dpo
    if not table.epochs:
        return None
    if len(rows.pairs) < LEAST_PAIRS:
        run.say(f"DPO is skipped: {len(rows.pairs)} pairs, fewer than {LEAST_PAIRS}")
        return None
    training = _training(run, table.epochs, table.lr, table.beta)
    return _train(run, Stage.DPO, (train_on_pairs, sft.trained.folder, rows.pairs), training)


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


def _train(
    run: TransferRun,
    stage: Stage,
    work: tuple[Train, Path, Sequence[Mapping[str, Any]]],
    training: Training,
) -> TrainedStage:
    train, model, rows = work
    folder = run.workspace.path / stage
    _start_anew_for_other_rows(folder, rows)
    advance = run.session.progress(f"{stage} steps", training.steps(len(rows)))
    trained = train(model, rows, training, folder, advance)
    tuned = folder / _TUNED
    if not tuned.is_dir():
        round_to_base(run.plan.base, trained.folder, tuned)
    return TrainedStage(stage, trained, tuned)


def _start_anew_for_other_rows(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Remove a training on other rows: its answers were removed or edited."""
    digest, mark = str(Digest.of(to_lines(rows))), folder / _ROWS
    if folder.is_dir() and (not mark.is_file() or mark.read_text() != digest):
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, exist_ok=True)
    mark.write_text(digest)
