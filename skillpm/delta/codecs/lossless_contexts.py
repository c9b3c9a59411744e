"""Mode `r` of the `lossless` codec: differences coded under contexts that the decoder knows.

A fine-tune moves all weights of a row by a similar amount, so small weights move by more units in
the last place; some rows and columns move further than others, or not at all. The context of a word
is the exponent of its reference, in octaves below an anchor. If rows or columns differ, a word's
cell is its octave and the sum of the classes of its row and column (`shared.octaves`), and a map
from cells to contexts is stored (`shared.context_map`).

Part: merge (1 byte: 2^merge exponents share a context), anchor (1 byte), the stream of zigzag
differences (`coding.integers`). With classes: 0x80, then as sections the classes of rows, those of
columns (no bytes for none), the octaves, the map, the stream.
"""

from dataclasses import dataclass, replace

import numpy as np

from skillpm.delta.codecs.lossless_classes import Grid, choose_cells
from skillpm.delta.codecs.shared.classes import Classes, encode_classes
from skillpm.delta.codecs.shared.coded import Sections, decode_classes, join, naming
from skillpm.delta.codecs.shared.context_map import choose_labels
from skillpm.delta.codecs.shared.octaves import Octaves, upper_end
from skillpm.delta.coding.integers import (
    CONTEXTS,
    CodingPlan,
    Counts,
    Folded,
    count_folded,
    decode_folded,
    encode_folded,
    plan_counts,
    plan_folded,
)
from skillpm.delta.kernels import contexts as kernels
from skillpm.delta.kernels.choice import compiled
from skillpm.delta.tensors.words import Bytes, Words
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

WIDEST = 4
"""The widest words, in bytes, that the entropy coder accepts."""
EXPONENT_SHIFT = {"F64": 52, "F32": 23, "F16": 10, "BF16": 7, "F8_E4M3": 3, "F8_E5M2": 2}
"""The bit at which the exponent of each dtype starts."""
_MERGES = (0, 1, 2, 6)
_MAPPED = 0x80
CELLS = 256
"""Cells are integers below this."""
_SMALL = 1 << 15
"""In chunks with fewer words, tables for all exponents may cost more than they save."""
LARGEST = 20
"""With classes, one word in this many has a larger exponent than those of the first octave."""
_LEAST_WIDTH, _LEAST_ROWS = 16, 8
_HEAD = 2


