"""The program that reads the facts of architectures from transformers, by `model_type`.

`python -m skillpm.architecture.library TYPE…` writes a table of these types to stdout;
with `--table` it writes the table that ships with skillpm. It looks a `model_type` up among the
classes of transformers, so it reads no model folder and runs no code from one. It builds models
from default configs, without values.
"""

import dataclasses
import importlib
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import transformers
from transformers import PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, model_type_to_module_name

from skillpm.architecture.entries import TIE, ArchitectureEntry, tie_key
from skillpm.architecture.older_names import older_names
from skillpm.architecture.table import ArchitectureTable
from skillpm.spec import json
from skillpm.spec.closure import closure
from skillpm.spec.manifest_parts import KEY_LIMIT

SHIPPED = (
    "albert", "bart", "bert", "bloom", "camembert", "clip", "clip_text_model", "clip_vision_model",
    "cohere", "cohere2", "convnext", "deberta-v2", "deepseek_v3", "dinov2", "distilbert", "electra",
    "encoder-decoder", "falcon", "funnel", "gemma", "gemma2", "gemma3", "gemma3_text", "glm4",
    "gpt2", "gpt_neo", "gpt_neox", "gpt_oss", "gptj", "granite", "hubert", "led", "llama", "llava",
    "longformer", "m2m_100", "mamba", "mamba2", "marian", "mbart", "mistral", "mixtral",
    "modernbert", "mpnet", "olmo2", "opt", "paligemma", "pegasus", "phi", "phi3", "qwen2",
    "qwen2_5_vl", "qwen2_5_vl_text", "qwen2_5_vl_vision", "qwen2_moe", "qwen2_vl", "qwen2_vl_text",
    "qwen2_vl_vision", "qwen3", "qwen3_moe", "qwen3_next", "qwen3_vl", "qwen3_vl_text",
    "qwen3_vl_vision", "resnet", "roberta", "rwkv", "siglip", "siglip_text_model",
    "siglip_vision_model", "smollm3", "stablelm", "starcoder2", "swin", "t5", "umt5",
    "vision-encoder-decoder", "vit", "wav2vec2", "whisper", "xlm-roberta", "xlnet",
)  # fmt: skip
"""The architectures of the shipped table: those of the conformance list, and common others."""
COMMON = frozenset({"num_labels", "output_attentions", "torch_dtype"})
"""Keys that every config class reads without declaring them as fields."""
ROTARY = frozenset({"rope_theta", "rope_scaling", "partial_rotary_factor"})
"""Older keys that a class with `rope_parameters` converts to it."""
_NAME = re.compile(r"[A-Za-z0-9_.]+", re.ASCII)


def main() -> None:
    """Write the table that the arguments ask for."""
    types = SHIPPED if sys.argv[1:] == ["--table"] else tuple(sys.argv[1:])
    sys.stdout.buffer.write(json.pretty(table_of(types).to_dict()))


def table_of(types: tuple[str, ...]) -> ArchitectureTable:
    """The entries of these types and of their nested configs' default types."""
    entries: dict[str, ArchitectureEntry] = {}

    def nested_types(kind: str) -> Iterable[str]:
        if kind not in CONFIG_MAPPING:
            return ()
        entries[kind] = entry_of(kind)
        return entries[kind].parts.values()

    closure(types, nested_types)
    library = f"transformers {transformers.__version__}"
    return ArchitectureTable(library=library, architectures=dict(sorted(entries.items())))


def entry_of(kind: str) -> ArchitectureEntry:
    """The facts of one `model_type` that transformers has."""
    config: Any = CONFIG_MAPPING[kind]
    fields = {field.name: field for field in dataclasses.fields(config)}
    keys = fields.keys() | config.attribute_map.keys() | COMMON
    if "rope_parameters" in fields:
        keys |= ROTARY
    parts = {key: spec.model_type for key, spec in config.sub_configs_defaults.items()}
    return ArchitectureEntry(
        keys=sorted(key for key in keys if not key.startswith("__"))[:KEY_LIMIT],
        parts=dict(sorted(parts.items())),
        ties=_ties(config, parts),
        tied=_tied(kind),
        names=_names(kind),
    )


def _ties(config: Any, parts: dict[str, str]) -> dict[str, bool]:
    """Whether a model of the class ties its head, for default configs with each tie setting.

    A setting of a nested config is listed only if it changes the result.
    """
    ties: dict[str, bool] = {}
    for own in (None, False, True):
        keys = {} if own is None else {TIE: own}
        alone = ties[tie_key(own)] = _is_tied(config, keys)
        for part, kind in parts.items():
            for nested in (False, True):
                table = {"model_type": kind, TIE: nested}
                with_part = _is_tied(config, {**keys, part: table})
                if with_part != alone:
                    ties[tie_key(own, part, nested)] = with_part
    return ties


def _is_tied(config: Any, keys: dict[str, Any]) -> bool:
    """Whether a config of this class with these keys ties the head."""
    try:
        read = config(**keys)
    except (ValueError, TypeError, KeyError, AttributeError):
        return False  # a class without defaults, such as one that requires two nested configs
    return bool(getattr(read, TIE, False))


def _classes(kind: str) -> Iterator[type[PreTrainedModel]]:
    """The model classes of transformers for one `model_type`."""
    name = model_type_to_module_name(kind)
    try:
        module = importlib.import_module(f"transformers.models.{name}.modeling_{name}")
    except ImportError:
        return
    for model in vars(module).values():
        own = isinstance(model, type) and model.__module__ == module.__name__
        if own and issubclass(model, PreTrainedModel):
            yield model


def _tied(kind: str) -> dict[str, dict[str, str]]:
    """The tied tensors of each model class. Patterns for several names are left out."""
    by_class: dict[str, dict[str, str]] = {}
    for model in _classes(kind):
        tied = model._tied_weights_keys or {}  # noqa: SLF001 - transformers has no public name
        if isinstance(tied, dict) and tied:
            plain = {t: s for t, s in tied.items() if _is_name(t) and _is_name(s)}
            by_class[model.__name__] = dict(sorted(plain.items()))
    return dict(sorted(by_class.items()))


def _names(kind: str) -> dict[str, dict[str, str]]:
    """The older names of each model class that uses this config class."""
    classes = [model for model in _classes(kind) if model.config_class is CONFIG_MAPPING[kind]]
    by_class = {model.__name__: older_names(model) for model in classes}
    return {name: names for name, names in sorted(by_class.items()) if names}


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


if __name__ == "__main__":
    main()
