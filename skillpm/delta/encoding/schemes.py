"""Schemes: policies that choose a codec and its settings for each tensor.

`lossless` is exact. `graftllm` is the module-aware recipe of GraftLLM (arXiv 2505.18502, section
3.2, and the authors' published settings) without calibration data. Ranks and column groups, which
the authors give for 4096-wide modules, are scaled to the matrix.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from skillpm.delta.codecs import svd, topk, whole
from skillpm.delta.codecs.svd import Columns, SingularFactors, matrix_shape
from skillpm.delta.coding.payload import PayloadWriter, Record
from skillpm.delta.encoding.effort import ENCODERS, NORMAL, Effort
from skillpm.delta.tensors.module_kinds import kind_of
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.rounding import FORMATS, Floats, to_float64
from skillpm.delta.tensors.streams import Chunk
from skillpm.delta.tensors.words import Words
from skillpm.errors import GraftError
from skillpm.spec.dtypes import BITS, TensorSpec, is_float

Matrix = npt.NDArray[np.floating]

WIDTH = 4096
"""The module width of the authors' settings."""
COLUMN_GROUPS = {
    "8/3/2": ((8, 2), (3, 32)),
    "8/4/2": ((8, 20), (4, 180)),
}
"""(bits, columns) in a 4096-wide module; the rest of the rank has 2 bits."""


class Scheme(Protocol):
    """Encodes one changed tensor from its chunks in order.

    A scheme may iterate over the chunks several times, instead of holding the tensor.
    """

    @property
    def name(self) -> str:
        """The name, as in `--scheme`."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """The settings to record in the manifest."""
        ...

    def encode(self, pair: Pair, chunks: Iterable[Chunk], writer: PayloadWriter) -> Record:
        """Write the tensor's parts and its record."""
        ...

    def encoding_key(self, tensor: str) -> dict[str, Any] | None:
        """The settings that determine a tensor's encoding, as JSON; None if they are not known."""
        ...


def _spec(pair: Pair) -> TensorSpec:
    assert pair.tuned is not None  # noqa: S101 - for the type checker; callers pass no removal
    return pair.tuned


@dataclass(frozen=True)
class Lossless:
    """Encodes every tensor exactly, with the codecs of an effort."""

    effort: Effort = NORMAL
    name: str = "lossless"

    @property
    def settings(self) -> dict[str, Any]:
        """The effort, unless it is `normal`."""
        return {} if self.effort == NORMAL else {"effort": self.effort}

    def encode(self, pair: Pair, chunks: Iterable[Chunk], writer: PayloadWriter) -> Record:
        """Encode the difference if the base has a tensor of this rank, else the whole tensor."""
        spec = _spec(pair)
        alike = pair.base is not None and len(pair.base.shape) == len(spec.shape)
        subtract = alike and BITS[spec.dtype] >= 8  # noqa: PLR2004 - a byte
        encoder = (ENCODERS[self.effort] if subtract else whole.WholeEncoder)(spec, writer)
        for reference, tuned in chunks:
            encoder.chunk(reference, tuned)
        return encoder.close()

    def encoding_key(self, tensor: str) -> dict[str, Any]:  # noqa: ARG002 - the same for every tensor
        """The effort."""
        return {"scheme": self.name, "effort": self.effort}


class Factorise(Protocol):
    """A singular value decomposition."""

    def __call__(self, delta: Matrix, *, rank: int | None = None) -> SingularFactors:
        """Return the thin SVD of a matrix [m, n]: all σ, and at least the first `rank` vectors."""
        ...


