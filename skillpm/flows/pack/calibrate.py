"""`pack --calibration`: Fisher factors from most of the text, and what a pack keeps on the rest."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillpm.calibration.fisher import Fisher
from skillpm.calibration.fisher_cache import FOLDER, FisherCache, run_determinants
from skillpm.calibration.gather import gather
from skillpm.calibration.sample import split_texts
from skillpm.calibration.texts import read_texts
from skillpm.checkpoint.model import CONFIG, Checkpoint
from skillpm.delta.auto.decoded import DecodedTensors
from skillpm.delta.auto.weights import Calibrated
from skillpm.delta.encoding.torch_device import torch_threads
from skillpm.errors import GraftError
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.session.session import Session
from skillpm.flows.upkeep.expiry import sweep_cache
from skillpm.running.answers import ReferenceAnswers, SequenceSums, effect_of
from skillpm.running.runner import Batch, Runner
from skillpm.spec.digests import Digest
from skillpm.spec.effect import PackEffect

if TYPE_CHECKING:
    from skillpm.delta.decoding.open_pack import OpenPack


@dataclass
class Calibration:
    """A runner of the tuned model, the weighting from its Fisher factors, and held-out batches.

    `workers` is the number of threads that run the model.
    """

    runner: Runner
    models: ModelPair
    weighting: Calibrated
    held_out: list[Batch]
    workers: int

    @cached_property
    def _tuned(self) -> ReferenceAnswers:
        """The tuned model's answers to the held-out batches.

        `_compare` gets them before it places other weights.
        """
        return ReferenceAnswers.of(self.runner, self.held_out)

    @cached_property
    def _base(self) -> SequenceSums:
        """The sums of the base alone."""
        return self._compare(None)

    @property
    def base_divergence(self) -> float:
        """The divergence of the base alone from the tuned model."""
        with torch_threads(self.workers):
            return self._base.mean_divergence

    def effect(self, pack: "OpenPack") -> PackEffect:
        """Measure the base with a pack on the held-out batches."""
        with torch_threads(self.workers):
            return effect_of(self._base, self._tuned.own, self._compare(pack))

    def _compare(self, pack: "OpenPack | None") -> SequenceSums:
        tuned = self._tuned
        names = {pair.tensor for pair in self.models.differing if pair.tuned}
        self.runner.place(DecodedTensors.of(self.models.reference.source, names, pack))
        return tuned.compare(self.runner)


def calibrate(
    session: Session, models: ModelPair, folder: Path, /, *, path: Path, device: str
) -> Calibration:
    """Run the tuned model over the text. Raises `GraftError`, `SpecError` or `UsageError`.

    The sums of Fisher factors are saved in the home, so that a killed command continues.
    """
    texts = read_texts(path)
    runner = Runner.load(tuned_folder(models), device, may_stream=True)
    seen, held_out = split_texts(runner, texts)
    text = str(Digest.of(path.read_bytes()))
    place = folder / "fisher"
    place.mkdir()
    fisher = Fisher(place)
    with torch_threads(session.workers):
        cache = _cache(session, models, {"text": text, **run_determinants(runner, seen)})
        advance = session.progress("calibrating", sum(batch.ids.numel() for batch in seen))
        cache.restore(fisher)
        gather(runner, seen, set(cache.shapes), fisher, save=cache.save, advance=advance)
    facts: dict[str, object] = {
        "calibration": text,
        "tokens": sum(batch.tokens for batch in seen),
    }
    weighting = Calibrated(fisher.load, facts, cache.key)
    return Calibration(runner, models, weighting, held_out, session.workers)


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
