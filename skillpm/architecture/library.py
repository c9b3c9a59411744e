"""The program that asks transformers for the facts of architectures, by `model_type`.

`python -m skillpm.architecture.library TYPE…` writes a table of these types to stdout;
with `--table` it writes the table that ships with skillpm. It reads no model folder and runs no
code but the library's: a `model_type` is looked up among the classes that transformers has. The
models that it builds are of default configs, and hold no values.
"""

import dataclasses
import importlib
import re
import sys
from collections.abc import Iterator
from typing import Any

import transformers
from transformers import PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, model_type_to_module_name

from skillpm.architecture.entries import TIE, ArchitectureEntry, tie_key
from skillpm.architecture.older_names import older_names
from skillpm.architecture.table import ArchitectureTable
from skillpm.spec import json
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
"""The architectures of the table: those of the conformance list, and common others."""
COMMON = frozenset({"num_labels", "output_attentions", "torch_dtype"})
"""Keys that every config class reads without declaring them as fields."""
ROTARY = frozenset({"rope_theta", "rope_scaling", "partial_rotary_factor"})
"""Older keys that a class with `rope_parameters` reads into it."""
_NAME = re.compile(r"[A-Za-z0-9_.]+", re.ASCII)


def main() -> None:
    """Write the table that the arguments ask for."""
    asked = SHIPPED if sys.argv[1:] == ["--table"] else tuple(sys.argv[1:])
    sys.stdout.buffer.write(json.pretty(table_of(asked).to_dict()))


def table_of(types: tuple[str, ...]) -> ArchitectureTable:
    """The entries of these types and of the parts that they have by default."""
    entries: dict[str, ArchitectureEntry] = {}
    waiting = list(types)
    while waiting:
        kind = waiting.pop()
        if kind not in entries and kind in CONFIG_MAPPING:
            entries[kind] = entry_of(kind)
            waiting += entries[kind].parts.values()
    library = f"transformers {transformers.__version__}"
    return ArchitectureTable(library=library, architectures=dict(sorted(entries.items())))


def entry_of(kind: str) -> ArchitectureEntry:
    """The facts of one `model_type` that the library has."""
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
    """Whether a model of the class ties its head: asked of configs of defaults alone.

    What a part says is listed where it decides otherwise than the config itself.
    """
    found: dict[str, bool] = {}
    for own in (None, False, True):
        keys = {} if own is None else {TIE: own}
        alone = found[tie_key(own)] = _reads(config, keys)
        for part, kind in parts.items():
            for below in (False, True):
                table = {"model_type": kind, TIE: below}
                ties = _reads(config, {**keys, part: table})
                if ties != alone:
                    found[tie_key(own, part, below)] = ties
    return found


def _reads(config: Any, keys: dict[str, Any]) -> bool:
    """Whether a config of these keys ties, as its class reads it."""
    try:
        read = config(**keys)
    except (ValueError, TypeError, KeyError, AttributeError):
        return False  # a class that has no defaults, such as one of two given parts
    return bool(getattr(read, TIE, False))


def _classes(kind: str) -> Iterator[type[PreTrainedModel]]:
    """The model classes of the library for one `model_type`."""
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
    """Per model class of the library, its tied names; patterns of several names are left out."""
    found: dict[str, dict[str, str]] = {}
    for model in _classes(kind):
        tied = model._tied_weights_keys or {}  # noqa: SLF001 - the library's name for it
        if isinstance(tied, dict) and tied:
            plain = {t: s for t, s in tied.items() if _is_name(t) and _is_name(s)}
            found[model.__name__] = dict(sorted(plain.items()))
    return dict(sorted(found.items()))


def _names(kind: str) -> dict[str, dict[str, str]]:
    """Per model class of this config class, its names in older checkpoints."""
    classes = [model for model in _classes(kind) if model.config_class is CONFIG_MAPPING[kind]]
    found = {model.__name__: older_names(model) for model in classes}
    return {name: names for name, names in sorted(found.items()) if names}


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


if __name__ == "__main__":
    main()
