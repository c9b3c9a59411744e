"""Figure 5: how long one tensor takes to pack by each scheme, and from it an 8B model.

`python -m benchmarks.tensors [--only TEXT] [--width 4096 --inner 14336]`. A delta whose singular
values fall as i^-0.8 is laid on a bf16 Gaussian base. Each scheme packs it on one thread,
as `pack` does, which works on two tensors at once. Seconds are the processor's, so that other
work on the machine counts less.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.table import Table, add_output, publish
from skillpm.delta import factor
from skillpm.delta.auto.candidates import Candidates, Point, write
from skillpm.delta.auto.factored import code_factors, decompose
from skillpm.delta.auto.plan import MARGIN
from skillpm.delta.auto.scheme import PER_OCTAVE, delta_of, predicted_bytes, rung_for, survey
from skillpm.delta.auto.weights import Calibrated, Kronecker, Unweighted
from skillpm.delta.bits import chunk_spans
from skillpm.delta.codecs import factors, grid, hybrid, lossless, sign, svd, topk
from skillpm.delta.match import Pair
from skillpm.delta.payload import PayloadReader, PayloadWriter
from skillpm.delta.schemes import GraftLLM, Lossless
from skillpm.spec.dtypes import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skillpm.delta.auto.metric import Weighting
    from skillpm.delta.codecs.svd import Factors
    from skillpm.delta.payload import Record
    from skillpm.delta.rounding import Floats
    from skillpm.delta.streams import Chunk

DECAY = 0.8
MOVED = 0.02
"""The size of the delta, as a share of the base's."""
BUDGET = 0.03
WIDEST = 8192
"""Calibration keeps a diagonal of wider sides."""
RUNGS = 2 * MARGIN + 1
TRIALS = 2
"""Encodings until a budget is met."""
STEPS = ("read", "decompose", "survey", "code", "entropy", "check")
BLOCKS = 32
EMBEDDING = 128256
SCHEMES = ("lossless", "graftllm", "auto", "auto, calibrated")
DECODERS = {each.NAME: each.Decoder for each in (factors, grid, hybrid, sign, svd, topk)}


class Clock:
    """Seconds by step."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Count what runs inside to a step."""
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
        """As `pack` has it."""
        return Pair(self.spec.name, self.spec, self.spec)

    def chunks(self) -> list[Chunk]:
        """Base and tuned, chunk by chunk."""
        return [(self.base[a:b], self.tuned[a:b]) for a, b in chunk_spans(self.spec)]


@dataclass(frozen=True)
class Packed:
    """Bytes of the payload, seconds by step, and what it became."""

    size: int
    seconds: Counter[str]
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
    return Calibrated(lambda _: Kronecker(rows, columns), {})


def _factor(side: int) -> torch.Tensor:
    if side > WIDEST:
        return torch.rand(side) + 0.1
    spread = torch.randn(side, side) * torch.arange(1, side + 1).float() ** -0.5
    return spread @ spread.T / side


def pack_plain(tensor: Tensor, scheme: str) -> Packed:
    """One tensor by `lossless` or `graftllm`."""
    clock = Clock()
    writer = PayloadWriter(io.BytesIO())

    def timed(delta: Floats) -> Factors:
        with clock.step("decompose"):
            return factor.decompose(delta)

    chosen = Lossless() if scheme == "lossless" else GraftLLM(timed)
    with clock.step("code"):
        record = chosen.encode(tensor.pair, tensor.chunks(), writer)
    clock.seconds["code"] -= clock.seconds["decompose"]
    return _closed(tensor, record, writer, clock)


