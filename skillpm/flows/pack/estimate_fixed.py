"""Estimates of the schemes that need no search: `lossless` and `graftllm`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from skillpm.delta.codecs import lowrank, svd
from skillpm.delta.encoding.lora_source import Factored
from skillpm.delta.encoding.schemes import GraftLLM, Scheme, lossy_codec
from skillpm.delta.kernels.choice import expect
from skillpm.delta.tensors.pairing import Pair
from skillpm.flows.pack.estimate_adapter import (
    APPLYING,
    applying_seconds,
    factored_scheme,
    run_factors,
    with_applying,
)
from skillpm.flows.pack.estimate_values import SampledPack, SampleRequest
from skillpm.flows.pack.sampled_run import RunResult, run_sample, scaled, total
from skillpm.flows.pack.samples import ENTRIES, TensorGroup, read_sample, spec_of

ENCODING, CHECKING = "encoding", "checking"
WARM_UP = 1 << 14
"""The most entries of a tensor by which libraries and kernels are loaded."""
Decomposed = Callable[[Pair, str], float]
"""The processor seconds to decompose a large tensor that became a codec; 0 if it is not."""
FACTORED_BYTES = 72
"""The memory for an entry of a matrix that `graftllm` factorises: its delta, factors, copies."""


@dataclass(frozen=True)
class SampledTensor:
    """A sampled tensor: its codec, bytes and processor seconds, scaled to the whole tensor."""

    codec: str
    size: float
    encoding: float
    checking: float
    sampled_bytes: int


@dataclass(frozen=True)
class FixedSampler:
    """Samples a pack by a scheme that is given.

    `decompose` returns the seconds to decompose a matrix of [rows, columns], if the scheme does.
    """

    scheme: Scheme
    decompose: Callable[[int, int], float] | None = None

    @property
    def group_entries(self) -> int:
        """The entries of each group that are sampled: fewer where they cost more."""
        return ENTRIES if isinstance(self.scheme, GraftLLM) else 2 * ENTRIES

    def warm_up(self, asked: SampleRequest) -> None:
        """Encode and decode a few entries, so that libraries and kernels are loaded."""
        factored = factored_scheme(asked, self.scheme)
        if factored is not None and all(map(factored.adapted.factored, factored.adapted.touched)):
            run_factors(asked, asked.groups[0].sampled[0], factored)
            return
        expect(asked.entries)
        for group in asked.groups[:2]:
            sample = read_sample(asked.models, group.sampled[0], entries=WARM_UP)
            run_sample(asked.models, sample, self.scheme)

    def __call__(self, asked: SampleRequest, /) -> SampledPack:
        """Encode and decode samples of all groups, the largest first."""
        applying, factored = applying_seconds(asked), factored_scheme(asked, self.scheme)
        found = sample_all(asked, factored or self.scheme, self._is_factored, self._decomposed)
        stages = stages_of(asked.groups, found)
        if factored is None:
            stages = with_applying(stages, applying)
        else:
            stages = {APPLYING: applying, **stages}
        matrices = (group.pairs[0] for group in asked.groups if self._is_factored(group.pairs[0]))
        widest = max((spec_of(pair).elements for pair in matrices), default=0)
        return SampledPack(
            factored or self.scheme,
            stages,
            stored_of(asked.groups, found),
            held_bytes=FACTORED_BYTES * asked.session.workers * widest,
            sampled_bytes=sum(tensor.sampled_bytes for tensor in found.values()),
        )

    def _is_factored(self, pair: Pair) -> bool:
        is_lossy = isinstance(self.scheme, GraftLLM) and pair.change == "changed"
        return is_lossy and lossy_codec(spec_of(pair)) == svd.NAME

    def _decomposed(self, pair: Pair, _codec: str) -> float:
        if not self._is_factored(pair) or self.decompose is None:
            return 0.0
        spec = spec_of(pair)
        return self.decompose(spec.shape[0], spec.elements // spec.shape[0])


def sample_all(
    asked: SampleRequest,
    scheme: Scheme,
    is_square: Callable[[Pair], bool],
    decomposed: Decomposed = lambda _pair, _codec: 0.0,
) -> dict[str, SampledTensor]:
    """All sampled tensors, by name.

    `is_square` says which tensors a scheme may decompose, `decomposed` how long that takes if a
    tensor is larger than a sample.
    """
    pairs = [pair for group in asked.groups for pair in group.sampled]
    pairs.sort(key=lambda pair: -min(ENTRIES, spec_of(pair).elements))
    found = asked.sampling.map(
        lambda pair: _sample(asked, pair, scheme, is_square=is_square(pair)), pairs
    )
    sampled = {}
    for pair, tensor in zip(pairs, found, strict=True):
        more = decomposed(pair, tensor.codec) if spec_of(pair).elements > ENTRIES else 0.0
        sampled[pair.tensor] = replace(tensor, encoding=tensor.encoding + more)
    return sampled


def _sample(asked: SampleRequest, pair: Pair, scheme: Scheme, *, is_square: bool) -> SampledTensor:
    """Run a part of a tensor; two parts of different size if it is decomposed and large."""
    if isinstance(scheme, Factored) and scheme.adapted.factored(pair.tensor):
        whole = run_factors(asked, pair, scheme)
        size, nbytes = float(whole.size), spec_of(pair).nbytes
        return SampledTensor(lowrank.NAME, size, whole.encoding, whole.checking, nbytes)
    entries = spec_of(pair).elements
    shares = (4, 1) if is_square and entries > ENTRIES else (1,)
    runs: list[tuple[float, RunResult]] = []
    for share in shares:
        sample = read_sample(asked.models, pair, entries=ENTRIES // share, is_square=is_square)
        runs.append((float(max(1, sample.entries)), run_sample(asked.models, sample, scheme)))
    last = runs[-1][1]
    return SampledTensor(
        last.codec,
        last.size * sample.share,
        scaled([(size, run.encoding) for size, run in runs], max(1, entries)),
        scaled([(size, run.checking) for size, run in runs], max(1, entries)),
        round(spec_of(pair).nbytes / sample.share),
    )


def stages_of(
    groups: Sequence[TensorGroup], found: Mapping[str, SampledTensor]
) -> dict[str, float]:
    """The processor seconds of encoding and of checking all tensors."""
    each = (found[near.tensor] for group in groups for _, near in group.nearest())
    return total({ENCODING: tensor.encoding, CHECKING: tensor.checking} for tensor in each)


def stored_of(
    groups: Sequence[TensorGroup], found: Mapping[str, SampledTensor]
) -> dict[str, tuple[str, float]]:
    """The codec and the bytes of every tensor."""
    return {
        pair.tensor: (found[near.tensor].codec, found[near.tensor].size)
        for group in groups
        for pair, near in group.nearest()
    }
