"""Singular value decompositions of large matrices, compared with those of numpy in float64."""

import numpy as np
import pytest

from skillpm.delta.encoding import torch_svd
from skillpm.delta.encoding.torch_svd import decompose


@pytest.fixture(autouse=True)
def _every_matrix_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_svd, "DIRECT", 0)
    monkeypatch.setattr(torch_svd, "_BLOCK", 1 << 11)  # several blocks


def _matrix(shape: tuple[int, int], decay: float, scale: float = 1e-3) -> np.ndarray:
    random = np.random.default_rng(sum(shape))
    least = min(shape)
    left, right = (np.linalg.qr(random.normal(size=(size, least)))[0] for size in shape)
    sigma = scale * np.arange(1.0, least + 1) ** -decay
    return np.asarray((left * sigma) @ right.T, dtype=np.float32)


@pytest.mark.parametrize("shape", [(90, 200), (200, 90), (64, 64)])
@pytest.mark.parametrize("decay", [0.3, 0.8, 3.0])
def test_first_factors_are_as_exact_as_those_of_the_thin_svd(
    shape: tuple[int, int], decay: float
) -> None:
    matrix, rank = _matrix(shape, decay), 20
    exact = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    found, thin = decompose(matrix, rank=rank), decompose(matrix)
    assert np.abs(found.sigma - exact).max() <= 2**-24 * exact[0]
    assert found.left.shape == (shape[0], rank)
    assert found.right.shape == (rank, shape[1])
    best = np.sqrt(np.sum(exact[rank:] ** 2))
    for factors in (found, thin):
        product = (factors.left[:, :rank] * factors.sigma[:rank]) @ factors.right[:rank]
        assert np.linalg.norm(matrix - product) <= best + 1e-6 * exact[0]
    assert np.allclose(found.left.T @ found.left, np.eye(rank), atol=1e-6)


def test_matrix_of_a_lower_rank_has_no_factors_beyond_it() -> None:
    matrix = np.outer(np.arange(1.0, 41.0), np.ones(60))
    factors = decompose(matrix, rank=5)
    assert factors.sigma[1:].max() <= 1e-7 * factors.sigma[0]
    assert np.isfinite(factors.right).all()
    product = (factors.left * factors.sigma[:5]) @ factors.right
    assert np.allclose(product, matrix, rtol=1e-6)


def test_zero_matrix_has_zero_factors() -> None:
    factors = decompose(np.zeros((4, 9)), rank=2)
    assert not factors.sigma.any()
    assert not factors.right.any()
