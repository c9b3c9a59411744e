"""Find the older names of a model class's tensors in checkpoints.

Uses the conversions that transformers applies when it loads a checkpoint.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    PrefixChange,
    WeightConverter,
    WeightRenaming,
    rename_source_key,
)

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")
_TENSORS = (".weight", ".bias")


def older_names(kind: Any) -> dict[str, str]:
    """The renamings of a class in the form of `ArchitectureFacts.names`; empty if there are none.

    Builds the class from its default config on the `meta` device, and inverts the conversions of
    transformers. Each renaming is checked by applying the conversion again.
    """
    try:
        config = kind.config_class()
        with torch.device("meta"):
            model = kind._from_config(config)  # noqa: SLF001 - what `from_config` calls
    except (ValueError, TypeError, KeyError, AttributeError, ImportError, NotImplementedError):
        return {}  # a class that cannot be built from its default config
    rules = get_model_conversion_mapping(model, add_legacy=False)
    renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
    if not renamings:
        return {}
    loading = renamings, [rule for rule in rules if isinstance(rule, WeightConverter)]
    names: dict[str, str] = {}
    state = model.state_dict()
    for name in state:
        newer = _pattern(name)
        for older in _older(name, renamings):
            loaded, converter = rename_source_key(older, *loading, model.base_model_prefix, state)
            if loaded == name and converter is None and _pattern(older) != newer:
                names.setdefault(*_modules(newer, _pattern(older)))
                newer = _pattern(older)
    return {name: older for name, older in sorted(names.items()) if name != older}


def _older(name: str, renamings: Iterable[WeightRenaming]) -> Iterator[str]:
    """The names of a tensor in older checkpoints, first without a changed prefix, then with it."""
    for keeps in (False, True):
        older = name
        for rule in reversed(list(renamings)):
            if keeps or not isinstance(rule, PrefixChange):
                older, _ = rule.reverse_transform().rename_source_key(older)
        yield older


def _pattern(name: str) -> str:
    """The name with `*` in place of the numbers of layers."""
    return _NUMBER.sub("*", name)


def _modules(name: str, older: str) -> tuple[str, str]:
    """The names of the modules if both names end in the same tensor, else the names as given."""
    for end in _TENSORS:
        if name.endswith(end) and older.endswith(end):
            return name.removesuffix(end), older.removesuffix(end)
    return name, older
