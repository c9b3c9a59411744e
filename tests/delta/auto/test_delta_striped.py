"""Large tensors of `auto`, surveyed on a sample and coded in stripes, compared with whole ones."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from skillpm.delta.auto.candidates import EncodingChoice
from skillpm.delta.auto.striped import code_large, delta_of, row_stride, sampled

from skillpm.delta.auto import striped
from skillpm.delta.auto.dense import code_grid
from skillpm.delta.auto.metric import ErrorMetric, MetricFactor
from skillpm.delta.tensors.streams import Chunk
from skillpm.spec.dtypes import TensorSpec

SHAPE = (1000, 24)
SPEC = TensorSpec("embed.weight", "F32", SHAPE)
CHUNK = 1777
"""Not a multiple of a row, so that rows cross chunks."""


@pytest.fixture
def delta(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    monkeypatch.setattr(striped, "LARGE", 1 << 12)
    monkeypatch.setattr(striped, "SAMPLE", 1 << 12)
    draw = np.random.default_rng(3)
    rows = np.exp(draw.standard_normal((SHAPE[0], 1)))
    return (draw.standard_normal(SHAPE) * rows).astype(np.float32)


def chunks(delta: np.ndarray) -> Iterator[Chunk]:
    tuned = delta.reshape(-1).view("<u4")
    for start in range(0, tuned.size, CHUNK):
        some = tuned[start : start + CHUNK]
        yield np.zeros_like(some), some


def metric() -> ErrorMetric:
    return ErrorMetric(
        MetricFactor(torch.linspace(0.5, 2.0, SHAPE[0])),
        MetricFactor.of(torch.linspace(1.0, 3.0, SHAPE[1])),
    )


def test_a_large_tensor_coded_in_stripes_is_what_it_is_at_once(delta: np.ndarray) -> None:
    at_once = code_grid(torch.from_numpy(delta), metric(), 0.5, feedback=False)
    found = code_large(SPEC, chunks(delta), metric(), EncodingChoice("grid", 0.5))
    assert found is not None
    assert at_once is not None
    assert np.array_equal(found.codes, at_once.codes)
    assert np.allclose(found.levels, at_once.levels, rtol=1e-6)
    assert found.rows is not None
    assert at_once.rows is not None
    assert np.array_equal(found.rows, at_once.rows)


def test_some_rows_tell_about_what_all_would(
    delta: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = delta_of(SPEC, chunks(delta))
    assert rows is not None
    assert row_stride(SPEC) == 6
    assert np.array_equal(rows, delta[::6])
    some = sampled(SPEC, rows, metric())
    monkeypatch.setattr(striped, "LARGE", 1 << 30)
    everything = delta_of(SPEC, chunks(delta))
    assert everything is not None
    whole = sampled(SPEC, everything, metric())
    assert some.energy == pytest.approx(whole.energy, rel=0.3)
    near = next(point for point in some.points(0.5) if point.choice == EncodingChoice("grid", 0.5))
    exact = next(
        point for point in whole.points(0.5) if point.choice == EncodingChoice("grid", 0.5)
    )
    assert near.size == pytest.approx(exact.size, rel=0.1)
    assert near.distortion == pytest.approx(exact.distortion, rel=0.1)


def test_a_large_tensor_with_one_entry_that_is_no_number_has_no_delta(delta: np.ndarray) -> None:
    delta[1, 5] = np.nan  # not among the rows that are surveyed
    assert delta_of(SPEC, chunks(delta)) is None


def test_nothing_is_left_of_a_large_tensor_at_a_wide_step(delta: np.ndarray) -> None:
    assert code_large(SPEC, chunks(delta), metric(), EncodingChoice("grid", 1e6)) is None
