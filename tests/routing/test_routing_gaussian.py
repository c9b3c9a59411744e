"""The two-covariance model, compared with densities written out in full."""

import numpy as np
import pytest
from routing_worlds import WIDTH, cloud

from skillpm.routing.background import Background
from skillpm.routing.gaussian import COUNT, evidence, shrunk, space_of


@pytest.mark.parametrize("count", [2, 5, 40, 4000])
def test_shrunk_covariance_is_positive_definite(count: int) -> None:
    rows = np.random.default_rng(count).standard_normal((count, WIDTH)) * np.arange(1, WIDTH + 1)
    values = np.linalg.eigvalsh(shrunk(rows - rows.mean(axis=0)))
    assert values.min() > 0


def test_sample_of_equal_texts_has_finite_evidence() -> None:
    same = np.ones((9, WIDTH)) / WIDTH
    space = space_of([same], Background.of([], [], WIDTH))
    assert np.isfinite(evidence(space, space.project(same), space.project(same)[:1])).all()


def test_shrunk_covariance_converges_to_that_of_the_data() -> None:
    rows = np.random.default_rng(0).standard_normal((20_000, WIDTH)) * np.arange(1, WIDTH + 1)
    expected = np.diag(np.arange(1.0, WIDTH + 1) ** 2)
    assert np.abs(shrunk(rows) - expected).max() < 0.05 * expected.max()


def log_density(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> float:
    away = x - mean
    _, size = np.linalg.slogdet(2 * np.pi * covariance)
    return float(-(size + away @ np.linalg.solve(covariance, away)) / 2)


def test_evidence_is_the_ratio_of_the_densities() -> None:
    samples = [cloud(seed, 30) for seed in (1, 2, 3)]
    space = space_of(samples, Background.of([cloud(9, 30, spread=0.5)], [1], WIDTH))
    inverse = np.linalg.inv(space.axes)
    within = inverse.T @ inverse
    between = inverse.T @ np.diag(space.spread) @ inverse
    text, count, mean = cloud(1, 1)[0], COUNT, samples[0].mean(axis=0)
    gain = between @ np.linalg.inv(between + within / count)
    centre = space.centre + gain @ (mean - space.centre)
    left = between - gain @ between
    expected = log_density(text, centre, within + left)
    expected -= log_density(text, space.centre, within + between)
    seen = space.project(samples[0]).mean(axis=0)
    assert evidence(space, space.project(text[None]), seen[None])[0, 0] == pytest.approx(expected)
