"""`pack --calibration`: Fisher factors from most of the text, divergence on the held-out rest."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.calibration.fisher import gather
from skillpm.calibration.texts import read_texts
from skillpm.checkpoint.model import Checkpoint
from skillpm.delta.auto.decoded import tensors_of
from skillpm.delta.auto.weights import Calibrated
from skillpm.errors import GraftError
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.session.session import Session
from skillpm.running.runner import Batch, Runner, answers_of, divergence, token_loss

if TYPE_CHECKING:
    from skillpm.delta.decoding.open_pack import OpenPack

_LEAST_GAIN = 1e-3
"""A smaller gain in loss, in nats per token, is not measured reliably on held-out text."""
HELD_OUT = 4
"""Every fourth batch is held out, to measure the divergence of a pack."""
MOST_TOKENS = 1 << 17
"""The most tokens for the Fisher factors. More text takes longer and does not improve them."""
MOST_HELD_OUT = 1 << 13
"""The most tokens in held-out batches."""


@dataclass(frozen=True)
class Fidelity:
    """What the base, or the base with a pack, does on held-out text.

    `divergence` is that from the tuned model. `loss` is the mean loss in nats per token. It is None
    for an encoder, which predicts no token.
    """

    divergence: float
    loss: float | None

    def gain_kept(self, base: "Fidelity", tuned: float | None) -> float | None:
        """The share of the tuned model's gain in loss over the base that is kept.

        None if the tuned model does not gain.
        """
        if self.loss is None or base.loss is None or tuned is None:
            return None
        gain = base.loss - tuned
        return (base.loss - self.loss) / gain if gain > _LEAST_GAIN else None


@dataclass
class Calibration:
    """A runner of the tuned model, the weighting from its Fisher factors, and held-out batches."""

    runner: Runner
    models: ModelPair
    weighting: Calibrated
    held_out: list[Batch]

    def __post_init__(self) -> None:
        self._answers = answers_of(self.runner, self.held_out)
        self.tuned_loss = token_loss(self.runner, self.held_out)

    @cached_property
    def base(self) -> Fidelity:
        """The fidelity of the base alone."""
        return self.fidelity()

    def fidelity(self, pack: "OpenPack | None" = None) -> Fidelity:
        """Measure the base, or the base with a pack, on the held-out batches."""
        names = {pair.tensor for pair in self.models.differing if pair.tuned}
        self.runner.place(tensors_of(self.models.reference.source, names, pack))
        apart = divergence(self.runner, self.held_out, self._answers)
        return Fidelity(apart, token_loss(self.runner, self.held_out))


def calibrate(
    session: Session, models: ModelPair, folder: Path, /, *, path: Path, device: str
) -> Calibration:
    """Run the tuned model over the text. Raises `GraftError`, `SpecError` or `UsageError`."""
    texts = read_texts(path)
    runner = Runner.load(_folder(models), device)
    batches = _within(runner.batches(texts), MOST_TOKENS + MOST_HELD_OUT)
    held_out = _within(batches[::HELD_OUT], MOST_HELD_OUT)
    seen = [batch for number, batch in enumerate(batches) if number % HELD_OUT] or batches
    changed = {pair.tensor for pair in models.differing if pair.change == "changed"}
    advance = session.progress("calibrating", sum(batch.ids.numel() for batch in seen))
    place = folder / "fisher"
    place.mkdir()
    fisher = gather(runner, seen, changed, place, advance)
    facts: dict[str, object] = {
        "calibration": f"sha256:{sha256(path.read_bytes()).hexdigest()}",
        "tokens": sum(batch.tokens for batch in seen),
    }
    return Calibration(runner, models, Calibrated(fisher.load, facts), held_out)


def _folder(models: ModelPair) -> Path:
    tuned = models.tuned
    if not isinstance(tuned, Checkpoint) or tuned.folder is None:
        raise GraftError(
            "calibration runs the tuned model, so it needs a model folder, not an adapter",
            hint="merge the adapter first, or omit `--calibration`",
        )
    return tuned.folder


def _within(batches: list[Batch], tokens: int) -> list[Batch]:
    """Batches at regular intervals, with about `tokens` tokens in all."""
    total = sum(batch.tokens for batch in batches)
    every = max(1, -(-total // tokens))
    return batches[::every]
