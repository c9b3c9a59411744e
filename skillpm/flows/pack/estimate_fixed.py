"""Estimates of the schemes that need no search: `lossless` and `graftllm`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from skillpm.delta.codecs import svd
from skillpm.delta.encoding.schemes import GraftLLM, Scheme, lossy_codec
from skillpm.delta.tensors.pairing import Pair
from skillpm.flows.pack.estimate_values import SampledPack, SampleRequest
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.pack.sampled_run import RunResult, run_sample, scaled, total
from skillpm.flows.pack.samples import ENTRIES, TensorGroup, read_sample, spec_of

ENCODING, CHECKING = "encoding", "checking"
WARM_UP = 1 << 14
"""The most entries of a tensor by which libraries and kernels are loaded."""
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


def sample_tensor(
    models: ModelPair, pair: Pair, scheme: Scheme, *, is_square: bool = False
) -> SampledTensor:
    """Run a part of a tensor; two parts of different size if it is decomposed and large."""
    entries = spec_of(pair).elements
    shares = (4, 1) if is_square and entries > ENTRIES else (1,)
    runs: list[tuple[float, RunResult]] = []
    for share in shares:
        sample = read_sample(models, pair, entries=ENTRIES // share, is_square=is_square)
        runs.append((float(max(1, sample.entries)), run_sample(models, sample, scheme)))
    last = runs[-1][1]
    return SampledTensor(
        last.codec,
        last.size * sample.share,
        scaled([(size, run.encoding) for size, run in runs], max(1, entries)),
        scaled([(size, run.checking) for size, run in runs], max(1, entries)),
        round(spec_of(pair).nbytes / sample.share),
    )


@dataclass(frozen=True)
class FixedSampler:
    """Samples a pack by a scheme that is given."""

    scheme: Scheme

    def warm_up(self, asked: SampleRequest) -> None:
        """Encode and decode a few entries, so that libraries and kernels are loaded."""
        for group in asked.groups[:2]:
            sample = read_sample(asked.models, group.sampled[0], entries=WARM_UP)
            run_sample(asked.models, sample, self.scheme)

    def __call__(self, asked: SampleRequest, /) -> SampledPack:
        """Encode and decode samples of all groups, the largest first."""
        found = sample_all(asked, self.scheme, self._is_factored)
        widest = sorted(
            spec_of(group.pairs[0]).elements
            for group in asked.groups
            if self._is_factored(group.pairs[0])
        )
        return SampledPack(
            self.scheme,
            stages_of(asked.groups, found),
            stored_of(asked.groups, found),
            held_bytes=FACTORED_BYTES * asked.session.workers * max(widest, default=0),
            sampled_bytes=sum(tensor.sampled_bytes for tensor in found.values()),
        )

    def _is_factored(self, pair: Pair) -> bool:
        is_lossy = isinstance(self.scheme, GraftLLM) and pair.change == "changed"
        return is_lossy and lossy_codec(spec_of(pair)) == svd.NAME


def sample_all(
    asked: SampleRequest, scheme: Scheme, is_square: Callable[[Pair], bool]
) -> dict[str, SampledTensor]:
    """All sampled tensors, by name."""
    pairs = [pair for group in asked.groups for pair in group.sampled]
    pairs.sort(key=lambda pair: -min(ENTRIES, spec_of(pair).elements))
    found = asked.sampling.map(
        lambda pair: sample_tensor(asked.models, pair, scheme, is_square=is_square(pair)), pairs
    )
    return {pair.tensor: tensor for pair, tensor in zip(pairs, found, strict=True)}


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
