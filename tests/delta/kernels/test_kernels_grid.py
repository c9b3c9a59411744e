"""Kernels of the codec `grid` give the bits of their reference in numpy."""

import os
from collections.abc import Callable
from typing import TypeVar
from unittest import mock

import numpy as np
import pytest
from delta_worlds import new_writer, reader_of
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.codecs import grid
from skillpm.delta.codecs.shared.classes import NONE, Classes
from skillpm.delta.codecs.shared.octaves import Octaves
from skillpm.delta.kernels.choice import NUMBA, NUMPY, VARIABLE
from skillpm.delta.tensors import words as words_module
from skillpm.spec.dtypes import TensorSpec

T = TypeVar("T")
SEEDS = st.integers(0, 2**32 - 1)


def both(work: Callable[[], T]) -> tuple[T, T]:
    """Return the results of numpy and of the kernels."""
    with mock.patch.dict(os.environ, {VARIABLE: NUMPY}):
        expected = work()
    with mock.patch.dict(os.environ, {VARIABLE: NUMBA}):
        return expected, work()


@given(
    st.integers(1, 9), st.integers(1, 9), st.sampled_from(["", "r", "c", "rc"]), st.data(), SEEDS
)
def test_contexts_of_classes_are_equal(
    height: int, width: int, classified: str, data: st.DataObject, seed: int
) -> None:
    random = np.random.default_rng(seed)
    rows, columns = (
        random.integers(0, 90, size).astype(np.int32) if side in classified else NONE
        for size, side in ((height, "r"), (width, "c"))
    )
    start = data.draw(st.integers(0, height * width))
    stop = data.draw(st.integers(start, height * width))
    expected, actual = both(lambda: Classes(rows, columns).contexts(start, stop, width))
    assert expected.tolist() == actual.tolist()


@given(
    st.integers(0, 255),
    st.integers(0, 255),
    st.sampled_from([1, 2, 8, 64]),
    SEEDS,
)
def test_contexts_of_octaves_are_equal(anchor: int, floor: int, cells: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    classes = random.integers(0, 64, 200).astype(np.uint8)
    exponents = random.integers(0, 256, 200).astype(np.uint8)
    before = classes.copy()
    octaves = Octaves(anchor, floor, cells)
    expected, actual = both(lambda: octaves.contexts(classes, exponents))
    assert expected.tolist() == actual.tolist()
    assert (classes == before).all()


@pytest.mark.parametrize("largest", [3, 100, 127, 128, 5000], ids="up to {}".format)
@pytest.mark.parametrize("scaled", ["", "r", "c", "rc"])
def test_matrices_decode_to_equal_bits_in_chunks_that_split_rows(
    largest: int, scaled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words_module, "CHUNK", 100)
    monkeypatch.setattr(grid, "_PIECE", 32)
    random = np.random.default_rng(largest)
    spec = TensorSpec("t", "BF16", (23, 17))
    codes = random.integers(-largest, largest + 1, spec.shape).astype(np.int32)
    rows, columns = (
        random.integers(-20, 5, size).astype(np.int32) if side in scaled else None
        for side, size in zip("rc", spec.shape, strict=True)
    )
    levels = np.array([0.01, 0.011, 0.021, 0.03, 0.042])
    exponents = random.integers(110, 125, codes.size).astype(np.uint8)
    made = grid.CodedGrid(codes, levels, rows, columns, 2, exponents)
    writer = new_writer()
    record = made.write(spec, writer)
    decoder = grid.GridDecoder(spec, reader_of(writer), record.settings)
    reference = exponents.astype("<u2") << np.uint16(7)

    def decoded() -> list[bytes]:
        found = []
        for chunk, (start, stop) in enumerate(words_module.chunk_spans(spec)):
            piece = reference[start:stop]
            delta = decoder.delta_of(chunk, piece)
            assert delta is not None
            direct = decoder.decode_chunk(chunk, piece)
            assert (direct == decoder.decode_chunk(chunk, piece, delta)).all()
            found += [delta.tobytes(), direct.tobytes()]
        return found

    expected, actual = both(decoded)
    assert expected == actual
