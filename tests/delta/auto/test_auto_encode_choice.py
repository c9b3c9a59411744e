"""Tensors that are encoded by a choice: what the metric says of them, and large tensors."""

import io

import numpy as np
import pytest
import torch
from auto_worlds import SHAPE, correlated, decaying, flat, full, rows_of_delta, uneven

from skillpm.delta.auto import rows as row_module
from skillpm.delta.auto.encode_choice import encode_choice
from skillpm.delta.auto.metric import ErrorMetric, MetricFactor
from skillpm.delta.auto.points import EncodingChoice
from skillpm.delta.auto.profile import Spectrum, scaled_vectors
from skillpm.delta.codecs.grid import CodedGrid
from skillpm.delta.codecs.shared.protocol import CodedTensor
from skillpm.delta.coding.payload import PayloadWriter
from skillpm.spec.dtypes import TensorSpec

TOP = 2.0
"""Twice the largest singular value of `decaying`."""


def encoded(
    metric: ErrorMetric, step: float, family: str = "svd-ec", *, feedback: bool = True
) -> CodedTensor:
    choice = EncodingChoice("grid" if family == "grid" else "svd-ec", step)
    coded = encode_choice(rows_of_delta(decaying()), metric, choice, feedback=feedback)
    assert coded is not None
    return coded


def largest(metric: ErrorMetric) -> float:
    """The largest singular value under a metric."""
    return float(Spectrum.of(torch.from_numpy(decaying()).float(), metric).sigma[0])


def error_of(coded: CodedTensor, metric: ErrorMetric) -> float:
    return metric.distortion(torch.from_numpy(decaying() - coded.decoded_delta()).float())


def size_of(coded: CodedTensor) -> int:
    spool = io.BytesIO()
    coded.write(TensorSpec("w", "F32", SHAPE), PayloadWriter(spool))
    return spool.tell()


@pytest.mark.parametrize("share", [20, 60])
def test_a_metric_that_knows_what_matters_errs_less_where_it_matters(share: int) -> None:
    metric = full()
    coded = encoded(metric, 2 * largest(metric) / share)
    rivals = [encoded(flat(), TOP / 2.0 ** (k / 4)) for k in range(12, 44)]
    rival = min(rivals, key=lambda other: abs(size_of(other) - size_of(coded)))
    assert error_of(coded, metric) < error_of(rival, metric)


def test_rounding_that_feeds_back_costs_less_for_the_same_error() -> None:
    metric = ErrorMetric(correlated(SHAPE[0], 3), correlated(SHAPE[1], 4))
    step = largest(metric) / 30
    fed = encoded(metric, step)
    plain = [encoded(metric, step * 2 ** (k / 8), feedback=False) for k in range(-12, 24)]
    rivals = [other for other in plain if error_of(other, metric) <= error_of(fed, metric)]
    assert rivals
    assert size_of(fed) < min(size_of(other) for other in rivals)


def test_a_finer_step_errs_less_and_takes_more_bytes() -> None:
    for family in ("grid", "svd-ec"):
        several = [encoded(full(), largest(full()) / 4 ** (k + 2), family) for k in range(4)]
        errors = [error_of(coded, full()) for coded in several]
        assert errors == sorted(errors, reverse=True)
        sizes = [size_of(coded) for coded in several]
        assert sizes == sorted(sizes)


@pytest.mark.parametrize("shape", [(40, 70), (70, 40), (50, 50)])
def test_the_gram_matrix_gives_the_singular_values_that_svd_gives(shape: tuple[int, int]) -> None:
    matrix = torch.from_numpy(np.random.default_rng(0).standard_normal(shape)).float()
    left, sigma, right = scaled_vectors(matrix)
    assert torch.allclose((left / sigma) @ right.T, matrix, atol=1e-4)
    assert torch.allclose(sigma, torch.linalg.svdvals(matrix), rtol=1e-3)


def test_rows_that_do_not_count_cost_next_to_nothing() -> None:
    counts = torch.cat([torch.full((48,), 1.0), torch.full((48,), 1e-9)])
    metric = ErrorMetric(MetricFactor.of(counts), MetricFactor(torch.ones(SHAPE[1])))
    noise = rows_of_delta(np.random.default_rng(0).standard_normal(SHAPE))
    coded = encode_choice(noise, metric, EncodingChoice("grid", 0.05))
    assert isinstance(coded, CodedGrid)
    magnitudes = np.abs(coded.codes.astype(np.int32)).mean(axis=1)
    assert magnitudes[:48].mean() > 5 * magnitudes[48:].mean()


def uneven_metric() -> ErrorMetric:
    return ErrorMetric(
        MetricFactor(torch.linspace(0.5, 2.0, 1000)),
        MetricFactor.of(torch.linspace(1.0, 3.0, 24)),
    )


def test_a_large_tensor_is_encoded_in_blocks_as_it_is_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = rows_of_delta(uneven(), chunk=1777)  # a row may cross chunks
    choice = EncodingChoice("grid", 0.01)
    at_once = encode_choice(rows, uneven_metric(), choice)
    monkeypatch.setattr(row_module, "LARGE_TALL", 1 << 12)
    assert row_module.is_large(rows.spec)
    in_blocks = encode_choice(rows, uneven_metric(), choice)
    assert isinstance(in_blocks, CodedGrid)
    assert isinstance(at_once, CodedGrid)
    assert np.array_equal(in_blocks.codes, at_once.codes)
    assert np.abs(at_once.codes.astype(np.int32)).max() > 127  # not all of them fit a byte
    assert np.allclose(in_blocks.levels, at_once.levels, rtol=1e-6)
    assert in_blocks.rows is not None
    assert at_once.rows is not None
    assert np.array_equal(in_blocks.rows, at_once.rows)


@pytest.mark.parametrize("family", ["grid", "svd-ec", "svd-ec+grid"])
def test_nothing_is_left_of_a_tensor_at_a_wide_step(family: str) -> None:
    choices = {each: EncodingChoice(each, 1e6) for each in ("grid", "svd-ec", "svd-ec+grid")}
    assert encode_choice(rows_of_delta(decaying()), flat(), choices[family]) is None