@dataclass(frozen=True, slots=True)
class Span:
    """The words start..start + size of a tensor: one chunk."""

    spec: TensorSpec
    start: int
    size: int

    @property
    def grid(self) -> Grid | None:
        """The rows and columns of the chunk; None if they are too few or too short for classes."""
        width = self.spec.shape[-1] if len(self.spec.shape) > 1 else 0
        if width < _LEAST_WIDTH or self.size < _LEAST_ROWS * width:
            return None
        first, offset = divmod(self.start, width)
        return Grid(-(-(self.start + self.size) // width) - first, width, offset, self.size)


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of a chunk's words: `octaves` and classes, and the label of each cell [cells]."""

    grid: Grid
    classes: Classes
    octaves: Octaves
    labels: Bytes

    @staticmethod
    def count(octaves: Octaves) -> int:
        """The number of cells."""
        return CELLS // octaves.cells * octaves.cells

    def contexts(self, exponents: Bytes) -> Bytes:
        """Return the contexts [n] of words with these exponents [n]."""
        cells = self.octaves.contexts(self.grid.contexts(self.classes), exponents, CELLS)
        return self.labels.take(cells)

    def dump(self) -> list[bytes]:
        """Return the sections that `load` reads."""
        sides = (self.classes.rows, self.classes.columns)
        labels = encode_classes(self.labels.astype(np.int32))
        return [*map(encode_classes, sides), self.octaves.dump(), labels]

    @classmethod
    def load(cls, sections: Sections, span: Span) -> "Cells":
        """Read the cells of a chunk. Raises `IntegrityError`."""
        what, grid = f"`{span.spec.name}`", span.grid
        if grid is None:
            raise IntegrityError(f"{what} has classes, which its shape does not support")
        sides = (grid.rows, grid.width)
        classes = Classes(*(decode_classes(sections.next(), side, what) for side in sides))
        octaves = Octaves.load(sections.next(), what)
        if octaves is None:
            raise IntegrityError(f"{what} has classes without octaves")
        labels = decode_classes(sections.next(), cls.count(octaves), what)
        if not labels.size or labels.max() >= CONTEXTS:
            raise IntegrityError(f"{what} has a map of contexts that are not below {CONTEXTS}")
        return cls(grid, classes, octaves, labels.astype(np.uint8))


@dataclass(frozen=True, slots=True)
class Model:
    """The contexts of a chunk's words, the plan of their encoder, and the bits that they take."""

    merge: int
    anchor: int
    cells: Cells | None = None
    plan: CodingPlan | None = None
    bits: float = 0

    def contexts(self, exponents: Bytes) -> Bytes:
        """Return the contexts [n] of words with these exponents [n]."""
        if self.cells is not None:
            return self.cells.contexts(exponents)
        return _octaves_below(exponents, self.anchor, self.merge)


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
    anchor = upper_end(exponents)
    wide = folded.astype(np.uint32)
    below = _octaves_below(exponents, anchor, 0)
    counts = count_folded(wide, below)
    models = [_planned(Model(0, anchor), plan_counts(counts))]
    if span.size < _SMALL:
        for merge in _MERGES[1:]:
            model = Model(merge, anchor)
            models.append(_planned(model, plan_folded(wide, model.contexts(exponents))))
    grid = span.grid
    chosen = choose_cells(grid, folded, below, counts, models[0].bits) if grid else None
    if grid is not None and chosen is not None:
        classes, floor, sums = chosen
        octaves = Octaves(upper_end(exponents, LARGEST), floor, sums)
        models.append(mapped_model(grid, classes, octaves, wide, exponents))
    return min(models, key=lambda model: model.bits)


def _planned(model: Model, plan: CodingPlan, own: int = 0) -> Model:
    return replace(model, plan=plan, bits=8 * own + plan.bits)


def mapped_model(
    grid: Grid, classes: Classes, octaves: Octaves, folded: Folded, exponents: Bytes
) -> Model:
    """Return the model with these classes, and the map that suits the differences [n]."""
    cells = octaves.contexts(grid.contexts(classes), exponents, CELLS)
    counts = count_folded(folded, cells, CELLS)
    labels = choose_labels(counts[: Cells.count(octaves)])
    mapped = Cells(grid, classes, octaves, labels)
    merged: Counts = np.zeros((CONTEXTS, counts.shape[1]), dtype=np.int64)
    np.add.at(merged, labels, counts[: labels.size])
    own = len(join(mapped.dump()))
    return _planned(Model(0, octaves.anchor, mapped), plan_counts(merged), own)


def encode_modelled(model: Model, span: Span, reference: Words, folded: Words) -> bytes:
    """Encode the zigzag differences [n] of a chunk as a part of mode `r`."""
    contexts = model.contexts(exponents_of(reference, span.spec.dtype))
    stream = encode_folded(folded.astype(np.uint32), contexts, model.plan)
    if model.cells is None:
        return bytes([model.merge, model.anchor]) + stream
    return bytes([_MAPPED]) + join([*model.cells.dump(), stream])


def decode_modelled(data: bytes, span: Span, reference: Words) -> Words:
    """Decode the zigzag differences [n] of a chunk. Raises `IntegrityError` if it is damaged."""
    what = f"`{span.spec.name}`"
    if len(data) < _HEAD or data[0] not in (_MAPPED, *_MERGES):
        raise IntegrityError(f"{what}: a part of mode `r` has an unknown header")
    if data[0] == _MAPPED:
        sections = Sections(data[1:], what)
        model = Model(0, 0, Cells.load(sections, span))
        stream = sections.next()
        sections.close()
    else:
        model, stream = Model(data[0], data[1]), data[_HEAD:]
    contexts = model.contexts(exponents_of(reference, span.spec.dtype))
    with naming(what):
        folded = decode_folded(stream, contexts)
    if int(folded.max(initial=0)) >> (8 * reference.itemsize):
        raise IntegrityError(f"{what}: a difference does not fit {span.spec.dtype}")
    return folded.astype(reference.dtype)


def _octaves_below(exponents: Bytes, anchor: int, merge: int) -> Bytes:
    """Return octaves below the anchor [n], 2^merge of them as one, below `CONTEXTS`."""
    most = CONTEXTS - 1
    if compiled(exponents.size):
        out = np.empty_like(exponents)
        kernels.octaves_below(exponents, anchor, merge, most, out)
        return out
    below = np.minimum(exponents, np.uint8(anchor))
    np.subtract(np.uint8(anchor), below, out=below)
    if merge:
        below >>= np.uint8(merge)
    return np.minimum(below, np.uint8(most), out=below)
