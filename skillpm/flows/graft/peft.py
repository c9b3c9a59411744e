"""Approximate a skill by a LoRA: the tensors that fit, the rank, and the loss."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

from skillpm.adapters.expert_forms import ExpertForms, expert_forms
from skillpm.checkpoint.model import VerifiedCheckpoint
from skillpm.delta.decoding.compose import Composition
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.encoding.low_rank_form import (
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
from skillpm.flows.graft.lora_scaling import LoraScaling, find_scaling
from skillpm.flows.graft.peft_targets import PeftTargets, find_targets
from skillpm.flows.session.session import Session
from skillpm.spec.dtypes import is_float
from skillpm.spec.manifest import Manifest
from skillpm.spec.words import counted


@dataclass(frozen=True)
class LayeredDelta:
    """A skill and the packs that it is layered on, on their base."""

    base: VerifiedCheckpoint
    packs: Sequence[OpenPack]
    composition: Composition
    manifests: Sequence[Manifest] = ()


@dataclass(frozen=True)
class UncarriedTensor:
    """A tensor that a LoRA cannot hold, and its share of ‖Δ‖² (None if it has no numeric delta)."""

    tensor: str
    reason: str
    share: float | None


@dataclass(frozen=True)
class KindLoss:
    """The number of tensors of one module kind in the LoRA, and their ‖Δ - Δ̂‖/‖Δ‖."""

    kind: str
    tensors: int
    residual: float


@dataclass(frozen=True)
class LowRankResult:
    """The low-rank form of a skill at one rank, and its loss.

    With `scaling`, the factors are those that the skill was packed from.
    """

    forms: dict[str, LowForm]
    experts: tuple[ExpertForms, ...]
    rank: int
    residual: float
    total_residual: float | None
    kinds: tuple[KindLoss, ...]
    left_out: tuple[UncarriedTensor, ...]
    targets: PeftTargets
    scaling: LoraScaling | None = None


@dataclass(frozen=True)
class LoraRequest:
    """The rank, or None for the least one that reaches `residual`; `partial` allows omissions.

    `keep` keeps the factors of a skill that was packed from a LoRA, padded with zeros to ranks that
    vLLM accepts; `own` keeps its ranks and α too, and refuses any other skill.
    """

    rank: int | None
    residual: float
    partial: bool
    keep: bool = False
    own: bool = False


def to_low_rank(session: Session, layered: LayeredDelta, request: LoraRequest) -> LowRankResult:
    """Return the low-rank form. Raises `GraftError` if no LoRA, or no rank, can hold the skill.

    Memory: the factors of all tensors at the requested rank, or at the largest supported one.
    """
    held, rest = _split(layered)
    targets = find_targets(layered.base, held)
    rest = dict(sorted({**rest, **targets.refused}.items()))
    held = [name for name in held if name in targets.modules]
    if not held and not targets.parameters:
        raise GraftError(
            "a LoRA can hold no tensor of the skill, because it changes no matrix of a layer that "
            f"PEFT adapts{_first_reason(rest)}",
            hint="`--format merged` writes the whole model",
        )
    if rest and not request.partial:
        shown = ", ".join(f"`{name}` ({reason})" for name, reason in list(rest.items())[:5])
        more = f", and {len(rest) - 5} more" if len(rest) > 5 else ""  # noqa: PLR2004
        raise GraftError(
            f"a LoRA cannot hold {counted(len(rest), 'tensor')} of the skill: {shown}{more}",
            hint="`--partial` leaves them out and reports the loss; `--format merged` keeps all",
        )
    if request.own and any(place.is_stacked for place in targets.parameters):
        raise _without_own_ranks(layered)
    forms, experts = _factored(session, layered, held, targets, request)
    every = {**forms, **{name: form for expert in experts for name, form in expert.named.items()}}
    scaling = _original(layered, forms, experts, targets, request)
    if scaling is None:
        rank = request.rank or best_rank(list(every.values()), request.residual)
        largest = rank
    else:
        every = {name: _exact(form) for name, form in every.items()}
        rank, largest = scaling.rank, max(scaling.ranks.values())
    left = _left_out(layered, rest, every)
    residual, total, losses = _measured(every, largest, left, experts)
    return LowRankResult(forms, experts, rank, residual, total, losses, left, targets, scaling)


def _without_own_ranks(layered: LayeredDelta) -> GraftError:
    named = f"{layered.manifests[-1].ref}" if layered.manifests else "the skill"
    return GraftError(
        f"{named} has no ranks of its own: its pack does not store the factors of a LoRA for each "
        "of its layers and experts",
        hint="to reduce it to a LoRA: `--rank best`",
    )


def _original(
    layered: LayeredDelta,
    forms: dict[str, LowForm],
    experts: tuple[ExpertForms, ...],
    targets: PeftTargets,
    request: LoraRequest,
) -> LoraScaling | None:
    """Return the scaling of the packed LoRA; None if it is not kept.

    It is not kept if a form is not made of stored factors. Raises `GraftError` in place of None
    with `request.own`.
    """
    factors = {targets.modules[name]: form.factors for name, form in forms.items()}
    for expert in experts:
        factors[expert.place.tensor] = expert.joined
    stored = {module: sides for module, sides in factors.items() if sides is not None}
    scaling = None
    if (request.keep or request.own) and len(stored) == len(factors):
        scaling = find_scaling(stored, layered.manifests, pad=not request.own)
    if scaling is None and request.own:
        raise _without_own_ranks(layered)
    return scaling


def _exact(form: LowForm) -> LowForm:
    """Return the form without the loss of its rounded product: its own factors are written."""
    lost = form.lost.copy()
    lost[-1] = 0.0
    return replace(form, lost=lost)


def _factored(
    session: Session,
    layered: LayeredDelta,
    held: list[str],
    targets: PeftTargets,
    request: LoraRequest,
) -> tuple[dict[str, LowForm], tuple[ExpertForms, ...]]:
    """Return the factors of each linear layer, and of each expert of a parameter."""
    parts = [name for name in targets.parts if name in layered.composition.touched]
    specs, limit = layered.base.specs, request.rank or RANKS[-1]
    sizes = {name: specs[name].nbytes for name in (*held, *parts)}
    advance, left = session.progress("factoring", sum(sizes.values())), dict(sizes)
    forms: dict[str, LowForm] = {}
    for name in held:
        forms[name] = _form(layered, name, request)
        advance(sizes[name])

    def delta(name: str) -> Floats | None:
        if name not in sizes:
            return None
        advance(left.pop(name, 0))
        flat = collect(deltas(layered.packs, layered.composition, layered.base, name))
        return flat.reshape(specs[name].shape)

    def stored(name: str) -> LowForm | None:
        form = exact_form(layered.packs, layered.base, name) if name in sizes else None
        if form is not None:
            advance(left.pop(name, 0))
        elif request.own and name in sizes:
            raise _without_own_ranks(layered)
        return form

    experts = tuple(
        expert_forms(place, specs, delta, limit, stored=stored) for place in targets.parameters
    )
    return forms, experts


def _first_reason(rest: dict[str, str]) -> str:
    return "".join(f"; `{name}`: {reason}" for name, reason in list(rest.items())[:1])


def _split(layered: LayeredDelta) -> tuple[list[str], dict[str, str]]:
    """Return the tensors that a LoRA can hold, and the reason for each of the others."""
    held: list[str] = []
    rest: dict[str, str] = {}
    for name in sorted(layered.composition.touched):
        before, after = layered.base.specs.get(name), layered.composition.specs.get(name)
        change = "added" if before is None else "removed" if after is None else "changed"
        if before and after and before.shape != after.shape:
            change = "resized"
        spec = after or before
        assert spec is not None  # noqa: S101 - a touched tensor is in the base or in the graft
        if can_carry(spec, change):
            held.append(name)
        else:
            rest[name] = change if change != "changed" else _shown_kind(name)
    return held, rest


def _shown_kind(name: str) -> str:
    """Return the word for a tensor that is left out because it is not a matrix of floats."""
    return "bias" if name.endswith(".bias") else kind_of(name)


def _form(layered: LayeredDelta, name: str, request: LoraRequest) -> LowForm:
    exact, limit = exact_form(layered.packs, layered.base, name), request.rank or RANKS[-1]
    if exact is not None:
        whole = request.own or exact.left.shape[1] <= limit
        return exact if whole else truncate_form(exact, limit)
    if request.own:
        raise _without_own_ranks(layered)
    delta = collect(deltas(layered.packs, layered.composition, layered.base, name))
    return svd_form(layered.base.specs[name], delta, limit)


def _left_out(
    layered: LayeredDelta, rest: dict[str, str], forms: dict[str, LowForm]
) -> tuple[UncarriedTensor, ...]:
    norms: dict[str, float | None] = {}
    for name in rest:
        before, after = layered.base.specs.get(name), layered.composition.specs.get(name)
        comparable = before and after and before.shape == after.shape and is_float(after.dtype)
        parts = (
            deltas(layered.packs, layered.composition, layered.base, name) if comparable else None
        )
        norms[name] = None if parts is None else energy(parts)
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
    """Return the loss over the held tensors, over all changed tensors, and by module kind."""
    kinds: dict[str, list[LowForm]] = {}
    counts: dict[str, int] = {}
    expert_counts = {name: expert.tensors for expert in experts for name in expert.named}
    for name, form in forms.items():
        kind = kind_of(name)
        kinds.setdefault(kind, []).append(form)
        counts[kind] = counts.get(kind, 0) + expert_counts.get(name, 1)
    losses = tuple(
        KindLoss(kind, counts[kind], _residual(group, rank))
        for kind, group in sorted(kinds.items())
    )
    residual = _residual(list(forms.values()), rank)
    share = sum(tensor.share or 0.0 for tensor in left_out)
    numeric = all(tensor.share is not None for tensor in left_out)
    total = sqrt(residual**2 * (1 - share) + share) if numeric else None
    return residual, total, losses


def _residual(forms: list[LowForm], rank: int) -> float:
    norm = sum(form.norm for form in forms)
    return sqrt(sum(form.residual(rank) for form in forms) / norm) if norm else 0.0
