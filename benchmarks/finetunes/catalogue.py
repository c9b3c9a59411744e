"""The existing fine-tunes, for the benchmarks that compress them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmarks.finetunes import corpora, sentences
from benchmarks.finetunes.cache import record
from benchmarks.finetunes.language import CALIBRATION, HELD_OUT, read_rows
from benchmarks.finetunes.measure_causal import CausalEvaluator
from benchmarks.finetunes.measure_encoder import EncoderEvaluator
from benchmarks.finetunes.settings import SEEDS
from benchmarks.finetunes.tasks import Examination

if TYPE_CHECKING:
    from benchmarks.finetunes.measure import Evaluator

CACHE = Path(__file__).parents[1] / ".cache" / "finetunes"
DOMAINS = tuple(corpora.KINDS)
TASKS = ("search", "package")

Kind = Literal["causal", "encoder"]


@dataclass(frozen=True, slots=True)
class FineTune:
    """A base, a full fine-tune of it, and calibration text of the task for `pack --calibration`.

    `base` and `tuned` are model directories. No held-out text is in the calibration file or in the
    training data.
    """

    name: str
    kind: Kind
    task: str
    seed: int
    base: Path
    tuned: Path
    calibration: Path
    seconds: float

    def evaluator(self) -> Evaluator:
        """Build the evaluator of candidates; takes a few seconds and the memory of a few models."""
        if self.kind == "causal":
            rows = read_rows(self.calibration.with_name(HELD_OUT))
            return CausalEvaluator(base=self.base, tuned=self.tuned, rows=rows)
        examination = Examination.load(self.calibration.with_name(sentences.EXAMINATION))
        return EncoderEvaluator(base=self.base, tuned=self.tuned, examination=examination)


def finetunes(cache: Path = CACHE) -> list[FineTune]:
    """All fine-tunes that `python -m benchmarks.finetunes` has made in CACHE, seed by seed.

    Trains nothing and reads no weights. Only that command checks whether the data still match the
    installed packages.
    """
    return [
        _finetune(cache, kind, task, seed, seconds=float(found["seconds"]))
        for kind, task, seed in plan()
        if (found := record(cache / name(kind, task, seed))) is not None
    ]


def plan() -> list[tuple[Kind, str, int]]:
    """Kind, task and seed of every fine-tune, in the order of training."""
    both: list[tuple[Kind, str]] = [("causal", one) for one in DOMAINS]
    both += [("encoder", one) for one in TASKS]
    return [(kind, task, seed) for seed in SEEDS for kind, task in both]


def name(kind: Kind, task: str, seed: int) -> str:
    """The name of the fine-tune and of its folder, such as `lm-headers-0`."""
    return f"{'lm' if kind == 'causal' else 'encoder'}-{task}-{seed}"


def _finetune(cache: Path, kind: Kind, task: str, seed: int, *, seconds: float) -> FineTune:
    sides = cache / ("domains" if kind == "causal" else "tasks") / task
    return FineTune(
        name=name(kind, task, seed),
        kind=kind,
        task=task,
        seed=seed,
        base=cache / ("lm-base" if kind == "causal" else "encoder-base") / "model",
        tuned=cache / name(kind, task, seed) / "model",
        calibration=sides / CALIBRATION,
        seconds=seconds,
    )
