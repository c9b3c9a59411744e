"""Calibration in `pack`: Fisher factors from one part of the text, divergence on the rest."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.calibration.fisher import gather
from skillpm.calibration.texts import read_texts
from skillpm.checkpoint.model import Checkpoint
from skillpm.delta.auto.decoded import tensors_of
from skillpm.delta.auto.weights import Calibrated
from skillpm.errors import GraftError
from skillpm.flows.pack.manifest import ModelPair
from skillpm.flows.session.session import Session
from skillpm.running.runner import Batch, Runner, answers_of, divergence

if TYPE_CHECKING:
    from skillpm.delta.apply.open_pack import OpenPack

HELD_OUT = 4
"""One batch in so many is held out, to measure what a pack keeps."""
MOST_TOKENS = 1 << 17
"""More text than this makes the factors no better, and takes longer."""
MOST_HELD_OUT = 1 << 13


@dataclass
class Calibration:
    """A runner of the tuned model, the weighting it gave, and batches held out."""

    runner: Runner
    against: ModelPair
    weighting: Calibrated
    held_out: list[Batch]

    def __post_init__(self) -> None:
        self._answers = answers_of(self.runner, self.held_out)

    def divergence(self, pack: "OpenPack | None" = None) -> float:
        """How far the base, or base + pack, is from the tuned model."""
        names = {pair.tensor for pair in self.against.differing if pair.tuned}
        self.runner.place(tensors_of(self.against.reference.source, names, pack))
        return divergence(self.runner, self.held_out, self._answers)


def calibrate(
    session: Session, against: ModelPair, folder: Path, /, *, path: Path, device: str
) -> Calibration:
    """Run the tuned model over the text. Raises `GraftError`, `SpecError` or `UsageError`."""
    texts = read_texts(path)
    runner = Runner.load(_folder(against), device)
    batches = _within(runner.batches(texts), MOST_TOKENS + MOST_HELD_OUT)
    held_out = _within(batches[::HELD_OUT], MOST_HELD_OUT)
    seen = [batch for number, batch in enumerate(batches) if number % HELD_OUT] or batches
    wanted = {pair.tensor for pair in against.differing if pair.change == "changed"}
    advance = session.progress("calibrating", sum(batch.ids.numel() for batch in seen))
    place = folder / "fisher"
    place.mkdir()
    fisher = gather(runner, seen, wanted, place, advance)
    facts: dict[str, object] = {
        "calibration": f"sha256:{sha256(path.read_bytes()).hexdigest()}",
        "tokens": sum(batch.tokens for batch in seen),
    }
    return Calibration(runner, against, Calibrated(fisher.load, facts), held_out)


def _folder(against: ModelPair) -> Path:
    tuned = against.tuned
    if not isinstance(tuned, Checkpoint) or tuned.folder is None:
        raise GraftError(
            "calibration runs the tuned model, which must be a model folder",
            hint="merge the adapter first, or leave out --calibration",
        )
    return tuned.folder


def _within(batches: list[Batch], tokens: int) -> list[Batch]:
    """As many batches, spread over all, as hold so many tokens."""
    total = sum(batch.tokens for batch in batches)
    every = max(1, -(-total // tokens))
    return batches[::every]
