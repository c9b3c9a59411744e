"""The tensors of a model that PEFT can adapt, found by PEFT itself on a model without values.

If PEFT is not installed, all functions that use it raise `ValueError`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch

peft: Any
ParamWrapper: Any
try:
    import peft
    from peft.tuners.lora.layer import ParamWrapper
except ImportError:
    peft = ParamWrapper = None

RANK = 8
"""The rank for trying out targets. The result does not depend on it."""
_KINDS = ("linear", "conv1d")
_REFUSALS = (ValueError, TypeError, KeyError, AttributeError, RuntimeError)


def adaptable(
    model: Any, names: Mapping[str, str | None], kind_of: Callable[[Any], str]
) -> dict[str, Any]:
    """Divide stored tensors into those that a LoRA can adapt and the others.

    `names` maps stored tensors to tensors of the model. The result has `modules`, the module and
    kind for each tensor that can be adapted, and `refused`, a reason for each of the others.
    """
    modules: dict[str, list[str]] = {}
    refused: dict[str, str] = {}
    for name, target in names.items():
        module, _, part = (target or "").rpartition(".")
        kind = kind_of(model.get_submodule(module)) if target else "other"
        if target is None:
            refused[name] = "not a separate tensor in the running model"
        elif part != "weight" or kind not in _KINDS:
            refused[name] = kind if kind not in (*_KINDS, "other") else "not a linear layer"
        elif is_bypassed(model, module):
            refused[name] = "read directly by torch's attention, so that an adapter has no effect"
        else:
            modules[name] = [module, kind]
    reasons = _refused(model, sorted({module for module, _ in modules.values()}))
    refused |= {name: reasons[m] for name, (m, _) in modules.items() if m in reasons}
    return {"modules": {n: m for n, m in modules.items() if n not in refused}, "refused": refused}


def is_bypassed(model: Any, module: str) -> bool:
    """Whether a layer's weight is read without calling the layer, so that a LoRA has no effect.

    That is the case inside `torch.nn.MultiheadAttention`, as PEFT warns.
    """
    owner = model.get_submodule(module.rpartition(".")[0])
    return isinstance(owner, torch.nn.MultiheadAttention)


def _refused(model: Any, modules: list[str]) -> dict[str, str]:
    """The modules that PEFT refuses, each with PEFT's reason.

    Tries all modules at once; if that fails, tries one module of each group. Modules in a group
    have the same name apart from numbers.
    """
    if not modules or _problem(model, modules) is None:
        return {}
    reasons: dict[str, str] = {}
    groups: dict[str, list[str]] = {}
    for module in modules:
        groups.setdefault(re.sub(r"\d+", "*", module), []).append(module)
    for group in groups.values():
        problem = _problem(model, group[:1])
        if problem is not None:
            reasons |= dict.fromkeys(group, problem)
    return reasons


def _problem(model: Any, modules: list[str]) -> str | None:
    config = {"peft_type": "LORA", "r": RANK, "target_modules": modules}
    try:
        wrapped = _wrap(model, config)
    except _REFUSALS as problem:
        return _refusal(problem)
    wrapped.unload()
    return None


def _refusal(problem: Exception) -> str:
    return f"PEFT refuses it: {(str(problem).splitlines() or ['no reason given'])[0][:200]}"


def _wrap(model: Any, config: Mapping[str, Any]) -> Any:
    if peft is None:
        raise ValueError("PEFT is not installed")
    known = {key: value for key, value in config.items() if value is not None}
    parsed: Any = peft.LoraConfig(**{k: v for k, v in known.items() if k != "peft_type"})
    with torch.device("meta"):
        return peft.get_peft_model(model, parsed, low_cpu_mem_usage=True)


def parameters(model: Any, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The parameters that an adapter's `target_parameters` names, by the adapter's module names."""
    wrapped = _wrap(model, config)
    targets: dict[str, dict[str, Any]] = {}
    for name, module in wrapped.base_model.model.named_modules():
        if isinstance(module, ParamWrapper):
            owner = name.replace(".base_layer", "")
            rank = module.r["default"]
            targets[name] = {
                "tensor": f"{owner}.{module.parameter_name}",
                "experts": module.num_experts,
                "rank": rank,
                "scale": float(module.scaling["default"]),
                "swapped": bool(module._did_swap_in_out_features),  # noqa: SLF001 - it has no public name
            }
    wrapped.unload()
    return targets


def targeted(
    model: Any, modules: list[str], stored: Mapping[str, list[list[str]]]
) -> dict[str, dict[str, Any]]:
    """The parameters that PEFT can adapt in addition to these modules.

    `stored` maps parameters to their stored parts. The result has `parameters` by name, each with
    the adapter's module, the number of experts, whether they are stored as [out, in] (`swapped`),
    and the stored parts; and `reasons` for the stored tensors that PEFT cannot adapt.
    """
    wanted = [name for name, parts in stored.items() if parts]
    joined = "part of a parameter that transformers joins in a way that LoRA factors cannot express"
    reasons = {name: joined for name in stored if name not in wanted}
    adapted: dict[str, dict[str, Any]] = {}
    for name in wanted:
        keys = {"r": RANK, "target_modules": [], "target_parameters": [name]}
        try:
            parameters(model, keys)
        except _REFUSALS as problem:
            reasons[name] = _refusal(problem)
    keys = {"r": RANK, "target_modules": modules, "target_parameters": sorted(
        name for name in wanted if name not in reasons
    )}  # fmt: skip
    for module, target in parameters(model, keys).items() if keys["target_parameters"] else ():
        name = target["tensor"]
        adapted[name] = {**target, "module": module, "parts": stored[name]}
    lost = {name: "PEFT does not adapt it" for name in wanted if name not in {*adapted, *reasons}}
    parts = {
        part: reason
        for name, reason in {**reasons, **lost}.items()
        for part in (tensor for group in stored[name] for tensor in group)
    }
    return {"parameters": adapted, "reasons": parts}


def load(
    model: Any, config: Mapping[str, Any], tensors: Mapping[str, list[Any]]
) -> dict[str, list[str]]:
    """Load an adapter's tensor names and shapes into the model.

    Returns the names that the model does not have (`unexpected`) and the `missing` ones.
    """
    wrapped = _wrap(model, config)
    state = {name: torch.empty(shape, device="meta") for name, (_, shape) in tensors.items()}
    result = peft.set_peft_model_state_dict(wrapped, state, low_cpu_mem_usage=True)
    missing = [name for name in result.missing_keys if ".lora_" in name]
    return {"unexpected": list(result.unexpected_keys), "missing": missing}
