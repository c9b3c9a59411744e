"""Mode `r` of the `lossless` codec: differences coded under contexts that the decoder knows.

A fine-tune moves all weights of a row by a similar amount, so small weights move by more units in
the last place; some rows do not move at all. The context of a word is the exponent of its
reference, in octaves below an anchor. If rows differ, it also includes the class of the word's row,
by the distance that the row moved.

Part: merge (1 byte: 2^merge exponents share a context; 0x80 is set if rows have classes), anchor (1
byte), with classes the length of their stream (varint) and the stream, then the stream of zigzag
differences (`coding.integers`).
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from skillpm.delta.coding.integers import (
    CONTEXTS,
    Plan,
    decode_folded,
    encode_folded,
    plan_folded,
)
from skillpm.delta.coding.raw_bits import byte_counts
from skillpm.delta.coding.varint import read_varint, varint
from skillpm.delta.kernels import contexts as kernels
from skillpm.delta.kernels.choice import compiled
from skillpm.delta.tensors.words import Bytes, Words, unzigzag
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

WIDEST = 4
"""The widest words, in bytes, that the entropy coder accepts."""
EXPONENT_SHIFT = {"F64": 52, "F32": 23, "F16": 10, "BF16": 7, "F8_E4M3": 3, "F8_E5M2": 2}
"""The bit at which the exponent of each dtype starts."""
_CLASSES = 8
_MERGES = (0, 1, 2, 6)
_ROWS = 0x80
_SMALL = 1 << 15
"""In chunks with fewer words, tables for all exponents may cost more than they save."""
_LEAST_WIDTH, _LEAST_ROWS = 16, 8
_APART = 2
"""Row classes are tried if the rows' movements differ by at least this many octaves."""
_HEAD = 2
_DEEPEST = 40
"""Octaves below the anchor beyond which a word's movement no longer shrinks."""


