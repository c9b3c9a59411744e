"""Asking the class of a base how an adapter's names are laid out in it."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any

from skillpm.adapters.adapter import Adapter
from skillpm.adapters.fit import wanted_names
from skillpm.architecture.layout import ModelLayout
from skillpm.delta.tensors.ports import Source
from skillpm.errors import GraftError
from skillpm.running.foreign import ForeignModelFiles
from skillpm.sandbox.errors import ForeignWorkError

_INSTALL = "`pip install 'skillpm-graft[hf]' peft`"


@cache
def foreign_files() -> ForeignModelFiles:
    """The sandboxes of this process: each takes seconds to start, and answers for many models."""
    return ForeignModelFiles()


def has_transformers() -> bool:
    """Whether the class of a model can be asked here."""
    return find_spec("transformers") is not None


def ask_layout(adapter: Adapter, base: Source, config: bytes | None) -> ModelLayout | None:
    """The layout of the model that an adapter is put on; None where no class can be asked.

    Raises `GraftError` for an adapter that cannot be understood without the class.
    """
    reason = "`transformers` is not installed" if not has_transformers() else "no `config.json`"
    if config is not None and has_transformers():
        asked = {
            "tensors": wanted_names(adapter),
            "class": adapter.config.model_class,
            "task": adapter.config.task_type,
            "adapter": _targets(adapter) if adapter.config.target_parameters else None,
            "resized": bool(adapter.keys.dense),
        }
        try:
            return foreign_files().layout(config, base.specs, asked)
        except ForeignWorkError as problem:
            reason = str(problem)
    if adapter.config.target_parameters:
        raise GraftError(
            f"`{adapter.path}` targets parameters of experts, and the base's class cannot be "
            f"asked for them: {reason}",
            hint=_INSTALL,
        )
    return None


def _targets(adapter: Adapter) -> dict[str, Any]:
    """What of an adapter's config decides which parameters it targets."""
    plain = json.loads((adapter.path / "adapter_config.json").read_bytes())
    keys = (
        "r", "lora_alpha", "target_modules", "target_parameters", "exclude_modules",
        "rank_pattern", "alpha_pattern", "use_rslora", "layers_to_transform", "layers_pattern",
    )  # fmt: skip
    return {key: plain.get(key) for key in keys}


def ask_targets(
    config: Mapping[str, Any] | None, ask: Callable[[ForeignModelFiles], dict[str, Any]]
) -> dict[str, Any]:
    """What PEFT says of a model. Raises `GraftError` where it cannot be asked."""
    if config is None:
        raise GraftError("the base has no `config.json`, so PEFT cannot load it")
    if not has_transformers():
        raise GraftError("an adapter is written by PEFT's own rules", hint=_INSTALL)
    try:
        return ask(foreign_files())
    except ForeignWorkError as problem:
        raise GraftError(f"PEFT cannot load the base: {problem}", hint=_INSTALL) from problem
