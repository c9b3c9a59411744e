"""Surveys a model: the candidates of all its tensors, in a window of steps around a budget.

Steps are 2^(i / PER_OCTAVE) for integer step indices i.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from math import log2
from typing import TypeVar

import torch

from skillpm.delta.auto.allocate import Allocation, within_bytes, within_distortion
from skillpm.delta.auto.candidates import CandidatePoint, Candidates
from skillpm.delta.auto.scheme import (
    PER_OCTAVE,
    CandidateCache,
    encodable,
    exact_point,
    predicted_bytes,
    predicted_distortion,
    step_index_for,
    survey,
)
from skillpm.delta.auto.striped import delta_of
from skillpm.delta.encoding.encode import EncodingJob
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.streams import pair_chunks
from skillpm.parallel import Advance, no_advance, parallel_map

MARGIN = 3
"""Step indices that are surveyed on either side of the predicted one."""
_EDGE = 0.2
"""The window widens if more than this share of the choices is at its edge."""
_WINDOWS = 6
"""The most times that the window widens."""
_EXACT = 1 << 20
"""The step index under which the points of exact encoding are saved."""
Saved = Callable[[str, int], list[CandidatePoint] | None]
"""Returns the saved points of a tensor at a step index, or None."""
Save = Callable[[str, int, list[CandidatePoint]], None]
"""Saves the points of a tensor at a step index."""
T = TypeVar("T")


@dataclass
class CandidateSurvey:
    """The points of every tensor that can be rounded, at the step indices surveyed so far.

    `saved` and `save` keep the points of a tensor at a step index, so that a killed command need
    not compute them again. `progress` starts a pass over a number of bytes; the number of passes is
    not known in advance.
    """

    job: EncodingJob
    pairs: list[Pair]
    cache: CandidateCache
    saved: Saved
    save: Save
    progress: Callable[[int], Advance] = lambda _total: no_advance
    step_indices: set[int] = field(default_factory=set)
    points: dict[str, list[CandidatePoint]] = field(default_factory=dict)
    energy: float = 0.0
    dense: float = 0.0

    def begin(self, share: float | None, budget: float | None) -> None:
        """Find and survey the window for a share of distortion or for a budget of bytes."""
        torch.set_num_threads(1)  # two tensors at once are faster than two threads on one
        measured = self._map(
            lambda pair, candidates: (pair.tensor, candidates.energy, _spectrum(candidates))
        )
        spectra = [spectrum for _, _, spectrum in measured]
        self.energy = sum(energy for _, energy, _ in measured)
        if budget is not None:
            step_index = step_index_for(
                lambda step: sum(predicted_bytes(*spectrum, step) for spectrum in spectra), budget
            )
        else:
            limit = (share or 0.0) * self.energy
            step_index = step_index_for(
                lambda step: -sum(predicted_distortion(*spectrum, step) for spectrum in spectra),
                -limit,
            )
        self._survey(range(step_index - MARGIN, step_index + MARGIN + 1))

    def for_bytes(self, budget: float) -> Allocation:
        """Return the best allocation in at most `budget` bytes."""
        return self._widening(lambda: within_bytes(self.points, budget))

    def for_distortion(self, share: float) -> Allocation:
        """Return the smallest allocation with at most this share of the energy as distortion.

        The energy is the distortion of an empty pack.
        """
        return self._widening(lambda: within_distortion(self.points, share * self.energy))

    def curve(self, count: int = 12) -> list[list[float]]:
        """Return [bytes, share of distortion] of `count` allocations along the frontier."""
        sizes = [min(point.size for point in candidates) for candidates in self.points.values()]
        most = [max(point.size for point in candidates) for candidates in self.points.values()]
        low, high = max(1.0, sum(sizes)), max(2.0, sum(most))
        curve: list[list[float]] = []
        for number in range(count):
            allocation = within_bytes(self.points, low * (high / low) ** (number / (count - 1)))
            share = allocation.distortion / self.energy if self.energy else 0.0
            curve.append([round(allocation.size), float(f"{share:.4g}")])
        return [point for number, point in enumerate(curve) if point not in curve[:number]]

    def _widening(self, choose: Callable[[], Allocation]) -> Allocation:
        """Choose; if many choices are at the edge of the window, widen it and choose again."""
        for _ in range(_WINDOWS):
            allocation = choose()
            if all(choice.family == "lossless" for choice in allocation.choices.values()):
                return allocation
            steps = [
                round(PER_OCTAVE * log2(choice.step))
                for choice in allocation.choices.values()
                if choice.step
            ]
            low, high = min(self.step_indices), max(self.step_indices)
            if steps.count(low) > _EDGE * len(steps):
                self._survey(range(low - MARGIN, low))
            elif steps.count(high) > _EDGE * len(steps) or (self.points and not steps):
                self._survey(range(high + 1, high + MARGIN + 1))
            else:
                return allocation
        return choose()

    def _survey(self, step_indices: Iterable[int]) -> None:
        fresh = [index for index in step_indices if index not in self.step_indices]
        self.step_indices.update(fresh)
        surveyed = self._map(lambda pair, candidates: self._points(pair, candidates, fresh))
        for tensor, points in surveyed:
            self.points.setdefault(tensor, []).extend(points)

    def _points(
        self, pair: Pair, candidates: Candidates, step_indices: list[int]
    ) -> tuple[str, list[CandidatePoint]]:
        points = [] if pair.tensor in self.points else list(candidates.fixed())
        if points:
            points += self._kept(pair, _EXACT, partial(self._exact, pair))
        for step_index in step_indices:
            points.extend(self._kept(pair, step_index, partial(survey, candidates, step_index)))
        return pair.tensor, points

    def _exact(self, pair: Pair) -> list[CandidatePoint]:
        chunks = pair_chunks(self.job.base, self.job.tuned, pair)
        return [exact_point(pair, chunks)]

    def _kept(
        self, pair: Pair, step_index: int, compute: Callable[[], list[CandidatePoint]]
    ) -> list[CandidatePoint]:
        """Return the points of a tensor at a step index: saved ones, or computed and saved now."""
        points = self.saved(pair.tensor, step_index)
        if points is None:
            points = compute()
            self.save(pair.tensor, step_index, points)
        return points

    def _map(self, act: Callable[[Pair, Candidates], T]) -> list[T]:
        """Call `act` for the candidates of every tensor that has some, several at once."""
        pairs = [pair for pair in self.pairs if encodable(pair)]
        advance = self.progress(sum(pair.tuned.nbytes for pair in pairs if pair.tuned))
        results = parallel_map(
            lambda pair: self._act_on(pair, act, advance), pairs, workers=self.job.workers
        )
        return [result for result in results if result is not None]

    def _act_on(
        self, pair: Pair, act: Callable[[Pair, Candidates], T], advance: Advance
    ) -> T | None:
        """Make the candidates of a tensor and call `act` for them; None if it has none."""
        spec = pair.tuned
        assert spec is not None  # noqa: S101 - for the type checker; `encodable` ensures it
        chunks = pair_chunks(self.job.base, self.job.tuned, pair)
        candidates = self.cache.candidates(pair, lambda: delta_of(spec, chunks))
        advance(spec.nbytes)
        return None if candidates is None else act(pair, candidates)


def _spectrum(candidates: Candidates) -> tuple[torch.Tensor, tuple[int, int]]:
    """Return the singular values under the metric, and the shape.

    If the tensor was not decomposed, they are those of noise of the same energy.
    """
    shape = (candidates.delta.shape[0], candidates.delta.shape[1])
    if candidates.whitened is not None:
        return candidates.whitened.sigma, shape
    shape = (candidates.times * shape[0], shape[1])
    count = min(shape)
    return torch.full((count,), (candidates.energy / count) ** 0.5), shape
