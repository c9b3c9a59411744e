"""The merging methods written a second time, directly from the papers: the oracle of the tests.

Each takes task vectors [n, d] in float64 and returns the merged vector [d].
"""

import math

import numpy as np
import torch


def ties(vectors: torch.Tensor, density: float) -> torch.Tensor:
    """Yadav et al. 2023, algorithm 1."""
    kept = round(vectors.shape[1] * density)
    floors = vectors.abs().topk(kept, dim=1).values[:, -1:]
    trimmed = torch.where(vectors.abs() >= floors, vectors, 0.0)
    elected = trimmed.sum(dim=0).sign()
    agree = (trimmed.sign() == elected) & (elected != 0)
    return (trimmed * agree).sum(dim=0) / agree.sum(dim=0).clamp(min=1)


def dare(vectors: torch.Tensor, masks: torch.Tensor, density: float) -> torch.Tensor:
    """Yu et al. 2024, section 3.2, with the masks that were drawn."""
    return (vectors * masks / density).sum(dim=0)


def _norm(values: torch.Tensor) -> torch.Tensor:
    low = values.min(dim=1, keepdim=True).values
    return (values - low) / (values.max(dim=1, keepdim=True).values - low)


def pcb(vectors: torch.Tensor, density: float, outliers: float = 1e-4) -> torch.Tensor:
    """Du et al. 2024, section 3.2, with exp and tanh in place of the softmaxes."""
    count, size = vectors.shape
    ranked = vectors.abs().sort(dim=1).values
    cut = int(size * outliers)
    clipped = vectors.abs().clamp(ranked[:, cut : cut + 1], ranked[:, size - 1 - cut : size - cut])
    intra = torch.exp(count * _norm(clipped) ** 2)
    inter = torch.tanh(vectors * vectors.sum(dim=0))
    beta = intra * inter
    dropped = size - round(size * density)
    floors = beta.sort(dim=1).values[:, dropped - 1 : dropped]
    scale = _norm(torch.maximum(beta, floors))
    return (vectors.sign() * clipped * scale).sum(dim=0) / scale.sum(dim=0).clamp(min=1e-12)


def sce(vectors: torch.Tensor, density: float) -> torch.Tensor:
    """Wan et al. 2024: select, calculate, erase."""
    variance = vectors.var(dim=0, unbiased=False)
    kept = round(int((variance != 0).sum()) * density)
    mask = torch.zeros(vectors.shape[1], dtype=torch.bool)
    mask[variance.topk(kept).indices] = True
    selected = vectors * mask
    energy = (selected**2).sum(dim=1, keepdim=True)
    coefficients = energy / energy.sum()
    agree = selected.sign() == selected.sum(dim=0).sign()
    weighted = coefficients * agree * mask
    return (selected * weighted).sum(dim=0) / weighted.sum(dim=0).clamp(min=1e-300)


def close(found: np.ndarray, expected: torch.Tensor) -> bool:
    """Whether both agree up to a few roundings of the largest value."""
    scale = float(expected.abs().max())
    return math.isfinite(scale) and bool(
        np.allclose(found, expected.numpy(), rtol=1e-9, atol=1e-12 * scale)
    )
