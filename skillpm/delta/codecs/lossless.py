"""The `lossless` codec: exact for every dtype.

Each chunk has one of seven modes, a letter in the record's `modes`:

- `z`: no word changed; there is no part.
- `s`: few words changed. The parts are the gaps between their positions and their differences, in
  byte planes.
- `d`: byte planes of the differences of ordered integers (bit patterns ordered as in FM-Delta,
  differences zigzag-folded as in protocol buffers).
- `x`: as `d`, with the words first sorted, stably, by the exponent of the reference. A fine-tune
  moves all weights by a similar amount, so in units of the last place it moves small weights more.
  Sorting places differences of similar size next to each other, where an entropy coder benefits.
  The decoder knows the reference, so the order takes no bytes.
- `y`: as `s`, with the differences sorted as in `x`.
- `r`: the differences entropy-coded under contexts that the decoder knows (`lossless_contexts`).
  Planes decode faster, so `r` is used only if it saves a fiftieth of the bytes.
- `f`: as `r`, with signs of rows and columns taken out of the differences (`shared.flips`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from skillpm.delta.codecs.lossless_contexts import (
    WIDEST,
    Span,
    choose_model,
    decode_modelled,
    encode_modelled,
)
from skillpm.delta.codecs.shared.base import read_planes, whole_numbers
from skillpm.delta.codecs.shared.flips import SignGrid
from skillpm.delta.codecs.shared.protocol import Codec
from skillpm.delta.codecs.shared.sparse import GAP_BYTES, gap_planes, positions_from
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.coding.zstd_frames import compress
from skillpm.delta.kernels import sorting as kernels
from skillpm.delta.kernels.choice import compiled
from skillpm.delta.tensors.ports import CHUNK
from skillpm.delta.tensors.rounding import Floats
from skillpm.delta.tensors.words import (
    Bytes,
    Words,
    apply_difference,
    chunk_spans,
    difference,
    from_planes,
    planes_of,
)
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

NAME = "lossless"
SPARSE_BELOW = {1: 0.06, 2: 0.25, 4: 0.5, 8: 0.5}
"""Below this share of changed words, storing positions saves bytes; by the bytes of a word."""
_EXPONENT_SHIFT = {"F64": 52, "F32": 23, "F16": 10, "BF16": 7}
"""The bit at which the exponent of each dtype starts."""
_SORT_FROM = 1 << 12
"""Chunks with fewer changed words are not sorted."""
_SPARSE = frozenset("sy")
_SORTED = frozenset("xy")
_MODELLED = frozenset("rf")
MODES = frozenset("zsdxyrf")
_WORTH = 0.98
"""Mode `r` must be smaller than this share of the other mode."""
_WORDS_A_BYTE = 512
"""Mode `r` must save at least one byte per this many words of a chunk, because it decodes
slowly."""
_SAMPLE, _PIECES = 1 << 16, 8
_PART_HEADER = 70
"""An estimate of the bytes of a part in a layer's header, without the tensor's name."""


class LosslessEncoder:
    """Encodes one tensor, chunk by chunk in order; `close` returns the record.

    If `modelled` is false, mode `r` is not used, as in packs of skillpm 0.1.
    """

    def __init__(self, spec: TensorSpec, writer: PayloadWriter, *, modelled: bool = True) -> None:
        self._widest = WIDEST if modelled else 0
        self._spec = spec
        self._writer = writer
        self._modes: list[str] = []
        self._counts: list[int] = []

    def chunk(self, reference: Words, tuned: Words) -> None:
        """Encode the next chunk [n] against its reference [n]."""
        folded = difference(reference, tuned, self._spec.dtype)
        changed = int(np.count_nonzero(folded))
        mode = _mode_of(changed, folded, self._spec.dtype)
        number = len(self._modes)
        if changed and self._put_modelled(mode, reference, folded):
            return
        self._modes.append(mode)
        if mode in _SPARSE:
            self._counts.append(changed)
        for suffix, plane in _parts(mode, reference, folded, self._spec.dtype).items():
            self._writer.put(self._spec.name, f"{number}{suffix}", plane.data)

    def _put_modelled(self, mode: str, reference: Words, folded: Words) -> bool:
        """Write the part of mode `r` or `f`; return false if that saves too little over `mode`."""
        if folded.itemsize > self._widest:
            return False
        number = len(self._modes)
        span = Span(self._spec, number * CHUNK, folded.size)
        grid = SignGrid.of(self._spec, span.start, folded.size)
        signs = grid.find(folded) if grid else None
        flipped = folded if grid is None or signs is None else grid.flip(folded, signs)
        model = choose_model(span, reference, flipped)
        plain = _plain_bytes(mode, reference, folded, self._spec)
        if model.bits / 8 > min(_WORTH * plain, plain - folded.size // _WORDS_A_BYTE):
            return False
        part = encode_modelled(model, span, reference, flipped)
        self._writer.put_plain(self._spec.name, f"{number}r", part)
        if signs is not None:
            self._writer.put(self._spec.name, f"{number}f", signs.data)
        self._modes.append("r" if signs is None else "f")
        return True

    def close(self) -> Record:
        """Write the record of all chunks and return it."""
        record = Record(NAME, {"modes": "".join(self._modes), "counts": self._counts})
        self._writer.describe(self._spec.name, record)
        return record


def _mode_of(changed: int, folded: Words, dtype: str) -> str:
    """Choose a mode other than `r` from the number of changed words."""
    if not changed:
        return "z"
    sorts = dtype in _EXPONENT_SHIFT and changed >= _SORT_FROM
    if changed < SPARSE_BELOW[folded.itemsize] * folded.size:
        return "y" if sorts else "s"
    return "x" if sorts else "d"


def _parts(mode: str, reference: Words, folded: Words, dtype: str) -> dict[str, Bytes]:
    """Return the planes of a chunk in a mode other than `r`, by the suffixes of their parts."""
    planes: dict[str, Bytes] = {}
    if mode in _SPARSE:
        positions = np.flatnonzero(folded)
        planes |= {f"g{place}": plane for place, plane in enumerate(gap_planes(positions))}
        folded, reference = folded[positions], reference[positions]
    if mode in _SORTED:
        folded = folded[exponent_order(reference, dtype)]
    if mode != "z":
        planes |= {f"p{place}": plane for place, plane in enumerate(planes_of(folded))}
    return planes


def _plain_bytes(mode: str, reference: Words, folded: Words, spec: TensorSpec) -> float:
    """Estimate the bytes of a chunk in a mode other than `r`, with headers, from a sample."""
    share = 1.0
    if folded.size > _SAMPLE:
        starts = np.linspace(0, folded.size - _SAMPLE // _PIECES, _PIECES).astype(np.intp)
        taken = (starts[:, None] + np.arange(_SAMPLE // _PIECES)).reshape(-1)
        share = folded.size / taken.size
        reference, folded = reference[taken], folded[taken]
    planes = _parts(mode, reference, folded, spec.dtype).values()
    frames = sum(len(compress(plane.data) or plane.data) for plane in planes)
    return share * frames + (len(planes) - 1) * (_PART_HEADER + len(spec.name))


def exponent_order(reference: Words, dtype: str) -> npt.NDArray[np.intp]:
    """Return the stable order [n] of words by the reference's exponent, in integer arithmetic."""
    kind = reference.dtype.type
    shifted = (reference << kind(1)) >> kind(_EXPONENT_SHIFT[dtype] + 1)
    if compiled(shifted.size):
        order = np.empty(shifted.size, dtype=np.int64)
        kernels.stable_order(shifted.astype(np.uint16), order)
        return order
    narrow = shifted.astype(np.uint8 if dtype != "F64" else np.uint16)
    return np.argsort(narrow, kind="stable")


