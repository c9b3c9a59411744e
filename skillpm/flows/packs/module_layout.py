"""Ask the model class of a base which of its tensors an adapter's names refer to."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from skillpm.adapters.adapter import Adapter
from skillpm.adapters.fit import wanted_names
from skillpm.architecture.layout import ModelLayout
from skillpm.delta.tensors.ports import Source
from skillpm.errors import GraftError
from skillpm.flows.packs.layout_cache import CachedLayout
from skillpm.running.untrusted_files import UntrustedModelFiles
from skillpm.sandbox.errors import ForeignWorkError

_INSTALL = "`pip install 'skillpm-graft[hf]' peft`"


@cache
def foreign_files() -> UntrustedModelFiles:
    """The sandboxed workers of this process. A worker starts in seconds and serves many models."""
    return UntrustedModelFiles()


def has_transformers() -> bool:
    """Whether transformers is installed, so that a model class can be inspected."""
    return find_spec("transformers") is not None


def ask_layout(
    adapter: Adapter, base: Source, config: bytes | None, *, home: Path, keep: bool = True
) -> ModelLayout | None:
    """The layout of the model that an adapter is applied to; None if its class is not available.

    An answer is kept in the cache of the skillpm home, unless `keep` is false. Raises `GraftError`
    if the adapter cannot be interpreted without the class.
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
            return _cached_layout(config, base, asked, home, keep=keep)
        except ForeignWorkError as problem:
            reason = str(problem)
    if adapter.config.target_parameters:
        raise GraftError(
            f"`{adapter.path}` has `target_parameters`, and the base's model class, which lists "
            f"them, is not available: {reason}",
            hint=_INSTALL,
        )
    return None


def _cached_layout(
    config: bytes, base: Source, asked: Mapping[str, Any], home: Path, *, keep: bool
) -> ModelLayout:
    cached = CachedLayout.of(home, config, base.specs, asked)
    layout = cached.get()
    if layout is None:
        layout = foreign_files().layout(config, base.specs, asked)
        if keep:
            cached.put(layout)
    return layout


def _targets(adapter: Adapter) -> dict[str, Any]:
    """The keys of an adapter's config that decide which parameters the adapter targets."""
    plain = json.loads((adapter.path / "adapter_config.json").read_bytes())
    keys = (
        "r", "lora_alpha", "target_modules", "target_parameters", "exclude_modules",
        "rank_pattern", "alpha_pattern", "use_rslora", "layers_to_transform", "layers_pattern",
    )  # fmt: skip
    return {key: plain.get(key) for key in keys}


def ask_targets(
    config: Mapping[str, Any] | None, ask: Callable[[UntrustedModelFiles], dict[str, Any]]
) -> dict[str, Any]:
    """PEFT's answer about a model. Raises `GraftError` if PEFT cannot load the model."""
    if config is None:
        raise GraftError("the base has no `config.json`, so PEFT cannot load it")
    if not has_transformers():
        raise GraftError("writing an adapter needs transformers and PEFT", hint=_INSTALL)
    try:
        return ask(foreign_files())
    except ForeignWorkError as problem:
        raise GraftError(f"PEFT cannot load the base: {problem}", hint=_INSTALL) from problem