def pack_auto(tensor: Tensor, weights: Weighting) -> Packed:
    """One tensor by `auto`; the survey is of the middle rung, and counted for all."""
    torch.set_num_threads(1)
    clock = Clock()
    with clock.step("read"):
        delta = delta_of("BF16", tensor.chunks())
    assert delta is not None
    with clock.step("decompose"):
        matrix = torch.from_numpy(delta.reshape(tensor.spec.shape))
        metric = weights.metric(tensor.spec.name, matrix)
        candidates = Candidates(tensor.spec, delta, metric)
    budget = BUDGET * tensor.spec.nbytes
    rung = _rung(candidates, budget)
    with clock.step("survey"):
        points = survey(candidates, rung)
    clock.seconds["survey"] *= RUNGS
    with clock.step("survey"):
        list(candidates.fixed())
    choice = _best(points, rung).choice
    with clock.step("code"):
        coded = candidates.code(choice)
    writer = PayloadWriter(io.BytesIO())
    with clock.step("entropy"):
        record = write(tensor.spec, coded, writer)
    return _closed(tensor, record, writer, clock)


def _rung(candidates: Candidates, budget: float) -> int:
    """The rung at which plainly rounded factors come nearest to a budget from above."""
    whitened = candidates.whitened
    assert whitened is not None
    spread = max(candidates.delta.shape) ** 0.5  # entries of a singular vector are about 1/√length
    shape = (candidates.delta.shape[0], candidates.delta.shape[1])
    rung = rung_for(lambda one: predicted_bytes(whitened.sigma, shape, one * spread), budget)
    while True:
        coded = code_factors(whitened, 2.0 ** ((rung + 1) / PER_OCTAVE), feedback=False)
        if coded is None or coded.bits() / 8 < budget:
            return rung
        rung += 1


def _best(points: list[Point], rung: int) -> Point:
    """The point at about the allocator's price: of Δ²/12 at 6 dB a bit, so 8 · ln 4 / 12 a byte."""
    step = 2.0 ** (rung / PER_OCTAVE)
    return min(points, key=lambda point: point.distortion + 0.92 * step**2 * point.size)


def _closed(tensor: Tensor, record: Record, writer: PayloadWriter, clock: Clock) -> Packed:
    """Write the layer, and decode it as the check of `pack` does."""
    out = io.BytesIO()
    with clock.step("entropy"):
        writer.write_to(out)
    data = out.getvalue()
    with clock.step("check"):
        reader = PayloadReader(Held(data), "layer")
        chunks = tensor.chunks()
        if record.codec == lossless.NAME:
            exact = lossless.Decoder(tensor.spec, reader, record.settings)
            for number, (reference, _) in enumerate(chunks):
                exact.words(number, reference)
        else:
            decoder = DECODERS[record.codec](tensor.spec, reader, record.settings)
            for number in range(len(chunks)):
                decoder.delta(number)
    return Packed(len(data), clock.seconds, record.codec)


@dataclass(frozen=True)
class Held:
    """A layer in memory."""

    data: bytes

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self.data)

    def read(self, start: int, stop: int) -> bytes:
        """A range of it."""
        return self.data[start:stop]


def packed(tensor: Tensor, scheme: str) -> Packed:
    """One tensor by a scheme, on one thread."""
    torch.set_num_threads(1)
    if scheme == "auto":
        return pack_auto(tensor, Unweighted())
    if scheme == "auto, calibrated":
        return pack_auto(tensor, weighting(tensor))
    return pack_plain(tensor, scheme)


def whole(seconds: Counter[str], *, auto: bool) -> float:
    """Seconds of one tensor within a model that is too large to hold its decompositions.

    `auto` reads and decomposes a tensor for its spectrum, for the survey, and for every trial.
    """
    passes = 2 + TRIALS if auto else 1
    trials = TRIALS if auto else 1
    again = seconds["read"] + seconds["decompose"]
    trial = seconds["code"] + seconds["entropy"]
    return passes * again + seconds["survey"] + trials * trial + seconds["check"]


def compare_svd(tensor: Tensor, append: str | None) -> None:
    """The exact SVD against the Gram matrix's eigenvectors, on one thread."""
    rows, width = tensor.spec.shape
    delta = delta_of("BF16", tensor.chunks())
    assert delta is not None
    matrix = torch.from_numpy(delta.reshape(rows, width)).float()
    torch.set_num_threads(1)
    ranks = [rank for rank in (64, 256, 1024, 2048) if rank < min(rows, width)]
    heads = ("seconds", *(f"rel. error at rank {rank}" for rank in ranks))
    table = Table(f"Decomposing {rows} × {width} on one thread", ("by", *heads))
    for name in ("torch.linalg.svd", "Gram matrix, eigh"):
        started = time.thread_time()
        if name == "torch.linalg.svd":
            left, sigma, right = torch.linalg.svd(matrix, full_matrices=False)
            right = right.T
        else:
            left, sigma, right = decompose(matrix)
        seconds = time.thread_time() - started
        errors = [_left_over(matrix, left[:, :k] * sigma[:k], right[:, :k]) for k in ranks]
        table.row(name, f"{seconds:.1f}", *(f"{error:.7f}" for error in errors))
    publish(table, append)


