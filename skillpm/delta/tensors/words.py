"""Tensors as unsigned words, and the integer maps that lossless codecs stand on."""

import numpy as np
import numpy.typing as npt

from skillpm.delta.tensors.ports import CHUNK
from skillpm.spec.dtypes import TensorSpec, is_float

Words = npt.NDArray[np.unsignedinteger]
Bytes = npt.NDArray[np.uint8]

_WORD: dict[int, np.dtype[np.unsignedinteger]] = {
    1: np.dtype("<u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<u8"),
}  # fmt: skip


def word_dtype(itemsize: int) -> np.dtype[np.unsignedinteger]:
    """The little-endian unsigned integer of so many bytes."""
    return _WORD[itemsize]


def words_of(data: bytes | bytearray | memoryview, spec: TensorSpec) -> Words:
    """View raw little-endian bytes as words; sub-byte dtypes as plain bytes. No copy."""
    return np.frombuffer(data, dtype=_WORD[spec.itemsize])


def word_count(spec: TensorSpec) -> int:
    """The words of a tensor."""
    return spec.nbytes // spec.itemsize


def chunk_spans(spec: TensorSpec) -> list[tuple[int, int]]:
    """The word spans [start, stop) of a tensor's chunks, in order."""
    count = word_count(spec)
    return [(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]


def ordered(words: Words, dtype: str) -> Words:
    """Map sign-magnitude bit patterns to integers in the order of the numbers; ints as they are.

    A bijection: x -> x xor (all ones if the sign is set, else the top bit).
    """
    if not is_float(dtype):
        return words
    mask = _signs(words)
    mask |= _top_bit(words)
    mask ^= words
    return mask


def unordered(words: Words, dtype: str) -> Words:
    """The inverse of `ordered`."""
    if not is_float(dtype):
        return words
    mask = _signs(words)
    np.invert(mask, out=mask)
    mask |= _top_bit(words)
    mask ^= words
    return mask


def zigzag(words: Words) -> Words:
    """Fold differences modulo 2^w so that small magnitudes of either sign become small words."""
    folded = _signs(words)
    folded ^= words << words.dtype.type(1)
    return folded


def unzigzag(words: Words) -> Words:
    """The inverse of `zigzag`."""
    one = words.dtype.type(1)
    signs = words & one
    np.negative(signs, out=signs)
    signs ^= words >> one
    return signs


def _signs(words: Words) -> Words:
    """All ones where the top bit is set, else zero: an arithmetic shift. A fresh array."""
    signed = words.view(f"<i{words.itemsize}")
    mask: Words = (signed >> signed.dtype.type(8 * words.itemsize - 1)).view(words.dtype)
    return mask


def _top_bit(words: Words) -> np.unsignedinteger:
    top: np.unsignedinteger = words.dtype.type(1 << (8 * words.itemsize - 1))
    return top


def difference(reference: Words, tuned: Words, dtype: str) -> Words:
    """The zigzag ordered-integer difference of two bit patterns; zero where they are equal."""
    return zigzag(ordered(tuned, dtype) - ordered(reference, dtype))


def apply_difference(reference: Words, folded: Words, dtype: str) -> Words:
    """The inverse of `difference`: exact for every dtype and every bit pattern, NaN too."""
    return unordered(ordered(reference, dtype) + unzigzag(folded), dtype)


def planes_of(words: Words) -> list[Bytes]:
    """Split words into byte planes, least significant first; each contiguous."""
    columns = words.view(np.uint8).reshape(-1, words.itemsize)
    return [np.ascontiguousarray(columns[:, plane]) for plane in range(words.itemsize)]


def from_planes(planes: list[Bytes]) -> Words:
    """The inverse of `planes_of`."""
    columns = np.empty((planes[0].size, len(planes)), dtype=np.uint8)
    for plane, values in enumerate(planes):
        columns[:, plane] = values
    return columns.reshape(-1).view(_WORD[len(planes)])
