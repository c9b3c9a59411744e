"""How the deltas of packs lie to each other, told from their manifests alone (ADR 18).

A manifest holds a CountSketch of its pack's delta: 256 numbers, linear in the delta, whose inner
products estimate those of the deltas. Plain Python, so that a plan starts as fast as before.
"""

import base64
import binascii
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
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
    """What a manifest says of a delta: its sketch, and the elements of each tensor that it adds to.

    Tensors that are not summed (added, resized, integers) are no part of it: two packs either agree
    on one, or conflict.
    """

    sketch: Vector
    elements: Mapping[str, int]


def delta_of(manifest: Manifest) -> Delta:
    """The delta of a pack. Raises `SpecError` where the sketch cannot be used."""
    elements = {
        entry.tensor: prod(entry.shape)
        for entry in manifest.footprint
        if is_additive(entry) and entry.codec != _NOTHING
    }
    sketch = read_sketch(manifest.sketch)
    if elements and not any(sketch):
        raise SpecError("its sketch is all zero, but its footprint is not")
    return Delta(sketch, elements)


def read_sketch(text: str) -> Vector:
    """The 256 numbers of a manifest's sketch. Raises `SpecError` where it is anything else."""
    if len(text) != _WRITTEN:
        raise SpecError(
            f"its sketch has {len(text)} characters, a sketch of {BUCKETS} numbers has {_WRITTEN}"
        )
    try:
        values = struct.unpack(f"<{BUCKETS}f", base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, struct.error) as problem:
        raise SpecError("its sketch is not base64 of float32 numbers") from problem
    if not all(map(isfinite, values)):
        raise SpecError("its sketch holds a number that is not finite")
    return values


def dot(one: Vector, other: Vector) -> float:
    """⟨one, other⟩: of two sketches, an estimate of the deltas' own."""
    return float(sum(map(mul, one, other)))


def scaled(vector: Vector, weight: float) -> Vector:
    """Weight · vector."""
    return vector if weight == 1.0 else tuple(weight * value for value in vector)


def total(vectors: Sequence[Vector]) -> Vector:
    """The sum: the sketch of all deltas added up. Of none it is zero."""
    return reduce(_plus, vectors, (0.0,) * BUCKETS)


def _plus(one: Vector, other: Vector) -> Vector:
    return tuple(map(add, one, other))


def overlap(one: Delta, other: Delta) -> float:
    """The share of the smaller footprint, in elements, that the other pack touches too."""
    smaller = min(sum(one.elements.values()), sum(other.elements.values()))
    shared = sum(one.elements[tensor] for tensor in one.elements.keys() & other.elements.keys())
    return shared / smaller if smaller else 0.0


def cosine(one: Vector, other: Vector) -> tuple[float, float]:
    """The cosine of two deltas and its standard error, both estimated; (0, 1) where one is zero.

    The buckets are 256 samples: the error is that of a correlation, (1 - cos²)/16 where the energy
    lies evenly in the buckets, and more (by its influence function) where few of them hold it.
    """
    size = sqrt(dot(one, one)) * sqrt(dot(other, other))
    if not size:
        return 0.0, 1.0
    found = max(-1.0, min(1.0, dot(one, other) / size))
    ours, theirs = dot(one, one), dot(other, other)
    spread = sum(
        (x * y / size - found / 2 * (x * x / ours + y * y / theirs)) ** 2
        for x, y in zip(one, other, strict=True)
    )
    return found, max(sqrt(spread), (1 - found * found) / sqrt(BUCKETS))