def _left_over(matrix: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> float:
    error = (matrix - left @ right.T).double().norm() / matrix.double().norm()
    return float(error)


def flops() -> float:
    """Float32 operations a second of one thread's matrix product."""
    torch.set_num_threads(1)
    one = torch.randn(4096, 4096)

    def once() -> float:
        started = time.thread_time()
        _ = one @ one
        return time.thread_time() - started

    return 2 * 4096**3 / min(once() for _ in range(4))


def time_schemes(asked: argparse.Namespace) -> None:
    """The table of both tensors by scheme, and the estimate that follows from it."""
    shapes = {
        "attention": ("model.layers.0.self_attn.q_proj.weight", asked.width),
        "mlp": ("model.layers.0.mlp.down_proj.weight", asked.inner),
        "embedding": ("model.embed_tokens.weight", asked.inner),
    }
    heads = ("scheme", "became", "% of delta", *STEPS, "in all")
    table = Table("Seconds of a tensor by scheme", ("tensor", *heads))
    spent: dict[str, dict[str, float]] = {}
    for kind, (name, inner) in shapes.items():
        tensor = synthetic(name, asked.width, inner)
        for scheme in SCHEMES:
            # An embedding is a matrix like any other, but to the scheme that prunes it.
            if asked.only not in scheme or (kind == "embedding" and scheme != "graftllm"):
                continue
            found = packed(tensor, scheme)
            seconds = [found.seconds[step] for step in STEPS]
            total = whole(found.seconds, auto=scheme.startswith("auto"))
            spent.setdefault(scheme, {})[kind] = total
            share = f"{found.size / tensor.spec.nbytes:.2%}"
            cells = [f"{one:.1f}" if one else "-" for one in [*seconds, total]]
            table.row(f"{asked.width} × {inner}", scheme, found.codec, share, *cells)
            print(" · ".join(table.rows[-1]), file=sys.stderr, flush=True)
    publish(table, asked.append)
    publish(_estimated(spent, asked), asked.append)


def _estimated(spent: dict[str, dict[str, float]], asked: argparse.Namespace) -> Table:
    """An 8B Llama: 4 + 3 matrices in each of 32 blocks, embedding and head scaled by entries."""
    table = Table(
        "An 8B Llama on two cores, by scheme",
        ("scheme", "attention s", "MLP s", "embedding and head s", "in all s"),
    )
    for scheme, found in spent.items():
        blocks = BLOCKS * 4 * found["attention"], BLOCKS * 3 * found["mlp"]
        ends = 2 * EMBEDDING / asked.inner * found.get("embedding", found["mlp"])
        parts = [one / 2 for one in (*blocks, ends)]
        table.row(scheme, *(f"{one:,.0f}" for one in [*parts, sum(parts)]))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--inner", type=int, default=14336)
    parser.add_argument("--only", default="", metavar="TEXT", help="schemes whose name holds it")
    add_output(parser)
    asked = parser.parse_args()
    if "OPENBLAS_NUM_THREADS" not in os.environ:  # as the command line sets it, before numpy starts
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        os.execv(  # noqa: S606 - itself again
            sys.executable, [sys.executable, "-m", "benchmarks.tensors", *sys.argv[1:]]
        )
    print(f"one thread multiplies matrices at {flops() / 1e9:.0f} GFlop/s\n")
    compare_svd(
        synthetic("model.layers.0.self_attn.q_proj.weight", *(2 * [asked.width])), asked.append
    )
    time_schemes(asked)


if __name__ == "__main__":
    main()
