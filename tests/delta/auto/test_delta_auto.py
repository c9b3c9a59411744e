"""The allocator, the metric, and the candidates of `auto`."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skillpm.delta.auto.candidates import CandidatePoint, Candidates, EncodingChoice, Family

from skillpm.delta.auto.allocate import at_price, within_bytes, within_distortion
from skillpm.delta.auto.factored import decompose
from skillpm.delta.auto.metric import ErrorMetric, MetricFactor
from skillpm.delta.codecs.grid import CodedGrid
from skillpm.spec.dtypes import TensorSpec

SHAPE = (96, 160)


def decaying(seed: int = 0, power: float = 0.9) -> np.ndarray:
    """Make a flat delta [96, 160] with singular values ~ i^-power."""
    draw = np.random.default_rng(seed)
    left = np.linalg.qr(draw.standard_normal((SHAPE[0], SHAPE[0])))[0]
    right = np.linalg.qr(draw.standard_normal((SHAPE[1], SHAPE[0])))[0]
    sigma = np.arange(1, SHAPE[0] + 1) ** -power
    return np.asarray((left * sigma) @ right.T).reshape(-1)


def correlated(size: int, seed: int) -> MetricFactor:
    """Make a metric in which few directions matter."""
    draw = np.random.default_rng(seed)
    roots = draw.standard_normal((size, size)) * np.arange(1, size + 1) ** -0.7
    return MetricFactor.of(torch.from_numpy(roots @ roots.T / size).float())


def candidates(metric: ErrorMetric, delta: np.ndarray | None = None) -> Candidates:
    flat = decaying() if delta is None else delta
    return Candidates(TensorSpec("w", "F32", SHAPE), flat, metric)


points = st.lists(st.tuples(st.floats(1, 1e6), st.floats(0, 1e6)), min_size=1, max_size=6).map(
    lambda pairs: [
        CandidatePoint(EncodingChoice("grid", 1.0), size, error) for size, error in pairs
    ]
)


@given(st.dictionaries(st.text("abc", min_size=1), points, min_size=1), st.floats(1, 1e7))
def test_no_set_within_the_budget_at_another_price_errs_less(
    surveyed: dict[str, list[CandidatePoint]], budget: float
) -> None:
    found = within_bytes(surveyed, budget)
    least = sum(min(p.size for p in several) for several in surveyed.values())
    assert found.size <= max(budget, least * (1 + 1e-9))
    for exponent in range(-60, 60, 3):
        other = at_price(surveyed, 2.0**exponent)
        if other.size <= budget:
            assert found.distortion <= other.distortion * (1 + 1e-9) + 1e-9


def test_asking_for_less_distortion_never_gives_a_smaller_set() -> None:
    made = candidates(ErrorMetric.flat(SHAPE, 1.0))
    several = [*made.fixed(), *(p for k in range(-18, 0) for p in made.points(2.0 ** (k / 2)))]
    sizes = [within_distortion({"w": several}, made.energy * s).size for s in (0.5, 0.1, 0.02)]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("family", ["svd-ec", "grid", "svd-ec+grid", "sign"])
def test_what_was_coded_errs_as_its_point_says(family: Family) -> None:
    made = candidates(ErrorMetric(correlated(SHAPE[0], 1), correlated(SHAPE[1], 2)))
    choice = EncodingChoice(family, made.top() / 40)
    coded = made.code(choice)
    assert coded is not None
    error = torch.from_numpy(decaying().reshape(SHAPE) - coded.decoded_delta()).float()
    assert made.point(choice, coded).distortion == pytest.approx(
        made.metric.distortion(error), rel=1e-3
    )
    assert coded.estimate() > 0


def test_a_metric_that_knows_what_matters_errs_less_where_it_matters() -> None:
    metric = ErrorMetric(correlated(SHAPE[0], 1), correlated(SHAPE[1], 2))
    knowing, blind = candidates(metric), candidates(ErrorMetric.flat(SHAPE, 1.0))
    for share in (8, 20, 60):
        seen = knowing.code(EncodingChoice("svd-ec", knowing.top() / share))
        assert seen is not None
        size = seen.estimate()
        steps = [blind.top() / 2.0 ** (k / 4) for k in range(4, 48)]
        coded = [
            one for one in (blind.code(EncodingChoice("svd-ec", step)) for step in steps) if one
        ]
        rival = min(coded, key=lambda one: abs(one.estimate() - size))
        error = torch.from_numpy(decaying().reshape(SHAPE) - rival.decoded_delta()).float()
        mine = knowing.point(EncodingChoice("svd-ec"), seen).distortion
        assert mine < metric.distortion(error)


def test_rounding_that_feeds_back_costs_less_for_the_same_error() -> None:
    made = candidates(ErrorMetric(correlated(SHAPE[0], 3), correlated(SHAPE[1], 4)))
    step = made.top() / 60
    fed = made.code(EncodingChoice("svd-ec", step))
    plain = [
        made.code(EncodingChoice("svd-ec", step * 2 ** (k / 8)), final=False) for k in range(-8, 24)
    ]
    assert fed is not None
    error = made.point(EncodingChoice("svd-ec"), fed).distortion
    rivals = [
        one
        for one in plain
        if one and made.point(EncodingChoice("svd-ec"), one).distortion <= error
    ]
    assert fed.estimate() < min(one.estimate() for one in rivals)


@pytest.mark.parametrize("shape", [(40, 70), (70, 40), (50, 50)])
def test_the_gram_way_gives_the_singular_values_that_svd_gives(shape: tuple[int, int]) -> None:
    matrix = torch.from_numpy(np.random.default_rng(0).standard_normal(shape)).float()
    left, sigma, right = decompose(matrix)
    assert torch.allclose((left * sigma) @ right.T, matrix, atol=1e-4)
    assert torch.allclose(sigma, torch.linalg.svdvals(matrix), rtol=1e-3)


def test_rows_that_do_not_count_cost_next_to_nothing() -> None:
    counts = torch.cat([torch.full((48,), 1.0), torch.full((48,), 1e-9)])
    metric = ErrorMetric(MetricFactor.of(counts), MetricFactor(torch.ones(SHAPE[1])))
    coded = candidates(metric, np.random.default_rng(0).standard_normal(SHAPE).reshape(-1)).code(
        EncodingChoice("grid", 0.05)
    )
    assert isinstance(coded, CodedGrid)
    magnitudes = np.abs(coded.codes).mean(axis=1)
    assert magnitudes[:48].mean() > 5 * magnitudes[48:].mean()


def test_a_survey_on_some_rows_says_about_what_all_rows_cost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("skillpm.delta.auto.candidates._SAMPLE", 1 << 12)
    monkeypatch.setattr("skillpm.delta.auto.candidates._FEWEST_ROWS", 16)
    made = candidates(ErrorMetric.flat(SHAPE, 1.0))
    assert made.whitened is not None
    step = 0.1 * float(made.whitened.sigma[40])
    found = made.points(step)
    assert {point.choice.family for point in found} == {"svd-ec", "grid", "svd-ec+grid"}
    for point in found:
        coded = made.code(point.choice, final=False)
        assert coded is not None
        whole = made.point(point.choice, coded)
        assert point.size == pytest.approx(whole.size, rel=0.1)
        assert point.distortion == pytest.approx(whole.distortion, rel=0.1)
