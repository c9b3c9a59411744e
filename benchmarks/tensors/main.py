"""The time to pack one synthetic tensor by each scheme.

`python -m benchmarks.tensors [--schemes auto …] [--width 4096 --inner 14336]`. A delta whose
singular values fall as i^-0.8 is added to a bf16 Gaussian base. Each scheme packs it on one thread,
as `pack` does, which works on two tensors at once. Seconds are processor time, so that other load
on the machine matters less.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

import torch

from benchmarks.tensors.timed import Tensor, packed, synthetic
from benchmarks.tools.table import Table, add_output, publish
from skillpm.delta.auto.profile import scaled_vectors
from skillpm.delta.auto.rows import TensorRows

if TYPE_CHECKING:
    from collections.abc import Mapping

TRIALS = 2
"""Number of encodings until a budget is met."""
STEPS = ("decompose", "survey", "code", "entropy", "check")
SCHEMES = ("lossless", "graftllm", "auto", "auto, calibrated")


def whole(seconds: Mapping[str, float], *, auto: bool) -> float:
    """Seconds of one tensor. `auto` surveys it once and encodes it in every trial."""
    trials = TRIALS if auto else 1
    trial = seconds["code"] + seconds["entropy"]
    return seconds["decompose"] + seconds["survey"] + trials * trial + seconds["check"]


def compare_svd(tensor: Tensor, append: str | None) -> None:
    """The exact SVD compared with the Gram matrix's eigenvectors, on one thread."""
    rows, width = tensor.spec.shape
    matrix = TensorRows(tensor.spec, tensor.chunks).whole()
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
            scaled, sigma, right = scaled_vectors(matrix)
            left, right = scaled / sigma, right / sigma
        seconds = time.thread_time() - started
        errors = [_left_over(matrix, left[:, :k] * sigma[:k], right[:, :k]) for k in ranks]
        table.row(name, f"{seconds:.1f}", *(f"{error:.7f}" for error in errors))
    publish(table, append)


def _left_over(matrix: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> float:
    error = (matrix - left @ right.T).double().norm() / matrix.double().norm()
    return float(error)


def flops() -> float:
    """Float32 operations per second of one thread's matrix product."""
    torch.set_num_threads(1)
    one = torch.randn(4096, 4096)

    def once() -> float:
        started = time.thread_time()
        _ = one @ one
        return time.thread_time() - started

    return 2 * 4096**3 / min(once() for _ in range(4))


def time_schemes(arguments: argparse.Namespace) -> None:
    """The table of both tensors by scheme."""
    shapes = {
        "attention": ("model.layers.0.self_attn.q_proj.weight", arguments.width),
        "mlp": ("model.layers.0.mlp.down_proj.weight", arguments.inner),
        "embedding": ("model.embed_tokens.weight", arguments.inner),
    }
    heads = ("scheme", "became", "% of delta", *STEPS, "in all")
    table = Table("Seconds of a tensor by scheme", ("tensor", *heads))
    for kind, (name, inner) in shapes.items():
        tensor = synthetic(name, arguments.width, inner)
        for scheme in arguments.schemes:
            # An embedding is a matrix like any other, except for the scheme that prunes it.
            if kind == "embedding" and scheme != "graftllm":
                continue
            found = packed(tensor, scheme)
            seconds = [found.seconds[step] for step in STEPS]
            total = whole(found.seconds, auto=scheme.startswith("auto"))
            share = f"{found.size / tensor.spec.nbytes:.2%}"
            cells = [f"{one:.1f}" if one else "-" for one in [*seconds, total]]
            table.row(f"{arguments.width} × {inner}", scheme, found.codec, share, *cells)
            print(" · ".join(table.rows[-1]), file=sys.stderr, flush=True)
    publish(table, arguments.append)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--inner", type=int, default=14336)
    parser.add_argument("--schemes", nargs="+", choices=SCHEMES, default=SCHEMES)
    add_output(parser)
    arguments = parser.parse_args()
    if "OPENBLAS_NUM_THREADS" not in os.environ:  # as the command line sets it, before numpy starts
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        os.execv(  # noqa: S606 - itself again
            sys.executable, [sys.executable, "-m", "benchmarks.tensors.main", *sys.argv[1:]]
        )
    print(f"one thread multiplies matrices at {flops() / 1e9:.0f} GFlop/s\n")
    compare_svd(
        synthetic("model.layers.0.self_attn.q_proj.weight", *(2 * [arguments.width])),
        arguments.append,
    )
    time_schemes(arguments)


if __name__ == "__main__":
    main()
