"""UltraDelta (Wang et al., NeurIPS 2025, arXiv 2505.13563), from the paper and its authors' code.

1. Mixed sparsity by variance: tensors in the order of their deviation are cut into thirds of the
   parameters; the first third drops the share s + `STEP`, the second s, and the last what is left
   so that the mean is s.
2. Distribution-aware compression: values are quantised uniformly between their extremes, and
   the same share of the values of each level is dropped at random.
3. Rescaling by γ / (1 - s); γ comes from the trace norm. The authors' code takes γ as an argument
   for each model, and the paper's formula was not at hand: here γ = (1 - s)^(1 - p), for each p of
   `POWERS` a method of its own. The best p differs between fine-tunes.

Grids are symmetric, so that a weight that did not change stays unchanged: between unequal extremes,
as in the authors' code, zero is no level, and nine of ten weights of a light bf16 fine-tune would
move. The levels are one stream of the project's entropy coder, zeros too.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks.peers.codecs import DECODERS, WholeDecoder
from benchmarks.peers.recipe import measured
from benchmarks.peers.scheme import Peer
from benchmarks.peers.streams import Codes, Size, entropy, fitted, put_codes, read_codes
from skillpm.delta.coding.payload import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.peers.task import Budget, Task
    from skillpm.delta.coding.payload import PayloadReader, PayloadWriter
    from skillpm.delta.tensors.rounding import Floats
    from skillpm.spec.dtypes import TensorSpec

ULTRADELTA = "ultradelta"
PART = "levels"
LEVELS = 7
"""Of each sign: 4 bits with zero."""
STEP = 0.02
POWERS = (0.2, 0.35, 0.5)
Rates = dict[str, float]
Small = npt.NDArray[np.int8]


def levels_of(delta: Floats) -> tuple[float, Small]:
    """The step, and each value in steps of it, from -`LEVELS` to `LEVELS`."""
    step = float(np.abs(delta).max(initial=0.0)) / LEVELS
    codes = np.rint(delta / step) if step else np.zeros(delta.size)
    return step, codes.astype(np.int8)


def dropped_rates(deviations: Mapping[str, tuple[float, int]], target: float) -> Rates:
    """The share that each tensor drops; `deviations` maps a name to (deviation, elements)."""
    order = sorted(deviations, key=lambda name: deviations[name][0])
    total = sum(size for _, size in deviations.values())
    first = min(1.0, target + STEP)
    rates: Rates = {}
    seen = spent = 0.0
    for name in order:
        seen += deviations[name][1]
        if seen > 2 * total / 3:
            break
        rates[name] = first if seen <= total / 3 else target
        spent += rates[name] * deviations[name][1]
    left = [name for name in order if name not in rates]
    size = sum(deviations[name][1] for name in left)
    last = (target * total - spent) / size if size else target
    return rates | dict.fromkeys(left, min(0.999, max(0.0, last)))


def share_of_levels(zeros: float, rate: float) -> float:
    """The share of each level to drop if a share `zeros` is zero already."""
    return max(0.0, (rate - zeros) / (1 - zeros)) if zeros < 1 else 0.0


def pruned(codes: Small, rate: float, name: str) -> Codes:
    """Drop a share of the values of each level, so that a share `rate` is zero at the end."""
    share = share_of_levels(float(np.mean(codes == 0)), rate)
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))
    kept = codes.astype(np.int32)
    for level in np.unique(codes[codes != 0]):
        places = np.flatnonzero(codes == level)
        kept[random.permutation(places)[: round(places.size * share)]] = 0
    return kept


def _bits(counts: npt.NDArray[np.int64], rate: float) -> float:
    """The entropy of a tensor's levels after pruning."""
    total = counts.sum()
    kept = counts * (1 - share_of_levels(counts[LEVELS] / total, rate))
    kept[LEVELS] += total - kept.sum()
    return entropy(kept)


class Levels(WholeDecoder):
    """Decodes levels times a step."""

    def _decode(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> Floats:
        codes = read_codes(reader, spec, PART, spec.elements)
        return np.asarray(codes * float(settings["step"]))


DECODERS[ULTRADELTA] = Levels


def ultradelta(task: Task, budget: Budget, power: float) -> Peer:
    """The least sparsity s that fits, with γ = (1 - s)^(1 - power)."""
    names = [*task.named("linear"), *task.named("embedding")]
    levels = {name: levels_of(task.deltas[name]) for name in names}
    known = {name: (float(task.deltas[name].std()), task.deltas[name].size) for name in names}
    counts = {
        n: np.bincount(codes + LEVELS, minlength=2 * LEVELS + 1) for n, (_, codes) in levels.items()
    }

    def bits(keep: float) -> float:
        rates = dropped_rates(known, 1 - keep)
        return sum(_bits(counts[name], rates[name]) for name in names)

    def peer(keep: float) -> Peer:
        rates = dropped_rates(known, 1 - keep)
        rescaled = keep**-power

        def encode(spec: TensorSpec, _delta: Floats, writer: PayloadWriter) -> Record:
            step, codes = levels[spec.name]
            put_codes(writer, spec, PART, pruned(codes, rates[spec.name], spec.name))
            record = Record(ULTRADELTA, {"step": step * rescaled})
            writer.describe(spec.name, record)
            return record

        return Peer(ULTRADELTA, task, encode, encode, {"sparsity": 1 - keep, "power": power})

    size: Size = lambda keep: measured(task, peer(keep))  # noqa: E731
    return peer(fitted(bits, size, budget, low=1e-3, high=1.0))
