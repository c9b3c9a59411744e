"""Delta-DCT (Huang et al., arXiv 2503.06676): patches, DCT, quantisation of mixed precision.

Each matrix is cut into square patches; the L2 norm of a patch is its importance. The most important
patches get `bits` a coefficient, and the others none. The DCT-II of a patch is quantised uniformly
between its extremes. The paper's patch size and bit widths depend on the model; here both come from
`GRID`, for each row those with the least squared error on every tenth linear at the same bits.

Levels are streams of the project's entropy coder; extremes are float16, and which patches are kept
is one more stream. Patches without bits decode to zero. The last step of some implementations, to
restore a tensor's mean |Δ|, is left out: with most patches dropped it multiplies the others.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.codecs import DECODERS, WholeDecoder
from benchmarks.peers.fit import fit
from benchmarks.peers.recipe import measured
from benchmarks.peers.scheme import Peer
from benchmarks.peers.streams import Codes, Size, entropy, put_codes, read_codes
from skillpm.delta.codecs.shared.base import put_planes, read_planes
from skillpm.delta.codecs.svd import matrix_shape
from skillpm.delta.coding.payload import Record
from skillpm.delta.tensors.rounding import Floats, from_float64, to_float64
from skillpm.delta.tensors.words import from_planes, planes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.peers.task import Budget, Task
    from skillpm.delta.coding.payload import PayloadReader, PayloadWriter
    from skillpm.spec.dtypes import TensorSpec

DELTA_DCT = "delta-dct"
SAMPLED = 10
EXPONENT = 20
"""Extremes are multiplied by 2^20 before they are rounded to float16."""
TRIES = 6


@dataclass(frozen=True)
class Setting:
    """The side of a patch, the bits of a coefficient, and the share of patches that have them."""

    side: int
    bits: int
    share: float = 0.0


GRID = tuple(Setting(side, bits) for side in (16, 64) for bits in (2, 3, 4))


@dataclass(frozen=True)
class Patches:
    """The patches of one matrix that are kept: which, their levels, and their extremes."""

    kept: Codes
    levels: Codes
    low: Floats
    high: Floats


@cache
def basis(side: int) -> Floats:
    """The orthonormal DCT-II of vectors [side], as a matrix."""
    places = np.arange(side)
    waves: Floats = np.cos(np.pi / side * np.outer(places, places + 0.5)) * np.sqrt(2 / side)
    waves[0] /= np.sqrt(2)
    return waves


def cut(matrix: Floats, side: int) -> Floats:
    """Patches [count, side, side] of a matrix padded with zeros."""
    rows, width = (-(-size // side) for size in matrix.shape)
    padded = np.zeros((rows * side, width * side))
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    return padded.reshape(rows, side, width, side).transpose(0, 2, 1, 3).reshape(-1, side, side)


def joined(patches: Floats, shape: tuple[int, int]) -> Floats:
    """The inverse of `cut`."""
    side = patches.shape[1]
    rows, width = (-(-size // side) for size in shape)
    grid = patches.reshape(rows, width, side, side).transpose(0, 2, 1, 3)
    return grid.reshape(rows * side, width * side)[: shape[0], : shape[1]]


def quantised(matrix: Floats, setting: Setting) -> Patches:
    """Transform and quantise the share of the patches with the largest norms."""
    patches = cut(matrix, setting.side)
    norms = np.square(patches).sum(axis=(1, 2))
    count = min(len(patches), round(setting.share * len(patches)))
    kept = np.zeros(len(patches), dtype=np.int32)
    kept[np.argsort(-norms, kind="stable")[:count]] = 1
    wave = basis(setting.side)
    waves = (wave @ patches[kept == 1] @ wave.T).reshape(count, setting.side**2)
    low, high = (_narrow(end(waves, axis=1)) for end in (np.min, np.max))
    top = (1 << setting.bits) - 1
    span = np.where(high > low, high - low, 1.0)
    levels = np.clip(np.rint((waves - low[:, None]) / span[:, None] * top), 0, top)
    return Patches(kept, levels.astype(np.int32).reshape(-1), low, high)


def restored(found: Patches, shape: tuple[int, int], setting: Setting) -> Floats:
    """The matrix that the decoder computes."""
    side, top = setting.side, (1 << setting.bits) - 1
    span = np.where(found.high > found.low, found.high - found.low, 1.0) / top
    waves = found.levels.reshape(-1, side * side) * span[:, None] + found.low[:, None]
    wave = basis(side)
    patches = np.zeros((found.kept.size, side, side))
    patches[found.kept == 1] = wave.T @ waves.reshape(-1, side, side) @ wave
    return joined(patches, shape)


def _narrow(values: Floats) -> Floats:
    """Values as they are after float16."""
    return np.ldexp(to_float64(_words(values), "F16"), -EXPONENT)


def _words(values: Floats) -> Any:
    return from_float64(np.ldexp(values, EXPONENT), "F16")[0]


def encode_dct(spec: TensorSpec, delta: Floats, setting: Setting, writer: PayloadWriter) -> Record:
    """Write the patches of one flat delta."""
    found = quantised(delta.reshape(matrix_shape(spec)), setting)
    put_codes(writer, spec, "kept", found.kept)
    put_codes(writer, spec, "levels", found.levels)
    ends = np.concatenate([found.low, found.high])
    put_planes(writer, spec.name, "ends", planes_of(_words(ends)))
    record = Record(DELTA_DCT, {"bits": setting.bits, "side": setting.side})
    writer.describe(spec.name, record)
    return record


class Waves(WholeDecoder):
    """The inverse of `encode_dct`."""

    def _decode(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> Floats:
        setting = Setting(settings["side"], settings["bits"])
        shape, side = matrix_shape(spec), setting.side
        kept = read_codes(reader, spec, "kept", -(-shape[0] // side) * -(-shape[1] // side))
        count = int(kept.sum())
        levels = read_codes(reader, spec, "levels", count * side * side)
        words = from_planes(read_planes(reader, spec.name, "ends", planes=2, size=2 * count))
        ends = np.ldexp(to_float64(words, "F16"), -EXPONENT)
        found = Patches(kept, levels, ends[:count], ends[count:])
        return restored(found, shape, setting).reshape(-1)


DECODERS[DELTA_DCT] = Waves


def delta_dct(task: Task, budget: Budget) -> Peer:
    """The largest share of patches that fits, with the best patch size and precision."""
    specs = task.before.specs
    names = [*task.named("linear"), *task.named("embedding")]
    sample = [task.deltas[n].reshape(matrix_shape(specs[n])) for n in task.named("linear")]
    sample = sample[::SAMPLED]
    portion = sum(one.size for one in sample) / sum(task.deltas[name].size for name in names)
    best = min((_tried(sample, one, portion * budget) for one in GRID), key=lambda pair: pair[0])

    def peer(share: float) -> Peer:
        setting = Setting(best[1].side, best[1].bits, share)

        def encode(spec: TensorSpec, delta: Floats, writer: PayloadWriter) -> Record:
            return encode_dct(spec, delta, setting, writer)

        return Peer(DELTA_DCT, task, encode, encode, asdict(setting))

    size: Size = lambda share: measured(task, peer(share))  # noqa: E731
    near = best[1].share
    low, high = min(0.7 * near, 1.0), min(1.4 * near, 1.0)
    return peer(fit(size, budget, low=low / 4, high=high, tries=TRIES))


def _tried(sample: list[Floats], setting: Setting, size: float) -> tuple[float, Setting]:
    """The squared error at the share that fits, and the setting with that share."""

    def at(share: float) -> Setting:
        return Setting(setting.side, setting.bits, share)

    def taken(share: float) -> float:
        return sum(_bytes(quantised(one, at(share)), setting) for one in sample)

    try:
        chosen = at(fit(taken, size, low=1e-3, high=1.0, tries=TRIES))
    except ValueError:
        return float("inf"), at(1e-3)
    errors = (
        np.square(one - restored(quantised(one, chosen), one.shape, chosen)).sum() for one in sample
    )
    return float(sum(errors)), chosen


def _bytes(found: Patches, setting: Setting) -> float:
    """The estimated bytes of one matrix."""
    levels = np.bincount(found.levels, minlength=1 << setting.bits).astype(np.float64)
    kept = np.bincount(found.kept, minlength=2).astype(np.float64)
    return (entropy(levels) + entropy(kept)) / 8 + 4 * found.low.size
