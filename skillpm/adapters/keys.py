"""The names of an adapter's tensors: which module each belongs to, and what it is there."""

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
_SAVED = re.compile(
    r"(?P<module>.+)\.modules_to_save\.(?!(?:weight|bias)$)(?P<adapter>[^.]+)(?P<rest>(?:\..+)?)"
)
_SAVED_AGAIN = re.compile(r"(?P<module>.+)\.modules_to_save(?P<rest>\.(?:weight|bias))")
"""With a resized vocabulary PEFT writes the embeddings a second time, under their names in memory
without the adapter's; it reads the first."""
_FOREIGN = re.compile(r"\.(?:lora_|token_adapter|trainable_tokens_)|\.(?:ada|hada|ia3|oft|vera)_")


@dataclass
class Module:
    """The keys of one module's factors and magnitudes; `embedding` for an embedding's."""

    embedding: bool = False
    a: str | None = None
    b: str | None = None
    magnitude: str | None = None


@dataclass
class Keys:
    """All tensors of an adapter: modules with factors, and dense tensors by their names."""

    modules: dict[str, Module] = field(default_factory=dict)
    dense: dict[str, str] = field(default_factory=dict)
    adapters: set[str] = field(default_factory=set)


def sort_keys(names: list[str], what: str) -> Keys:
    """Tell what each tensor is. Raises `SpecError` for a name that it cannot place, or twice."""
    keys = Keys()
    for name in sorted(names):
        if not name.startswith(PREFIX):
            raise SpecError(
                f"{what} holds {name!r}: a PEFT adapter's names start with `{PREFIX}`",
                hint="save it with PEFT: `model.save_pretrained(DIR)`",
            )
        rest = name.removeprefix(PREFIX)
        if ".original_module." not in rest:
            _sort(keys, name, rest, what)
    if len(keys.adapters) > 1:
        shown = ", ".join(f"`{one}`" for one in sorted(keys.adapters))
        raise SpecError(f"{what} holds several adapters: {shown}", hint="save each on its own")
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
            raise _twice(lora["module"], f"factor {lora['side']}", what)
        setattr(module, side, name)
        _note(keys, lora["adapter"])
    elif magnitude := _MAGNITUDE.fullmatch(rest):
        module = keys.modules.setdefault(magnitude["module"], Module())
        if module.magnitude is not None:
            raise _twice(magnitude["module"], "magnitude", what)
        module.magnitude = name
        _note(keys, magnitude["adapter"])
    elif _FOREIGN.search(f".{rest}"):
        raise SpecError(
            f"{what} holds {name!r}, which no plain LoRA has: it cannot be packed",
            hint="merge it first: `model.merge_and_unload().save_pretrained(DIR)`, and pack DIR",
        )
    else:
        _sort_dense(keys, name, rest, what)


def _sort_dense(keys: Keys, name: str, rest: str, what: str) -> None:
    saved = _SAVED.fullmatch(rest)
    if saved:
        _note(keys, saved["adapter"])
        rest = saved["module"] + saved["rest"]
    again = _SAVED_AGAIN.fullmatch(rest)
    if again:
        keys.dense.setdefault(again["module"] + again["rest"], name)
        return
    target = rest.replace(".base_layer.", ".")
    if target in keys.dense and not _SAVED_AGAIN.fullmatch(keys.dense[target]):
        raise _twice(target, "tensor", what)
    keys.dense[target] = name


def _note(keys: Keys, adapter: str | None) -> None:
    if adapter is not None:
        keys.adapters.add(adapter)


def _twice(module: str, part: str, what: str) -> SpecError:
    return SpecError(f"{what} holds the {part} of `{module}` twice")
