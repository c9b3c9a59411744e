"""How long decompositions of large matrices take here, measured on smaller ones of their form."""

import time
from collections.abc import Callable

import torch

from skillpm.delta.auto.profile import scaled_vectors
from skillpm.delta.encoding.torch_device import use_one_thread

GRAM_SIDE, SVD_SIDE = 1024, 512
"""The shorter side of the matrices that are decomposed to measure the speed."""


def spectrum_seconds(rows: int, columns: int) -> float:
    """Processor seconds of the decomposition that the scheme `auto` uses."""
    return _seconds(scaled_vectors, rows, columns, GRAM_SIDE)


def svd_seconds(rows: int, columns: int) -> float:
    """Processor seconds of a thin singular value decomposition, as `graftllm` uses it."""
    return _seconds(
        lambda matrix: torch.linalg.svd(matrix, full_matrices=False), rows, columns, SVD_SIDE
    )


def _seconds(
    decompose: Callable[[torch.Tensor], object], rows: int, columns: int, side: int
) -> float:
    """The seconds of a matrix, which grow as rows · columns · shorter side."""
    use_one_thread()
    shorter = min(rows, columns)
    part = min(1.0, side / shorter)
    matrix = torch.randn(max(1, round(rows * part)), max(1, round(columns * part)))
    started = time.thread_time()
    decompose(matrix)
    return (time.thread_time() - started) / part**3
