"""Task arithmetic (`sum`): θ = θ_base + Σ wᵢτᵢ.

Ilharco et al. 2023, Editing Models with Task Arithmetic (arXiv 2212.04089), section 2: learning by
addition. The weights are its scaling terms λ.
"""

from collections.abc import Sequence

from skillpm.delta.tensors.rounding import Floats


def add_up(base: Floats, weights: Sequence[float], deltas: Sequence[Floats]) -> Floats:
    """Return base + w₁Δ₁ + w₂Δ₂ + …, all [n], added from the left with one rounding each."""
    total = base
    for weight, delta in zip(weights, deltas, strict=True):
        total = total + (delta if weight == 1.0 else delta * weight)
    return total
