"""Surveying a model: the points of all its tensors, in a window of steps around a budget."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
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
    rung_for,
    survey,
)
from skillpm.delta.auto.striped import delta_of
from skillpm.delta.encode.encode import Advance, EncodingJob
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.streams import pair_chunks

MARGIN = 3
"""Rungs that are surveyed on either side of the predicted one."""
_EDGE = 0.2
_WINDOWS = 6
_EXACT = 1 << 20
"""Stands for the rung of no error at all."""
Saved = Callable[[str, int], list[CandidatePoint] | None]
Save = Callable[[str, int, list[CandidatePoint]], None]
T = TypeVar("T")


@dataclass
class CandidateSurvey:
    """The points of every tensor that can be rounded, as far as rungs were surveyed.

    `saved` and `save` keep the points of a tensor at a rung, so that a killed command need not
    find them again. `progress` begins a pass over a number of bytes; the number of
    passes is not known before.
    """

    work: EncodingJob
    pairs: list[Pair]
    workshop: CandidateCache
    saved: Saved
    save: Save
    progress: Callable[[int], Advance] = lambda _total: lambda _bytes: None
    rungs: set[int] = field(default_factory=set)
    points: dict[str, list[CandidatePoint]] = field(default_factory=dict)
    energy: float = 0.0
    dense: float = 0.0

    def begin(self, share: float | None, budget: float | None) -> None:
        """Find the window for a share of distortion or a budget of bytes, and survey it."""
        torch.set_num_threads(1)  # two tensors at once beat two threads on one
        found = self._each(lambda pair, one: (pair.tensor, one.energy, _spectrum(one)))
        spectra = [spectrum for _, _, spectrum in found]
        self.energy = sum(energy for _, energy, _ in found)
        if budget is not None:
            rung = rung_for(lambda s: sum(predicted_bytes(*one, s) for one in spectra), budget)
        else:
            limit = (share or 0.0) * self.energy
            rung = rung_for(
                lambda s: -sum(predicted_distortion(*one, s) for one in spectra), -limit
            )
        self._survey(range(rung - MARGIN, rung + MARGIN + 1))

    def for_bytes(self, budget: float) -> Allocation:
        """The best set within so many bytes."""
        return self._widening(lambda: within_bytes(self.points, budget))

    def for_distortion(self, share: float) -> Allocation:
        """The smallest set that errs at most this share of what an empty pack does."""
        return self._widening(lambda: within_distortion(self.points, share * self.energy))

    def curve(self, count: int = 12) -> list[list[float]]:
        """Bytes against the share of distortion, along the frontier."""
        sizes = [min(p.size for p in several) for several in self.points.values()]
        most = [max(p.size for p in several) for several in self.points.values()]
        low, high = max(1.0, sum(sizes)), max(2.0, sum(most))
        found: list[list[float]] = []
        for number in range(count):
            one = within_bytes(self.points, low * (high / low) ** (number / (count - 1)))
            share = one.distortion / self.energy if self.energy else 0.0
            found.append([round(one.size), float(f"{share:.4g}")])
        return [point for number, point in enumerate(found) if point not in found[:number]]

    def _widening(self, choose: Callable[[], Allocation]) -> Allocation:
        """Choose; where many choices lie at the window's edge, look beyond it and choose again."""
        for _ in range(_WINDOWS):
            found = choose()
            if all(choice.family == "lossless" for choice in found.choices.values()):
                return found
            steps = [round(PER_OCTAVE * log2(c.step)) for c in found.choices.values() if c.step]
            low, high = min(self.rungs), max(self.rungs)
            if steps.count(low) > _EDGE * len(steps):
                self._survey(range(low - MARGIN, low))
            elif steps.count(high) > _EDGE * len(steps) or (self.points and not steps):
                self._survey(range(high + 1, high + MARGIN + 1))
            else:
                return found
        return choose()

    def _survey(self, rungs: Iterable[int]) -> None:
        fresh = [rung for rung in rungs if rung not in self.rungs]
        self.rungs.update(fresh)
        for tensor, points in self._each(lambda pair, one: self._points(pair, one, fresh)):
            self.points.setdefault(tensor, []).extend(points)

    def _points(
        self, pair: Pair, candidates: Candidates, rungs: list[int]
    ) -> tuple[str, list[CandidatePoint]]:
        found = [] if pair.tensor in self.points else list(candidates.fixed())
        if found:
            found += self._kept(pair, _EXACT, partial(self._exact, pair))
        for rung in rungs:
            found.extend(self._kept(pair, rung, partial(survey, candidates, rung)))
        return pair.tensor, found

    def _exact(self, pair: Pair) -> list[CandidatePoint]:
        chunks = pair_chunks(self.work.base, self.work.tuned, pair)
        return [exact_point(pair, chunks)]

    def _kept(
        self, pair: Pair, rung: int, find: Callable[[], list[CandidatePoint]]
    ) -> list[CandidatePoint]:
        """The points of a tensor at a rung: those of an earlier survey, or found now and kept."""
        points = self.saved(pair.tensor, rung)
        if points is None:
            points = find()
            self.save(pair.tensor, rung, points)
        return points

    def _each(self, act: Callable[[Pair, Candidates], T]) -> list[T]:
        """Act on the candidates of every tensor that has some, several at once."""
        pairs = [pair for pair in self.pairs if encodable(pair)]
        advance = self.progress(sum(pair.tuned.nbytes for pair in pairs if pair.tuned))
        with ThreadPoolExecutor(self.work.workers) as pool:
            try:
                found = list(pool.map(lambda pair: self._one(pair, act, advance), pairs))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return [one for one in found if one is not None]

    def _one(self, pair: Pair, act: Callable[[Pair, Candidates], T], advance: Advance) -> T | None:
        spec = pair.tuned
        assert spec is not None  # noqa: S101 - for the type checker; `encodable` saw to it
        chunks = pair_chunks(self.work.base, self.work.tuned, pair)
        found = self.workshop.candidates(pair, lambda: delta_of(spec, chunks))
        advance(spec.nbytes)
        return None if found is None else act(pair, found)


def _spectrum(candidates: Candidates) -> tuple[torch.Tensor, tuple[int, int]]:
    """Singular values under the metric; as of noise, where it was not decomposed."""
    shape = (candidates.delta.shape[0], candidates.delta.shape[1])
    if candidates.whitened is not None:
        return candidates.whitened.sigma, shape
    shape = (candidates.times * shape[0], shape[1])
    count = min(shape)
    return torch.full((count,), (candidates.energy / count) ** 0.5), shape
