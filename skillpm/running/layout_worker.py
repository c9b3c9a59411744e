"""The sandbox worker that finds out the layout of a model from its class in transformers.

The model is built on the `meta` device, which stores no values, with limits on its size.
Requests: `{"layout": …}` returns a `ModelLayout`; `{"targets": …}` returns the modules that PEFT
adapts; `{"load": …}` loads the names of an adapter's tensors by PEFT's rules.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch._dynamo
import transformers
from transformers import AutoConfig, AutoModel, PreTrainedModel, modeling_utils
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    Concatenate,
    MergeModulelist,
    PrefixChange,
    WeightConverter,
    WeightRenaming,
    rename_source_key,
)
from transformers.models.auto import modeling_auto
from transformers.pytorch_utils import Conv1D

from skillpm.running import peft_targets
from skillpm.running.parameters import build_bounded
from skillpm.running.vocabulary import find_vocabulary
from skillpm.sandbox.worker import Handler
from skillpm.spec.config_numbers import check_numbers
from skillpm.spec.dtypes import TensorSpec

_CONFIG = "config.json"
_EARLY = (torch._dynamo, modeling_utils)  # noqa: SLF001 - as in `config_worker`
_TASKS = {
    "SEQ_CLS": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "TOKEN_CLS": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    "QUESTION_ANS": "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
    "CAUSAL_LM": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "SEQ_2_SEQ_LM": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
}
"""PEFT's task types, with the names of transformers' tables of model classes."""
_KINDS: tuple[tuple[type, str], ...] = (
    (torch.nn.Linear, "linear"),
    (Conv1D, "conv1d"),
    (torch.nn.Embedding, "embedding"),
    (torch.nn.MultiheadAttention, "attention"),
    (torch.nn.modules.conv._ConvNd, "convolution"),  # noqa: SLF001 - the common base class
)
_TIE = "tie_word_embeddings"
_FEW, _MORE = 3, 5
"""Two numbers of labels. The tensors whose shapes differ between them depend on the number."""


def worker() -> Handler:
    """A handler of the three requests, for the config in the session's folder."""
    return _answer


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    specs = {
        name: TensorSpec(name, dtype, tuple(shape))
        for name, (dtype, shape) in request["specs"].items()
    }
    plain = json.loads(Path(_CONFIG).read_bytes())
    check_numbers(plain, specs)
    config: Any = AutoConfig.from_pretrained(Path.cwd(), trust_remote_code=False)
    if "layout" in request:
        return _layout(config, specs, request["layout"])
    model = _build(_classes(config, None, None)[0], config, specs)
    if "targets" in request:
        stored = CheckpointNames(model, specs)
        answer = peft_targets.adaptable(model, stored.of_checkpoint(request["targets"]), _kind)
        modules = [module for module, _ in answer["modules"].values()]
        left = [name for name in answer["refused"] if name in specs]
        return answer | peft_targets.targeted(model, modules, stored.parameters(left, _kind))
    return peft_targets.load(model, request["load"]["config"], request["load"]["tensors"])


def _classes(config: Any, named: str | None, task: str | None) -> list[type]:
    """The likely classes of the model that an adapter with this class name and task adapts."""
    table = getattr(modeling_auto, _TASKS.get(task or "", ""), {})
    names = [named, *(config.architectures or ())[:1], table.get(config.model_type)]
    objects = [getattr(transformers, name, None) for name in names if isinstance(name, str)]
    models: list[Any] = [kind for kind in objects if isinstance(kind, type) and _is_model(kind)]
    classes: list[type] = [kind for kind in models if isinstance(config, kind.config_class or ())]
    if not classes:
        mapping: Any = AutoModel._model_mapping  # noqa: SLF001 - the class that it would choose
        classes = [mapping[type(config)]]
    return list(dict.fromkeys(classes))


def _is_model(kind: type) -> bool:
    own = kind.__module__.startswith("transformers.models.")
    return own and issubclass(kind, PreTrainedModel)


def _build(kind: Any, config: Any, specs: Mapping[str, TensorSpec]) -> Any:
    packed = getattr(config, "quantization_config", None) is not None
    return build_bounded(lambda: kind._from_config(config), specs, packed=packed)  # noqa: SLF001 - called by `from_config` of auto classes


