"""ImPart (Yang et al., ACL 2025, arXiv 2504.13237): sparse singular vectors.

Algorithm 1 of the paper, as in its authors' code: of the singular vectors of a matrix, the last
share β is dropped. Of vector k, the share p_k = γ (1 - (σ_k/σ_1)^C) of its entries is dropped at
random, γ = (α - β) / (1 - β), and from the end whole vectors until the mean share is α; what is
kept is divided by 1 - p_k. α follows from the budget. The paper chooses β and C on validation data
(0.6 to 0.8, and 0.5 or 1); here `GRID` holds more, and each row takes those with the least expected
squared error. Masks follow from the tensor's name and cost nothing.

Kept entries are integers in steps of `STEP` deviations and entropy-coded, where ImPart-Qt takes 8,
3 and 2 bits. The paper leaves embeddings and head dense; here a share of the budget goes to them.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks.peers.codecs import DECODERS, WholeDecoder, halves
from benchmarks.peers.fit import fit
from benchmarks.peers.magnitudes import EMBEDDING_SHARE, embedding
from benchmarks.peers.recipe import measured
from benchmarks.peers.scheme import Peer
from benchmarks.peers.streams import Size, fitted, put_codes, read_codes, rounded
from skillpm.delta.codecs.svd import SingularFactors, matrix_shape
from skillpm.delta.coding.payload import Record
from skillpm.delta.tensors.rounding import Floats, to_float64

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.peers.task import Budget, Task
    from skillpm.delta.coding.payload import PayloadReader, PayloadWriter
    from skillpm.spec.dtypes import TensorSpec

IMPART = "impart"
STEP = 1.0
BITS = 2.1
"""Bits of a normal variable in steps of its deviation."""


@dataclass(frozen=True)
class Setting:
    """The share of entries kept (1 - α), the share of vectors kept (1 - β), and the power C."""

    keep: float
    vectors: float
    power: float


GRID = tuple(
    Setting(0.0, vectors, power)
    for vectors in (0.4, 0.3, 0.2, 0.1, 0.05, 0.0)
    for power in (0.5, 1.0)
)
"""Without vectors, those that α leaves are kept whole: β = α."""


def kept_shares(sigma: Floats, setting: Setting) -> Floats:
    """1 - p_k of every singular vector that is not dropped whole, [k]; sigma [n] is falling."""
    count = max(1, round(sigma.size * max(setting.vectors, setting.keep)))
    target = min(1.0, setting.keep * sigma.size / count)
    shares = _shares(sigma[:count], target, setting)
    fits = np.count_nonzero(np.cumsum(shares) <= target * count * (1 + 1e-9))
    return shares[: max(1, fits)]


def _shares(head: Floats, target: float, setting: Setting) -> Floats:
    """1 - (1 - (σ_k/σ_1)^C) γ, with γ = 1 - `target`."""
    ratios = head / head[0] if head[0] > 0 else np.ones(head.size)
    return np.asarray(1 - (1 - np.power(ratios, setting.power)) * (1 - target))


def expected_error(sigma: Floats, setting: Setting) -> float:
    """The expected squared error of one matrix: of dropped vectors, of masks and of rounding."""
    shares = kept_shares(sigma, setting)
    head = np.square(sigma[: shares.size])
    noise = (1 + STEP**2 / 12) ** 2 / np.square(shares) - 1
    return float(head @ noise + np.square(sigma[shares.size :]).sum())


def mask(spec: TensorSpec, side: str, length: int, shares: Floats) -> npt.NDArray[np.bool_]:
    """Which entries of each vector are kept, [k, length]: a fixed number of each, at random."""
    digest = hashlib.sha256(f"{spec.name}/{side}".encode()).digest()
    draws = np.random.default_rng(int.from_bytes(digest[:8])).random((shares.size, length))
    ranks = draws.argsort(axis=1).argsort(axis=1)
    counts = np.maximum(1, np.rint(shares * length))
    return np.asarray(ranks < counts[:, None])


def encode_impart(
    spec: TensorSpec, factors: SingularFactors, setting: Setting, writer: PayloadWriter
) -> Record:
    """Write σ and the kept entries of both factors."""
    count = kept_shares(factors.sigma, setting).size
    exponent, words = halves(factors.sigma[:count])
    writer.put(spec.name, "sigma", words.tobytes())
    shares = _known_shares(spec, np.ldexp(to_float64(words, "F16"), exponent), setting)
    for side, rows in (("u", factors.left.T), ("v", factors.right)):
        vectors = rows[:count]
        chosen = vectors[mask(spec, side, vectors.shape[1], shares)]
        put_codes(writer, spec, side, rounded(chosen, _step(vectors.shape[1])))
    settings = {**asdict(setting), "count": count, "exponent": exponent}
    record = Record(IMPART, settings)
    writer.describe(spec.name, record)
    return record


def _step(length: int) -> float:
    return STEP / float(np.sqrt(length))


def _known_shares(spec: TensorSpec, head: Floats, setting: Setting) -> Floats:
    """The shares that follow from the stored σ."""
    size = min(matrix_shape(spec))
    count = max(1, round(size * max(setting.vectors, setting.keep)))
    return _shares(head, min(1.0, setting.keep * size / count), setting)


class SparseVectors(WholeDecoder):
    """The inverse of `encode_impart`."""

    def _decode(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> Floats:
        setting = Setting(settings["keep"], settings["vectors"], settings["power"])
        count = settings["count"]
        words = np.frombuffer(reader.part(spec.name, "sigma", 2 * count), dtype="<u2")
        sigma = np.ldexp(to_float64(words, "F16"), settings["exponent"])
        shares = _known_shares(spec, sigma, setting)
        sides = []
        for side, length in zip("uv", matrix_shape(spec), strict=True):
            chosen = mask(spec, side, length, shares)
            rows = np.zeros(chosen.shape)
            codes = read_codes(reader, spec, side, int(chosen.sum()))
            rows[chosen] = codes * _step(length)
            sides.append(rows / shares[:, None])
        return np.asarray(((sides[0] * sigma[:, None]).T @ sides[1]).reshape(-1))


DECODERS[IMPART] = SparseVectors


def impart(task: Task, budget: Budget) -> Peer:
    """The least sparsity α that fits, with the best β and C."""
    share = round(EMBEDDING_SHARE * budget)
    outer = embedding(task, share)
    factors = task.factors
    sides = {name: sum(matrix_shape(task.before.specs[name])) for name in factors}

    def bits(setting: Setting) -> float:
        entries = (
            kept_shares(one.sigma, setting).sum() * sides[name] for name, one in factors.items()
        )
        return BITS * float(sum(entries)) + 8 * share

    def at(base: Setting, keep: float) -> Setting:
        return Setting(keep, base.vectors, base.power)

    def error(base: Setting) -> float:
        highest = base.vectors or 1.0
        keep = fit(lambda x: bits(at(base, x)) / 8, budget, low=1e-4, high=highest)
        return sum(expected_error(one.sigma, at(base, keep)) for one in factors.values())

    best = min(GRID, key=error)

    def peer(keep: float) -> Peer:
        setting = at(best, keep)

        def linear(spec: TensorSpec, _delta: Floats, writer: PayloadWriter) -> Record:
            return encode_impart(spec, factors[spec.name], setting, writer)

        return Peer(IMPART, task, linear, outer, asdict(setting))

    size: Size = lambda keep: measured(task, peer(keep))  # noqa: E731
    high = best.vectors or 1.0
    return peer(fitted(lambda x: bits(at(best, x)), size, budget, low=1e-4, high=high))
