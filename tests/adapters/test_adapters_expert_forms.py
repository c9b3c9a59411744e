"""Factors of a mixture's experts: those that a pack stores, or those of an SVD."""

import numpy as np
import pytest

from skillpm.adapters.expert_forms import ExpertForms, expert_forms
from skillpm.architecture.layout import ParameterPlace
from skillpm.delta.codecs.shared.exact_product import Factor
from skillpm.delta.codecs.shared.forms import AdapterFactors
from skillpm.delta.encoding.low_rank_form import LowForm, scaled_form
from skillpm.delta.tensors.rounding import Floats
from skillpm.spec.dtypes import TensorSpec

WIDTH, ROWS = 6, 5
PARTS = [["0.gate", "1.gate"], ["0.up", "1.up"]]
PLACE = ParameterPlace(
    tensor="experts.gate_up", experts=2, rank=8, scale=1.0, swapped=True, module="experts",
    parts=PARTS,
)  # fmt: skip
SPECS = {name: TensorSpec(name, "F32", (ROWS, WIDTH)) for part in PARTS for name in part}


def factor(rows: int, columns: int, seed: int) -> Factor:
    values = np.random.default_rng(seed).integers(-3, 4, (rows, columns)).astype("<f4")
    return Factor(values.view("<u4"), "F32")


def lora(rank: int = 3, scale: float = 2.0) -> dict[str, AdapterFactors]:
    """The factors of each tensor. The parts of an expert share A."""
    seeds = {name: number for number, name in enumerate(SPECS)}
    return {
        name: AdapterFactors(
            factor(rank, WIDTH, int(name[0])), factor(ROWS, rank, 9 + seeds[name]), scale,
            transposed=False,
        )
        for name in SPECS
    }  # fmt: skip


def update(factors: AdapterFactors) -> Floats:
    product: Floats = factors.scale * (factors.b.rows(0, ROWS) @ factors.a.rows(0, 99))
    return product


def forms_of(stored: dict[str, AdapterFactors], limit: int = 8) -> ExpertForms:
    def form(name: str) -> LowForm | None:
        return scaled_form(stored[name]) if name in stored else None

    def delta(name: str) -> Floats | None:
        return update(stored[name]) if name in stored else None

    return expert_forms(PLACE, SPECS, delta, limit, stored=form)


def updates(forms: ExpertForms, rank: int) -> list[Floats]:
    """The update of each expert, by PEFT's formula."""
    a, b = forms.factors(rank)
    out = 2 * ROWS
    stacked_a, stacked_b = a.reshape(2, rank, WIDTH), b.reshape(out, rank, 2)
    return [stacked_b[:, :, expert] @ stacked_a[expert] for expert in range(2)]


def wanted(stored: dict[str, AdapterFactors]) -> list[Floats]:
    zero = np.zeros((ROWS, WIDTH))
    return [
        np.concatenate([update(stored[n]) if n in stored else zero for n in names])
        for names in zip(*PARTS, strict=True)
    ]


def test_parts_with_one_a_are_joined_to_the_factors_of_the_adapter() -> None:
    stored = lora()
    forms = forms_of(stored)
    assert np.array_equal(updates(forms, 8), wanted(stored))
    a, b = forms.own_factors(4)
    for number, names in enumerate(zip(*PARTS, strict=True)):
        own_a = a.words.reshape(2, 4, WIDTH)[number]
        own_b = b.words.reshape(2 * ROWS, 4, 2)[:, :, number]
        assert np.array_equal(own_a[:3], stored[names[0]].a.words)
        assert np.array_equal(own_b[:, :3], np.concatenate([stored[n].b.words for n in names]))
        assert not own_a[3:].any()
        assert not own_b[:, 3:].any()


def test_expert_that_is_not_changed_has_zeros() -> None:
    stored = {name: sides for name, sides in lora().items() if name.startswith("1")}
    forms = forms_of(stored)
    assert list(forms.packed) == [1]
    assert np.array_equal(updates(forms, 3), wanted(stored))
    assert not forms.own_factors(3)[0].words[:3].any()


@pytest.mark.parametrize("change", ["another A", "another scale", "an unchanged part"])
def test_parts_that_differ_are_factored_by_svd(change: str) -> None:
    stored = lora()
    if change == "an unchanged part":
        del stored["0.up"]
    else:
        sides = stored["0.up"]
        a = factor(3, WIDTH, 77) if change == "another A" else sides.a
        scale = 1.0 if change == "another scale" else sides.scale
        stored["0.up"] = AdapterFactors(a, sides.b, scale, transposed=False)
    forms = forms_of(stored)
    assert forms.packed == {}
    assert np.allclose(updates(forms, 8), wanted(stored), atol=1e-4)


@pytest.mark.parametrize("other", [lora(rank=2), lora(scale=1.0)])
def test_experts_that_differ_have_no_factors_of_one_adapter(
    other: dict[str, AdapterFactors],
) -> None:
    stored = {**lora(), **{name: other[name] for name in ("1.gate", "1.up")}}
    forms = forms_of(stored)
    assert forms.packed == {}
    assert np.array_equal(updates(forms, 8), wanted(stored))


def test_rank_above_the_limit_is_truncated() -> None:
    stored = lora(rank=5)
    forms = forms_of(stored, limit=4)
    assert forms.packed == {}
    for number, matrix in enumerate(wanted(stored)):
        sigma = np.linalg.svd(matrix, compute_uv=False)
        assert forms.forms[number].left.shape[1] == 4
        lost = np.linalg.norm(matrix - updates(forms, 4)[number])
        assert lost == pytest.approx(np.linalg.norm(sigma[4:]), rel=1e-3, abs=1e-4)
