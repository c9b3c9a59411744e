"""NNC, ISO/IEC 15938-17, by the coder of its reference software NNCodec (`nncodec` on PyPI).

All matrices, embeddings and head too, are quantised with one quantisation parameter and coded by
DeepCABAC (Wiedemann et al., arXiv 1907.11900), with dependent (trellis) quantisation. The budget is
met by λ of the rate-distortion optimised quantiser, which NNCodec leaves at 0. Rows of zeros are
skipped, and the initial states of the contexts are optimised, as NNCodec does by default. Units,
headers and names of the standard's bitstream are not counted: streams are parts of the lean file.
Norms and biases are exact, as in all peers.

`pip install --no-deps nncodec` suffices: only its compiled extension is imported. The package pins
numpy below 2, which its coder does not need.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.codecs import DECODERS, WholeDecoder
from benchmarks.peers.fit import fit
from benchmarks.peers.recipe import measured
from benchmarks.peers.scheme import Peer
from benchmarks.peers.streams import Size, fitted
from skillpm.delta.codecs.svd import matrix_shape
from skillpm.delta.coding.payload import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.peers.task import Budget, Task
    from skillpm.delta.coding.payload import PayloadReader, PayloadWriter
    from skillpm.delta.tensors.rounding import Floats
    from skillpm.spec.dtypes import TensorSpec

NNC = "nnc"
PART = "stream"
UNARY = 10
DENSITY = 2
"""Four steps an octave: NNCodec's default."""
QPS = (-44, -48, -52, -56, -60)
"""From coarse to fine: on the lattice of bf16, a single one changes a file's size by jumps."""
SAMPLED = 40
TRIES = 7
LEAST, MOST = 1e-3, 1e3
"""The limits of 1/λ."""


@dataclass(frozen=True)
class Settings:
    """The quantisation parameter, and the encoder's tools."""

    qp: int
    rate_weight: float
    dependent: int = 1


def _library() -> Any:
    """The compiled coder; raises `ValueError` if the package is not installed."""
    try:
        from nncodec.extensions import deepCABAC  # of no extra: see above
    except ImportError as problem:
        message = "nncodec is not installed: `pip install --no-deps nncodec`"
        raise ValueError(message) from problem
    return deepCABAC


def stream_of(matrix: Floats, settings: Settings) -> tuple[bytes, int]:
    """Quantise and code one matrix [m, n]; the QP is coarser if integers would overflow."""
    library = _library()
    values = np.ascontiguousarray(matrix, dtype=np.float32)
    codes = np.zeros(values.shape, dtype=np.int32)
    encoder = library.Encoder()
    encoder.initCtxModels(UNARY, 0)
    dependent = settings.dependent
    qp = encoder.quantLayer(
        values, codes, dependent, DENSITY, settings.qp, settings.rate_weight, UNARY, 0, 1
    )
    encoder = library.Encoder()
    encoder.initCtxModels(UNARY + 1, 1)
    skipped = (~codes.any(axis=1)).astype(np.int32)
    encoder.encodeLayer(codes, dependent, 0, 1, 0, 1, skipped, *_plain(library), 0, 0)
    return encoder.finish().tobytes(), int(qp)


def encode_nnc(
    spec: TensorSpec, delta: Floats, settings: Settings, writer: PayloadWriter
) -> Record:
    """Write the stream of one flat delta."""
    stream, qp = stream_of(delta.reshape(matrix_shape(spec)), settings)
    writer.put_plain(spec.name, PART, stream)
    record = Record(NNC, {"dependent": settings.dependent, "qp": qp})
    writer.describe(spec.name, record)
    return record


def _plain(library: Any) -> tuple[Any, Any]:
    """No history-dependent significance probability."""
    return library.HdspMode.AlwaysOff, np.zeros(2, dtype=np.int8)


def matrix_of(stream: bytes, shape: tuple[int, int], qp: int, dependent: int) -> Floats:
    """Decode one matrix."""
    library = _library()
    decoder = library.Decoder()
    decoder.setStream(np.frombuffer(stream, np.uint8))
    decoder.initCtxModels(UNARY + 1)
    codes = np.zeros(shape, dtype=np.int32)
    decoder.decodeLayer(codes, dependent, 0, 1, 0, *_plain(library), 0, 0)
    values = np.zeros(shape, dtype=np.float32)
    decoder.dequantLayer(values, codes, DENSITY, qp, 0)
    return values.astype(np.float64)


class Nnc(WholeDecoder):
    """The inverse of `encode_nnc`."""

    def _decode(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> Floats:
        stream = reader.plain(spec.name, PART, limit=16 * spec.elements + 4096)
        shape = matrix_shape(spec)
        return matrix_of(stream, shape, settings["qp"], settings["dependent"]).reshape(-1)


DECODERS[NNC] = Nnc


def nnc(task: Task, budget: Budget) -> Peer:
    """The best of `QPS`, by the squared error of a sample, each with the least λ that fits."""
    sample, share = _sample(task)

    def taken(qp: int, fineness: float) -> float:
        settings = Settings(qp, 1 / fineness)
        return sum(len(stream_of(one, settings)[0]) for one in sample) / share

    def tried(qp: int) -> tuple[float, int]:
        try:
            fineness = fit(lambda x: taken(qp, x), budget, low=LEAST, high=MOST, tries=TRIES)
        except ValueError:
            return float("inf"), qp
        settings = Settings(qp, 1 / fineness)
        return sum(_error(one, settings) for one in sample), qp

    best = min(map(tried, QPS))[1]
    size: Size = lambda x: measured(task, _peer(task, Settings(best, 1 / x)))  # noqa: E731
    found = fitted(lambda x: 8 * taken(best, x), size, budget, low=LEAST, high=MOST)
    return _peer(task, Settings(best, 1 / found))


def _sample(task: Task) -> tuple[list[Floats], float]:
    """Rows of all matrices at equal distances, and their share of the elements."""
    specs = task.before.specs
    names = [*task.named("linear"), *task.named("embedding")]
    matrices = [task.deltas[name].reshape(matrix_shape(specs[name])) for name in names]
    some = [one[:: min(SAMPLED, len(one) // 2)] for one in matrices]
    return some, sum(one.size for one in some) / sum(one.size for one in matrices)


def _error(matrix: Floats, settings: Settings) -> float:
    stream, qp = stream_of(matrix, settings)
    found = matrix_of(stream, matrix.shape, qp, settings.dependent)
    return float(np.square(matrix - found).sum())


def _peer(task: Task, settings: Settings) -> Peer:
    def encode(spec: TensorSpec, delta: Floats, writer: PayloadWriter) -> Record:
        return encode_nnc(spec, delta, settings, writer)

    return Peer(NNC, task, encode, encode, asdict(settings))
