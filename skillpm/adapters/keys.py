"""Parse the names of an adapter's tensors: the module of each, and its role in the module."""

import re
from dataclasses import dataclass, field

from skillpm.errors import SpecError

PREFIX = "base_model.model."
_LORA = re.compile(
    r"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<side>[AB])"
    r"(?:\.(?P<adapter>(?!weight$|bias$)[^.]+))?(?P<weight>\.weight)?"
)
_MAGNITUDE = re.compile(
    r"(?P<module>.+)\.lora_magnitude_vector(?:\.(?P<adapter>(?!weight$)[^.]+))?(?:\.weight)?"
)
_SAVED = re.compile(r"(?P<module>.+)\.modules_to_save\.(?P<adapter>[^.]+)(?P<rest>\..+)")
_RESIZED = re.compile(r"(?P<module>.+)\.modules_to_save(?P<rest>\.[^.]+)")
"""The second copy of a resized embedding, which PEFT saves and does not load."""
_FOREIGN = re.compile(r"\.(?:lora_|token_adapter|trainable_tokens_)|\.(?:ada|hada|ia3|oft|vera)_")


@dataclass
class Module:
    """The names of one module's factors and magnitudes; `embedding` if it is an embedding."""

    embedding: bool = False
    a: str | None = None
    b: str | None = None
    magnitude: str | None = None


@dataclass
class Keys:
    """All tensors of an adapter: modules with factors, and whole tensors (`dense`) by target."""

    modules: dict[str, Module] = field(default_factory=dict)
    dense: dict[str, str] = field(default_factory=dict)
    adapters: set[str] = field(default_factory=set)


def sort_keys(names: list[str], what: str) -> Keys:
    """Assign each tensor to its module. Raises `SpecError` for an unknown or duplicate name."""
    keys, known = Keys(), frozenset(names)
    for name in sorted(names):
        if not name.startswith(PREFIX):
            raise SpecError(
                f"{what} contains {name!r}, but the names of a PEFT adapter start with `{PREFIX}`",
                hint="save it with PEFT: `model.save_pretrained(DIR)`",
            )
        rest = name.removeprefix(PREFIX)
        copy = _RESIZED.fullmatch(rest)
        plain = f"{PREFIX}{copy['module']}{copy['rest']}" if copy else ""
        if ".original_module." not in rest and plain not in known:
            _sort(keys, name, rest if not copy else plain.removeprefix(PREFIX), what)
    if len(keys.adapters) > 1:
        shown = ", ".join(f"`{adapter}`" for adapter in sorted(keys.adapters))
        raise SpecError(
            f"{what} contains several adapters: {shown}",
            hint="save each adapter separately: `model.save_pretrained(DIR, "
            "selected_adapters=[NAME])`",
        )
    for name, module in keys.modules.items():
        if module.a is None or module.b is None:
            missing = "A" if module.a is None else "B"
            raise SpecError(f"{what}: `{name}` has no factor {missing}")
    return keys


def _sort(keys: Keys, name: str, rest: str, what: str) -> None:
    lora = _LORA.fullmatch(rest)
    if lora and bool(lora["embedding"]) == (lora["weight"] is None):
        module = keys.modules.setdefault(lora["module"], Module(bool(lora["embedding"])))
        side = lora["side"].lower()
        if module.embedding != bool(lora["embedding"]) or getattr(module, side) is not None:
            raise _duplicate(lora["module"], f"factor {lora['side']}", what)
        setattr(module, side, name)
        _add_adapter(keys, lora["adapter"])
    elif magnitude := _MAGNITUDE.fullmatch(rest):
        module = keys.modules.setdefault(magnitude["module"], Module())
        if module.magnitude is not None:
            raise _duplicate(magnitude["module"], "magnitude", what)
        module.magnitude = name
        _add_adapter(keys, magnitude["adapter"])
    elif _FOREIGN.search(f".{rest}"):
        raise SpecError(
            f"{what} contains {name!r}, which is not a tensor of a plain LoRA and cannot be packed",
            hint="merge it first: `model.merge_and_unload().save_pretrained(DIR)`, and pack DIR",
        )
    else:
        _sort_dense(keys, name, rest, what)


def _sort_dense(keys: Keys, name: str, rest: str, what: str) -> None:
    saved = _SAVED.fullmatch(rest)
    if saved:
        _add_adapter(keys, saved["adapter"])
        rest = saved["module"] + saved["rest"]
    target = rest.replace(".base_layer.", ".")
    if target in keys.dense:
        raise _duplicate(target, "tensor", what)
    keys.dense[target] = name


def _add_adapter(keys: Keys, adapter: str | None) -> None:
    if adapter is not None:
        keys.adapters.add(adapter)


def _duplicate(module: str, part: str, what: str) -> SpecError:
    return SpecError(f"{what} contains the {part} of `{module}` twice")
