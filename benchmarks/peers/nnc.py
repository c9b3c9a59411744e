"""NNC, ISO/IEC 15938-17, by the coder of its reference software NNCodec (`nncodec` on PyPI).

All matrices, embeddings and head too, are quantised with one quantisation parameter and coded by
DeepCABAC (Wiedemann et al., arXiv 1907.11900). `Settings` are the tools of the standard: dependent
(trellis) quantisation, and λ of the rate-distortion optimised quantiser. Rows of zeros are skipped,
and the initial states of the contexts are optimised, as NNCodec does by default. Units, headers and
names of the standard's bitstream are not counted: streams are parts of the lean file. Norms and
biases are exact, as in all peers.

`pip install --no-deps nncodec` suffices: only its compiled extension is imported. The package pins
numpy below 2, which its coder does not need.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.codecs import DECODERS, WholeDecoder
from benchmarks.peers.recipe import measured
from benchmarks.peers.scheme import Peer
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
FINEST, COARSEST = -96, -8
SAMPLED = 10


@dataclass(frozen=True)
class Settings:
    """The quantisation parameter, and the encoder's tools."""

    qp: int
    dependent: int = 1
    rate_weight: float = 0.0


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


class Nnc(WholeDecoder):
    """The inverse of `encode_nnc`."""

    def _decode(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> Floats:
        library = _library()
        decoder = library.Decoder()
        decoder.setStream(np.frombuffer(reader.plain(spec.name, PART, limit=1 << 40), np.uint8))
        decoder.initCtxModels(UNARY + 1)
        codes = np.zeros(matrix_shape(spec), dtype=np.int32)
        decoder.decodeLayer(codes, settings["dependent"], 0, 1, 0, *_plain(library), 0, 0)
        values = np.zeros(codes.shape, dtype=np.float32)
        decoder.dequantLayer(values, codes, DENSITY, settings["qp"], 0)
        return values.astype(np.float64).reshape(-1)


DECODERS[NNC] = Nnc


def nnc(task: Task, budget: Budget) -> Peer:
    """The finest quantisation parameter whose file fits: searched on a sample, then by files."""
    low, high = FINEST, COARSEST
    while high - low > 1:
        middle = (low + high) // 2
        fits = _estimate(task, Settings(middle)) <= budget
        low, high = (low, middle) if fits else (middle, high)
    while (size := measured(task, _peer(task, Settings(high)))) > budget and high < COARSEST:
        high += 1
    if size > budget:
        message = f"the coarsest quantisation parameter takes {size} bytes of {budget}"
        raise ValueError(message)
    return _peer(task, Settings(high))


def _estimate(task: Task, settings: Settings) -> float:
    """Bytes of all matrices, from every `SAMPLED`-th linear and row of the embeddings."""
    specs = task.before.specs
    total = 0.0
    for role in ("linear", "embedding"):
        names = task.named(role)
        matrices = [task.deltas[name].reshape(matrix_shape(specs[name])) for name in names]
        some = matrices[::SAMPLED] if role == "linear" else [one[::SAMPLED] for one in matrices]
        share = sum(one.size for one in some) / max(1, sum(one.size for one in matrices))
        total += sum(len(stream_of(one, settings)[0]) for one in some) / max(share, 1e-9)
    return total


def _peer(task: Task, settings: Settings) -> Peer:
    def encode(spec: TensorSpec, delta: Floats, writer: PayloadWriter) -> Record:
        return encode_nnc(spec, delta, settings, writer)

    return Peer(NNC, task, encode, encode, asdict(settings))
