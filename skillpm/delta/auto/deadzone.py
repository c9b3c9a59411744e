"""Rounding to integers with a dead zone, with or without error feedback."""

import torch

OFFSET = 0.43
"""Added to a magnitude before it is rounded down. Below one half, because a zero costs fewer
bits."""
_BLOCK = 64


def dead_zone(values: torch.Tensor, offset: float = OFFSET) -> torch.Tensor:
    """Return sign(v) · ⌊|v| + offset⌋, elementwise."""
    return torch.sign(values) * torch.floor(values.abs() + offset)


def fed_back(values: torch.Tensor, steps: torch.Tensor, upper: torch.Tensor) -> torch.Tensor:
    """Round rows [k, n] on grids of `steps` [k, n]; later columns compensate earlier errors.

    `upper` [n, n] is the inverse Cholesky factor of the metric over the columns. GPTQ (Frantar et
    al. 2023, arXiv 2210.17323, algorithm 1), in blocks of columns. Costs O(k·n²).
    """
    remaining = values.clone()
    codes = torch.empty_like(values)
    width = values.shape[1]
    for start in range(0, width, _BLOCK):
        stop = min(start + _BLOCK, width)
        within = upper[start:stop, start:stop]
        errors = torch.empty_like(values[:, start:stop])
        block = remaining[:, start:stop].clone()
        for place in range(stop - start):
            step = steps[:, start + place]
            code = dead_zone(block[:, place] / step)
            error = (block[:, place] - code * step) / within[place, place]
            block[:, place:] -= error[:, None] * within[place, place:]
            codes[:, start + place] = code
            errors[:, place] = error
        if stop < width:
            remaining[:, stop:] -= errors @ upper[start:stop, stop:]
    return codes
