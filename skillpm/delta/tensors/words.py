"""Tensors as unsigned words, and the invertible integer maps of the lossless codecs."""

import numpy as np
import numpy.typing as npt

from skillpm.delta.kernels import words as kernels
from skillpm.delta.kernels.choice import compiled
from skillpm.delta.kernels.kernel import WIDTHS
from skillpm.delta.tensors.ports import CHUNK
from skillpm.spec.dtypes import TensorSpec, is_float

Words = npt.NDArray[np.unsignedinteger]
Bytes = npt.NDArray[np.uint8]

_WORD: dict[int, np.dtype[np.unsignedinteger]] = {
    1: np.dtype("<u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<u8"),
}  # fmt: skip


def word_dtype(itemsize: int) -> np.dtype[np.unsignedinteger]:
    """Return the little-endian unsigned integer dtype of `itemsize` bytes."""
    return _WORD[itemsize]


def words_of(data: bytes | bytearray | memoryview, spec: TensorSpec) -> Words:
    """View raw little-endian bytes as words; sub-byte dtypes as bytes. Does not copy."""
    return np.frombuffer(data, dtype=_WORD[spec.itemsize])


def word_count(spec: TensorSpec) -> int:
    """Return the number of words of a tensor."""
    return spec.nbytes // spec.itemsize


def chunk_spans(spec: TensorSpec) -> list[tuple[int, int]]:
    """Return the word spans [start, stop) of a tensor's chunks, in order."""
    count = word_count(spec)
    return [(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]


def ordered(words: Words, dtype: str) -> Words:
    """Map sign-magnitude bit patterns to integers in the order of the numbers; integers unchanged.

    A bijection: x -> x xor (all ones if the sign bit is set, else the top bit).
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
    shift = words.dtype.type(1)
    signs = words & shift
    np.negative(signs, out=signs)
    signs ^= words >> shift
    return signs


def _signs(words: Words) -> Words:
    """Return all ones where the top bit is set, else zero, as a new array."""
    signed = words.view(f"<i{words.itemsize}")
    mask: Words = (signed >> signed.dtype.type(8 * words.itemsize - 1)).view(words.dtype)
    return mask


def _top_bit(words: Words) -> np.unsignedinteger:
    return negative_zero(words.itemsize)


def negative_zero(itemsize: int) -> np.unsignedinteger:
    """Return the word of -0.0 in a floating point dtype of `itemsize` bytes: only its top bit."""
    top: np.unsignedinteger = _WORD[itemsize].type(1 << (8 * itemsize - 1))
    return top


def difference(reference: Words, tuned: Words, dtype: str) -> Words:
    """Return the zigzag difference of two arrays of bit patterns, as ordered integers.

    Zero where the patterns are equal.
    """
    if _is_compiled(reference, tuned):
        folded = np.empty_like(reference)
        kernels.difference(reference, tuned, is_float(dtype), folded)
        return folded
    return zigzag(ordered(tuned, dtype) - ordered(reference, dtype))


def apply_difference(reference: Words, folded: Words, dtype: str) -> Words:
    """The inverse of `difference`; exact for every dtype and every bit pattern, including NaN."""
    if _is_compiled(reference, folded):
        tuned = np.empty_like(reference)
        kernels.apply_difference(reference, folded, is_float(dtype), tuned)
        return tuned
    return unordered(ordered(reference, dtype) + unzigzag(folded), dtype)


def _is_compiled(before: Words, after: Words) -> bool:
    """Whether kernels handle these words, which must be contiguous."""
    flat = before.flags.c_contiguous and after.flags.c_contiguous
    return before.itemsize in WIDTHS and flat and compiled(before.size)


def planes_of(words: Words) -> list[Bytes]:
    """Split words [n] into byte planes [n], least significant first, each contiguous."""
    columns = words.view(np.uint8).reshape(-1, words.itemsize)
    return [np.ascontiguousarray(columns[:, plane]) for plane in range(words.itemsize)]


def from_planes(planes: list[Bytes]) -> Words:
    """The inverse of `planes_of`."""
    columns = np.empty((planes[0].size, len(planes)), dtype=np.uint8)
    for plane, values in enumerate(planes):
        columns[:, plane] = values
    return columns.reshape(-1).view(_WORD[len(planes)])
