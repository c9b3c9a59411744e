"""Rounding to integers with a dead zone, plain or with the error fed back."""

import torch

OFFSET = 0.43
"""Added before rounding down a magnitude: less than a half, since a zero costs fewer bits."""
_BLOCK = 64


def dead_zone(values: torch.Tensor, offset: float = OFFSET) -> torch.Tensor:
    """sign(v) · ⌊|v| + offset⌋."""
    return torch.sign(values) * torch.floor(values.abs() + offset)


def fed_back(values: torch.Tensor, steps: torch.Tensor, upper: torch.Tensor) -> torch.Tensor:
    """Round rows [k, n] on grids of `steps` [k, n]; what one column errs, later ones make good.

    `upper` is the inverse Cholesky factor of the metric over the n columns. As GPTQ (Frantar et
    al. 2023, algorithm 1), in blocks of columns.
    """
    rest = values.clone()
    codes = torch.empty_like(values)
    width = values.shape[1]
    for start in range(0, width, _BLOCK):
        stop = min(start + _BLOCK, width)
        within = upper[start:stop, start:stop]
        errors = torch.empty(len(values), stop - start)
        block = rest[:, start:stop].clone()
        for place in range(stop - start):
            step = steps[:, start + place]
            code = dead_zone(block[:, place] / step)
            error = (block[:, place] - code * step) / within[place, place]
            block[:, place:] -= error[:, None] * within[place, place:]
            codes[:, start + place] = code
            errors[:, place] = error
        if stop < width:
            rest[:, stop:] -= errors @ upper[start:stop, stop:]
    return codes
