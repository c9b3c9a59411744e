"""Kernels of the codec `bitmap` give the bytes of their reference, and refuse what it refuses."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.codecs.bitmap import Changes, group_changes, ungroup_changes
from skillpm.delta.kernels.choice import NUMBA, NUMPY, SETTINGS
from skillpm.delta.tensors.words import Bytes, Words
from skillpm.errors import IntegrityError

widths = st.sampled_from(("<u1", "<u2", "<u4", "<u8"))


def _grouped(name: str, folded: Words, contexts: Bytes) -> Changes:
    with mock.patch.object(SETTINGS, "demanded", name):
        return group_changes(folded, contexts)


def _ungrouped(name: str, bitmap: Bytes, values: Words, contexts: Bytes) -> Words | None:
    """Return the differences; None if they are refused."""
    with mock.patch.object(SETTINGS, "demanded", name):
        try:
            return ungroup_changes(bitmap, values, contexts)
        except IntegrityError:
            return None


@given(widths, st.integers(1, 60), st.data())
def test_both_group_and_ungroup_alike(width: str, size: int, data: st.DataObject) -> None:
    top = 2 ** (8 * np.dtype(width).itemsize) - 1
    value = st.one_of(st.just(0), st.integers(0, top), st.integers(0, 3))
    folded = np.array(data.draw(st.lists(value, min_size=size, max_size=size)), dtype=width)
    context = st.integers(0, 255)
    contexts = np.array(data.draw(st.lists(context, min_size=size, max_size=size)), dtype=np.uint8)
    expected, actual = (_grouped(name, folded, contexts) for name in (NUMPY, NUMBA))
    for field in ("bitmap", "values", "word_ends", "value_ends"):
        before, after = getattr(expected, field), getattr(actual, field)
        assert before.tobytes() == after.tobytes()
        assert before.dtype == after.dtype
    for name in (NUMPY, NUMBA):
        back = _ungrouped(name, actual.bitmap, actual.values, contexts)
        assert back is not None
        assert (back == folded).all()


@given(st.integers(1, 40), st.binary(min_size=5, max_size=5), st.data())
def test_both_refuse_the_same_bitmaps(size: int, bits: bytes, data: st.DataObject) -> None:
    bitmap = np.frombuffer(bits, dtype=np.uint8)[: -(-size // 8)]
    values = np.arange(data.draw(st.integers(1, size)), dtype="<u2")
    contexts = np.frombuffer(data.draw(st.binary(min_size=size, max_size=size)), dtype=np.uint8)
    expected, actual = (_ungrouped(name, bitmap, values, contexts) for name in (NUMPY, NUMBA))
    assert (expected is None) == (actual is None)
    if expected is not None and actual is not None:
        assert (expected == actual).all()


@pytest.mark.parametrize("name", [NUMPY, NUMBA])
def test_a_million_words_come_back(name: str) -> None:
    random = np.random.default_rng(5)
    folded = np.where(random.random(1 << 20) < 0.3, random.integers(1, 2**16, 1 << 20), 0)
    contexts = random.integers(100, 130, 1 << 20).astype(np.uint8)
    changes = _grouped(name, folded.astype("<u2"), contexts)
    back = _ungrouped(name, changes.bitmap, changes.values, contexts)
    assert back is not None
    assert (back == folded).all()
