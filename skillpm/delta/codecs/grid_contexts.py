"""The integers of the `grid` codec, coded under contexts that the decoder knows.

The context of an entry is the class of its row and column (`classes`), or that class and the
exponent of the reference. A checkpoint in 16 bits changes by multiples of the unit in the last
place: small weights move by small steps, large weights seldom move, but then by large steps. The
decoder has the reference, so its exponents take no bytes.

Layout: the classes of rows, those of columns, the octaves (no bytes, or 3: anchor, floor, cells),
then a stream of `coding.integers` for each chunk of the tensor.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from skillpm.delta.codecs.lossless_contexts import exponents_of
from skillpm.delta.codecs.shared.classes import (
    Classes,
    Contexts,
    Narrow,
    PricedClasses,
    encode_classes,
    price_classes,
    sample_step,
)
from skillpm.delta.codecs.shared.coded import Sections, decode_classes, join, naming, narrow
from skillpm.delta.codecs.shared.octaves import Octaves, upper_end
from skillpm.delta.coding.integers import (
    Folded,
    decode_folded,
    encode_integers,
    integer_bits,
    unfold,
)
from skillpm.delta.tensors.words import Bytes, Words, chunk_spans
from skillpm.spec.dtypes import TensorSpec

_CELLS = (4, 8, 16)
"""The numbers of classes for each octave that an encoder tries."""


@dataclass(frozen=True, slots=True)
class GridContexts:
    """The contexts of a matrix. Without `octaves` they are the classes."""

    classes: Classes
    octaves: Octaves | None = None

    def of(self, span: tuple[int, int], width: int, exponents: Bytes | None) -> Contexts:
        """Return the contexts of a span of the flattened matrix, from the exponents there."""
        contexts = self.classes.contexts(*span, width)
        if self.octaves is None or exponents is None:
            return contexts
        return self.octaves.contexts(contexts, exponents)


def choose_contexts(codes: Narrow, exponents: Bytes | None) -> GridContexts:
    """Return the contexts under which a matrix [m, n] is smallest.

    `exponents` [m · n] are those of the reference; None if the decoder would not have it.
    """
    priced = price_classes(codes)
    best = min(priced)
    if exponents is None or not codes.size:
        return GridContexts(best.classes)
    step = sample_step(codes)
    sample = np.ascontiguousarray(codes[::step], dtype=np.int32)
    seen = np.ascontiguousarray(exponents.reshape(codes.shape)[::step]).reshape(-1)
    share = codes.size / sample.size
    chosen, least = GridContexts(best.classes), best.bits
    for candidate in _bases(priced):
        classes = candidate.classes.at(step).contexts(0, sample.size, codes.shape[1])
        for octaves in _octaves(classes, seen):
            bits = integer_bits(sample.reshape(-1), octaves.contexts(classes, seen))
            bits = share * bits + candidate.own_bits
            if bits < least:
                chosen, least = GridContexts(candidate.classes, octaves), bits
    return chosen


def _bases(priced: list[PricedClasses]) -> Iterator[PricedClasses]:
    """Yield the classes that are combined with exponents: none, the best, the best of rows."""
    plain, best = priced[0], min(priced)
    by_row = min(entry for entry in priced if not entry.classes.columns.size)
    yield plain
    if best is not plain:
        yield best
    if by_row is not plain and by_row is not best:
        yield by_row


def _octaves(classes: Contexts, exponents: Bytes) -> Iterator[Octaves]:
    anchor, top = upper_end(exponents), upper_end(classes)
    for cells in _CELLS if top else (1,):
        yield Octaves(anchor, max(0, top + 1 - cells), cells)


def encode_codes(codes: Narrow, exponents: Bytes | None, spec: TensorSpec) -> bytes:
    """Encode the integers [m, n] of a tensor, with exponents [m · n] as `choose_contexts`."""
    contexts, flat = choose_contexts(codes, exponents), codes.reshape(-1)
    classes, octaves = contexts.classes, contexts.octaves
    sections = [encode_classes(side) for side in (classes.rows, classes.columns)]
    sections.append(octaves.dump() if octaves else b"")
    for span in chunk_spans(spec):
        within = exponents[slice(*span)] if exponents is not None else None
        keys = contexts.of(span, codes.shape[1], within)
        values = flat[slice(*span)].astype(np.int32, copy=False)
        sections.append(encode_integers(values, keys))
    return join(sections)


class GridCodes:
    """The integers that `encode_codes` wrote, decoded chunk by chunk.

    Raises `IntegrityError` if they are damaged.
    """

    def __init__(self, data: bytes, spec: TensorSpec, shape: tuple[int, int]) -> None:
        self._spec, self._width = spec, shape[1]
        self._what = f"`{spec.name}`"
        sections = Sections(data, self._what)
        by_row, by_column = (decode_classes(sections.next(), side, self._what) for side in shape)
        octaves = Octaves.load(sections.next(), self._what)
        self._contexts = GridContexts(Classes(by_row, by_column), octaves)
        self._spans = chunk_spans(spec)
        self._streams = [sections.next() for _ in self._spans]
        sections.close()

    @property
    def need_reference(self) -> bool:
        """Whether the contexts depend on the reference."""
        return self._contexts.octaves is not None

    def chunk(self, number: int, reference: Words | None) -> Narrow:
        """Return the integers [n] of a chunk, from the reference's words [n] if they are needed."""
        return narrow(unfold(self.folded(number, reference)))

    def folded(self, number: int, reference: Words | None) -> Folded | Bytes:
        """Return what `chunk` does, folded; as uint8 if all values are small."""
        exponents = None if reference is None else exponents_of(reference, self._spec.dtype)
        contexts = self._contexts.of(self._spans[number], self._width, exponents)
        with naming(self._what):
            return decode_folded(self._streams[number], contexts)
