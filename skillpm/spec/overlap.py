"""Estimates overlaps, norms and cosines of the deltas of packs from their manifests (ADR 18).

A manifest contains a CountSketch of the delta: 256 numbers that are linear in the delta. Inner
products of sketches estimate inner products of deltas. Plain Python, so that planning does not have
to import numpy.
"""

import base64
import binascii
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from math import isfinite, prod, sqrt
from operator import add, mul

from skillpm.errors import SpecError
from skillpm.spec.compat import is_additive
from skillpm.spec.manifest import Manifest

BUCKETS = 256
_WRITTEN = len(base64.b64encode(bytes(4 * BUCKETS)))
_NOTHING = "zero"

Vector = tuple[float, ...]


@dataclass(frozen=True)
class Delta:
    """The sketch of a delta, and the number of elements of each tensor in it.

    Only additive tensors are included. Packs with different values for other tensors (added,
    resized, integers) conflict.
    """

    sketch: Vector
    elements: Mapping[str, int]

    @cached_property
    def size(self) -> int:
        """The number of elements of all tensors."""
        return sum(self.elements.values())

    def shares_elements(self, other: "Delta") -> bool:
        """Whether the overlap with another delta is not 0."""
        return any(self.elements[tensor] for tensor in self.elements if tensor in other.elements)


def delta_of(manifest: Manifest) -> Delta:
    """The delta of a pack. Raises `SpecError` if its sketch cannot be used."""
    elements = {
        entry.tensor: prod(entry.shape)
        for entry in manifest.footprint
        if is_additive(entry) and entry.codec != _NOTHING
    }
    sketch = read_sketch(manifest.sketch)
    if elements and not any(sketch):
        raise SpecError("its sketch is zero, but its footprint is not empty")
    return Delta(sketch, elements)


def read_sketch(text: str) -> Vector:
    """The 256 numbers of a manifest's sketch. Raises `SpecError`."""
    if len(text) != _WRITTEN:
        raise SpecError(
            f"its sketch has {len(text)} characters, expected {_WRITTEN} for {BUCKETS} numbers"
        )
    try:
        values = struct.unpack(f"<{BUCKETS}f", base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, struct.error) as problem:
        raise SpecError("its sketch is not base64 of float32 numbers") from problem
    if not all(map(isfinite, values)):
        raise SpecError("its sketch contains a number that is not finite")
    return values


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    """⟨a, b⟩. For sketches it estimates the inner product of the deltas."""
    return float(sum(map(mul, a, b)))


def scaled(vector: Vector, weight: float) -> Vector:
    """Weight · vector."""
    return vector if weight == 1.0 else tuple(weight * value for value in vector)


def total(vectors: Sequence[Vector]) -> Vector:
    """The sum of vectors, which is the sketch of the summed deltas; zero for no vectors."""
    return reduce(_plus, vectors) if vectors else (0.0,) * BUCKETS


def _plus(a: Vector, b: Vector) -> Vector:
    return tuple(map(add, a, b))


def overlap(a: Delta, b: Delta) -> float:
    """The share of the smaller footprint, in elements, that the other pack changes too."""
    smaller = min(a.size, b.size)
    shared = sum(map(a.elements.__getitem__, a.elements.keys() & b.elements.keys()))
    return shared / smaller if smaller else 0.0


def cosine(a: Vector, b: Vector) -> tuple[float, float]:
    """The estimated cosine of two deltas and its standard error; (0, 1) if a delta is zero.

    The buckets are 256 samples of a correlation. The standard error is (1 - cos²)/16 if the energy
    is spread evenly over the buckets, and larger (by the influence function) if it is not.
    """
    square_a, square_b = dot(a, a), dot(b, b)
    size = sqrt(square_a) * sqrt(square_b)
    if not size:
        return 0.0, 1.0
    cos = max(-1.0, min(1.0, dot(a, b) / size))
    part_a, part_b = cos / 2 / square_a, cos / 2 / square_b
    influences = [x * y / size - x * x * part_a - y * y * part_b for x, y in zip(a, b, strict=True)]
    spread = dot(influences, influences)
    return cos, max(sqrt(spread), (1 - cos * cos) / sqrt(BUCKETS))