@dataclass(frozen=True)
class GraftLLM:
    """Top-α pruning of embeddings and head, SVD in mixed precision elsewhere, vectors exact.

    `alpha`: the share of an embedding's deltas that is kept. `rank`: the rank of attention and
    other matrices, as a share of 4096 (the authors use 1000). `energy`: β, the share of Σσ² that
    the rank of an MLP matrix keeps. `mlp_rank`: its maximum, as a share of 4096 (the authors use
    1400). `device`: the name of the device of `factorise`.
    """

    factorise: Factorise = field(repr=False)
    alpha: float = 0.1
    energy: float = 0.95
    rank: float = 1000 / WIDTH
    mlp_rank: float = 1400 / WIDTH
    columns: str = "8/4/2"
    group: int = 128
    device: str = "cpu"
    name: str = "graftllm"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that determine the encoding."""
        shown = ("alpha", "energy", "rank", "mlp_rank", "columns", "group")
        return {key: value for key, value in vars(self).items() if key in shown}

    def encode(self, pair: Pair, chunks: Iterable[Chunk], writer: PayloadWriter) -> Record:
        """Encode one tensor by its kind.

        Raises `GraftError` if the delta is not finite, or too large to factorise.
        """
        spec, kind = _spec(pair), kind_of(pair.tensor)
        if pair.change != "changed" or not is_float(spec.dtype):
            return Lossless().encode(pair, chunks, writer)
        codec = lossy_codec(spec)
        if codec is None:
            return Lossless().encode(pair, _finite_chunks(pair, chunks), writer)
        if codec == topk.NAME:
            keep = round(self.alpha * spec.elements)
            return topk.encode_chunks(spec, lambda: _deltas_of(pair, chunks), keep, writer)
        mlp = kind == "mlp"
        delta = _delta_of(pair, chunks).reshape(matrix_shape(spec))
        factors = self.factorise(delta, rank=self._rank_limit(spec, mlp=mlp))
        del delta  # 940 MB for the largest matrix of a 70B model
        columns = self.columns_for(factors, spec, mlp=mlp)
        rank = sum(part.count for part in columns)
        truncated = SingularFactors(
            factors.left[:, :rank], factors.sigma[:rank], factors.right[:rank]
        )
        return svd.encode(spec, truncated, columns, group=self.group, writer=writer)

    def encoding_key(self, tensor: str) -> dict[str, Any]:  # noqa: ARG002 - the same for every tensor
        """The settings, and the device of `factorise`."""
        return {"scheme": self.name, **self.settings, "device": self.device}

    def columns_for(
        self, factors: SingularFactors, spec: TensorSpec, *, mlp: bool
    ) -> list[Columns]:
        """Return the column groups of a matrix; their counts scale with its shorter side."""
        shorter = min(matrix_shape(spec))
        rank = self._rank_limit(spec, mlp=mlp)
        if mlp:
            squares = np.cumsum(factors.sigma**2)
            needed = int(np.searchsorted(squares, self.energy * squares[-1])) + 1
            rank = min(rank, needed)
        return split_rank(rank, shorter, self.columns)

    def _rank_limit(self, spec: TensorSpec, *, mlp: bool) -> int:
        share = self.mlp_rank if mlp else self.rank
        return max(1, round(share * min(matrix_shape(spec))))


def lossy_codec(spec: TensorSpec) -> str | None:
    """Return the codec that `graftllm` uses for a float tensor's delta; None if it stays exact."""
    kind = kind_of(spec.name)
    if min(matrix_shape(spec) if spec.shape else (0,)) < 2 or kind == "norm":  # noqa: PLR2004
        return None
    return topk.NAME if kind in ("embedding", "head") else svd.NAME


def split_rank(rank: int, shorter: int, columns: str) -> list[Columns]:
    """Split a rank into column groups, whose counts scale with the matrix's shorter side."""
    groups: list[Columns] = []
    remaining = rank
    for bits, count in COLUMN_GROUPS[columns]:
        taken = min(remaining, max(1, round(count * shorter / WIDTH)))
        groups.append(Columns(bits, taken))
        remaining -= taken
    groups.append(Columns(2, remaining))
    return [group for group in groups if group.count]


def _delta_of(pair: Pair, chunks: Iterable[Chunk]) -> npt.NDArray[np.float32]:
    """Return float32(float64(tuned) - float64(base)) of the whole tensor, flat [n].

    Raises `GraftError` if its norm may overflow float32.
    """
    delta = np.empty(_spec(pair).elements, dtype=np.float32)
    end, largest = 0, 0.0
    for part in _deltas_of(pair, chunks):
        largest = max(largest, float(np.abs(part).max(initial=0.0)))
        if largest * np.sqrt(delta.size) > FORMATS["F32"].largest:
            raise GraftError(f"the delta of `{pair.tensor}` is too large to factorise in float32")
        delta[end : end + part.size] = part
        end += part.size
    return delta


def _deltas_of(pair: Pair, chunks: Iterable[Chunk]) -> Iterator[Floats]:
    """Yield float64(tuned) - float64(base), chunk by chunk [n]."""
    for reference, tuned in chunks:
        yield _finite_delta(pair, reference, tuned)


def _finite_chunks(pair: Pair, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Yield the chunks; raise `GraftError` if the delta is not finite."""
    for reference, tuned in chunks:
        _finite_delta(pair, reference, tuned)
        yield reference, tuned


def _finite_delta(pair: Pair, reference: Words, tuned: Words) -> Floats:
    dtype = _spec(pair).dtype
    with np.errstate(over="ignore", invalid="ignore"):
        delta = to_float64(tuned, dtype) - to_float64(reference, dtype)
    if not np.isfinite(delta).all():
        raise GraftError(
            f"the delta of `{pair.tensor}` has NaN or Inf, which a lossy scheme cannot encode",
            hint="pass `--scheme lossless`, which encodes every bit pattern",
        )
    return delta
