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

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from skillpm.delta.auto.weights import Kronecker
from skillpm.parallel import Advance
from skillpm.running.runner import Batch, Runner

WIDEST = 8192
"""The longest side with a full factor: 8192² in float32 is 256 MiB."""
SEED = 0
"""The seed for sampling labels."""
"""Is called with the number of tokens just processed."""


@dataclass
class Fisher:
    """Sums of factors, by the checkpoint's tensor names."""

    folder: Path
    names: dict[str, str]
    count: int = 0
    _sums: dict[str, Kronecker] = field(default_factory=dict)

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
        vector = gradient.ndim < 2  # noqa: PLR2004 - a matrix has two
        matrix = gradient.reshape(1 if vector else gradient.shape[0], -1).float()
        if tensor not in self._sums:
            rows = None if vector else self._room(f"{len(self._sums)}-rows", matrix.shape[0])
            columns = self._room(f"{len(self._sums)}-columns", matrix.shape[1], diagonal=vector)
            self._sums[tensor] = Kronecker(rows, columns)
        sums = self._sums[tensor]
        if sums.rows is not None:
            sums.rows.add_(_outer(matrix, sums.rows.ndim).cpu())
        sums.columns.add_(_outer(matrix.T, sums.columns.ndim).cpu())

    def _room(self, name: str, size: int, *, diagonal: bool = False) -> torch.Tensor:
        """Return a file-backed tensor of zeros: [size, size], or [size] for a diagonal."""
        shape = (size,) if diagonal or size > WIDEST else (size, size)
        count = shape[0] if len(shape) == 1 else size * size
        path = str(self.folder / name)
        return torch.from_file(path, shared=True, size=count, dtype=torch.float32).view(shape)


def _outer(matrix: torch.Tensor, dimensions: int) -> torch.Tensor:
    """Return matrix · matrixᵀ, or its diagonal."""
    return matrix.square().sum(1) if dimensions == 1 else matrix @ matrix.T


def gather(
    runner: Runner, batches: list[Batch], tensors: set[str], folder: Path, advance: Advance
) -> Fisher:
    """Compute the factors of all `tensors` that get a gradient, over the batches.

    Costs a forward and a backward pass per batch, and the product g gᵀ of each gradient.
    """
    fisher = Fisher(folder, runner.names(tensors))
    generator = torch.Generator().manual_seed(SEED)
    hooks = []
    for parameter, value in runner.model.named_parameters():
        tensor = fisher.names.get(parameter)
        value.requires_grad_(tensor in tensors)
        if tensor in tensors:
            hooks.append(value.register_post_accumulate_grad_hook(_folding(fisher, tensor)))
    for batch in batches:
        runner.sampled_loss(batch, generator).backward()
        fisher.count += runner.count(batch)
        advance(batch.ids.numel())
    for hook in hooks:
        hook.remove()
    for value in runner.model.parameters():
        value.requires_grad_(requires_grad=False)
    return fisher


def _folding(fisher: Fisher, tensor: str) -> Callable[[torch.Tensor], None]:
    def hook(parameter: torch.Tensor) -> None:
        if parameter.grad is not None:
            fisher.fold(tensor, parameter.grad)
            parameter.grad = None

    return hook