@dataclass(frozen=True, slots=True)
class Span:
    """The words start..start + size of a tensor: one chunk."""

    spec: TensorSpec
    start: int
    size: int

    @property
    def row_lengths(self) -> npt.NDArray[np.int64]:
        """The number of words of each row in the chunk. A tensor without rows counts as one row."""
        width = self.spec.shape[-1] if len(self.spec.shape) > 1 else 0
        if width < _LEAST_WIDTH or self.size < _LEAST_ROWS * width:
            return np.array([self.size])
        first, stop = self.start // width, self.start + self.size
        edges = np.arange(first, -(-stop // width) + 1, dtype=np.int64) * width
        within = np.clip(edges, self.start, stop)
        return within[1:] - within[:-1]


@dataclass(frozen=True, slots=True)
class Model:
    """The contexts of a chunk's words, the plan of their encoder, and the bits that they take."""

    merge: int
    anchor: int
    classes: Bytes | None
    plan: Plan | None = None
    bits: float = 0


def exponents_of(reference: Words, dtype: str) -> Bytes:
    """Return the low 8 bits of each word's exponent [n]; zeros for integer dtypes."""
    shift = EXPONENT_SHIFT.get(dtype)
    if shift is None:
        return np.zeros(reference.size, dtype=np.uint8)
    kind = reference.dtype.type
    return ((reference << kind(1)) >> kind(shift + 1)).astype(np.uint8)


def choose_model(span: Span, reference: Words, folded: Words) -> Model:
    """Return the cheapest of a few models, by the differences; only an encoder can choose."""
    exponents = exponents_of(reference, span.spec.dtype)
    anchor = _anchor(exponents)
    wide = folded.astype(np.uint32)
    merges = _MERGES if span.size < _SMALL else _MERGES[:1]
    models = [Model(merge, anchor, None) for merge in merges]
    below = _octaves_below(exponents, anchor, 0, 255)
    classes = _row_classes(span, folded, below)
    if classes is not None:
        models.append(Model(0, anchor, classes))
    priced = [_priced(model, span, wide, exponents) for model in models]
    return min(priced, key=lambda model: model.bits)


def encode_modelled(model: Model, span: Span, reference: Words, folded: Words) -> bytes:
    """Encode the zigzag differences [n] of a chunk as a part of mode `r`."""
    exponents = exponents_of(reference, span.spec.dtype)
    head = bytes([model.merge | (0 if model.classes is None else _ROWS), model.anchor])
    if model.classes is not None:
        classes = _encode_classes(model.classes)
        head += varint(len(classes)) + classes
    contexts = _contexts(model, span, exponents)
    return head + encode_folded(folded.astype(np.uint32), contexts, model.plan)


def decode_modelled(data: bytes, span: Span, reference: Words) -> Words:
    """Decode the zigzag differences [n] of a chunk. Raises `IntegrityError` if it is damaged."""
    if len(data) < _HEAD or data[0] & ~_ROWS not in _MERGES:
        raise IntegrityError(f"`{span.spec.name}`: a part of mode `r` has an unknown header")
    start, classes = _HEAD, None
    if data[0] & _ROWS:
        size, start = read_varint(data, start)
        zeros = np.zeros(span.row_lengths.size, dtype=np.uint8)
        row_classes = decode_folded(data[start : start + size], zeros)
        if row_classes.max(initial=0) >= _CLASSES:
            raise IntegrityError(f"`{span.spec.name}`: the class of a row is not below {_CLASSES}")
        classes, start = row_classes.astype(np.uint8), start + size
    model = Model(data[0] & ~_ROWS, data[1], classes)
    contexts = _contexts(model, span, exponents_of(reference, span.spec.dtype))
    folded = decode_folded(data[start:], contexts)
    if int(folded.max(initial=0)) >> (8 * reference.itemsize):
        raise IntegrityError(f"`{span.spec.name}`: a difference does not fit {span.spec.dtype}")
    return folded.astype(reference.dtype)


def _anchor(exponents: Bytes) -> int:
    """Return the exponent that one word in a thousand exceeds."""
    counts = byte_counts(exponents)[::-1]
    return 255 - int(np.searchsorted(np.cumsum(counts), exponents.size // 1000 + 1))


def _contexts(model: Model, span: Span, exponents: Bytes) -> Bytes:
    """Return contexts [n]: octaves below the anchor, merged and capped, and the row's class."""
    if model.classes is None:
        return _octaves_below(exponents, model.anchor, model.merge, CONTEXTS - 1)
    contexts = _octaves_below(exponents, model.anchor, model.merge, CONTEXTS // _CLASSES - 1)
    if compiled(contexts.size):
        kernels.add_classes(contexts, span.row_lengths, model.classes, _CLASSES)
        return contexts
    contexts *= np.uint8(_CLASSES)
    contexts += np.repeat(model.classes, span.row_lengths)
    return contexts


def _octaves_below(exponents: Bytes, anchor: int, merge: int, most: int) -> Bytes:
    """Return octaves below the anchor [n], 2^merge of them as one, at most `most`."""
    if compiled(exponents.size):
        out = np.empty_like(exponents)
        kernels.octaves_below(exponents, anchor, merge, most, out)
        return out
    below = np.minimum(exponents, np.uint8(anchor))
    np.subtract(np.uint8(anchor), below, out=below)
    if merge:
        below >>= np.uint8(merge)
    return np.minimum(below, np.uint8(most), out=below)


def _priced(model: Model, span: Span, folded: npt.NDArray[np.uint32], exponents: Bytes) -> Model:
    class_bits = 0 if model.classes is None else 8 * len(_encode_classes(model.classes))
    plan = plan_folded(folded, _contexts(model, span, exponents))
    return replace(model, plan=plan, bits=class_bits + plan.bits)


def _encode_classes(classes: Bytes) -> bytes:
    return encode_folded(classes.astype(np.uint32), np.zeros_like(classes))


def _row_classes(span: Span, folded: Words, below: Bytes) -> Bytes | None:
    """Return the class of each row: 0 if it did not move, 1 if it moved most, +1 per octave less.

    None if all rows moved by about the same amount. Sums are of integers, the same on every
    machine.
    """
    lengths = span.row_lengths
    if lengths.size < _LEAST_ROWS:
        return None
    moved, changed = _movements(folded, below, lengths)
    still = changed == 0
    octaves = np.frexp((moved // lengths).astype(np.float64))[1]
    ordered = np.sort(octaves[~still])
    low, top = ordered[len(ordered) // 50], ordered[-1 - len(ordered) // 50]
    if not still.any() and top - low < _APART:
        return None
    classes = 1 + np.clip(top - octaves, 0, _CLASSES - 2)
    return np.where(still, 0, classes).astype(np.uint8)


def _movements(
    folded: Words, below: Bytes, lengths: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return how far each row moved in units of 2^-8, and how many of its words changed."""
    if compiled(folded.size):
        moved, changed = np.empty_like(lengths), np.empty_like(lengths)
        kernels.movements(folded, below, lengths, _DEEPEST, moved, changed)
        return moved, changed
    signed = unzigzag(folded).view(f"<i{folded.itemsize}").astype(np.int64)
    distances = (np.abs(signed) << 8) >> np.minimum(below, _DEEPEST)
    starts = np.cumsum(lengths) - lengths
    return (
        np.add.reduceat(distances, starts),
        np.add.reduceat(signed != 0, starts, dtype=np.int64),
    )
