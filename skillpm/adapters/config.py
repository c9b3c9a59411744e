"""Read `adapter_config.json`: the keys that decide the weights; unsupported keys are refused."""

from collections.abc import Collection
from functools import cached_property
from math import sqrt
from typing import Annotated, Any

from pydantic import Field

from skillpm.adapters.patterns import COUNT_LIMIT, WORK_LIMIT, ModulePatterns, compile_pattern
from skillpm.errors import Problems, SpecError
from skillpm.spec import json
from skillpm.spec.fields import Document, read_document

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PICKLE = "adapter_model.bin"
MERGE = "merge it first: `model.merge_and_unload().save_pretrained(DIR)`, and pack DIR"
_TRAIN = 'train a LoRA instead: `peft.LoraConfig(target_modules="all-linear")`'
_VIRTUAL = "num_virtual_tokens"
"""A key that each of PEFT's configs of learned prompts has: there is nothing to merge."""
_SHOWN = 60
"""Characters of a stranger's value in a message."""
_UNMERGED = frozenset({"ADAPTION_PROMPT", "POLY", "XLORA"})
"""Other types that PEFT cannot merge, because their effect depends on the input."""
_MODULES_LIMIT = 10_000

_DECIDES = frozenset({
    "peft_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora",
    "fan_in_fan_out", "bias", "modules_to_save", "init_lora_weights", "base_model_name_or_path",
    "ensure_weight_tying", "target_parameters", "task_type", "auto_mapping", "revision",
})  # fmt: skip
_IRRELEVANT = frozenset({
    "inference_mode", "lora_dropout", "peft_version",
    "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "eva_config",
    "lora_ga_config", "loftq_config", "corda_config", "megatron_core", "runtime_config",
    "qalora_group_size", "velora_config", "base_model_class", "parent_library",
    "modules_to_tie", "target_modules_to_tie",
})  # fmt: skip
"""Keys about the training or its environment, which do not change the weights."""
_REFUSED = {
    "layer_replication": "the model has more layers than its base",
    "megatron_config": "its layers are those of Megatron",
    "trainable_token_indices": "rows of the embedding are stored separately",
    "alora_invocation_tokens": "the adapter applies only to some tokens, not to all inputs",
    "lora_bias": "its updates have biases",
    "use_qalora": "its inputs are pooled",
    "use_bdlora": "its factors are block-diagonal",
    "arrow_config": "it routes between adapters",
    "monteclora_config": "its weights are sampled",
    "kasa_config": "it changes the base",
}
_CANNOT_MERGE = frozenset({"alora_invocation_tokens", "arrow_config", "use_qalora"})
"""Keys with which PEFT refuses to merge."""
_CHANGES_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Initialisations that change the base before training."""
_LEAVES_THE_BASE = ("gaussian", "eva", "orthogonal", "mica", "true", "false")
"""Initialisations that change only the factors. All others are unknown and refused."""

Number = Annotated[float, Field(strict=False)]
Rank = Annotated[int, Field(ge=1, lt=2**31)]


class AdapterConfig(Document):
    """The keys of a LoRA's config that decide the weights."""

    peft_type: str
    r: Rank = 8
    lora_alpha: Number = 8.0
    rank_pattern: dict[str, Rank] | None = None
    alpha_pattern: dict[str, Number] | None = None
    use_rslora: bool = False
    use_dora: bool = False
    fan_in_fan_out: bool = False
    bias: str = "none"
    modules_to_save: Annotated[list[str], Field(max_length=_MODULES_LIMIT)] | None = None
    init_lora_weights: bool | str | None = True
    base_model_name_or_path: str | None = None
    ensure_weight_tying: bool = False
    target_parameters: Annotated[list[str], Field(max_length=_MODULES_LIMIT)] | None = None
    task_type: str | None = None
    revision: str | None = None
    auto_mapping: dict[str, Any] | None = None

    @property
    def model_class(self) -> str | None:
        """The model class that the adapter was trained on; None if the config does not name it."""
        name = (self.auto_mapping or {}).get("base_model_class")
        return name if isinstance(name, str) else None

    @cached_property
    def rank_patterns(self) -> ModulePatterns:
        """The patterns of `rank_pattern`, compiled."""
        return ModulePatterns(self.rank_pattern or ())

    @cached_property
    def alpha_patterns(self) -> ModulePatterns:
        """The patterns of `alpha_pattern`, compiled."""
        return ModulePatterns(self.alpha_pattern or ())

    def rank_of(self, module: str) -> int:
        """The rank of a module: that of the first pattern that matches its name, else `r`."""
        pattern = self.rank_patterns.first(module)
        return self.r if pattern is None else (self.rank_pattern or {})[pattern]

    def scale_of(self, module: str, rank: int) -> float:
        """α/r, or α/√r with rsLoRA (Kalajdzievski 2023), as PEFT computes it."""
        pattern = self.alpha_patterns.first(module)
        alpha = self.lora_alpha if pattern is None else (self.alpha_pattern or {})[pattern]
        return alpha / sqrt(rank) if self.use_rslora else alpha / rank

    def check_work(self, modules: Collection[str], what: str) -> None:
        """Raise `SpecError` if matching the patterns with all modules could take too long."""
        work = self.rank_patterns.work(modules) + self.alpha_patterns.work(modules)
        if work > WORK_LIMIT:
            raise SpecError(
                f"{what} has patterns that could take too long to match with its "
                f"{len(modules)} modules",
                hint=MERGE,
            )


