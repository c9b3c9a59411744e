"""Kronecker factors of the true Fisher, accumulated one gradient at a time.

For a matrix W [m, n], the Fisher is approximated as R ⊗ C / tr R, with R = E[g gᵀ] [m, m] and C =
E[gᵀ g] [n, n] of gradients g [m, n] of sampled labels (true Fisher: Kunstner et al. 2019, arXiv
1905.12558). Labels are drawn independently, so cross terms between tokens cancel in the mean, and
the gradient of a whole batch can be used. This also covers weights that are not the matrix of a
layer with inputs and outputs: tied embeddings, pooled answers, weights of any module.

A gradient is added to its factors and freed as soon as it is computed. Factors are memory-mapped
files that the system can page out, so memory holds one gradient. A side longer than `WIDEST` has a
diagonal factor.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import torch
from torch.utils.hooks import RemovableHandle

from skillpm.delta.auto.weights import Kronecker
from skillpm.parallel import Advance, no_advance
from skillpm.running.runner import Batch, Runner

WIDEST = 8192
"""The longest side with a full factor: 8192² in float32 is 256 MiB."""
SEED = 0
"""The seed for sampling the labels of the first batch; each later batch has the next seed."""
PARTS = 4
"""The most times that the sums are saved while they are gathered."""
_Shape = tuple[int, ...]
Save = Callable[["Fisher"], None]
"""Saves the sums over the first batches."""


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

    @property
    def sums(self) -> Iterable[tuple[str, Kronecker]]:
        """The tensors that got a gradient, with their sums, sorted by name."""
        return sorted(self._sums.items())

    @property
    def size(self) -> int:
        """The bytes of all sums."""
        parts = [part for sums in self._sums.values() for part in (sums.rows, sums.columns)]
        return sum(part.nbytes for part in parts if part is not None)

    def clear(self) -> None:
        """Forget all sums."""
        self.batches = self.count = 0
        self._sums.clear()

    def put(self, tensor: str, sums: Kronecker) -> None:
        """Set the sums of a tensor."""
        rows = None if sums.rows is None else tuple(sums.rows.shape)
        held = self._held(tensor, rows, tuple(sums.columns.shape))
        if held.rows is not None and sums.rows is not None:
            held.rows.copy_(sums.rows)
        held.columns.copy_(sums.columns)

    def load(self, tensor: str) -> Kronecker | None:
        """Return the mean factors of a tensor; None if it got no gradient."""
        sums = self._sums.get(tensor)
        if sums is None or not self.count:
            return None
        if sums.rows is None:
            return Kronecker(None, sums.columns / self.count)
        trace = sums.rows.sum() if sums.rows.ndim == 1 else sums.rows.diagonal().sum()
        share = trace.clamp_min(torch.finfo(torch.float32).tiny)
        return Kronecker(sums.rows / self.count, sums.columns / share)

    def fold(self, tensor: str, gradient: torch.Tensor) -> None:
        """Add one gradient."""
        rows, columns = factor_shapes(tuple(gradient.shape))
        matrix = gradient.reshape(1 if rows is None else gradient.shape[0], -1).float()
        sums = self._sums.get(tensor) or self._held(tensor, rows, columns)
        if sums.rows is not None:
            sums.rows.add_(_outer(matrix, sums.rows.ndim).cpu())
        sums.columns.add_(_outer(matrix.T, sums.columns.ndim).cpu())

    def _held(self, tensor: str, rows: _Shape | None, columns: _Shape) -> Kronecker:
        """Make the sums of a tensor: zeros in memory-mapped files."""
        number = len(self._sums)
        held = Kronecker(
            None if rows is None else self._zeros(f"{number}-rows", rows),
            self._zeros(f"{number}-columns", columns),
        )
        self._sums[tensor] = held
        return held

    def _zeros(self, name: str, shape: _Shape) -> torch.Tensor:
        path = self.folder / name
        path.unlink(missing_ok=True)
        size = prod(shape)
        return torch.from_file(str(path), shared=True, size=size, dtype=torch.float32).view(shape)


def _outer(matrix: torch.Tensor, dimensions: int) -> torch.Tensor:
    """Return matrix · matrixᵀ, or its diagonal."""
    return matrix.square().sum(1) if dimensions == 1 else matrix @ matrix.T


def gather(
    runner: Runner,
    batches: list[Batch],
    tensors: set[str],
    fisher: Fisher,
    *,
    save: Save = lambda _fisher: None,
    advance: Advance = no_advance,
) -> None:
    """Add the factors of all `tensors` that get a gradient, over the batches not yet in `fisher`.

    `save` is called after every quarter of the batches. An interruption does not change the sums,
    because each batch has its own seed. Costs a forward and a backward pass per batch, and the
    products g gᵀ and gᵀ g of each gradient.
    """
    hooks = _hook_parameters(runner, tensors, fisher)
    every = max(1, -(-len(batches) // PARTS))
    for number, batch in enumerate(batches):
        if number >= fisher.batches:
            draw = torch.Generator().manual_seed(SEED + number)
            runner.sampled_loss(batch, draw).backward()
            fisher.batches, fisher.count = number + 1, fisher.count + runner.count(batch)
            if fisher.batches % every == 0 or fisher.batches == len(batches):
                save(fisher)
        advance(batch.ids.numel())
    for hook in hooks:
        hook.remove()
    for value in runner.model.parameters():
        value.requires_grad_(requires_grad=False)


def _hook_parameters(runner: Runner, tensors: set[str], fisher: Fisher) -> list[RemovableHandle]:
    """Fold the gradient of each of the `tensors` as soon as it is complete, and free it."""
    names = runner.names(tensors)
    hooks = []
    for parameter, value in runner.model.named_parameters():
        tensor = names.get(parameter)
        value.requires_grad_(tensor in tensors)
        if tensor in tensors:
            hooks.append(value.register_post_accumulate_grad_hook(_folding(fisher, tensor)))
    return hooks


def _folding(fisher: Fisher, tensor: str) -> Callable[[torch.Tensor], None]:
    def hook(parameter: torch.Tensor) -> None:
        if parameter.grad is not None:
            fisher.fold(tensor, parameter.grad)
            parameter.grad = None

    return hook
