"""Surveys a model: the candidates of all its tensors, read once; and allocations among them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Self

from skillpm.delta.auto.allocate import Allocation, Frontier
from skillpm.delta.auto.metric import ErrorMetric, Weighting
from skillpm.delta.auto.points import CandidatePoint, TensorSurvey
from skillpm.delta.auto.rows import TensorRows, is_large
from skillpm.delta.auto.survey import survey_tensors
from skillpm.delta.codecs.grid import rows_of
from skillpm.delta.encoding.encode import EncodingJob
from skillpm.delta.encoding.torch_device import CPU, ComputeDevice
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.streams import pair_chunks
from skillpm.parallel import parallel_map
from skillpm.spec.dtypes import TensorSpec, is_float

BATCH = 1 << 23
"""The most entries of tensors that an accelerator decomposes by one call."""
Saved = Callable[[str], TensorSurvey | None]
"""Returns the saved survey of a tensor, or None."""
Save = Callable[[str, TensorSurvey], None]
"""Saves the survey of a tensor."""
Ratio = Callable[[str, CandidatePoint], float]
"""Returns the measured bytes of a tensor's point in relation to its estimated bytes."""


def encodable(pair: Pair) -> TensorSpec | None:
    """Return the spec of a tensor whose delta may be rounded; None if it is stored exactly."""
    spec = pair.tuned
    return spec if pair.change == "changed" and spec and is_float(spec.dtype) else None


@dataclass(frozen=True)
class ModelSurvey:
    """The points of every tensor that can be rounded, and the distortion of an empty pack."""

    points: Mapping[str, tuple[CandidatePoint, ...]]
    energy: float

    @classmethod
    def of(
        cls,
        job: EncodingJob,
        pairs: Iterable[Pair],
        weighting: Weighting,
        *,
        device: ComputeDevice = CPU,
        saved: Saved = lambda _tensor: None,
        save: Save = lambda _tensor, _survey: None,
    ) -> Self:
        """Survey all tensors, several at once; `saved` and `save` keep results between commands.

        While one thread waits for the device, others read. Callers let torch use one thread for
        one operation.
        """
        work = _Work(job, weighting, device, saved, save)
        chosen = [pair for pair in pairs if encodable(pair)]
        surveyed = parallel_map(work.survey, batches(chosen, device), workers=job.workers)
        found = {tensor: survey for batch in surveyed for tensor, survey in batch.items()}
        kept = {pair.tensor: found[pair.tensor] for pair in chosen if pair.tensor in found}
        points = {tensor: survey.points for tensor, survey in kept.items()}
        return cls(points, sum(survey.energy for survey in kept.values()))

    @cached_property
    def frontier(self) -> Frontier:
        """The best allocations at all sizes."""
        return Frontier.of(self.points)

    def for_bytes(self, budget: float) -> Allocation:
        """Return an allocation of least distortion in at most `budget` bytes."""
        return self.frontier.within_bytes(budget)

    def for_distortion(self, share: float) -> Allocation:
        """Return the smallest allocation with at most this share of the energy as distortion."""
        return self.frontier.within_distortion(share * self.energy)

    def resized(self, ratio: Ratio) -> "ModelSurvey":
        """Multiply the estimated bytes of all points by a ratio."""
        points = {
            tensor: tuple(point.resized(ratio(tensor, point)) for point in each)
            for tensor, each in self.points.items()
        }
        return ModelSurvey(points, self.energy)

    def curve(self, count: int = 12) -> list[list[float]]:
        """Return [bytes, share of distortion] of `count` allocations along the frontier."""
        low = max(1.0, sum(min(point.size for point in each) for each in self.points.values()))
        high = max(2.0, sum(max(point.size for point in each) for each in self.points.values()))
        curve: list[list[float]] = []
        for number in range(count):
            allocation = self.for_bytes(low * (high / low) ** (number / (count - 1)))
            share = allocation.distortion / self.energy if self.energy else 0.0
            curve.append([round(allocation.size), float(f"{share:.4g}")])
        return [point for number, point in enumerate(curve) if point not in curve[:number]]


def batches(pairs: Iterable[Pair], device: ComputeDevice) -> list[list[Pair]]:
    """Group small tensors of one shape for an accelerator; on the CPU each pair is alone."""
    found: list[list[Pair]] = []
    filling: dict[tuple[object, ...], list[Pair]] = {}
    for pair in pairs:
        spec = _spec(pair)
        most = 1 if device.is_cpu or is_large(spec) else max(1, BATCH // max(1, spec.elements))
        key = (spec.dtype, spec.shape)
        if len(filling.get(key, ())) in (0, most):
            filling[key] = []
            found.append(filling[key])
        filling[key].append(pair)
    return found


def _spec(pair: Pair) -> TensorSpec:
    spec = encodable(pair)
    assert spec is not None  # noqa: S101 - for the type checker; callers ensure it
    return spec


@dataclass(frozen=True)
class _Work:
    """Surveys batches of tensors of two models."""

    job: EncodingJob
    weighting: Weighting
    device: ComputeDevice
    saved: Saved
    save: Save

    def survey(self, batch: Sequence[Pair]) -> dict[str, TensorSurvey]:
        """Return the surveys by tensor: saved ones, or computed and saved now.

        A tensor that can only be stored exactly has none.
        """
        known = {pair.tensor: self.saved(pair.tensor) for pair in batch}
        missing = [pair for pair in batch if known[pair.tensor] is None]
        surveys = survey_tensors([self._tensor(pair) for pair in missing])
        for pair, survey in zip(missing, surveys, strict=True):
            known[pair.tensor] = survey
            if survey is not None:
                self.save(pair.tensor, survey)
        self.job.advance(sum(_spec(pair).nbytes for pair in batch))
        return {tensor: survey for tensor, survey in known.items() if survey is not None}

    def _tensor(self, pair: Pair) -> tuple[Pair, TensorRows, ErrorMetric]:
        spec = _spec(pair)
        read = partial(pair_chunks, self.job.base, self.job.tuned, pair)
        metric = self.weighting.metric(pair.tensor, rows_of(spec))
        return pair, TensorRows(spec, read, self.device), metric
