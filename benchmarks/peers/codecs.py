"""The peers' own codecs: signs × row scale, low rank in float16, random drop from a seed.

Each writes parts and a record as the project's codecs do, and decodes the delta from them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skillpm.delta.codecs.shared.base import put_planes, read_planes
from skillpm.delta.codecs.shared.delta_decoder import DeltaDecoder
from skillpm.delta.codecs.svd import matrix_shape
from skillpm.delta.coding.payload import Record
from skillpm.delta.tensors.rounding import Floats, from_float64, to_float64
from skillpm.delta.tensors.words import from_planes, planes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skillpm.delta.coding.payload import PayloadReader, PayloadWriter
    from skillpm.spec.dtypes import TensorSpec

SIGNS = "signs"
LOWRANK = "lowrank"
DROPPED = "dropped"
_TOP_EXPONENT = 14


def encode_signs(spec: TensorSpec, delta: Floats, scales: Floats, writer: PayloadWriter) -> Record:
    """BitDelta: a bit per weight, a float16 scale per row of [m, n]; zero counts as positive."""
    exponent, words = halves(scales)
    writer.put(spec.name, "scales", words.tobytes())
    writer.put(spec.name, "bits", np.packbits(delta < 0).tobytes())
    record = Record(SIGNS, {"exponent": exponent})
    writer.describe(spec.name, record)
    return record


def encode_lowrank(spec: TensorSpec, left: Floats, right: Floats, writer: PayloadWriter) -> Record:
    """A LoRA's two factors in float16: left [m, r], right [r, n]."""
    exponents = []
    for part, factor in (("left", left), ("right", right)):
        exponent, words = halves(factor.reshape(-1))
        put_planes(writer, spec.name, part, planes_of(words))
        exponents.append(exponent)
    record = Record(LOWRANK, {"rank": left.shape[1], "exponents": exponents})
    writer.describe(spec.name, record)
    return record


def encode_dropped(
    spec: TensorSpec, delta: Floats, keep: float, seed: int, writer: PayloadWriter
) -> Record:
    """DARE: each delta is kept with probability `keep` and divided by it.

    The kept positions follow from the seed, so only the values are stored, in float16.
    """
    exponent, words = halves(delta[kept_places(spec, keep, seed)] / keep)
    put_planes(writer, spec.name, "values", planes_of(words))
    record = Record(DROPPED, {"keep": keep, "seed": seed, "exponent": exponent})
    writer.describe(spec.name, record)
    return record


def halves(values: Floats) -> tuple[int, npt.NDArray[np.uint16]]:
    """Float16 words, scaled by a power of two that brings the largest near float16's maximum."""
    largest = float(np.max(np.abs(values), initial=0.0))
    exponent = int(np.frexp(largest)[1]) - _TOP_EXPONENT if largest else 0
    words, _ = from_float64(np.ldexp(values, -exponent), "F16")
    return exponent, words


def kept_places(spec: TensorSpec, keep: float, seed: int) -> npt.NDArray[np.bool_]:
    """Which elements of a tensor random drop keeps, [n]."""
    digest = hashlib.sha256(f"{seed}/{spec.name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8])).random(spec.elements) < keep


class WholeDecoder(DeltaDecoder):
    """Decodes a whole tensor once and returns it chunk by chunk."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        super().__init__(spec)
        self._values = self._decode(spec, reader, settings)

    def _decode(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> Floats:
        raise NotImplementedError

    def _chunk_delta(self, chunk: int) -> Floats:
        start, stop = self._spans[chunk]
        return self._values[start:stop]


class Signs(WholeDecoder):
    """The inverse of `encode_signs`."""

    def _decode(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> Floats:
        rows, width = matrix_shape(spec)
        words = np.frombuffer(reader.part(spec.name, "scales", 2 * rows), dtype="<u2")
        scales = np.ldexp(to_float64(words, "F16"), settings["exponent"])
        packed = reader.part(spec.name, "bits", -(-spec.elements // 8))
        bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=spec.elements)
        signs = 1.0 - 2.0 * bits.reshape(rows, width)
        return np.asarray((signs * scales[:, None]).reshape(-1))


class LowRank(WholeDecoder):
    """The inverse of `encode_lowrank`."""

    def _decode(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> Floats:
        rows, width = matrix_shape(spec)
        rank = settings["rank"]
        sides = []
        for part, shape, exponent in (
            ("left", (rows, rank), settings["exponents"][0]),
            ("right", (rank, width), settings["exponents"][1]),
        ):
            size = shape[0] * shape[1]
            words = from_planes(read_planes(reader, spec.name, part, planes=2, size=size))
            sides.append(np.ldexp(to_float64(words, "F16"), exponent).reshape(shape))
        return np.asarray((sides[0] @ sides[1]).reshape(-1))


class Dropped(WholeDecoder):
    """The inverse of `encode_dropped`."""

    def _decode(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> Floats:
        mask = kept_places(spec, settings["keep"], settings["seed"])
        size = int(mask.sum())
        words = from_planes(read_planes(reader, spec.name, "values", planes=2, size=size))
        delta = np.zeros(spec.elements)
        delta[mask] = np.ldexp(to_float64(words, "F16"), settings["exponent"])
        return delta


DECODERS: dict[str, type[WholeDecoder]] = {SIGNS: Signs, LOWRANK: LowRank, DROPPED: Dropped}
