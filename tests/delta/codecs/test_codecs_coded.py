import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from skillpm.delta.codecs.shared import coded
from skillpm.delta.codecs.shared.boxes import boxes
from skillpm.delta.codecs.shared.classes import Classes, choose_classes
from skillpm.delta.codecs.shared.coded import Matrix, Sections, encode_matrix, join
from skillpm.delta.codecs.shared.parts import decode_scales, encode_logs
from skillpm.delta.codecs.shared.scales import FINE_LIMIT, from_logs, to_logs
from skillpm.errors import IntegrityError

SHAPES = st.tuples(st.integers(1, 30), st.integers(1, 30))


def _matrix(shape: tuple[int, int], seed: int, spread: float) -> np.ndarray:
    random = np.random.default_rng(seed)
    by_row = random.exponential(size=(shape[0], 1)) * spread
    return np.rint(random.normal(size=shape) * by_row).astype(np.int32)


@given(st.integers(0, 50), st.integers(1, 60), st.integers(1, 12))
def test_boxes_cover_a_span_once_and_in_order(start: int, size: int, width: int) -> None:
    flat = np.arange((start + size + width) // width * width).reshape(-1, width)
    found = list(boxes(start, start + size, width))
    assert len(found) <= 3
    parts = [flat[box.rows, box.columns].reshape(-1) for box in found]
    assert (np.concatenate(parts) == np.arange(start, start + size)).all()
    assert [box.start for box in found[1:]] == [box.stop for box in found[:-1]]


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_sections_round_trip(parts: list[bytes]) -> None:
    sections = Sections(join(parts), "`t`")
    assert [sections.next() for _ in parts] == parts
    sections.close()
    with pytest.raises(IntegrityError, match="`t`"):
        sections.next()


def test_sections_with_a_false_size_are_refused() -> None:
    for data in (b"\x05abc", b"\xff\xff\xff\xff\x7f", b"\x80\x80\x80\x80\x80\x80", b"\x80"):
        with pytest.raises(IntegrityError, match="`t`"):
            Sections(data, "`t`").next()
    with pytest.raises(IntegrityError, match="extra bytes"):
        Sections(b"\0", "`t`").close()


@settings(max_examples=examples(40))
@given(SHAPES, st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 3.0, 300.0]))
def test_matrix_round_trips(shape: tuple[int, int], seed: int, spread: float) -> None:
    codes = _matrix(shape, seed, spread)
    matrix = Matrix(encode_matrix(codes), *shape, "`t`")
    assert (matrix.whole() == codes).all()


@settings(max_examples=examples(30))
@given(st.data())
def test_any_span_of_a_matrix_round_trips(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    codes = _matrix(shape, data.draw(st.integers(0, 2**32 - 1)), 2.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coded, "STRIPE", data.draw(st.integers(25, 90)))
        matrix = Matrix(encode_matrix(codes), *shape, "`t`")
        for _ in range(3):
            start = data.draw(st.integers(0, codes.size - 1))
            stop = data.draw(st.integers(start + 1, codes.size))
            assert (matrix.flat(start, stop) == codes.reshape(-1)[start:stop]).all()


def test_integers_of_all_sizes_round_trip() -> None:
    codes = np.array([[0, 127, -128, 128], [2**30, -(2**30), 2**31 - 1, -(2**31)]], dtype=np.int32)
    assert (Matrix(encode_matrix(codes), 2, 4, "`t`").whole() == codes).all()
    assert Matrix(encode_matrix(codes[:1, :3]), 1, 3, "`t`").whole().dtype == np.int8


def test_classes_are_chosen_if_rows_or_columns_differ() -> None:
    random = np.random.default_rng(2)
    octaves = 2.0 ** np.arange(-3, 5).repeat(40)
    by_column = np.rint(random.normal(size=(200, 320)) * octaves).astype(np.int32)
    assert choose_classes(by_column).columns.size == 320
    assert choose_classes(np.ascontiguousarray(by_column.T)).rows.size == 320
    even = np.rint(random.normal(size=(200, 320))).astype(np.int32)
    assert not choose_classes(even).columns.size
    assert not choose_classes(even).rows.size
    assert len(encode_matrix(by_column)) < 0.97 * len(encode_matrix(_shuffled(by_column)))


def _shuffled(codes: np.ndarray) -> np.ndarray:
    flat = codes.reshape(-1).copy()
    np.random.default_rng(3).shuffle(flat)
    return flat.reshape(codes.shape)


@given(SHAPES, st.integers(0, 2**32 - 1), st.data())
def test_contexts_are_capped_sums_of_classes(
    shape: tuple[int, int], seed: int, data: st.DataObject
) -> None:
    random = np.random.default_rng(seed)
    rows, columns = (random.integers(0, 1024, size).astype(np.int32) for size in shape)
    size = shape[0] * shape[1]
    start = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start, size))
    expected = np.minimum(rows[:, None] + columns, 63).reshape(-1)[start:stop]
    assert (Classes(rows, columns).contexts(start, stop, shape[1]) == expected).all()


@given(st.integers(0, FINE_LIMIT), st.lists(st.floats(1e-60, 1e60), min_size=1, max_size=40))
def test_scales_are_within_half_a_step_of_their_logarithms(fine: int, values: list[float]) -> None:
    scales = np.array(values)
    ratio = np.log2(from_logs(to_logs(scales, fine), fine) / scales)
    assert np.abs(ratio).max() <= 0.5 * 2.0**-fine + 1e-9


@given(st.integers(0, FINE_LIMIT), st.lists(st.integers(-250, 250), min_size=1, max_size=40))
def test_scales_round_trip_and_powers_of_two_are_exact(fine: int, octaves: list[int]) -> None:
    logs = np.array(octaves, dtype=np.int32) << fine
    scales = decode_scales(encode_logs(logs), logs.size, fine, "`t`")
    assert scales is not None
    assert (scales == 2.0 ** np.array(octaves)).all()


@pytest.mark.parametrize("out", [251, -251, 1 << 22])
def test_scales_out_of_range_are_refused(out: int) -> None:
    logs = np.array([0, out << 2, 0], dtype=np.int32)
    with pytest.raises(IntegrityError, match="scale outside"):
        decode_scales(encode_logs(logs), 3, 2, "`t`")


def test_classes_out_of_range_are_refused() -> None:
    codes = np.zeros((2, 2), dtype=np.int32)
    stream = coded.encode_flat(np.zeros(4, dtype=np.int32))
    for steps in ([-1, 0], [1023, 1], [2**31 - 1, 2**31 - 1]):
        classes = coded.encode_flat(np.array(steps, dtype=np.int32))
        for sections in ([classes, b"", stream], [b"", classes, stream]):
            with pytest.raises(IntegrityError, match="a class outside"):
                Matrix(join(sections), *codes.shape, "`t`")


def test_matrix_is_decoded_in_the_memory_of_a_stripe() -> None:
    random = np.random.default_rng(4)
    codes = (random.random((9 << 10, 1024)) < 0.05).astype(np.int32)
    data = encode_matrix(codes)
    rows, width = codes.shape
    matrix = Matrix(data, rows, width, "`t`")
    tracemalloc.start()
    try:
        for start in range(0, codes.size, 1 << 20):
            matrix.flat(start, start + (1 << 20))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * coded.STRIPE


def test_empty_matrix_has_no_classes() -> None:
    classes = choose_classes(np.zeros((0, 3), dtype=np.int32))
    assert not classes.rows.size
    assert not classes.columns.size
