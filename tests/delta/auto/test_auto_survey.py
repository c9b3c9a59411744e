"""The survey of a tensor: its estimates, compared with what encoding it gives."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from auto_worlds import decaying, flat, full, pair_of, rows_of_delta, uneven

from skillpm.delta.auto import rows as row_module
from skillpm.delta.auto.encode_choice import encode_choice
from skillpm.delta.auto.exact_size import estimated_bytes
from skillpm.delta.auto.metric import ErrorMetric
from skillpm.delta.auto.points import RECORD_BYTES, CandidatePoint, EncodingChoice
from skillpm.delta.auto.profile import RowSums
from skillpm.delta.auto.rows import TensorRows
from skillpm.delta.auto.survey import survey_tensor
from skillpm.delta.coding.payload import PayloadWriter
from skillpm.delta.encoding.schemes import Lossless


def measured(rows: TensorRows, metric: ErrorMetric, choice: EncodingChoice) -> CandidatePoint:
    """Encode a tensor, and measure its bytes and its distortion."""
    spool = io.BytesIO()
    if choice.family == "lossless":
        pair = replace(pair_of(np.zeros(rows.spec.shape)), tuned=rows.spec, base=rows.spec)
        Lossless().encode(pair, rows.read(), PayloadWriter(spool))
        return CandidatePoint(choice, spool.tell() + RECORD_BYTES, 0.0)
    delta = torch.cat([block.delta(rows.spec.dtype) for block in rows.blocks()])
    coded = encode_choice(rows, metric, choice)
    assert coded is not None
    coded.write(rows.spec, PayloadWriter(spool))
    error = delta - torch.from_numpy(coded.decoded_delta()).float()
    return CandidatePoint(choice, spool.tell() + RECORD_BYTES, metric.distortion(error))


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
def test_points_of_a_survey_cost_about_what_they_say(dtype: str) -> None:
    rows, metric = rows_of_delta(decaying(), dtype=dtype), flat()
    survey = survey_tensor(pair_of(decaying()), rows, metric)
    assert survey is not None
    families = {point.choice.family for point in survey.points}
    assert {"zero", "svd-ec", "lossless"} <= families
    assert survey.points[0].distortion == pytest.approx(survey.energy)
    for point in survey.points[1:]:
        real = measured(rows, metric, point.choice)
        assert point.size == pytest.approx(real.size, rel=0.2, abs=80)
        assert point.distortion == pytest.approx(real.distortion, rel=0.1, abs=1e-4 * survey.energy)


def test_points_under_a_full_metric_trade_bytes_for_distortion_as_encoding_does() -> None:
    rows, metric = rows_of_delta(decaying()), full()
    survey = survey_tensor(pair_of(decaying()), rows, metric)
    assert survey is not None
    real = [measured(rows, metric, point.choice) for point in survey.points[1:-1]]
    errors = [point.distortion for point in real if point.distortion < 0.3 * survey.energy]
    assert len(errors) > 4
    assert errors == sorted(errors, reverse=True)
    for point, other in zip(survey.points[1:-1], real, strict=True):
        if other.distortion < 0.3 * survey.energy:
            assert point.size == pytest.approx(other.size, rel=0.8)


def test_a_large_tensor_is_surveyed_from_few_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, metric = rows_of_delta(uneven(), chunk=1777), flat((1000, 24))
    monkeypatch.setattr(row_module, "LARGE_TALL", 1 << 12)
    monkeypatch.setattr("skillpm.delta.auto.profile.SAMPLE", 1 << 12)
    monkeypatch.setattr("skillpm.delta.auto.survey.SMALL", 1 << 10)
    survey = survey_tensor(pair_of(uneven()), rows, metric)
    assert survey is not None
    assert {point.choice.family for point in survey.points} == {"zero", "grid", "lossless"}
    for point in survey.points[1:-1]:
        real = measured(rows, metric, point.choice)
        assert point.size == pytest.approx(real.size, rel=0.25, abs=80)
        assert point.distortion == pytest.approx(
            real.distortion, rel=0.25, abs=1e-6 * survey.energy
        )


def test_exact_encoding_is_estimated_from_sampled_rows() -> None:
    delta = 1e-3 * uneven(shape=(512, 256))
    rows = rows_of_delta(delta, dtype="BF16")
    sums = RowSums.of((block.delta("BF16") for block in rows.blocks()), flat(delta.shape))
    strata = sums.strata()
    sample = rows.sampled(strata.rows)
    estimate = estimated_bytes(sample.reference, sample.tuned, "BF16", strata, sums.sizes.size)
    real = measured(rows, flat(), EncodingChoice("lossless")).size - RECORD_BYTES
    assert estimate == pytest.approx(real, rel=0.1)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_delta_that_is_not_finite_or_too_large_is_stored_exactly(value: float) -> None:
    delta = uneven()
    delta[1, 5] = value
    assert survey_tensor(pair_of(delta), rows_of_delta(delta), flat((1000, 24))) is None


def test_a_vector_has_no_low_rank_candidates() -> None:
    delta = np.random.default_rng(0).standard_normal((1, 400))
    survey = survey_tensor(pair_of(delta), rows_of_delta(delta), flat((1, 400)))
    assert survey is not None
    assert {point.choice.family for point in survey.points} == {"zero", "grid", "lossless"}
