"""What PEFT adapts of a model, by PEFT's own rules: on a model without values.

Where PEFT is not installed, every question is refused.
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
except ImportError:  # an install without it
    peft = ParamWrapper = None

RANK = 8
_KINDS = ("linear", "conv1d")
_REFUSALS = (ValueError, TypeError, KeyError, AttributeError, RuntimeError)


def adaptable(
    model: Any, names: Mapping[str, str | None], kind_of: Callable[[Any], str]
) -> dict[str, Any]:
    """Of stored tensors: the module and kind of those that a LoRA adapts; why not of the others."""
    modules: dict[str, list[str]] = {}
    refused: dict[str, str] = {}
    for name, target in names.items():
        module, _, part = (target or "").rpartition(".")
        kind = kind_of(model.get_submodule(module)) if target else "other"
        if target is None:
            refused[name] = "no tensor of its own in the running model"
        elif part != "weight" or kind not in _KINDS:
            refused[name] = kind if kind not in (*_KINDS, "other") else "no linear layer"
        elif is_bypassed(model, module):
            refused[name] = "read by torch's attention itself, so that an adapter has no effect"
        else:
            modules[name] = [module, kind]
    reasons = _refused(model, sorted({module for module, _ in modules.values()}))
    refused |= {name: reasons[m] for name, (m, _) in modules.items() if m in reasons}
    return {"modules": {n: m for n, m in modules.items() if n not in refused}, "refused": refused}


def is_bypassed(model: Any, module: str) -> bool:
    """Whether a layer's weight is read without calling it, as PEFT warns of torch's attention."""
    owner = model.get_submodule(module.rpartition(".")[0])
    return isinstance(owner, torch.nn.MultiheadAttention)


def _refused(model: Any, modules: list[str]) -> dict[str, str]:
    """The modules that PEFT does not take, and what it says; all are tried, then each kind."""
    if not modules or _problem(model, modules) is None:
        return {}
    found: dict[str, str] = {}
    kinds: dict[str, list[str]] = {}
    for module in modules:
        kinds.setdefault(re.sub(r"\d+", "*", module), []).append(module)
    for group in kinds.values():
        problem = _problem(model, group[:1])
        if problem is not None:
            found |= dict.fromkeys(group, problem)
    return found


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
    """The parameters that an adapter's config targets without a module, by the adapter's names."""
    wrapped = _wrap(model, config)
    found: dict[str, dict[str, Any]] = {}
    for name, module in wrapped.base_model.model.named_modules():
        if isinstance(module, ParamWrapper):
            owner = name.replace(".base_layer", "")
            rank = module.r["default"]
            found[name] = {
                "tensor": f"{owner}.{module.parameter_name}",
                "experts": module.num_experts,
                "rank": rank,
                "scale": float(module.scaling["default"]),
                "swapped": bool(module._did_swap_in_out_features),  # noqa: SLF001 - it has no other name
            }
    wrapped.unload()
    return found


def targeted(
    model: Any, modules: list[str], stored: Mapping[str, list[list[str]]]
) -> dict[str, dict[str, Any]]:
    """The parameters that PEFT adapts beside these modules: `parameters`, by their names.

    Each has the adapter's module, its experts, whether they are stored as [out, in], and its
    stored parts. `reasons` says why a parameter is not adapted.
    """
    wanted = [name for name, parts in stored.items() if parts]
    joined = "a part of a parameter that transformers joins in a way that factors cannot follow"
    reasons = {name: joined for name in stored if name not in wanted}
    found: dict[str, dict[str, Any]] = {}
    for name in wanted:
        keys = {"r": RANK, "target_modules": [], "target_parameters": [name]}
        try:
            parameters(model, keys)
        except _REFUSALS as problem:
            reasons[name] = _refusal(problem)
    keys = {"r": RANK, "target_modules": modules, "target_parameters": sorted(
        name for name in wanted if name not in reasons
    )}  # fmt: skip
    for module, each in parameters(model, keys).items() if keys["target_parameters"] else ():
        name = each["tensor"]
        found[name] = {**each, "module": module, "parts": stored[name]}
    lost = {name: "PEFT leaves it out" for name in wanted if name not in {*found, *reasons}}
    parts = {
        part: reason
        for name, reason in {**reasons, **lost}.items()
        for part in (tensor for group in stored[name] for tensor in group)
    }
    return {"parameters": found, "reasons": parts}


def load(
    model: Any, config: Mapping[str, Any], tensors: Mapping[str, list[Any]]
) -> dict[str, list[str]]:
    """Load an adapter's names and shapes; the names that have no place, or that are missing."""
    wrapped = _wrap(model, config)
    state = {name: torch.empty(shape, device="meta") for name, (_, shape) in tensors.items()}
    result = peft.set_peft_model_state_dict(wrapped, state, low_cpu_mem_usage=True)
    missing = [name for name in result.missing_keys if ".lora_" in name]
    return {"unexpected": list(result.unexpected_keys), "missing": missing}