def _layout(config: Any, specs: Mapping[str, TensorSpec], asked: dict[str, Any]) -> dict[str, Any]:
    """The layout of the class with the most tensors of those asked for; the first of equals."""
    best: tuple[int, Any] | None = None
    for kind in _classes(config, asked.get("class"), asked.get("task")):
        model = _build(kind, config, specs)
        names = {name for name, _ in model.named_parameters(remove_duplicate=False)}
        count = sum(name in names for name in asked["tensors"])
        if best is None or count > best[0]:
            best = count, model
    assert best is not None  # noqa: S101 - there is at least one class
    model = best[1]
    tied = dict(getattr(model, "all_tied_weights_keys", None) or {})
    stored = CheckpointNames(model, specs)
    wanted = {*asked["tensors"], *tied, *tied.values()}
    layout: dict[str, Any] = {
        "model_class": type(model).__name__,
        "modules": dict(_kinds(model, wanted)),
        "tied": tied,
        "untied": _untied(model, tied) if tied else {},
        "labels": _labels(model, specs) if asked.get("task") in _TASKS else {},
    }
    if asked.get("adapter"):
        layout["parameters"] = peft_targets.parameters(model, asked["adapter"])
        wanted |= {target["tensor"] for target in layout["parameters"].values()}
    if asked.get("resized"):
        layout |= find_vocabulary(model, lambda larger: _build(type(model), larger, specs))
        wanted |= layout["vocabulary"].keys()
    layout["stored"], layout["fused"] = stored.of_model(wanted)
    return layout


def _kinds(model: Any, tensors: set[str]) -> Iterator[tuple[str, str]]:
    owners = {name.rpartition(".")[0] for name in tensors}
    for name, module in model.named_modules(remove_duplicate=False):
        if name in owners:
            bypassed = peft_targets.is_bypassed(model, name)
            yield name, "bypassed" if bypassed else _kind(module)


def _kind(module: Any) -> str:
    return next((kind for cls, kind in _KINDS if isinstance(module, cls)), "other")


def _untied(model: Any, tied: Mapping[str, str]) -> dict[str, Any]:
    """A config patch that unties all tied weights; empty if there is none.

    Sets `tie_word_embeddings` to false in each nested config whose model ties weights. For T5 that
    has no effect: T5 always ties, and scales its output by this key.
    """
    config = model.config
    before = config.to_dict()
    patch: dict[str, Any] = {}
    after = json.loads(json.dumps(before, default=str))
    places = {id(part.config): part.config for part in model.modules() if _ties(part)}
    for path, part in _parts(config, ()):
        if id(part) in places:
            _put(patch, (*path, _TIE), value=False)
            _put(after, (*path, _TIE), value=False)
    if not patch:
        return {}
    try:
        again: Any = type(config).from_dict(after)
        with torch.device("meta"):
            left = type(model)._from_config(again).all_tied_weights_keys  # noqa: SLF001 - see `_build`
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
    return {} if set(left) & set(tied) else patch


def _ties(module: Any) -> bool:
    return isinstance(module, PreTrainedModel) and bool(module._tied_weights_keys)  # noqa: SLF001 - it has no public name


