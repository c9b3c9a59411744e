"""Apply an adapter to a base: match its modules with the base's tensors, and handle tied tensors.

Names and ties come from the model class (`ModelLayout`). Without transformers, ties come from the
shipped facts of the architecture, and names are matched with one common prefix.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skillpm.adapters.adapter import Adapter
from skillpm.adapters.config import MERGE
from skillpm.adapters.experts import ExpertFactors, ExpertSum
from skillpm.adapters.names import BaseNames
from skillpm.adapters.ties import separate_ties
from skillpm.adapters.vocabulary import complete_vocabulary, resized_count, vocabulary_keys
from skillpm.architecture.layout import WEIGHT, ModelLayout, ParameterTarget
from skillpm.architecture.renaming import OlderNames
from skillpm.delta.encoding.lora_source import Adapted, PendingUpdate, SourceTensor
from skillpm.delta.tensors.ports import Source
from skillpm.errors import GraftError
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.manifest_parts import ArchitectureFacts
from skillpm.spec.words import counted

_CLASSES = "architectures"
_WHOLE = ("id2label", "label2id")


@dataclass(frozen=True)
class FittedAdapter:
    """An adapter applied to a base: its tensors, changed keys of `config.json`, and notes."""

    adapted: Adapted
    config: Mapping[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class KnownNames:
    """The known facts of an architecture whose class is not available.

    `untied` are the keys of `config.json` that separate its tied tensors.
    """

    facts: ArchitectureFacts
    untied: Mapping[str, Any]


@dataclass
class _Fitting:
    adapter: Adapter
    base: Source
    config: Mapping[str, Any]
    layout: ModelLayout | None
    names: BaseNames
    dense: dict[str, SourceTensor] = field(default_factory=dict)
    updates: dict[str, PendingUpdate] = field(default_factory=dict)


def fit(
    adapter: Adapter,
    base: Source,
    config: Mapping[str, Any],
    *,
    known: ModelLayout | KnownNames,
) -> FittedAdapter:
    """Apply an adapter to a base whose `config.json` is `config`.

    `known` is the layout from the model class, or the known facts of the architecture. Raises
    `GraftError` if a module is not in the base, or its factors have the wrong shape.
    """
    layout = known if isinstance(known, ModelLayout) else None
    names = _names(base, _wanted(adapter), known)
    fitting = _Fitting(adapter, base, config, layout, names)
    for target, key in adapter.keys.dense.items():
        _place_dense(fitting, target, key)
    for module in sorted(adapter.keys.modules):
        _place_module(fitting, module)
    axes = layout.vocabulary if layout else {}
    count = resized_count(names, fitting.dense, axes)
    follow = adapter.config.ensure_weight_tying
    separated = separate_ties(names, fitting.dense, fitting.updates, follow=follow)
    notes = tuple(
        f"the base ties `{name}` to `{source}`, and the adapter changes only one of them: "
        f"the pack carries `{name}` as a separate tensor"
        for name, source in separated.items()
    )
    notes += tuple(
        f"torch's attention uses the weight of `{module}` without calling the module, so the "
        "adapter has no effect there until PEFT merges it; the pack carries the merged weight"
        for module, kind in (layout.modules if layout else {}).items()
        if kind == "bypassed" and module in adapter.keys.modules
    )
    if count is not None:
        complete_vocabulary(names, fitting.dense, axes, count)
    keys = _config_of(fitting, count)
    keys = merge_keys(keys, names.untied) if separated else keys
    return FittedAdapter(Adapted(base, fitting.dense, fitting.updates), keys, notes)


def _names(
    base: Source, wanted: Mapping[str, TensorSpec], known: ModelLayout | KnownNames
) -> BaseNames:
    if isinstance(known, ModelLayout):
        return BaseNames(base, known, wanted, dict(known.tied), known.untied, OlderNames({}))
    facts = known.facts
    return BaseNames(base, None, wanted, facts.tied, known.untied, OlderNames(facts.names))


def wanted_names(adapter: Adapter) -> list[str]:
    """The names of the tensors that an adapter changes, as in the running model."""
    return sorted(_wanted(adapter))


def _wanted(adapter: Adapter) -> dict[str, TensorSpec]:
    wanted = {target: adapter.tensors.specs[key] for target, key in adapter.keys.dense.items()}
    for module in adapter.keys.modules:
        name = f"{module}{WEIGHT}"
        a, b = adapter.factors(module)
        wanted[name] = TensorSpec(name, a.dtype, (b.shape[0], a.shape[1]))
    return wanted


def _place_dense(fitting: _Fitting, target: str, key: str) -> None:
    adapter = fitting.adapter
    name = fitting.names.base_name(target)
    stored = SourceTensor(adapter.tensors, key)
    if name in fitting.base.specs:
        if not stored.is_like(SourceTensor(fitting.base, name)):
            fitting.dense[name] = stored
        return
    saved = adapter.config.modules_to_save or []
    if target not in fitting.names.tied and not any(module in target for module in saved):
        raise fitting.names.missing_error(f"the adapter contains {key!r}", target)
    fitting.dense[name] = stored


def _place_module(fitting: _Fitting, module: str) -> None:
    adapter, layout = fitting.adapter, fitting.layout
    if layout is not None and module in layout.parameters:
        _place_parameter(fitting, module, layout.parameters[module])
        return
    adapter.check_rank(module)
    if layout is not None and layout.modules.get(module) == "attention":
        raise GraftError(
            f"the adapter targets `{module}`, a `MultiheadAttention` of torch, which PEFT merges "
            "by special rules that skillpm does not support",
            hint=MERGE,
        )
    target = f"{module}{WEIGHT}"
    name = fitting.names.base_name(target)
    a, b = adapter.factors(module)
    anchor = fitting.names.anchor(target)
    if name not in fitting.base.specs and name not in fitting.dense and anchor is not None:
        fitting.dense[name] = SourceTensor(fitting.base, anchor)
    stored = fitting.dense.get(name)
    spec = stored.spec if stored else fitting.base.specs.get(name)
    if spec is None:
        raise fitting.names.missing_error(f"the adapter targets `{module}`", target)
    embedding = adapter.module(module).embedding
    transposed = _is_transposed(fitting, module, spec, (b.shape[0], a.shape[1]))
    magnitude = adapter.module(module).magnitude
    fitting.updates[name] = PendingUpdate(
        SourceTensor(adapter.tensors, a.name),
        SourceTensor(adapter.tensors, b.name),
        adapter.config.scale_of(module, a.shape[0]),
        transposed or embedding,
        axis=None if magnitude is None else int(transposed or embedding),
        magnitude=None if magnitude is None else SourceTensor(adapter.tensors, magnitude),
    )


def _is_transposed(
    fitting: _Fitting, module: str, spec: TensorSpec, shape: tuple[int, int]
) -> bool:
    """Whether the base stores the module's weight as [in, out], from its shape or its class.

    PEFT writes one `fan_in_fan_out` for all modules, with the value of the last one. So the key is
    used only if the class is not available and the matrix is square.
    """
    if spec.shape == (shape[1], shape[0]) != shape:
        return True
    kind = fitting.layout.modules.get(module) if fitting.layout else None
    if kind is not None:
        return kind == "conv1d"
    tied = f"{module}{WEIGHT}" in fitting.names.tied
    return shape[0] == shape[1] and not tied and fitting.adapter.config.fan_in_fan_out


def _place_parameter(fitting: _Fitting, module: str, target: ParameterTarget) -> None:
    """Place the update of a parameter of `target_parameters`, such as all experts of a mixture."""
    adapter, layout = fitting.adapter, fitting.layout
    a, b = adapter.factors(module)
    if target.experts == 1:
        sides = SourceTensor(adapter.tensors, a.name), SourceTensor(adapter.tensors, b.name)
        name = fitting.names.base_name(target.tensor)
        if name not in fitting.base.specs:
            raise fitting.names.missing_error(
                f"the adapter targets `{target.tensor}`", target.tensor
            )
        fitting.updates[name] = PendingUpdate(*sides, target.scale, transposed=False)
        return
    factors = ExpertFactors(adapter.tensors, a, b, target)
    parts = layout.fused.get(target.tensor) if layout else None
    if parts is None:
        name = fitting.names.base_name(target.tensor)
        if name not in fitting.base.specs:
            raise fitting.names.missing_error(
                f"the adapter targets `{target.tensor}`", target.tensor
            )
        fitting.dense[name] = SourceTensor(ExpertSum(fitting.base, name, factors), name)
        return
    _place_experts(fitting, factors, parts)


def _place_experts(fitting: _Fitting, factors: ExpertFactors, parts: list[list[str]]) -> None:
    """Place the update of each expert, for a checkpoint that stores experts separately."""
    target, row = factors.target, 0
    for part in parts:
        if not target.swapped or len(part) != target.experts:
            raise GraftError(
                f"the base stores `{target.tensor}` in {counted(len(part), 'tensor')} that do not "
                "correspond to single experts, so the adapter cannot be packed from its factors",
                hint="merge it first: `model.merge_and_unload().save_pretrained(DIR)`",
            )
        rows = fitting.base.specs[part[0]].shape[0]
        for expert, name in enumerate(part):
            sides = factors.side_a(expert), factors.side_b(expert, (row, row + rows))
            first, second = (SourceTensor(factors, side) for side in sides)
            fitting.updates[name] = PendingUpdate(first, second, target.scale, transposed=False)
        row += rows
    if row != factors.b.shape[0]:
        raise GraftError(
            f"{factors.b.name!r} has {factors.b.shape[0]} rows, but the base's tensors have {row}"
        )


def _config_of(fitting: _Fitting, count: int | None) -> dict[str, Any]:
    """The keys of `config.json` that the adapter changes: labels, model class, vocabulary size.

    `count` is the new size of the vocabulary, if the model class says which tensors it resizes.
    """
    layout, keys = fitting.layout, dict[str, Any]()
    for name, stored in fitting.dense.items() if count is None else ():
        before = fitting.base.specs.get(name)
        if before and before.shape[0] != stored.spec.shape[0]:
            _count(fitting.config, keys, before.shape[0], stored.spec.shape[0])
    if layout is None:
        return keys
    if count is not None:
        keys = vocabulary_keys(layout.vocabulary_keys, count)
    for target, axis in layout.labels.items():
        head = fitting.dense.get(fitting.names.base_name(target))
        if head is not None:
            keys |= _labels_of(fitting.config, head.spec.shape[axis])
    if any(name not in fitting.base.specs for name in fitting.dense) and layout.labels:
        keys[_CLASSES] = [layout.model_class]
    return keys


def _count(config: Mapping[str, Any], keys: dict[str, Any], before: int, after: int) -> None:
    """Set every `vocab_size` of a config and its nested configs from `before` to `after`."""
    for key, value in config.items():
        if key == "vocab_size" and value == before:
            keys[key] = after
        elif isinstance(value, dict):
            nested: dict[str, Any] = {}
            _count(value, nested, before, after)
            if nested:
                keys[key] = merge_keys(keys.get(key, {}), nested)


def _labels_of(config: Mapping[str, Any], count: int) -> dict[str, Any]:
    """The default labels of transformers; empty if the base's config has the same number."""
    known = config.get("id2label")
    if isinstance(known, dict) and len(known) == count:
        return {}
    names = {number: f"LABEL_{number}" for number in range(count)}
    return {
        "id2label": {str(number): name for number, name in names.items()},
        "label2id": {name: number for number, name in names.items()},
    }


def merge_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """A table with the keys of another merged into it, recursively. Labels are replaced whole."""
    merged = dict(before)
    for key, value in after.items():
        old = merged.get(key)
        nested = isinstance(value, dict) and isinstance(old, dict) and key not in _WHOLE
        merged[key] = merge_keys(old or {}, value) if nested else value
    return merged
