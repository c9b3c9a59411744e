"""How long decompositions of large matrices take here, measured on smaller ones of their form."""

import time
from collections.abc import Callable

import torch

from skillpm.delta.auto.profile import scaled_vectors
from skillpm.delta.encoding.torch_device import torch_threads
from skillpm.delta.encoding.torch_svd import DIRECT, by_gram_matrix

GRAM_SIDE, SVD_SIDE = 1024, 512
"""The shorter side of the matrices that are decomposed to measure the speed."""
_RANKS = 4
"""`graftllm` keeps about one singular vector in this many."""


def spectrum_seconds(rows: int, columns: int) -> float:
    """Processor seconds of the decomposition that the scheme `auto` uses."""
    return _seconds(scaled_vectors, rows, columns, GRAM_SIDE)


def svd_seconds(rows: int, columns: int) -> float:
    """Processor seconds of the singular value decomposition that `graftllm` uses."""
    if rows * columns > DIRECT:
        return _seconds(_by_gram_matrix, rows, columns, GRAM_SIDE)
    return _seconds(
        lambda matrix: torch.linalg.svd(matrix, full_matrices=False), rows, columns, SVD_SIDE
    )


def _by_gram_matrix(matrix: torch.Tensor) -> None:
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    by_gram_matrix(wide, -(-len(wide) // _RANKS))


def _seconds(
    decompose: Callable[[torch.Tensor], object], rows: int, columns: int, side: int
) -> float:
    """The seconds of a matrix, which grow as rows · columns · shorter side."""
    shorter = min(rows, columns)
    part = min(1.0, side / shorter)
    matrix = torch.randn(max(1, round(rows * part)), max(1, round(columns * part)))
    with torch_threads(1):
        started = time.thread_time()
        decompose(matrix)
        return (time.thread_time() - started) / part**3
