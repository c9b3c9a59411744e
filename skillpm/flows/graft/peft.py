"""The PEFT adapter of a skill: which tensors a LoRA carries, at which rank, and what is lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from skillpm.adapters.expert_forms import ExpertForms, expert_forms
from skillpm.checkpoint.model import VerifiedCheckpoint
from skillpm.delta.apply.compose import Composition
from skillpm.delta.apply.open_pack import OpenPack
from skillpm.delta.encode.low_rank_form import (
    RANKS,
    LowForm,
    best_rank,
    can_carry,
    collect,
    deltas,
    energy,
    exact_form,
    svd_form,
    truncate_form,
)
from skillpm.delta.tensors.module_kinds import kind_of
from skillpm.delta.tensors.rounding import Floats
from skillpm.errors import GraftError
from skillpm.flows.graft.peft_targets import PeftTargets, find_targets
from skillpm.flows.session.session import Session
from skillpm.spec.dtypes import is_float


@dataclass(frozen=True)
class LayeredDelta:
    """A skill with all that it lies over, on its base."""

    base: VerifiedCheckpoint
    packs: Sequence[OpenPack]
    composition: Composition


@dataclass(frozen=True)
class UncarriedTensor:
    """A tensor that no LoRA carries; its share of ‖Δ‖², where it has a delta in numbers."""

    tensor: str
    reason: str
    share: float | None


@dataclass(frozen=True)
class KindLoss:
    """All carried tensors of one kind: how many, and ‖Δ - Δ̂‖/‖Δ‖."""

    kind: str
    tensors: int
    residual: float


@dataclass(frozen=True)
class LowRankResult:
    """The low-rank form of a skill at one rank, and what it loses."""

    forms: dict[str, LowForm]
    experts: tuple[ExpertForms, ...]
    rank: int
    residual: float
    total_residual: float | None
    kinds: tuple[KindLoss, ...]
    left_out: tuple[UncarriedTensor, ...]
    targets: PeftTargets


@dataclass(frozen=True)
class LoraRequest:
    """The rank, or None for the least that leaves `residual`; whether tensors may be left out."""

    rank: int | None
    residual: float
    partial: bool


def lower(session: Session, whole: LayeredDelta, wanted: LoraRequest) -> LowRankResult:
    """Find the form. Raises `GraftError` where a LoRA cannot carry it, or no rank is enough.

    Holds the factors of all tensors at the rank, or at the largest where the best is asked for.
    """
    limit = wanted.rank or RANKS[-1]
    carried, rest = _split(whole)
    targets = find_targets(whole.base, carried)
    rest = dict(sorted({**rest, **targets.refused}.items()))
    carried = [name for name in carried if name in targets.modules]
    if not carried and not targets.parameters:
        raise GraftError(
            "the skill changes no matrix of a layer that PEFT adapts: a LoRA carries nothing "
            f"of it{_first_reason(rest)}",
            hint="`--format merged` writes the whole model",
        )
    if rest and not wanted.partial:
        shown = ", ".join(f"`{name}` ({reason})" for name, reason in list(rest.items())[:5])
        more = f", and {len(rest) - 5} more" if len(rest) > 5 else ""  # noqa: PLR2004
        raise GraftError(
            f"a LoRA cannot carry {len(rest)} of the tensors that the skill changes: {shown}{more}",
            hint="`--partial` leaves them out and says how much that is; "
            "`--format merged` keeps all",
        )
    forms, experts = _factored(session, whole, carried, targets, limit)
    every = {**forms, **{name: form for each in experts for name, form in each.named.items()}}
    rank = wanted.rank or best_rank(list(every.values()), wanted.residual)
    left = _left_out(whole, rest, every)
    residual, total, losses = _measured(every, rank, left, experts)
    return LowRankResult(forms, experts, rank, residual, total, losses, left, targets)


def _factored(
    session: Session, whole: LayeredDelta, carried: list[str], targets: PeftTargets, limit: int
) -> tuple[dict[str, LowForm], tuple[ExpertForms, ...]]:
    """The factors of each linear layer, and of each expert of a parameter."""
    parts = [name for name in targets.parts if name in whole.composition.touched]
    names = [*carried, *parts]
    advance = session.progress("factoring", sum(whole.base.specs[n].nbytes for n in names))
    forms: dict[str, LowForm] = {}
    for name in carried:
        forms[name] = _form(whole, name, limit)
        advance(whole.base.specs[name].nbytes)

    def delta(name: str) -> Floats | None:
        if name not in whole.composition.touched:
            return None
        advance(whole.base.specs[name].nbytes)
        flat = collect(deltas(whole.packs, whole.composition, whole.base, name))
        return flat.reshape(whole.base.specs[name].shape)

    specs = whole.base.specs
    experts = tuple(expert_forms(each, specs, delta, limit) for each in targets.parameters)
    return forms, experts


def _first_reason(rest: dict[str, str]) -> str:
    return "".join(f"; `{name}`: {reason}" for name, reason in list(rest.items())[:1])


def _split(whole: LayeredDelta) -> tuple[list[str], dict[str, str]]:
    """The tensors that a LoRA can carry, and why it cannot carry the others."""
    carried: list[str] = []
    rest: dict[str, str] = {}
    for name in sorted(whole.composition.touched):
        before, after = whole.base.specs.get(name), whole.composition.specs.get(name)
        change = "added" if before is None else "removed" if after is None else "changed"
        if before and after and before.shape != after.shape:
            change = "resized"
        spec = after or before
        assert spec is not None  # noqa: S101 - a touched tensor is on one side at least
        if can_carry(spec, change):
            carried.append(name)
        else:
            rest[name] = change if change != "changed" else _shown_kind(name)
    return carried, rest


def _shown_kind(name: str) -> str:
    """What a message calls a tensor that is no matrix of numbers, which alone keeps it out."""
    return "bias" if name.endswith(".bias") else kind_of(name)


def _form(whole: LayeredDelta, name: str, limit: int) -> LowForm:
    exact = exact_form(whole.packs, whole.base, name)
    if exact is not None:
        return exact if exact.left.shape[1] <= limit else truncate_form(exact, limit)
    delta = collect(deltas(whole.packs, whole.composition, whole.base, name))
    return svd_form(whole.base.specs[name], delta, limit)


def _left_out(
    whole: LayeredDelta, rest: dict[str, str], forms: dict[str, LowForm]
) -> tuple[UncarriedTensor, ...]:
    norms: dict[str, float | None] = {}
    for name in rest:
        before, after = whole.base.specs.get(name), whole.composition.specs.get(name)
        comparable = before and after and before.shape == after.shape and is_float(after.dtype)
        found = deltas(whole.packs, whole.composition, whole.base, name) if comparable else None
        norms[name] = None if found is None else energy(found)
    total = sum(form.norm for form in forms.values()) + sum(norm or 0.0 for norm in norms.values())
    return tuple(
        UncarriedTensor(name, rest[name], None if norm is None else norm / total if total else 0.0)
        for name, norm in norms.items()
    )


def _measured(
    forms: dict[str, LowForm],
    rank: int,
    left_out: tuple[UncarriedTensor, ...],
    experts: tuple[ExpertForms, ...],
) -> tuple[float, float | None, tuple[KindLoss, ...]]:
    """What the rank loses of what is carried, of all that is changed, and by kind of tensor."""
    kinds: dict[str, list[LowForm]] = {}
    counts: dict[str, int] = {}
    several = {name: each.tensors for each in experts for name in each.named}
    for name, form in forms.items():
        kind = kind_of(name)
        kinds.setdefault(kind, []).append(form)
        counts[kind] = counts.get(kind, 0) + several.get(name, 1)
    losses = tuple(
        KindLoss(kind, counts[kind], _residual(some, rank)) for kind, some in sorted(kinds.items())
    )
    residual = _residual(list(forms.values()), rank)
    share = sum(one.share or 0.0 for one in left_out)
    numbers = all(one.share is not None for one in left_out)
    total = sqrt(residual**2 * (1 - share) + share) if numbers else None
    return residual, total, losses


def _residual(forms: list[LowForm], rank: int) -> float:
    norm = sum(form.norm for form in forms)
    return sqrt(sum(form.residual(rank) for form in forms) / norm) if norm else 0.0