class LosslessDecoder:
    """A `TensorDecoder` that returns the tuned words, bit for bit, from the reference's words."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        self._spec = spec
        self._reader = reader
        self._spans = chunk_spans(spec)
        self._modes, self._counts = _checked(spec, settings, self._spans)
        parts = {
            f"{number}p{plane}"
            for number, mode in enumerate(self._modes)
            for plane in range(spec.itemsize)
            if mode != "z" and mode not in _MODELLED
        }
        modelled = {f"{number}r" for number, mode in enumerate(self._modes) if mode in _MODELLED}
        modelled |= {f"{number}f" for number, mode in enumerate(self._modes) if mode == "f"}
        gaps = {f"{n}g{plane}" for n in self._counts for plane in range(GAP_BYTES)}
        reader.expect_parts(spec.name, parts | gaps | modelled)

    def decode_chunk(self, chunk: int, reference: Words, delta: Floats | None = None) -> Words:  # noqa: ARG002 - codecs share a signature
        """Return the tuned words [n] of one chunk. Raises `IntegrityError` if a part is damaged."""
        mode = self._modes[chunk]
        if mode == "z":
            return reference
        if mode in _MODELLED:
            return apply_difference(reference, self._folded(chunk, reference), self._spec.dtype)
        positions = self._positions(chunk, reference.size) if mode in _SPARSE else None
        touched = reference if positions is None else reference[positions]
        folded = from_planes(self._planes(f"{chunk}p", self._spec.itemsize, touched.size))
        if mode in _SORTED:
            scattered = np.empty_like(folded)
            scattered[exponent_order(touched, self._spec.dtype)] = folded
            folded = scattered
        fresh = apply_difference(touched, folded, self._spec.dtype)
        if positions is None:
            return fresh
        words = reference.copy()
        words[positions] = fresh
        return words

    def delta_of(self, chunk: int, reference: Words | None = None) -> None:
        """Return None: the codec stores differences of bit patterns, not a delta."""

    def live_form(self) -> None:
        """Return None: the tuned words replace the weight."""

    def _folded(self, chunk: int, reference: Words) -> Words:
        """Return the differences [n] of a chunk in mode `r` or `f`."""
        name, start = self._spec.name, self._spans[chunk][0]
        part = self._reader.plain(name, f"{chunk}r")
        folded = decode_modelled(part, Span(self._spec, start, reference.size), reference)
        grid = SignGrid.of(self._spec, start, reference.size) if self._modes[chunk] == "f" else None
        if grid is None:
            return folded
        signs = self._reader.part(name, f"{chunk}f", grid.nbytes)
        return grid.flip(folded, np.frombuffer(signs, dtype=np.uint8))

    def _positions(self, chunk: int, size: int) -> npt.NDArray[np.int64]:
        gaps = self._planes(f"{chunk}g", GAP_BYTES, self._counts[chunk])
        return positions_from(gaps, size, self._spec.name)

    def _planes(self, stem: str, planes: int, size: int) -> list[Bytes]:
        return read_planes(self._reader, self._spec.name, stem, planes=planes, size=size)


def _checked(
    spec: TensorSpec, settings: Mapping[str, Any], spans: list[tuple[int, int]]
) -> tuple[str, dict[int, int]]:
    """Check the settings; return the modes, and the number of changed words by sparse chunk."""
    modes, counts = settings.get("modes"), settings.get("counts")
    if not isinstance(modes, str) or len(modes) != len(spans) or set(modes) - MODES:
        raise IntegrityError(
            f"`{spec.name}`: the modes of its chunks are unknown or do not fit its shape"
        )
    if _MODELLED & set(modes) and spec.itemsize > WIDEST:
        raise IntegrityError(
            f"`{spec.name}`: modes `r` and `f` do not support {spec.dtype}, which is too wide"
        )
    if _SORTED & set(modes) and spec.dtype not in _EXPONENT_SHIFT:
        raise IntegrityError(f"`{spec.name}`: modes `x` and `y` do not support {spec.dtype}")
    for (start, stop), mode in zip(spans, modes, strict=True):
        if mode == "f" and SignGrid.of(spec, start, stop - start) is None:
            raise IntegrityError(f"`{spec.name}`: mode `f` does not support its shape")
    sparse = [number for number, mode in enumerate(modes) if mode in _SPARSE]
    read = whole_numbers(counts)
    if read is None or len(read) != len(sparse):
        raise IntegrityError(f"`{spec.name}`: expected {len(sparse)} counts of changed words")
    for number, count in zip(sparse, read, strict=True):
        start, stop = spans[number]
        if not 0 < count <= stop - start:
            message = f"`{spec.name}`: chunk {number} has {stop - start} words, but {count} changed"
            raise IntegrityError(message)
    return modes, dict(zip(sparse, read, strict=True))


CODEC = Codec(NAME, LosslessDecoder, known_error=0.0)
