"""One synthetic tensor, packed by each scheme, with the processor seconds of every step."""

from __future__ import annotations

import io
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from skillpm.delta.auto.allocate import Frontier
from skillpm.delta.auto.encode_choice import encode_choice
from skillpm.delta.auto.rows import TensorRows
from skillpm.delta.auto.survey import survey_tensor
from skillpm.delta.auto.weights import WIDEST, Calibrated, Kronecker, Unweighted
from skillpm.delta.codecs import zero
from skillpm.delta.codecs.grid import rows_of
from skillpm.delta.codecs.table import CODECS
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter
from skillpm.delta.encoding import torch_svd as factor
from skillpm.delta.encoding.schemes import GraftLLM, Lossless, Matrix
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.ports import InMemory
from skillpm.delta.tensors.words import chunk_spans
from skillpm.spec.dtypes import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from skillpm.delta.auto.metric import Weighting
    from skillpm.delta.codecs.svd import SingularFactors
    from skillpm.delta.coding.payload import Record
    from skillpm.delta.tensors.streams import Chunk

DECAY = 0.8
MOVED = 0.02
"""The size of the delta, as a share of the base's."""
BUDGET = 0.03


class Clock:
    """Seconds by step."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the processor time of the block to a step."""
        started = time.thread_time()
        yield
        self.seconds[name] += time.thread_time() - started


@dataclass(frozen=True)
class Tensor:
    """A tensor of the base and of the tuned model, as bf16 words."""

    spec: TensorSpec
    base: np.ndarray[tuple[int], np.dtype[np.uint16]]
    tuned: np.ndarray[tuple[int], np.dtype[np.uint16]]

    @property
    def pair(self) -> Pair:
        """The tensor as a pair for `pack`."""
        return Pair(self.spec.name, self.spec, self.spec)

    def chunks(self) -> list[Chunk]:
        """Base and tuned, chunk by chunk."""
        return [(self.base[a:b], self.tuned[a:b]) for a, b in chunk_spans(self.spec)]


@dataclass(frozen=True)
class Packed:
    """Bytes of the payload, seconds by step, and the relative error."""

    size: int
    seconds: Mapping[str, float]
    codec: str


def synthetic(name: str, rows: int, width: int, seed: int = 0) -> Tensor:
    """A tensor [rows, width] whose delta has singular values ~ i^-DECAY."""
    torch.manual_seed(seed)
    rank = min(rows, width)
    left, right = (torch.linalg.qr(torch.randn(side, rank))[0] for side in (rows, width))
    sigma = torch.arange(1, rank + 1).float() ** -DECAY
    delta = (left * sigma) @ right.T
    base = (0.02 * torch.randn(rows, width)).bfloat16()
    delta *= MOVED * base.float().norm() / delta.norm()
    tuned = (base.float() + delta).bfloat16()
    words = [each.view(torch.uint16).numpy().reshape(-1) for each in (base, tuned)]
    return Tensor(TensorSpec(name, "BF16", (rows, width)), words[0], words[1])


def weighting(tensor: Tensor) -> Calibrated:
    """Random positive definite factors, diagonal on sides wider than `WIDEST`."""
    torch.manual_seed(1)
    rows, columns = (_factor(side) for side in tensor.spec.shape)
    return Calibrated(lambda _: Kronecker(rows, columns), {}, "one pair of factors")


def _factor(side: int) -> torch.Tensor:
    if side > WIDEST:
        return torch.rand(side) + 0.1
    spread = torch.randn(side, side) * torch.arange(1, side + 1).float() ** -0.5
    return spread @ spread.T / side


def pack_plain(tensor: Tensor, scheme: str) -> Packed:
    """One tensor by `lossless` or `graftllm`."""
    clock = Clock()
    writer = PayloadWriter(io.BytesIO())

    def timed(delta: Matrix, *, rank: int | None = None) -> SingularFactors:
        with clock.step("decompose"):
            return factor.decompose(delta, rank=rank)

    chosen = Lossless() if scheme == "lossless" else GraftLLM(timed)
    with clock.step("code"):
        record = chosen.encode(tensor.pair, tensor.chunks(), writer)
    clock.seconds["code"] -= clock.seconds["decompose"]
    return _closed(tensor, record, writer, clock)


def pack_auto(tensor: Tensor, weights: Weighting) -> Packed:
    """One tensor by `auto`, at the price of a byte that meets the budget."""
    torch.set_num_threads(1)
    clock = Clock()
    rows = TensorRows(tensor.spec, tensor.chunks)
    metric = weights.metric(tensor.spec.name, rows_of(tensor.spec))
    with clock.step("survey"):
        survey = survey_tensor(tensor.pair, rows, metric)
    assert survey is not None
    points = {tensor.spec.name: survey.points}
    allocation = Frontier.of(points).within_bytes(BUDGET * tensor.spec.nbytes)
    writer = PayloadWriter(io.BytesIO())
    with clock.step("code"):
        coded = encode_choice(rows, metric, allocation.choices[tensor.spec.name])
    with clock.step("entropy"):
        record = (
            zero.encode(tensor.spec, writer) if coded is None else coded.write(tensor.spec, writer)
        )
    return _closed(tensor, record, writer, clock)


def _closed(tensor: Tensor, record: Record, writer: PayloadWriter, clock: Clock) -> Packed:
    """Write the layer, and decode it as `pack` does for its check."""
    out = io.BytesIO()
    with clock.step("entropy"):
        writer.write_to(out)
    data = out.getvalue()
    with clock.step("check"):
        reader = PayloadReader(InMemory(data), "layer")
        chunks = tensor.chunks()
        codec = CODECS[record.codec]
        decoder = codec.open(tensor.spec, reader, record.settings)
        for number, (reference, _) in enumerate(chunks):
            if codec.lossy:  # the sum is not timed
                decoder.delta_of(number, reference)
            else:
                decoder.decode_chunk(number, reference)
    return Packed(len(data), clock.seconds, record.codec)


def packed(tensor: Tensor, scheme: str) -> Packed:
    """One tensor by a scheme, on one thread."""
    torch.set_num_threads(1)
    if scheme == "auto":
        return pack_auto(tensor, Unweighted())
    if scheme == "auto, calibrated":
        return pack_auto(tensor, weighting(tensor))
    return pack_plain(tensor, scheme)
