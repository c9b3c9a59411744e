from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from delta_worlds import Model, new_writer, numbers, reader_of
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.codecs import lowrank
from skillpm.delta.codecs.lowrank import AppliedUpdate, Update, factor_of
from skillpm.delta.codecs.shared.exact_product import EXACT, ExactProduct, Factor, width_for
from skillpm.delta.coding.payload import PayloadReader
from skillpm.delta.tensors.ports import CHUNK
from skillpm.delta.tensors.rounding import from_float64, to_float64
from skillpm.delta.tensors.words import Words, word_dtype, words_of
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec


def factor(values: np.ndarray, dtype: str) -> Factor:
    words, _ = from_float64(np.ascontiguousarray(values).reshape(-1), dtype)
    return factor_of(words.tobytes(), dtype, values.shape)


def plain(made: Factor) -> np.ndarray:
    return to_float64(made.words, made.dtype)


def exactly(left: Factor, right: Factor) -> np.ndarray:
    """Return the product in rational numbers, each entry rounded once to float64."""
    rows, columns = plain(left).tolist(), plain(right).T.tolist()
    return np.array([
        [float(sum(Fraction(a) * Fraction(b) for a, b in zip(r, c, strict=True))) for c in columns]
        for r in rows
    ])  # fmt: skip


def spread(shape: tuple[int, int], seed: int, decades: float) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(size=shape) * 10 ** random.uniform(-decades, decades, shape)


@given(
    st.sampled_from(["F32", "BF16", "F16"]),
    st.sampled_from(["F32", "BF16", "F16"]),
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1.2),
)
def test_exact_product_matches_rational_arithmetic_at_both_depths(
    one: str, other: str, rank: int, seed: int, decades: float
) -> None:
    left = factor(spread((5, rank), seed, decades), one)
    right = factor(spread((rank, 6), seed + 1, decades), other)
    tops = np.abs(plain(left)).max(axis=1)[:, None] * np.abs(plain(right)).max(axis=0)
    for depth, bits in ((1, 38), (2, 50)):
        made = ExactProduct(left, right, "t", width=width_for(rank), depth=depth).rows(0, 5)
        error = np.abs(made - exactly(left, right))
        assert (error <= rank * tops * 2.0**-bits).all()


def test_components_of_very_different_sizes_are_balanced() -> None:
    tilt = 10.0 ** np.arange(-12, 12, 6)
    left = factor(spread((6, 4), 1, 0.3) * tilt, "F32")
    right = factor(spread((4, 7), 2, 0.3) / tilt[:, None], "F32")
    made = ExactProduct(left, right, "t", width=width_for(4), depth=2).rows(0, 6)
    assert np.abs(made / exactly(left, right) - 1).max() < 2.0**-45


def test_rows_are_independent_of_the_requested_span() -> None:
    left = factor(spread((40, 8), 3, 1.0), "BF16")
    right = factor(spread((8, 30), 4, 2.0), "BF16")
    product = ExactProduct(left, right, "t", width=width_for(8), depth=1)
    whole = product.rows(0, 40)
    single = np.concatenate([product.rows(row, row + 1) for row in range(40)])
    assert (single == whole).all()


@given(
    st.sampled_from(["F32", "BF16", "F16"]),
    st.integers(-70, 70),
    st.sampled_from([1.0, -1.0]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.5, 12.0, 38.0]),
)
def test_powers_of_two_scale_the_product_exactly(
    dtype: str,
    power: int,
    sign: float,
    seed: int,
    decades: float,
) -> None:
    limit = 4.0 if dtype == "F16" else decades
    left = factor(spread((6, 5), seed, limit), dtype)
    right = factor(spread((5, 7), seed + 1, limit), dtype)
    scale = sign * 2.0**power
    product = ExactProduct(left, right, "t", width=width_for(5), depth=2)
    assert product.rows(0, 6, scale).tobytes() == (product.rows(0, 6) * scale + 0.0).tobytes()


def test_negative_zeros_of_the_base_become_positive_where_the_update_is_zero() -> None:
    spec = TensorSpec("t", "BF16", (2, 3))
    a, b = factor(np.zeros((1, 3)), "F32"), factor(-np.ones((2, 1)), "F32")
    applied = AppliedUpdate.fitting(spec, Update(a, b, -2.0, transposed=False))
    reference = np.array([0x8000, 0, 0x3F80, 0x8000, 0xBF80, 0], dtype="<u2")
    assert applied.words(0, reference, "t").tolist() == [0, 0, 0x3F80, 0, 0xBF80, 0]


