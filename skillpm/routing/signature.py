"""A router signature: features of a skill's examples, and of what the base itself talks about.

The layer holds samples, and no statistics of them: whatever the router needs (means, a shared
covariance, thresholds) follows exactly from the samples of the set that is installed. So a
stranger cannot send a covariance that is none, and a set's decisions depend on that set alone.
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
"""Fewer examples say nothing of how far a skill reaches."""
MOST = 128
MOST_BACKGROUND = 512
"""More than of examples: what a skill is not takes more texts to show than what it is."""
WIDTH = 512
"""Features of one text, at most; more are projected. Each takes two bytes."""
LIMIT = 1 << 20
"""Bytes of a signature, at most: half as much again as the largest that we write."""
_TOLERANCE = 2e-3
"""Features have length 1, to what float16 keeps: any other would outweigh or evade all others."""
_EXAMPLES, _BACKGROUND = "examples", "background"
Array = NDArray[np.float64]


class UnsoundSignatureError(IntegrityError):
    """A router signature that no honest pack has. It is used for nothing."""


@dataclass(frozen=True)
class Signature:
    """Features of examples [n, width], and of general text of the base [m, width], m may be 0.

    `base` is the root of the model whose features they are; `background` says in `source` whose
    text that was: a file's, the base's own, or nobody's.
    """

    base: Digest
    examples: Array
    background: Array
    source: str = "none"
    facts: Mapping[str, str] = field(default_factory=dict)

    def dumps(self) -> bytes:
        """The layer's bytes: the same samples give the same. Features are kept as float16."""
        parts = {_EXAMPLES: self.examples, _BACKGROUND: self.background}
        kept = {name: np.ascontiguousarray(one, dtype="<f2") for name, one in parts.items()}
        placed = layout(TensorSpec(name, "F16", one.shape) for name, one in kept.items())
        metadata = {
            **self.facts,
            "format": FORMAT,
            "base": str(self.base),
            "background": self.source,
        }
        data = b"".join(kept[one.spec.name].tobytes() for one in placed)
        return dump_header(placed, metadata) + data


def parse_signature(data: bytes, base: Digest, what: str) -> Signature:
    """Read a stranger's signature, which must be of features of the model with root `base`.

    Raises `UnsoundSignatureError` where a type, shape, bound or value is not what a signature has.
    """
    try:
        parts, metadata = _read(data, what)
        if metadata.get("format") != FORMAT:
            found = f"{metadata.get('format')!r:.80}"
            raise SpecError(f"{what} has format {found}, expected {FORMAT!r}")
        if metadata.get("base") != str(base):
            found = f"{metadata.get('base')!r:.80}"
            raise SpecError(f"{what} is of base {found}, but the pack of `{base}`")
        examples, background = parts[_EXAMPLES], parts[_BACKGROUND]
        _check(examples, (FEWEST, MOST), f"{_EXAMPLES} of {what}")
        if background.shape[1] != examples.shape[1]:
            raise SpecError(f"{what} has examples and background of different widths")
        _check(background, (0, MOST_BACKGROUND), f"{_BACKGROUND} of {what}")
    except SpecError as problem:
        raise UnsoundSignatureError(
            problem.message,
            hint="ask its author for a pack whose router signature `skillpm pack --router` wrote",
        ) from problem
    known = ("format", "base", "background")
    facts = {key: text for key, text in metadata.items() if key not in known}
    return Signature(base, examples, background, metadata.get("background", "none"), facts)


def _read(data: bytes, what: str) -> tuple[dict[str, Array], Mapping[str, str]]:
    if len(data) > LIMIT:
        raise SpecError(f"{what} is {len(data)} bytes, over the limit of {LIMIT}")
    length = header_length(data[:LENGTH_BYTES], len(data), what)
    header = parse_header(data[LENGTH_BYTES : LENGTH_BYTES + length], len(data), what)
    names = {one.spec.name: (one.spec.dtype, len(one.spec.shape)) for one in header.tensors}
    if names != dict.fromkeys((_EXAMPLES, _BACKGROUND), ("F16", 2)):
        raise SpecError(f"{what} should hold two F16 matrices, `{_EXAMPLES}` and `{_BACKGROUND}`")
    parts: dict[str, Array] = {}
    for one in header.tensors:
        raw = data[header.data_start + one.start : header.data_start + one.stop]
        parts[one.spec.name] = np.frombuffer(raw, "<f2").reshape(one.spec.shape).astype(np.float64)
    return parts, header.metadata


def _check(sample: Array, bounds: tuple[int, int], what: str) -> None:
    rows, width = sample.shape
    fewest, most = bounds
    if not fewest <= rows <= most or not 1 <= width <= WIDTH:
        raise SpecError(
            f"{what} are {rows} × {width}: expected {fewest} to {most} rows of at most {WIDTH}"
        )
    if not np.isfinite(sample).all():
        raise SpecError(f"{what} hold a value that is not finite")
    lengths = np.linalg.norm(sample, axis=1)
    if rows and np.abs(lengths - 1).max() > _TOLERANCE:
        wrong = float(lengths[np.abs(lengths - 1).argmax()])
        raise SpecError(f"{what} should have length 1, found a row of length {wrong:.4g}")
