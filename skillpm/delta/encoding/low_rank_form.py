"""Low-rank forms of a pack's deltas, which `export --format peft` writes.

If a pack stores the factors of a tensor, they are exported with the scale multiplied in; a rank
above the limit is truncated by the SVD of two small triangular factors. Any other delta is
truncated by its own SVD, which gives the nearest matrix of that rank (Eckart & Young 1936).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from skillpm.delta.codecs.shared.exact_product import Factor
from skillpm.delta.codecs.shared.forms import AdapterFactors
from skillpm.delta.codecs.svd import matrix_shape
from skillpm.delta.codecs.table import CODECS
from skillpm.delta.decoding.compose import Composition
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.encoding.torch_svd import decompose
from skillpm.delta.tensors.ports import Source
from skillpm.delta.tensors.rounding import Floats, from_float64, to_float64
from skillpm.delta.tensors.words import words_of
from skillpm.errors import GraftError
from skillpm.spec.dtypes import TensorSpec, is_float

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The LoRA ranks that every version of vLLM accepts as `max_lora_rank`."""


@dataclass(frozen=True)
class LowForm:
    """Δ [m, n] ≈ left [m, r] · right [r, n], components by singular value if `ordered`.

    `norm` is ‖Δ‖². `lost[k]` is ‖Δ - its first k components‖² for k from 0 to r; if not ordered, it
    is ‖Δ‖² for k < r. `dtypes` are the dtypes in which left and right are stored. `factors` are an
    adapter's own, if the form consists of all of them.
    """

    left: Floats
    right: Floats
    norm: float
    lost: Floats
    dtypes: tuple[str, str]
    ordered: bool
    factors: AdapterFactors | None = None

    def residual(self, rank: int) -> float:
        """Return ‖Δ - Δ̂‖² at a rank."""
        return float(self.lost[min(rank, self.lost.size - 1)])


def deltas(
    packs: Sequence[OpenPack], composition: Composition, base: Source, name: str
) -> Iterator[Floats]:
    """Yield Δ of one tensor by chunks [n]: one pack's, or the composition's if several change it.

    Only for changed tensors of a floating point dtype.
    """
    touching = [pack for pack in packs if name in pack.entries]
    dtype = composition.specs[name].dtype
    if len(touching) == 1:
        for reference, words, delta in touching[0].decode(name, base):
            before = to_float64(reference, dtype)
            yield to_float64(words, dtype) - before if delta is None else delta
        return
    spec = base.specs[name]
    for after, previous in zip(composition.chunks(name), base.chunks(name), strict=True):
        yield to_float64(words_of(after, spec), dtype) - to_float64(words_of(previous, spec), dtype)


def energy(chunks: Iterator[Floats]) -> float:
    """Return ‖Δ‖² of a delta that is given in chunks."""
    return float(sum(float(np.sum(chunk * chunk)) for chunk in chunks))


def exact_form(packs: Sequence[OpenPack], base: Source, name: str) -> LowForm | None:
    """Return the factors that one pack stores for a tensor; None if Δ is not their product."""
    touching = [pack for pack in packs if name in pack.entries]
    if len(touching) != 1:
        return None
    codec = CODECS.get(touching[0].entries[name].codec)
    if codec is None or not codec.keeps_factors:
        return None
    match touching[0].decoder(name, base.specs[name]).live_form():
        case AdapterFactors() as factors:
            return scaled_form(factors)
        case _:
            return None


def scaled_form(factors: AdapterFactors) -> LowForm:
    """The form of an adapter's factors: the scale goes into b, in b's dtype if exact, else F32."""
    rank = factors.a.words.shape[0]
    a = factors.a.rows(0, rank)
    scaled = factors.b.rows(0, factors.b.words.shape[0]) * factors.scale
    dtype = factors.b.dtype if _fits(scaled, factors.b.dtype) else "F32"
    b = _stored(scaled, dtype)
    norm, error = _square(scaled, a), _square(scaled - b, a)
    lost = np.concatenate([np.full(rank, norm), [error]])
    if factors.transposed:
        return LowForm(a.T, b.T, norm, lost, (factors.a.dtype, dtype), False, factors)
    return LowForm(b, a, norm, lost, (dtype, factors.a.dtype), False, factors)


def _square(left: Floats, right: Floats) -> float:
    """Return ‖left · right‖² from two Gram matrices [r, r]."""
    return float(np.sum((left.T @ left) * (right @ right.T)))


def _fits(values: Floats, dtype: str) -> bool:
    return bool((_stored(values, dtype) == values).all())


