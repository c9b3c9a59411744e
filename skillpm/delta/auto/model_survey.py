"""Surveys a model: the candidates of all its tensors, read once; and allocations among them."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Self

import torch

from skillpm.delta.auto.allocate import Allocation, Frontier
from skillpm.delta.auto.metric import Weighting
from skillpm.delta.auto.points import CandidatePoint, TensorSurvey
from skillpm.delta.auto.rows import TensorRows
from skillpm.delta.auto.survey import survey_tensor
from skillpm.delta.codecs.grid import rows_of
from skillpm.delta.encoding.encode import EncodingJob
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.streams import pair_chunks
from skillpm.spec.dtypes import TensorSpec, is_float

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
        saved: Saved = lambda _tensor: None,
        save: Save = lambda _tensor, _survey: None,
    ) -> Self:
        """Survey all tensors, several at once; `saved` and `save` keep results between commands."""
        torch.set_num_threads(1)  # two tensors at once are faster than two threads on one
        chosen = [pair for pair in pairs if encodable(pair)]
        survey = partial(_survey, job, weighting, saved, save)
        with ThreadPoolExecutor(job.workers) as pool:
            try:
                surveyed = list(pool.map(survey, chosen))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        kept = {
            pair.tensor: survey for pair, survey in zip(chosen, surveyed, strict=True) if survey
        }
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


def _survey(
    job: EncodingJob, weighting: Weighting, saved: Saved, save: Save, pair: Pair
) -> TensorSurvey | None:
    """Return the survey of a tensor: a saved one, or computed and saved now."""
    spec = encodable(pair)
    assert spec is not None  # noqa: S101 - for the type checker; the caller ensures it
    survey = saved(pair.tensor)
    if survey is None:
        rows = TensorRows(spec, partial(pair_chunks, job.base, job.tuned, pair))
        survey = survey_tensor(pair, rows, weighting.metric(pair.tensor, rows_of(spec)))
        if survey is not None:
            save(pair.tensor, survey)
    job.advance(spec.nbytes)
    return survey