def _parts(config: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """A config and its nested configs, each with its path of keys."""
    yield path, config
    for key, value in vars(config).items():
        if isinstance(value, transformers.PreTrainedConfig) and len(path) < 3:  # noqa: PLR2004 - configs nest no deeper
            yield from _parts(value, (*path, key))


def _put(table: dict[str, Any], path: tuple[str, ...], *, value: object) -> None:
    for key in path[:-1]:
        table = table.setdefault(key, {})
    table[path[-1]] = value


def _labels(model: Any, specs: Mapping[str, TensorSpec]) -> dict[str, int]:
    """The tensors whose shape depends on the number of labels, each with the axis."""
    shapes: list[dict[str, tuple[int, ...]]] = []
    for count in (_FEW, _MORE):
        config = type(model.config).from_dict({**model.config.to_dict(), "num_labels": count})
        resized = _build(type(model), config, specs)
        shapes.append({name: tuple(tensor.shape) for name, tensor in resized.named_parameters()})
    pairs = {name: (shape, shapes[1].get(name, shape)) for name, shape in shapes[0].items()}
    return {
        name: next(axis for axis, size in enumerate(few) if size != more[axis])
        for name, (few, more) in pairs.items()
        if few != more and len(few) == len(more)
    }


class CheckpointNames:
    """The names of a model's tensors in a checkpoint, by the conversion rules of transformers."""

    def __init__(self, model: Any, specs: Mapping[str, TensorSpec]) -> None:
        self._model = model
        self._state = model.state_dict()
        self._prefix = model.base_model_prefix
        mapping = get_model_conversion_mapping(model)
        self._renamings = [rule for rule in mapping if isinstance(rule, WeightRenaming)]
        self._converters = [rule for rule in mapping if isinstance(rule, WeightConverter)]
        own = get_model_conversion_mapping(model, add_legacy=False)
        self._reversed = [
            rule.reverse_transform()
            for rule in reversed(own)
            if isinstance(rule, WeightRenaming) and not isinstance(rule, PrefixChange)
        ]
        self._names = {name: self._target(name) for name in specs}

    def _target(self, name: str) -> tuple[str, str | None]:
        """The model's tensor for a stored tensor, and the pattern of its conversion, if any."""
        rules = (self._prefix, self._state)
        target, pattern = rename_source_key(name, self._renamings, self._converters, *rules)
        if target not in self._state and name in self._state:
            target, pattern = rename_source_key(name, [], [], *rules)
        return target, pattern

    def of_checkpoint(self, names: list[str]) -> dict[str, str | None]:
        """The model's tensor for each stored tensor; None if it is only a part of one, or none."""
        targets: dict[str, str | None] = {}
        for name in names:
            target, pattern = self._names.get(name) or self._target(name)
            targets[name] = target if pattern is None and target in self._state else None
        return targets

    def parameters(
        self, names: list[str], kind_of: Callable[[Any], str]
    ) -> dict[str, list[list[str]]]:
        """The parameters outside linear layers that the stored tensors are, or are parts of.

        Each has its stored parts, as in `ModelLayout.fused`: `[[NAME]]` if it is stored as one
        tensor, `[]` if the parts cannot be identified.
        """
        stored: dict[str, list[list[str]]] = {}
        for name in names:
            target, pattern = self._names.get(name) or self._target(name)
            if target not in self._state or self._state[target].dim() not in (2, 3):
                continue
            if pattern is not None:
                stored[target] = self.of_model({target})[1].get(target, [])
            elif kind_of(self._model.get_submodule(target.rpartition(".")[0])) == "other":
                stored[target] = [[name]]
        return stored

    def of_model(self, wanted: set[str]) -> tuple[dict[str, str], dict[str, list[list[str]]]]:
        """The stored name of each tensor of the model, and the stored parts of fused tensors."""
        plain: dict[str, str] = {}
        parts: dict[str, dict[str, list[str]]] = {}
        for name, (target, pattern) in self._names.items():
            if target in wanted and pattern is None:
                plain.setdefault(target, name)
            elif target in wanted and pattern is not None:
                parts.setdefault(target, {}).setdefault(pattern, []).append(name)
        renames = any(name != target for target, name in plain.items())
        for name in sorted(wanted - plain.keys() - parts.keys()):
            plain[name] = self._new_name(name, renames=renames)
        fused = {name: self._ordered(by_pattern) for name, by_pattern in parts.items()}
        return plain, {name: groups for name, groups in fused.items() if groups}

    def _new_name(self, name: str, *, renames: bool) -> str:
        """The name that a tensor of the model would have in the checkpoint, which lacks it."""
        older = name
        for rule in self._reversed if renames else ():
            older, _ = rule.rename_source_key(older)
        return older if self._target(older)[0] == name else name

    def _ordered(self, names: Mapping[str, list[str]]) -> list[list[str]]:
        """The stored tensors of experts by pattern, if they are joined along rows; else none."""
        for rule in self._converters:
            if set(names) <= set(rule.source_patterns):
                joins = [op for op in rule.operations if isinstance(op, Concatenate)]
                merges = [op for op in rule.operations if isinstance(op, MergeModulelist)]
                plain = len(joins) + len(merges) == len(rule.operations) and len(merges) == 1
                if not plain or merges[0].dim != 0 or any(op.dim != 1 for op in joins):
                    return []
                return [sorted(names[p], key=_natural) for p in rule.source_patterns if p in names]
        return []


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key that orders numbers in a name by value."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"\.", name)]
