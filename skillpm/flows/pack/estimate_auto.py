"""Estimates of the scheme `auto`: sampled tensors are surveyed, allocated and encoded as in `pack`.

A tensor that is not sampled takes the candidates of the sampled one that stands for it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial

from skillpm.delta.auto.allocate import Allocation
from skillpm.delta.auto.decomposition_speed import spectrum_seconds
from skillpm.delta.auto.metric import Weighting
from skillpm.delta.auto.model_survey import ModelSurvey, encodable
from skillpm.delta.auto.points import CandidatePoint, TensorSurvey
from skillpm.delta.auto.rows import TensorRows, is_large
from skillpm.delta.auto.scheme import Auto
from skillpm.delta.auto.survey import survey_tensor
from skillpm.delta.auto.weights import Unweighted
from skillpm.delta.codecs.grid import rows_of
from skillpm.delta.encoding.torch_device import ComputeDevice, torch_threads
from skillpm.delta.kernels.choice import expect
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.streams import pair_chunks
from skillpm.flows.pack.estimate_adapter import applying_seconds, with_applying
from skillpm.flows.pack.estimate_fixed import (
    ENCODING,
    WARM_UP,
    sample_all,
    stages_of,
    stored_of,
)
from skillpm.flows.pack.estimate_values import SampledPack, SampleRequest
from skillpm.flows.pack.fit_auto import first_aim, too_small
from skillpm.flows.pack.sampled_run import run_sample, scaled
from skillpm.flows.pack.samples import ENTRIES, read_sample, spec_of
from skillpm.flows.pack.scheme import EncodingTarget

SURVEYING = "surveying"
AIMED = 0.9975
"""The share of the budget that a file takes: the search aims at the middle of its limits."""
AGAIN = 0.5
"""The share of the tensors' encoding time that trials after the first take, for a budget."""
FULL = 3.0
"""Whitening by full factors takes this many times a decomposition, with their own."""
LARGE_BYTES, MATRIX_BYTES = 6, 90
"""The memory for an entry of a tensor that is read in blocks, and of one that is decomposed."""


@dataclass(frozen=True)
class SampledSurvey:
    """The candidates of a sampled tensor, scaled to the whole tensor, and its processor seconds."""

    survey: TensorSurvey | None
    seconds: float


