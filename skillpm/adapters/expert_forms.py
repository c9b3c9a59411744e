"""Factor the deltas of a mixture's experts as PEFT stores them (`target_parameters`).

A [experts · rank, in] and B [out, rank · experts]: the update of expert e is
B.reshape(out, rank, experts)[:, :, e] · A.reshape(experts, rank, in)[e].
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from skillpm.architecture.layout import ParameterPlace
from skillpm.delta.codecs.shared.exact_product import Factor
from skillpm.delta.codecs.shared.forms import AdapterFactors
from skillpm.delta.encoding.low_rank_form import LowForm, scaled_form, svd_form, truncate_form
from skillpm.delta.tensors.rounding import Floats
from skillpm.delta.tensors.words import Words
from skillpm.errors import GraftError
from skillpm.spec.dtypes import TensorSpec

ReadDelta = Callable[[str], Floats | None]
"""Returns the delta of a stored tensor in its shape; None if the skill does not change it."""
ReadForm = Callable[[str], LowForm | None]
"""Returns the form of the factors that a pack stores for a tensor; None if there are none."""


@dataclass(frozen=True)
class ExpertForms:
    """The low-rank forms of a parameter's experts, by number. An unchanged expert has none.

    `size` is [out, in] of one expert.
    """

    place: ParameterPlace
    size: tuple[int, int]
    forms: Mapping[int, LowForm]

    @property
    def named(self) -> dict[str, LowForm]:
        """The forms by the name of the parameter and the number of the expert."""
        return {f"{self.place.tensor}.{number}": form for number, form in self.forms.items()}

    @property
    def tensors(self) -> int:
        """The number of stored tensors that one form covers."""
        return len(self.place.parts)

    def shapes(self, rank: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """The shapes of A and B at a rank."""
        (out, width), count = self.size, self.place.experts
        return (count * rank, width), (out, rank * count)

    def factors(self, rank: int) -> tuple[Floats, Floats]:
        """A and B at a rank, padded with zeros beyond a form's rank and for unchanged experts."""
        (out, width), count = self.size, self.place.experts
        a, b = np.zeros((count, rank, width)), np.zeros((out, rank, count))
        for number, form in self.forms.items():
            kept = min(rank, form.right.shape[0])
            a[number, :kept] = form.right[:kept]
            b[:, :kept, number] = form.left[:, :kept]
        return a.reshape(count * rank, width), b.reshape(out, rank * count)

    @property
    def packed(self) -> dict[int, AdapterFactors]:
        """The factors of the adapter that was packed, by number.

        Empty if a form has other factors, or if they differ in rank, scale or dtypes: PEFT stores
        those of all experts in two tensors.
        """
        sides = {n: form.factors for n, form in self.forms.items() if form.factors is not None}
        kinds = {(len(f.a.words), f.scale, f.a.dtype, f.b.dtype) for f in sides.values()}
        return sides if len(sides) == len(self.forms) and len(kinds) == 1 else {}

    @property
    def joined(self) -> AdapterFactors | None:
        """The first expert's packed factors, with the B of all experts; None if there are none."""
        first = next(iter(self.packed.values()), None)
        if first is None:
            return None
        return replace(first, b=self.own_factors(len(first.a.words))[1])

    def own_factors(self, rank: int) -> tuple[Factor, Factor]:
        """A and B with the bits of the adapter that was packed, padded with zeros to a rank."""
        (out, width), count, sides = self.size, self.place.experts, self.packed
        first = next(iter(sides.values()))
        a: Words = np.zeros((count, rank, width), first.a.words.dtype)
        b: Words = np.zeros((out, rank, count), first.b.words.dtype)
        for number, factors in sides.items():
            own = factors.a.words.shape[0]
            a[number, :own] = factors.a.words
            b[:, :own, number] = factors.b.words
        return (
            Factor(a.reshape(count * rank, width), first.a.dtype),
            Factor(b.reshape(out, rank * count), first.b.dtype),
        )


def expert_forms(
    place: ParameterPlace,
    specs: Mapping[str, TensorSpec],
    read: ReadDelta,
    limit: int,
    *,
    stored: ReadForm,
) -> ExpertForms:
    """Factor the delta of each expert. Parts along the rows are concatenated first.

    Factors that the pack stores are used as they are, or truncated to `limit`; any other delta is
    factored by an SVD. `specs` are those of the base. Raises `GraftError` if the stored tensors are
    not single experts.
    """
    if place.is_whole:
        form = None if place.is_stacked else _joined([stored(place.stored[0])], limit)
        if form is not None:
            return ExpertForms(place, (form.left.shape[0], form.right.shape[1]), {0: form})
        return _of_whole(place, specs[place.stored[0]], read, limit)
    if not place.swapped or any(len(part) != place.experts for part in place.parts):
        raise GraftError(
            f"the base stores `{place.tensor}` in several tensors that do not correspond to single "
            "experts, so it cannot be exported as an adapter",
            hint="to write the whole model: `--format merged`",
        )
    first = [specs[part[0]] for part in place.parts]
    size = sum(spec.shape[0] for spec in first), first[0].shape[1]
    forms: dict[int, LowForm] = {}
    for number in range(place.experts):
        names = [part[number] for part in place.parts]
        joined = _joined([stored(name) for name in names], limit)
        if joined is not None:
            forms[number] = joined
            continue
        parts = [(specs[name], read(name)) for name in names]
        if all(delta is None for _, delta in parts):
            continue
        rows = [np.zeros(spec.shape) if delta is None else delta for spec, delta in parts]
        forms[number] = _form(place, first[0], np.concatenate(rows), limit)
    return ExpertForms(place, size, forms)


def _joined(parts: Sequence[LowForm | None], limit: int) -> LowForm | None:
    """The form of parts one below the other; None unless they share A, the scale and the dtypes.

    A rank above the limit is truncated.
    """
    sides = [part.factors for part in parts if part is not None and part.factors is not None]
    if len(sides) < len(parts) or any(factors.transposed for factors in sides):
        return None
    first = sides[0]
    for factors in sides[1:]:
        alike = factors.scale == first.scale and factors.b.dtype == first.b.dtype
        if not alike or not factors.a.equals(first.a):
            return None
    b = Factor(np.concatenate([factors.b.words for factors in sides]), first.b.dtype)
    form = scaled_form(AdapterFactors(first.a, b, first.scale, transposed=False))
    return form if form.left.shape[1] <= limit else truncate_form(form, limit)


def _of_whole(place: ParameterPlace, spec: TensorSpec, read: ReadDelta, limit: int) -> ExpertForms:
    """The forms of a tensor [experts, rows, columns], or of a matrix, which is a single expert."""
    delta = read(spec.name)
    shape = spec.shape[-2:]
    transposed = len(spec.shape) > len(shape) and not place.swapped
    size = (shape[1], shape[0]) if transposed else (shape[0], shape[1])
    if delta is None:
        return ExpertForms(place, size, {})
    stacked = delta.reshape(place.experts, *shape)
    forms = {
        number: _form(place, spec, matrix.T if transposed else matrix, limit)
        for number, matrix in enumerate(stacked)
        if matrix.any()
    }
    return ExpertForms(place, size, forms)


def _form(place: ParameterPlace, spec: TensorSpec, delta: Floats, limit: int) -> LowForm:
    matrix = replace(spec, name=place.tensor, shape=delta.shape)
    return svd_form(matrix, np.ascontiguousarray(delta).reshape(-1), limit)
