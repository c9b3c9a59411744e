"""Grids of a light fine-tune in bfloat16: contexts from exponents, weights of tokens."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from auto_worlds import flat

from skillpm.delta.auto import rows as row_module
from skillpm.delta.auto.dense import code_grid
from skillpm.delta.auto.encode_choice import encode_choice
from skillpm.delta.auto.lattice import on_lattice, ulps_of
from skillpm.delta.auto.metric import ErrorMetric, MetricFactor
from skillpm.delta.auto.points import RECORD_BYTES, EncodingChoice
from skillpm.delta.auto.rows import TensorRows
from skillpm.delta.auto.survey import survey_tensor
from skillpm.delta.auto.weights import EMBEDDING_WEIGHT, Unweighted, token_weights
from skillpm.delta.codecs.grid import CodedGrid
from skillpm.delta.codecs.lossless_contexts import exponents_of
from skillpm.delta.codecs.shared.protocol import CodedTensor
from skillpm.delta.codecs.svd_ec_grid import CodedHybrid
from skillpm.delta.coding.payload import PayloadWriter
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.rounding import from_float64, to_float64
from skillpm.spec.dtypes import TensorSpec

SHAPE = (512, 384)
SPEC = TensorSpec("w", "BF16", SHAPE)


def tune() -> TensorRows:
    """A light fine-tune: most words do not change, small weights change by small steps."""
    random = np.random.default_rng(5)
    before = from_float64(random.normal(size=SPEC.elements) * 0.05, "BF16")[0]
    rows = np.exp(random.normal(size=(SPEC.shape[0], 1)))
    moved = (2e-5 * rows * random.laplace(size=SPEC.shape)).reshape(-1)
    after = from_float64(to_float64(before, "BF16") + moved, "BF16")[0]
    return TensorRows(SPEC, lambda: [(before, after)])


def written(coded: CodedTensor) -> int:
    spool = io.BytesIO()
    coded.write(SPEC, PayloadWriter(spool))
    return spool.tell()


def test_the_survey_counts_what_exponents_save() -> None:
    rows, metric = tune(), flat(SHAPE)
    survey = survey_tensor(Pair("w", SPEC, SPEC), rows, metric)
    assert survey is not None
    grids = [point for point in survey.points if point.choice.family == "grid"]
    assert len(grids) >= 4
    for point in grids:
        coded = encode_choice(rows, metric, point.choice)
        assert isinstance(coded, CodedGrid)
        assert point.size == pytest.approx(written(coded) + RECORD_BYTES, rel=0.1, abs=80)
        assert written(coded) <= written(replace(coded, exponents=None))
    finest = encode_choice(rows, metric, grids[-1].choice)
    assert isinstance(finest, CodedGrid)
    assert written(finest) < 0.75 * written(replace(finest, exponents=None))


@pytest.mark.parametrize("large", [False, True])
def test_a_grid_has_the_exponents_of_the_base(
    *, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(row_module, "LARGE", 1 << 10)
    rows = tune()
    ((before, _),) = rows.read()
    coded = encode_choice(rows, flat(SHAPE), EncodingChoice("grid", 2.0**-14))
    assert isinstance(coded, CodedGrid)
    assert coded.exponents is not None
    assert (coded.exponents == (before >> 7 & 0xFF)).all()


def test_the_residual_of_a_hybrid_has_the_exponents_of_the_base() -> None:
    random = np.random.default_rng(6)
    rows = tune()
    ((before, _),) = rows.read()
    low = 3e-3 * np.outer(random.normal(size=512), random.normal(size=384)).reshape(-1)
    noise = 2e-4 * random.normal(size=SPEC.elements)
    after = from_float64(to_float64(before, "BF16") + low + noise, "BF16")[0]
    choice = EncodingChoice("svd-ec+grid", 2.0**-12)
    coded = encode_choice(TensorRows(SPEC, lambda: [(before, after)]), flat(SHAPE), choice)
    assert isinstance(coded, CodedHybrid)
    assert coded.rest.exponents is not None
    assert (coded.rest.exponents == (before >> 7 & 0xFF)).all()


def correlated(width: int) -> MetricFactor:
    """A full factor of inputs that are correlated."""
    random = np.random.default_rng(7)
    mixed = random.normal(size=(2 * width, width)) @ random.normal(size=(width, width))
    return MetricFactor.of(torch.from_numpy(mixed.T @ mixed / width**2).float())


def test_entries_of_a_light_fine_tune_are_rounded_without_feedback() -> None:
    rows, choice = tune(), EncodingChoice("grid", 2.0**-13)
    metric = ErrorMetric(MetricFactor(torch.ones(SPEC.shape[0])), correlated(SPEC.shape[1]))
    delta = rows.whole()
    coded = encode_choice(rows, metric, choice)
    alone, fed = (code_grid(delta, metric, choice.step, feedback=on) for on in (False, True))
    assert isinstance(coded, CodedGrid)
    assert alone is not None
    assert fed is not None
    assert (coded.codes == alone.codes).all()
    assert not (coded.codes == fed.codes).all()


def test_a_lattice_has_many_zeros_in_the_rows_that_moved() -> None:
    dense = torch.ones(8, 10)
    assert not on_lattice(dense)
    half = dense.clone()
    half[:, ::2] = 0
    assert on_lattice(half)
    few = dense.clone()
    few[:6] = 0  # rows that did not move say nothing
    assert not on_lattice(few)
    assert not on_lattice(torch.zeros(8, 10))


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32", "F8_E4M3", "F8_E5M2"])
def test_an_ulp_is_the_distance_to_the_next_number(dtype: str) -> None:
    spec = TensorSpec("w", dtype, (64,))
    size = 8 * spec.itemsize
    random = np.random.default_rng(8)
    words = (random.integers(0, 1 << (size - 3), 64, dtype=np.uint64)).astype(f"<u{spec.itemsize}")
    gaps = to_float64(words + words.dtype.type(1), dtype) - to_float64(words, dtype)
    assert (ulps_of(exponents_of(words, dtype), dtype).double().numpy() == gaps).all()


def test_levels_are_centroids_of_what_the_graft_does_not_round() -> None:
    ulps = torch.tensor([[0.25, 0.25, 2.0, 2.0]])
    delta = torch.tensor([[0.9, 0.9, 2.0, 0.0]])
    metric = ErrorMetric.flat((1, 4), 1.0)
    alone, aware = (code_grid(delta, metric, 1.5, feedback=False, ulps=u) for u in (None, ulps))
    assert alone is not None
    assert alone.levels[1] == pytest.approx(3.8 / 3)
    assert aware is not None
    assert aware.levels[1] == pytest.approx(0.9)


def test_rows_of_frequent_tokens_weigh_more() -> None:
    weights = token_weights(1 << 14)
    assert float(weights.double().mean()) == pytest.approx(EMBEDDING_WEIGHT)
    assert bool((weights[1:] < weights[:-1]).all())
    assert float(weights[300] / weights[1500]) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("tensor", "shape", "weight"),
    [
        ("model.layers.0.mlp.up_proj.weight", (1 << 13, 4), 1.0),
        ("lm_head.weight", (1 << 13, 4), 1.0),
        ("model.embed_positions.weight", (512, 4), 1.0),
        ("model.norm.weight", (1, 64), 16.0),
    ],
)
def test_other_tensors_have_one_weight_without_data(
    tensor: str, shape: tuple[int, int], weight: float
) -> None:
    found = Unweighted().metric(tensor, shape)
    assert bool((found.rows.diagonal == weight).all())
    assert found.distortion(torch.ones(shape)) == pytest.approx(weight * shape[0] * shape[1])


def test_a_token_embedding_has_the_weights_of_its_tokens() -> None:
    shape = (1 << 13, 4)
    found: ErrorMetric = Unweighted().metric("model.embed_tokens.weight", shape)
    assert found.distortion(torch.ones(shape)) == pytest.approx(EMBEDDING_WEIGHT * (1 << 15))
    assert bool((found.rows.diagonal == token_weights(1 << 13)).all())
