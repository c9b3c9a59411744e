"""Contexts of mode `r`: classes of rows and columns, where they save bytes, and damaged parts."""

import numpy as np
import pytest

from skillpm.delta.codecs.lossless_contexts import (
    Model,
    Span,
    choose_model,
    decode_modelled,
    encode_modelled,
)
from skillpm.delta.codecs.shared.classes import encode_classes
from skillpm.delta.codecs.shared.coded import join
from skillpm.delta.coding.integers import encode_integers
from skillpm.delta.tensors.rounding import from_float64
from skillpm.delta.tensors.words import difference
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

SQUARE = TensorSpec("t", "BF16", (300, 200))


def _moved(
    spec: TensorSpec, scale: float | np.ndarray
) -> tuple[Span, np.ndarray, np.ndarray, Model]:
    """Return normal words, moved by about `scale`, as one chunk, and the model of the moves."""
    random = np.random.default_rng(8)
    weights = random.normal(size=spec.shape) * 0.02
    pair = (weights, weights + random.normal(size=spec.shape) * 4e-4 * scale)
    reference, tuned = (from_float64(each.reshape(-1), spec.dtype)[0] for each in pair)
    folded = difference(reference, tuned, spec.dtype)
    span = Span(spec, 0, folded.size)
    return span, reference, folded, choose_model(span, reference, folded)


def _uneven(
    spec: TensorSpec, *, rows: bool, columns: bool
) -> tuple[Span, np.ndarray, np.ndarray, Model]:
    """Move the words of some rows and columns further than others."""
    random = np.random.default_rng(9)
    height, width = spec.shape
    by_row = random.integers(-2, 3, (height, 1)) if rows else 0
    by_column = random.integers(-2, 3, width) if columns else 0
    return _moved(spec, np.exp2(by_row + by_column + np.zeros(spec.shape)))


@pytest.mark.parametrize("sides", ["rows columns", "rows", "columns"])
@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_classes_of_rows_and_columns_are_kept_where_they_save(dtype: str, sides: str) -> None:
    spec = TensorSpec("t", dtype, SQUARE.shape)
    rows, columns = "rows" in sides, "columns" in sides
    span, reference, folded, model = _uneven(spec, rows=rows, columns=columns)
    assert model.cells is not None
    assert (model.cells.classes.rows.size, model.cells.classes.columns.size) == (
        300 * rows,
        200 * columns,
    )
    part = encode_modelled(model, span, reference, folded)
    assert (decode_modelled(part, span, reference) == folded).all()
    assert 8 * len(part) == pytest.approx(model.bits, rel=0.02)


def test_classes_that_say_nothing_are_left_out() -> None:
    assert _uneven(SQUARE, rows=False, columns=False)[-1].cells is None


@pytest.mark.parametrize("shape", [(200,), (7, 200), (4000, 15), (16, 16)])
def test_small_and_narrow_tensors_have_no_classes(shape: tuple[int, ...]) -> None:
    spec = TensorSpec("t", "BF16", shape)
    scale = np.exp2(np.arange(spec.elements) % shape[-1] % 5).reshape(shape)
    span, reference, folded, model = _moved(spec, scale)
    assert model.cells is None
    part = encode_modelled(model, span, reference, folded)
    assert (decode_modelled(part, span, reference) == folded).all()


def test_classes_of_columns_save_a_twentieth() -> None:
    sizes = []
    for shape in (SQUARE.shape, (SQUARE.elements,)):
        spec = TensorSpec("t", "BF16", shape)
        span, reference, folded, _ = _uneven(SQUARE, rows=False, columns=True)
        span = Span(spec, 0, folded.size)
        sizes.append(choose_model(span, reference, folded).bits)
    assert sizes[0] < 0.95 * sizes[1]


def test_a_chunk_that_starts_within_a_row_keeps_the_classes_of_its_columns() -> None:
    _, reference, folded, _ = _uneven(SQUARE, rows=True, columns=True)
    start, stop = 130, SQUARE.elements - 77
    span = Span(SQUARE, start, stop - start)
    reference, folded = reference[start:stop], folded[start:stop]
    model = choose_model(span, reference, folded)
    assert model.cells is not None
    assert model.cells.classes.columns.size == 200
    part = encode_modelled(model, span, reference, folded)
    assert (decode_modelled(part, span, reference) == folded).all()


def test_damaged_modelled_part_is_an_error_or_gives_other_words() -> None:
    span, reference, folded, model = _uneven(SQUARE, rows=True, columns=True)
    assert model.cells is not None
    part = encode_modelled(model, span, reference, folded)
    assert (decode_modelled(part, span, reference) == folded).all()
    found = 0
    places = [*range(400), *range(400, len(part), 29)]
    for place in places:
        changed = bytearray(part)
        changed[place] ^= 0x41
        try:
            assert decode_modelled(bytes(changed), span, reference).shape == folded.shape
        except IntegrityError:
            found += 1
        with pytest.raises(IntegrityError):
            decode_modelled(part[:place], span, reference)
    assert found > len(places) // 2


def _classed(
    rows: int = 0, columns: int = 0, octaves: bytes = b"\x7f\0\4", labels: int = 0
) -> bytes:
    """Return a part with classes, all of one number, for a tensor of 90 × 20."""
    sides = (np.full(90, rows, np.int32), np.full(20, columns, np.int32))
    cells = 256 // max(octaves[-1], 1) * octaves[-1] if octaves else 0
    sections = [encode_classes(each) for each in (*sides, np.full(cells, labels, np.int32))]
    stream = encode_integers(np.zeros(1800, np.int32), np.zeros(1800, np.uint8))
    return b"\x80" + join([*sections[:2], octaves, sections[2], stream])


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"\5\0", "unknown header"),
        (b"\x81\0", "unknown header"),
        (b"\x80\xff\xff\xff\xff\xff", "length"),
        (b"\x80\7ab", "truncated section"),
        (_classed(rows=-5), "class"),
        (_classed(columns=1 << 10), "class"),
        (_classed(octaves=b""), "without octaves"),
        (_classed(octaves=b"\x7f\0"), "unknown contexts of exponents"),
        (_classed(octaves=b"\x7f\0\x41"), "unknown contexts of exponents"),
        (_classed(labels=64), "map of contexts"),
        (_classed() + b"a", "extra bytes"),
        (
            b"\0\0" + encode_integers(np.full(1800, 1 << 20, np.int32), np.zeros(1800, np.uint8)),
            "does not fit",
        ),
    ],
)
def test_hostile_modelled_parts_are_refused_with_the_reason(head: bytes, message: str) -> None:
    spec = TensorSpec("t", "BF16", (90, 20))
    with pytest.raises(IntegrityError, match=rf"`t`.*{message}"):
        decode_modelled(head, Span(spec, 0, 1800), np.zeros(1800, dtype="<u2"))


def test_classes_of_a_tensor_without_rows_are_refused() -> None:
    span = Span(TensorSpec("t", "BF16", (1800,)), 0, 1800)
    with pytest.raises(IntegrityError, match="`t` has classes, which its shape"):
        decode_modelled(_classed(), span, np.zeros(1800, dtype="<u2"))


def test_hostile_test_part_is_decoded_without_damage() -> None:
    span = Span(TensorSpec("t", "BF16", (90, 20)), 0, 1800)
    assert not decode_modelled(_classed(rows=9, labels=63), span, np.zeros(1800, "<u2")).any()