@given(st.integers(1, 1 << 16))
def test_every_level_stays_below_the_exact_integers_of_float64(rank: int) -> None:
    top = 1 << width_for(rank)
    assert rank * top * top <= EXACT
    assert rank * (top * top // 2 * 2) <= EXACT
    assert rank * (top * top + top * top // 4) <= EXACT


def test_slices_that_would_round_are_refused() -> None:
    left, right = (factor(spread(shape, 5, 0), "F32") for shape in ((4, 64), (64, 4)))
    product = ExactProduct(left, right, "t", width=26, depth=1)
    with pytest.raises(IntegrityError, match="do not multiply exactly"):
        product.rows(0, 4)


def test_factors_that_are_not_finite_are_refused() -> None:
    left, right = factor(np.ones((4, 2)), "F32"), factor(np.ones((2, 4)), "F32")
    bad = factor(np.ones((4, 2)), "F32")
    bad = Factor(np.array(bad.words), "F32")
    bad.words[1, 1] = 0x7FC00000
    for sides in ((bad, right), (left, Factor(bad.words.T, "F32"))):
        with pytest.raises(IntegrityError, match="NaN or Inf"):
            ExactProduct(*sides, "t", width=20, depth=1)


def update(shape: tuple[int, int], rank: int, dtype: str = "F32", **more: object) -> Update:
    a, b = factor(spread((rank, shape[1]), 6, 0.5), dtype), factor(spread((shape[0], rank), 7, 0.5),
                                                                   dtype)  # fmt: skip
    return Update(a, b, 0.375, transposed=False, **more)  # type: ignore[arg-type]


def written(spec: TensorSpec, made: Update) -> tuple[PayloadReader, dict[str, object]]:
    writer = new_writer()
    record = lowrank.encode(spec, made, writer)
    return reader_of(writer), dict(record.settings)


def decoded(spec: TensorSpec, made: Update, reference: Words) -> np.ndarray:
    decoder = lowrank.LowRankDecoder(spec, *written(spec, made))
    step = range(0, spec.elements, CHUNK)
    return np.concatenate([
        decoder.delta_of(n, reference[start : start + CHUNK]) for n, start in enumerate(step)
    ])  # fmt: skip


@pytest.mark.parametrize("dtype", lowrank.DTYPES)
def test_factors_round_trip_bit_for_bit(dtype: str) -> None:
    spec = TensorSpec("t", "F32", (30, 20))
    made = update((30, 20), 3, dtype)
    found = lowrank.LowRankDecoder(spec, *written(spec, made)).update
    assert (found.a.words == made.a.words).all()
    assert (found.b.words == made.b.words).all()
    assert (found.scale, found.a.dtype, found.rank) == (0.375, dtype, 3)


def test_chunks_that_end_within_a_row_are_decoded() -> None:
    shape = (1500, 1000)
    spec = TensorSpec("t", "BF16", shape)
    made = update(shape, 2)
    reference = np.zeros(spec.elements, dtype=word_dtype(2))
    found = decoded(spec, made, reference)
    expected = 0.375 * (plain(made.b) @ plain(made.a)).reshape(-1)
    assert np.abs(found - expected).max() <= 2.0**-40 * np.abs(expected).max()


@pytest.mark.parametrize("axis", [0, 1])
def test_magnitudes_scale_the_sum_of_base_and_update(axis: int) -> None:
    shape = (1300, 1000)
    base = Model({"t": numbers("F32", shape, np.random.default_rng(8).normal(size=1_300_000))})
    reference = words_of(b"".join(base.chunks("t")), base.specs["t"])
    factors = np.random.default_rng(9).uniform(0.5, 2, shape[axis])
    made = update(shape, 2, axis=axis, magnitudes=factors)
    found = decoded(base.specs["t"], made, reference).reshape(shape)
    weight = to_float64(reference, "F32").reshape(shape)
    grown = weight + 0.375 * (plain(made.b) @ plain(made.a))
    expected = grown * (factors[:, None] if axis == 0 else factors) - weight
    assert np.abs(found - expected).max() <= 2.0**-45 * np.abs(grown).max()


@pytest.mark.parametrize("wrong", [
    {"rank": 0}, {"rank": 513}, {"rank": True}, {"rank": 2}, {"scale": 1}, {"scale": "1"},
    {"a": "F64"}, {"b": "BF16"}, {"a": None}, {"transposed": 0}, {"transposed": True},
    {"axis": 2}, {"axis": True}, {"axis": 0}, {"width": 0}, {"width": 27}, {"depth": 3},
    {"depth": 0},
])  # fmt: skip
def test_records_that_do_not_fit_are_refused(wrong: dict[str, object]) -> None:
    spec = TensorSpec("t", "F32", (30, 20))
    reader, settings = written(spec, update((30, 20), 3))
    with pytest.raises(IntegrityError):
        lowrank.LowRankDecoder(spec, reader, {**settings, **wrong})


@pytest.mark.parametrize("shape", [(20,), (0, 20), (2, 3, 4)])
def test_tensor_that_is_not_a_matrix_has_no_factors(shape: tuple[int, ...]) -> None:
    reader, settings = written(TensorSpec("t", "F32", (30, 20)), update((30, 20), 3))
    with pytest.raises(IntegrityError, match="is not a matrix"):
        lowrank.LowRankDecoder(TensorSpec("t", "F32", shape), reader, settings)


def test_magnitudes_that_are_not_finite_are_refused() -> None:
    spec = TensorSpec("t", "F32", (30, 20))
    made = update((30, 20), 3, axis=0, magnitudes=np.full(30, np.nan))
    with pytest.raises(IntegrityError, match="is NaN or Inf"):
        lowrank.LowRankDecoder(spec, *written(spec, made))


def test_a_decoder_applies_only_the_update_that_it_was_written_from() -> None:
    update = Update(factor(spread((2, 6), 1, 1), "F32"), factor(spread((4, 2), 2, 1), "F32"), 0.5,
                    transposed=False)  # fmt: skip
    spec = TensorSpec("t", "BF16", (4, 6))
    writer = new_writer()
    record = lowrank.encode(spec, update, writer)
    writer.describe("t", record)
    decoder = lowrank.CODEC.open(spec, reader_of(writer), record.settings)
    assert lowrank.applies(decoder, update)
    moved = update.a.words.copy()
    moved[0, 0] ^= 1
    others = [
        replace(update, a=Factor(moved, "F32")),
        replace(update, scale=0.25),
        replace(update, transposed=True),
        replace(update, axis=0, magnitudes=np.ones(4)),
    ]
    assert not any(lowrank.applies(decoder, other) for other in others)
    settings = {**record.settings, "width": record.settings["width"] - 1}
    assert not lowrank.applies(lowrank.CODEC.open(spec, reader_of(writer), settings), update)