def _stored(values: Floats, dtype: str) -> Floats:
    words, bad = from_float64(np.ascontiguousarray(values), dtype)
    return np.where(bad, np.nan, to_float64(words, dtype))


def truncate_form(form: LowForm, rank: int) -> LowForm:
    """Return the first `rank` singular components of an unordered form. Costs O((m + n) · r²)."""
    q_left, r_left = np.linalg.qr(form.left)
    q_right, r_right = np.linalg.qr(form.right.T)
    u, sigma, v = np.linalg.svd(r_left @ r_right.T)
    keep = min(rank, sigma.size)
    left, right = (q_left @ u)[:, :keep] * sigma[:keep], (v @ q_right.T)[:keep]
    tails = np.concatenate([np.cumsum(sigma[::-1] ** 2)[::-1], [0.0]])
    return _rounded_form(left, right, form.norm, tails[: keep + 1])


def svd_form(spec: TensorSpec, delta: Floats, limit: int) -> LowForm:
    """Return the first `limit` singular components of a flat delta. Costs an SVD of the matrix."""
    matrix = delta.reshape(matrix_shape(spec))
    factors = decompose(matrix)
    keep = min(limit, factors.sigma.size)
    norm = float(np.sum(matrix * matrix))
    left, right = factors.left[:, :keep] * factors.sigma[:keep], factors.right[:keep]
    heads = np.concatenate([[0.0], np.cumsum(factors.sigma[:keep] ** 2)])
    form = _rounded_form(left, right, norm, np.maximum(norm - heads, 0.0))
    form.lost[keep] = float(np.sum((matrix - form.left @ form.right) ** 2))
    return form


def _rounded_form(left: Floats, right: Floats, norm: float, lost: Floats) -> LowForm:
    return LowForm(
        _stored(left, "F32"), _stored(right, "F32"), norm, lost, ("F32", "F32"), ordered=True
    )


def best_rank(forms: Sequence[LowForm], residual: float) -> int:
    """Return the lowest rank of `RANKS` with ‖Δ - Δ̂‖ ≤ residual · ‖Δ‖ over all tensors together.

    Raises `GraftError` if there is none.
    """
    lost, norm = 0.0, sum(form.norm for form in forms)
    for rank in RANKS:
        lost = sum(form.residual(rank) for form in forms)
        if lost <= residual**2 * norm:
            return rank
    left = (lost / norm) ** 0.5 if norm else 0.0
    raise GraftError(
        f"no rank up to {RANKS[-1]} reaches a residual of {residual:g}: "
        f"rank {RANKS[-1]} has {left:.3g}",
        hint=f"pass `--rank {RANKS[-1]}`, or a larger `--residual`",
    )


def pad_bytes(form: LowForm, rank: int, *, side: str, flip: bool) -> tuple[str, bytes]:
    """Return a side of a form, padded with zeros to `rank`: its dtype and little-endian bytes.

    `right` is [rank, n], `left` is [m, rank]; transposed if `flip`.
    """
    columns = form.left.T if side == "left" else form.right
    padded = np.zeros((rank, columns.shape[1]))
    kept = min(rank, columns.shape[0])
    padded[:kept] = columns[:kept]
    dtype = form.dtypes[0] if side == "left" else form.dtypes[1]
    values = padded.T if (side == "left") != flip else padded
    words, _ = from_float64(np.ascontiguousarray(values).reshape(-1), dtype)
    return dtype, words.tobytes()


def multiplied(factor: Factor, times: int) -> Factor | None:
    """Return a factor times a number, in its dtype; None if a value would be rounded."""
    if times == 1:
        return factor
    product = factor.rows(0, factor.words.shape[0]) * times
    if not _fits(product, factor.dtype):
        return None
    return Factor(from_float64(product, factor.dtype)[0], factor.dtype)


def factor_bytes(factor: Factor, shape: tuple[int, int]) -> bytes:
    """Return the little-endian bytes of a factor, padded with zeros to a shape [rows, columns]."""
    rows, columns = factor.words.shape
    padded = np.zeros(shape, factor.words.dtype)  # in each dtype, 0.0 is a word of zero bits
    padded[:rows, :columns] = factor.words
    return padded.tobytes()


def collect(chunks: Iterator[Floats]) -> Floats:
    """Join the chunks of a delta to [elements]."""
    return np.concatenate(list(chunks))


def can_carry(spec: TensorSpec, change: str) -> bool:
    """Whether factors can represent this tensor's delta: a matrix, or one matrix per expert."""
    return change == "changed" and len(spec.shape) in (2, 3) and is_float(spec.dtype)
