"""Sums of Kronecker factors of the true Fisher.

For a matrix W [m, n], the Fisher is approximated as R ⊗ C / tr R, with R = E[g gᵀ] [m, m] and C =
E[gᵀ g] [n, n] of gradients g [m, n] of sampled labels (true Fisher: Kunstner et al. 2019, arXiv
1905.12558). Terms are added as soon as they are computed, and freed. Sums are memory-mapped files:
the process holds their pages only while it adds to them. A side longer than `WIDEST` has a diagonal
factor.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import torch

from skillpm.delta.auto.weights import WIDEST, Kronecker

_BLOCK = 512
"""The rows of a factor that one product computes. Only entries from its diagonal on are summed."""
_Shape = tuple[int, ...]


def factor_shapes(shape: _Shape) -> tuple[_Shape | None, _Shape]:
    """The shapes of the factors of a tensor: of its rows (None for a vector), and its columns."""
    if len(shape) < 2:  # noqa: PLR2004 - a matrix has two
        return None, (prod(shape),)
    return _factor(shape[0]), _factor(prod(shape[1:]))


def _factor(side: int) -> _Shape:
    return (side,) if side > WIDEST else (side, side)


@dataclass
class Fisher:
    """Sums of factors over the first `batches` batches, by the checkpoint's tensor names.

    `count` is the number of answers in these batches. The files of the sums are in `folder`.
    """

    folder: Path
    batches: int = 0
    count: int = 0
    _sums: dict[str, Kronecker] = field(default_factory=dict)
    _maps: dict[str, list[mmap.mmap]] = field(default_factory=dict)

    @property
    def sums(self) -> Iterator[tuple[str, Kronecker]]:
        """The tensors that got a gradient, with their sums, sorted by name."""
        for tensor in sorted(self._sums):
            yield tensor, self._sums[tensor]
            self._release(tensor)

    @property
    def size(self) -> int:
        """The bytes of all sums."""
        parts = [part for sums in self._sums.values() for part in (sums.rows, sums.columns)]
        return sum(part.nbytes for part in parts if part is not None)

    def clear(self) -> None:
        """Forget all sums."""
        self.batches = self.count = 0
        self._sums.clear()
        self._maps.clear()

    def put(self, tensor: str, sums: Kronecker) -> None:
        """Set the sums of a tensor."""
        rows = None if sums.rows is None else tuple(sums.rows.shape)
        held = self._held(tensor, rows, tuple(sums.columns.shape))
        if held.rows is not None and sums.rows is not None:
            held.rows.copy_(sums.rows)
        held.columns.copy_(sums.columns)
        self._release(tensor)

    def load(self, tensor: str) -> Kronecker | None:
        """Return the mean factors of a tensor; None if it got no gradient."""
        sums = self._sums.get(tensor)
        if sums is None or not self.count:
            return None
        if sums.rows is None:
            return Kronecker(None, sums.columns / self.count)
        trace = sums.rows.sum() if sums.rows.ndim == 1 else sums.rows.diagonal().sum()
        share = trace.clamp_min(torch.finfo(torch.float32).tiny)
        found = Kronecker(_whole(sums.rows) / self.count, _whole(sums.columns) / share)
        self._release(tensor)
        return found

    def add_gradient(self, tensor: str, gradient: torch.Tensor) -> None:
        """Add one gradient [m, n] of independent labels; their cross terms cancel in the mean."""
        rows, columns = factor_shapes(tuple(gradient.shape))
        matrix = gradient.reshape(1 if rows is None else gradient.shape[0], -1).float()
        sums = self._sums.get(tensor) or self._held(tensor, rows, columns)
        if sums.rows is not None:
            _add_outer(sums.rows, matrix)
        _add_outer(sums.columns, matrix.T)
        self._release(tensor)

    def add_products(self, tensor: str, left: torch.Tensor, right: torch.Tensor) -> None:
        """Add the gradients left_t ⊗ right_t of single tokens, from [tokens, m] and [tokens, n].

        R gets left_t left_tᵀ |right_t|², and C gets right_t right_tᵀ |left_t|².
        """
        left, right = left.float(), right.float()
        sums = self._matrix(tensor, (left.shape[1], right.shape[1]))
        lengths = [torch.linalg.vector_norm(side, dim=1, keepdim=True) for side in (left, right)]
        for total, side, weights in zip(sums, (left, right), reversed(lengths), strict=True):
            _add_outer(total, (side * weights).T)
        self._release(tensor)

    def add_lookups(
        self, tensor: str, rows: int, ids: torch.Tensor, gradients: torch.Tensor
    ) -> None:
        """Add the gradients of an embedding of `rows` rows: gradients [tokens, n] of rows `ids`."""
        gradients = gradients.float()
        held, columns = self._matrix(tensor, (rows, gradients.shape[1]))
        diagonal = held if held.ndim == 1 else held.diagonal()
        diagonal.index_add_(0, ids.cpu(), gradients.square().sum(1).cpu())
        _add_outer(columns, gradients.T)
        self._release(tensor)

    def _matrix(self, tensor: str, shape: _Shape) -> tuple[torch.Tensor, torch.Tensor]:
        """The sums of a matrix."""
        sums = self._sums.get(tensor) or self._held(tensor, *factor_shapes(shape))
        assert sums.rows is not None  # noqa: S101 - for the type checker; a matrix has rows
        return sums.rows, sums.columns

    def _held(self, tensor: str, rows: _Shape | None, columns: _Shape) -> Kronecker:
        """Make the sums of a tensor: zeros in memory-mapped files."""
        number = len(self._sums)
        held = Kronecker(
            None if rows is None else self._zeros(tensor, f"{number}-rows", rows),
            self._zeros(tensor, f"{number}-columns", columns),
        )
        self._sums[tensor] = held
        return held

    def _zeros(self, tensor: str, name: str, shape: _Shape) -> torch.Tensor:
        with (self.folder / name).open("w+b") as file:
            file.truncate(4 * prod(shape))
            mapped = mmap.mmap(file.fileno(), 0)
        self._maps.setdefault(tensor, []).append(mapped)
        return torch.frombuffer(mapped, dtype=torch.float32).view(shape)

    def _release(self, tensor: str) -> None:
        """Let the system keep the pages of a tensor's sums, as the cache of their files."""
        for mapped in self._maps[tensor] if hasattr(mmap, "MADV_DONTNEED") else ():
            mapped.madvise(mmap.MADV_DONTNEED)  # the files have what was written


def _add_outer(total: torch.Tensor, matrix: torch.Tensor) -> None:
    """Add matrix [d, k] · matrixᵀ to a factor, from the diagonal on; to a vector, its diagonal."""
    if total.ndim == 1:
        total.add_(matrix.square().sum(1).cpu())
        return
    for first in range(0, len(matrix), _BLOCK):
        block = slice(first, first + _BLOCK)
        if matrix.device.type == "cpu":
            total[block, first:].addmm_(matrix[block], matrix[first:].T)
        else:
            total[block, first:].add_((matrix[block] @ matrix[first:].T).cpu())


def _whole(factor: torch.Tensor) -> torch.Tensor:
    """A factor with the entries below its diagonal; a vector unchanged."""
    return factor if factor.ndim == 1 else factor.triu() + factor.triu(1).T