@dataclass(frozen=True)
class AutoSampler:
    """Samples a pack whose scheme is found by a target."""

    target: EncodingTarget
    weighting: Weighting = field(default_factory=Unweighted)

    @property
    def group_entries(self) -> int:
        """The entries of each group that are sampled."""
        return ENTRIES

    def warm_up(self, asked: SampleRequest) -> None:
        """Survey and encode a few entries, so that libraries and kernels are loaded."""
        expect(asked.entries)
        device = ComputeDevice.find(self.target.device)
        for group in asked.groups[:2]:
            pair = group.sampled[0]
            found = self._survey_part(asked, pair, WARM_UP, device)[1]
            points = {} if found is None else {pair.tensor: found.points}
            allocation = ModelSurvey(points, 0.0).for_bytes(1.0)
            sample = read_sample(asked.models, pair, entries=WARM_UP, is_square=is_cut(pair))
            run_sample(asked.models, sample, self._scheme(allocation, {}, device))

    def __call__(self, asked: SampleRequest, /) -> SampledPack:
        """Survey samples of all groups, allocate the target's bytes, and encode the samples."""
        device, applying = ComputeDevice.find(self.target.device), applying_seconds(asked)
        surveys = self._survey_all(asked, device)
        survey = _model_survey(asked, surveys)
        allocation = self._allocate(asked, survey)
        scheme = self._scheme(allocation, {**self.target.settings, "curve": survey.curve()}, device)
        speed = cache(spectrum_seconds)
        found = sample_all(asked, scheme, is_cut, partial(self._decomposed, speed))
        stored = stored_of(asked.groups, found)
        stages = with_applying(stages_of(asked.groups, found), applying)
        size = self._file_size(asked, scheme, stored)
        if self.target.budget is not None and not scheme.is_exact:
            stages[ENCODING] *= 1 + AGAIN
        surveying = sum(
            surveys[near.tensor].seconds for group in asked.groups for _, near in group.nearest()
        )
        return SampledPack(
            scheme,
            {SURVEYING: surveying + applying, **stages},
            stored,
            held_bytes=_held(asked),
            sampled_bytes=sum(tensor.sampled_bytes for tensor in found.values()),
            file_bytes=size,
        )

    def _scheme(
        self, allocation: Allocation, settings: Mapping[str, object], device: ComputeDevice
    ) -> Auto:
        return Auto(self.weighting, allocation, settings, device=device)

    def _survey_all(self, asked: SampleRequest, device: ComputeDevice) -> dict[str, SampledSurvey]:
        pairs = [pair for group in asked.groups for pair in group.sampled]
        pairs.sort(key=lambda pair: -min(ENTRIES, spec_of(pair).elements))
        found = asked.sampling.map(lambda pair: self._survey(asked, pair, device), pairs)
        return {pair.tensor: survey for pair, survey in zip(pairs, found, strict=True)}

    def _survey(self, asked: SampleRequest, pair: Pair, device: ComputeDevice) -> SampledSurvey:
        """Survey a part of a tensor; two parts of different size if it is large and decomposed."""
        if encodable(pair) is None:
            return SampledSurvey(None, 0.0)
        entries = spec_of(pair).elements
        shares = (4, 1) if entries > ENTRIES else (1,)
        times: list[tuple[float, float]] = []
        for share in shares:
            started = time.thread_time()
            size, found = self._survey_part(asked, pair, ENTRIES // share, device)
            times.append((float(max(1, size)), time.thread_time() - started))
        ratio = entries / times[-1][0]
        seconds = scaled(times, max(1, entries))
        if is_cut(pair) and entries > ENTRIES:
            seconds += self._decomposed(spectrum_seconds, pair, "svd-ec")
        return SampledSurvey(found and _resized(found, ratio), seconds)

    def _decomposed(self, speed: Callable[[int, int], float], pair: Pair, codec: str) -> float:
        """The seconds to decompose a tensor; more if it is whitened by full factors."""
        if not is_cut(pair) or not codec.startswith("svd"):
            return 0.0
        rows, columns = rows_of(spec_of(pair))
        return (1.0 if isinstance(self.weighting, Unweighted) else FULL) * speed(rows, columns)

    def _survey_part(
        self, asked: SampleRequest, pair: Pair, entries: int, device: ComputeDevice
    ) -> tuple[int, TensorSurvey | None]:
        """Survey a part of at most about `entries`; also return its entries."""
        sample = read_sample(asked.models, pair, entries=entries, is_square=is_cut(pair))
        spec = spec_of(sample.pair)
        read = partial(pair_chunks, sample.base, sample.tuned, sample.pair)
        rows = TensorRows(spec, read, device)
        metric = self.weighting.metric(pair.tensor, rows_of(spec))
        if encodable(pair) is None:
            return spec.elements, None
        with torch_threads(1):
            return spec.elements, survey_tensor(sample.pair, rows, metric)

    def _allocate(self, asked: SampleRequest, survey: ModelSurvey) -> Allocation:
        if self.target.budget is None:
            return survey.for_distortion(1.0 - (self.target.keep or 0.0))
        budget = self.target.budget.bytes_of(asked.models.delta_bytes)
        return survey.for_bytes(first_aim(budget, len(asked.models.differing)))

    def _file_size(
        self, asked: SampleRequest, scheme: Auto, stored: Mapping[str, tuple[str, float]]
    ) -> int:
        """The size of the file: the samples' if there is no budget, or if it is not reached.

        Raises `GraftError` if the budget is less than everything but the tensors.
        """
        size = asked.size_of(scheme, stored)
        if self.target.budget is None:
            return size
        budget = self.target.budget.bytes_of(asked.models.delta_bytes)
        others = size - round(sum(each for _, each in stored.values()))
        if others > budget:
            raise too_small(budget, size, others)
        return size if scheme.is_exact and size <= budget else round(AIMED * budget)


def is_cut(pair: Pair) -> bool:
    """Whether a part of the tensor has fewer columns too, because the tensor is decomposed."""
    spec = encodable(pair)
    return spec is not None and len(spec.shape) > 1 and not is_large(spec)


def _resized(survey: TensorSurvey, ratio: float) -> TensorSurvey:
    points = tuple(
        CandidatePoint(point.choice, point.size * ratio, point.distortion * ratio)
        for point in survey.points
    )
    return TensorSurvey(survey.energy * ratio, points)


def _model_survey(asked: SampleRequest, found: Mapping[str, SampledSurvey]) -> ModelSurvey:
    points: dict[str, tuple[CandidatePoint, ...]] = {}
    energy = 0.0
    for group in asked.groups:
        for pair, near in group.nearest():
            survey = found[near.tensor].survey
            if survey is not None:
                points[pair.tensor] = survey.points
                energy += survey.energy
    return ModelSurvey(points, energy)


def _held(asked: SampleRequest) -> int:
    """The memory that grows with the largest tensors that are encoded at the same time."""
    specs = [spec_of(group.pairs[0]) for group in asked.groups if encodable(group.pairs[0])]
    matrices = [spec.elements for spec in specs if not is_large(spec)]
    large = [spec.elements for spec in specs if is_large(spec)]
    others = MATRIX_BYTES * asked.session.workers * max(matrices, default=0)
    return max(others, LARGE_BYTES * max(large, default=0) + others // 2)
