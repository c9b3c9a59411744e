"""References of resized tensors, and the chunks of a pair, in bounded memory."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from delta_worlds import Model, numbers
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.tensors import streams
from skillpm.delta.tensors.pairing import pair_up
from skillpm.delta.tensors.ports import CHUNK
from skillpm.delta.tensors.streams import pair_chunks, reference_chunks
from skillpm.spec.dtypes import TensorSpec

shapes = st.integers(1, 3).flatmap(
    lambda rank: st.tuples(*[st.lists(st.integers(1, 6), min_size=rank, max_size=rank)] * 2)
)


@given(shapes, st.sampled_from([1, 2, 5, 8, CHUNK]))
def test_reference_of_a_resized_tensor_is_the_overlap_of_both_shapes(
    both: tuple[list[int], list[int]], chunk: int
) -> None:
    old, new = map(tuple, both)
    values = np.arange(1, np.prod(old) + 1, dtype="<u2").reshape(old)
    base = Model({"w": ("BF16", old, values.tobytes())})
    expected = np.zeros(new, dtype="<u2")
    shared = tuple(slice(0, min(a, b)) for a, b in zip(old, new, strict=True))
    expected[shared] = values[shared]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "CHUNK", chunk)
        pieces = list(reference_chunks(base, TensorSpec("w", "BF16", new)))
    whole = np.concatenate(pieces)
    if old != new:
        assert [piece.size for piece in pieces[:-1]] == [chunk] * (len(pieces) - 1)
    assert (whole == expected.reshape(-1)).all()


class _Generated:
    """A model of one large BF16 tensor that is made when it is read."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.specs = {"w": TensorSpec("w", "BF16", shape)}

    def chunks(self, name: str) -> Iterator[bytes]:
        size = self.specs[name].nbytes
        for start in range(0, size, 2 * CHUNK):
            yield bytes(min(2 * CHUNK, size - start))


@pytest.mark.parametrize("new", [(12300, 4096), (12288, 4097), (9000, 5000)])
def test_reference_of_a_resized_tensor_takes_the_memory_of_a_few_chunks(
    new: tuple[int, int],
) -> None:
    base, spec = _Generated((12288, 4096)), TensorSpec("w", "BF16", new)
    tracemalloc.start()
    try:
        words = sum(piece.size for piece in reference_chunks(base, spec))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert words == spec.elements
    assert peak < 16 * (2 * CHUNK) < spec.nbytes / 2


def test_chunks_of_a_pair_can_be_read_again() -> None:
    base = Model({"w": numbers("F32", (4,), 1.0)})
    tuned = Model({"w": numbers("F32", (4,), 2.0)})
    (pair,), _ = pair_up(base.specs, tuned.specs, cast=False)
    chunks = pair_chunks(base, tuned, pair)
    first, second = ([words.tobytes() for chunk in chunks for words in chunk] for _ in range(2))
    assert first == second == [base.tensors["w"][2], tuned.tensors["w"][2]]
