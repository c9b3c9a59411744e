"""A router signature: features of a skill's examples, and of texts for which the base answers.

The layer contains samples, not statistics. The router computes what it needs (means, a shared
covariance, thresholds) from the samples of the installed set. So an untrusted pack cannot send an
invalid covariance, and the decisions of a set depend on that set alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from skillpm.errors import IntegrityError, SpecError
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.safetensors import (
    LENGTH_BYTES,
    dump_header,
    header_length,
    layout,
    parse_header,
)

FORMAT = "1"
FEWEST = 8
"""The fewest examples; fewer do not show how far a skill reaches."""
MOST = 128
"""The most examples."""
MOST_BACKGROUND = 512
"""The most background texts. More than examples, because texts outside a skill vary more."""
WIDTH = 512
"""The most features of one text; more are projected. Each takes two bytes."""
LIMIT = 1 << 20
"""The most bytes of a signature: 1.5 times the largest that skillpm writes."""
_TOLERANCE = 2e-3
"""Features have length 1 within the precision of float16; others would dominate or evade the
rest."""
_EXAMPLES, _BACKGROUND = "examples", "background"
Array = NDArray[np.float64]


class UnsoundSignatureError(IntegrityError):
    """An invalid router signature. It is not used."""


@dataclass(frozen=True)
class Signature:
    """Features of examples [n, width], and of background texts of the base [m, width], m may be 0.

    `base` is the root of the model that computed the features. `source` is the origin of the
    background: a file, the base itself, or none.
    """

    base: Digest
    examples: Array
    background: Array
    source: str = "none"
    facts: Mapping[str, str] = field(default_factory=dict)

    def dumps(self) -> bytes:
        """Serialise the layer; the same samples give the same bytes.

        Features are stored as float16.
        """
        parts = {_EXAMPLES: self.examples, _BACKGROUND: self.background}
        kept = {name: np.ascontiguousarray(matrix, dtype="<f2") for name, matrix in parts.items()}
        placed = layout(TensorSpec(name, "F16", matrix.shape) for name, matrix in kept.items())
        metadata = {
            **self.facts,
            "format": FORMAT,
            "base": str(self.base),
            "background": self.source,
        }
        data = b"".join(kept[matrix.spec.name].tobytes() for matrix in placed)
        return dump_header(placed, metadata) + data


def parse_signature(data: bytes, base: Digest, what: str) -> Signature:
    """Parse an untrusted signature, whose features must be of the model with root `base`.

    Raises `UnsoundSignatureError` if a type, shape, bound or value is not valid.
    """
    try:
        parts, metadata = _read(data, what)
        if metadata.get("format") != FORMAT:
            shown = f"{metadata.get('format')!r:.80}"
            raise SpecError(f"{what} has format {shown}, expected {FORMAT!r}")
        if metadata.get("base") != str(base):
            shown = f"{metadata.get('base')!r:.80}"
            raise SpecError(f"{what} is of base {shown}, expected `{base}` as in the pack")
        examples, background = parts[_EXAMPLES], parts[_BACKGROUND]
        _check(examples, (FEWEST, MOST), f"{_EXAMPLES} of {what}")
        if background.shape[1] != examples.shape[1]:
            raise SpecError(f"{what} has examples and background of different widths")
        _check(background, (0, MOST_BACKGROUND), f"{_BACKGROUND} of {what}")
    except SpecError as problem:
        raise UnsoundSignatureError(
            problem.message,
            hint="ask its author for a pack made with `skillpm pack --router`",
        ) from problem
    known = ("format", "base", "background")
    facts = {key: text for key, text in metadata.items() if key not in known}
    return Signature(base, examples, background, metadata.get("background", "none"), facts)


def _read(data: bytes, what: str) -> tuple[dict[str, Array], Mapping[str, str]]:
    if len(data) > LIMIT:
        raise SpecError(f"{what} is {len(data)} bytes, over the limit of {LIMIT}")
    length = header_length(data[:LENGTH_BYTES], len(data), what)
    header = parse_header(data[LENGTH_BYTES : LENGTH_BYTES + length], len(data), what)
    names = {
        placed.spec.name: (placed.spec.dtype, len(placed.spec.shape)) for placed in header.tensors
    }
    if names != dict.fromkeys((_EXAMPLES, _BACKGROUND), ("F16", 2)):
        raise SpecError(f"{what} should have two F16 matrices, `{_EXAMPLES}` and `{_BACKGROUND}`")
    parts: dict[str, Array] = {}
    for placed in header.tensors:
        raw = data[header.data_start + placed.start : header.data_start + placed.stop]
        parts[placed.spec.name] = (
            np.frombuffer(raw, "<f2").reshape(placed.spec.shape).astype(np.float64)
        )
    return parts, header.metadata


def _check(sample: Array, bounds: tuple[int, int], what: str) -> None:
    rows, width = sample.shape
    fewest, most = bounds
    if not fewest <= rows <= most or not 1 <= width <= WIDTH:
        raise SpecError(
            f"{what} are {rows} × {width}, expected {fewest} to {most} rows of at most {WIDTH}"
        )
    if not np.isfinite(sample).all():
        raise SpecError(f"{what} have a value that is not finite")
    lengths = np.linalg.norm(sample, axis=1)
    if rows and np.abs(lengths - 1).max() > _TOLERANCE:
        wrong = float(lengths[np.abs(lengths - 1).argmax()])
        raise SpecError(f"{what} should have length 1, found a row of length {wrong:.4g}")