def parse_config(data: bytes, what: str) -> AdapterConfig:
    """Parse a config. Raises `SpecError` if it is invalid or cannot be packed exactly."""
    plain = json.parse_object(data, what)
    kind = plain.get("peft_type")
    if kind != "LORA":
        named = kind if isinstance(kind, str) else ""
        learned = _VIRTUAL in plain or named in _UNMERGED
        why = " and changes no weights" if learned else ""
        raise SpecError(
            f"{what} has `peft_type` {repr(kind)[:_SHOWN]}{why}; only LORA can be packed",
            hint=_TRAIN if learned else MERGE,
        )
    _refuse(plain, what)
    config = read_document(AdapterConfig, plain, what)
    problems = Problems(what)
    for field in ("rank_pattern", "alpha_pattern"):
        _check_patterns(getattr(config, field) or {}, field, problems)
    if config.bias not in ("none", "all", "lora_only"):
        problems.add("bias", f"expected none, all or lora_only, found {config.bias!r}")
    problems.raise_if_any(hint=MERGE)
    return config


def _refuse(plain: dict[str, Any], what: str) -> None:
    for key, value in plain.items():
        if not value or key in _DECIDES or key in _IRRELEVANT:
            continue
        if key in _REFUSED:
            raise SpecError(
                f"{what} sets `{key}`: {_REFUSED[key]}, which cannot be packed",
                hint=_TRAIN if key in _CANNOT_MERGE else MERGE,
            )
        raise SpecError(
            f"{what} sets `{key}`, which this version of skillpm does not know", hint=MERGE
        )
    start = plain.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGES_THE_BASE):
        raise SpecError(
            f"{what} has `init_lora_weights` {start[:_SHOWN]!r}, which changes the base before "
            "training",
            hint="save it as a plain LoRA: `save_pretrained(DIR, "
            "path_initial_model_for_weight_conversion=INITIAL)`, or merge it",
        )
    if isinstance(start, str) and start.lower() not in _LEAVES_THE_BASE:
        raise SpecError(
            f"{what} has `init_lora_weights` {start[:_SHOWN]!r}, which this version of "
            "skillpm does not know: it may change the base before training",
            hint=MERGE,
        )


def _check_patterns(patterns: Collection[str], field: str, problems: Problems) -> None:
    if len(patterns) > COUNT_LIMIT:
        problems.add(field, f"expected at most {COUNT_LIMIT} patterns, found {len(patterns)}")
        return
    for pattern in patterns:
        try:
            compile_pattern(pattern)
        except SpecError as problem:
            problems.add(field, problem.message)
