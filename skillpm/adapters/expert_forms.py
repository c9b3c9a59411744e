"""Factor the deltas of a mixture's experts as PEFT stores them (`target_parameters`).

A [experts · rank, in] and B [out, rank · experts]: the update of expert e is
B.reshape(out, rank, experts)[:, :, e] · A.reshape(experts, rank, in)[e].
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from skillpm.architecture.layout import ParameterPlace
from skillpm.delta.encoding.low_rank_form import LowForm, svd_form
from skillpm.delta.tensors.rounding import Floats
from skillpm.errors import GraftError
from skillpm.spec.dtypes import TensorSpec

ReadDelta = Callable[[str], Floats | None]
"""Returns the delta of a stored tensor in its shape; None if the skill does not change it."""


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


def expert_forms(
    place: ParameterPlace, specs: Mapping[str, TensorSpec], read: ReadDelta, limit: int
) -> ExpertForms:
    """Factor the delta of each expert by an SVD. Parts along the rows are concatenated first.

    `specs` are those of the base. Raises `GraftError` if the stored tensors are not single experts.
    """
    if place.is_whole:
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
        parts = [(specs[part[number]], read(part[number])) for part in place.parts]
        if all(delta is None for _, delta in parts):
            continue
        rows = [np.zeros(spec.shape) if delta is None else delta for spec, delta in parts]
        forms[number] = _form(place, first[0], np.concatenate(rows), limit)
    return ExpertForms(place, size, forms)


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
