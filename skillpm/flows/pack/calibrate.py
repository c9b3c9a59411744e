"""`pack --calibration`: Fisher factors from most of the text, divergence on the held-out rest."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillpm.calibration.fisher import Fisher, gather
from skillpm.calibration.fisher_cache import FOLDER, FisherCache, run_determinants
from skillpm.calibration.texts import read_texts
from skillpm.checkpoint.model import CONFIG, Checkpoint
from skillpm.delta.auto.decoded import DecodedTensors
from skillpm.delta.auto.weights import Calibrated
from skillpm.errors import GraftError
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.session.session import Session
from skillpm.flows.upkeep.expiry import sweep_cache
from skillpm.running.runner import (
    Batch,
    ModelAnswers,
    Runner,
    answers_of,
    compare_answers,
)
from skillpm.spec.digests import Digest

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
    """How the base, or the base with a pack, performs on held-out text.

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

    @cached_property
    def _tuned(self) -> tuple[ModelAnswers, float | None]:
        """The tuned model's answers to the held-out batches, and its loss.

        `fidelity` gets them before it places other weights.
        """
        return answers_of(self.runner, self.held_out)

    @property
    def tuned_loss(self) -> float | None:
        """The tuned model's loss."""
        return self._tuned[1]

    @cached_property
    def base(self) -> Fidelity:
        """The fidelity of the base alone."""
        return self.fidelity()

    def fidelity(self, pack: "OpenPack | None" = None) -> Fidelity:
        """Measure the base, or the base with a pack, on the held-out batches."""
        answers, _ = self._tuned
        names = {pair.tensor for pair in self.models.differing if pair.tuned}
        self.runner.place(DecodedTensors.of(self.models.reference.source, names, pack))
        return Fidelity(*compare_answers(self.runner, self.held_out, answers))


def calibrate(
    session: Session, models: ModelPair, folder: Path, /, *, path: Path, device: str
) -> Calibration:
    """Run the tuned model over the text. Raises `GraftError`, `SpecError` or `UsageError`.

    The sums of Fisher factors are saved in the home, so that a killed command continues.
    """
    texts = read_texts(path)
    runner = Runner.load(tuned_folder(models), device, may_stream=True)
    batches = _within(runner.batches(texts), MOST_TOKENS + MOST_HELD_OUT)
    held_out = _within(batches[::HELD_OUT], MOST_HELD_OUT)
    seen = [batch for number, batch in enumerate(batches) if number % HELD_OUT] or batches
    text = str(Digest.of(path.read_bytes()))
    cache = _cache(session, models, {"text": text, **run_determinants(runner, seen)})
    advance = session.progress("calibrating", sum(batch.ids.numel() for batch in seen))
    place = folder / "fisher"
    place.mkdir()
    fisher = Fisher(place)
    cache.restore(fisher)
    gather(runner, seen, set(cache.shapes), fisher, save=cache.save, advance=advance)
    facts: dict[str, object] = {
        "calibration": text,
        "tokens": sum(batch.tokens for batch in seen),
    }
    return Calibration(runner, models, Calibrated(fisher.load, facts, cache.key), held_out)


def _cache(session: Session, models: ModelPair, run: dict[str, Any]) -> FisherCache:
    """The entry for the factors of the changed tensors; removes old entries."""
    shapes = {
        pair.tensor: pair.tuned.shape
        for pair in models.differing
        if pair.change == "changed" and pair.tuned
    }
    determinants = {
        "base": str(models.reference.identity.root),
        "tuned": str(models.tuned_identity.root),
        "config": str(Digest.of(models.files(CONFIG) or b"")),
        "tensors": {tensor: list(shape) for tensor, shape in shapes.items()},
        **run,
    }
    cache = FisherCache.of(session.home, determinants, shapes)
    sweep_cache(session.home, FOLDER, session.now, keep=cache.key)
    return cache


def tuned_folder(models: ModelPair) -> Path:
    """The folder of the tuned model. Raises `GraftError` for an adapter."""
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
