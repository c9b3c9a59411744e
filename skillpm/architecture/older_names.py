"""What checkpoints call the modules of a model class, by transformers' own conversions."""

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
    """The renamings of a class, as `ArchitectureFacts.names` has them; none where none applies.

    The class is built from its default config on the `meta` device, and the conversions that
    transformers loads with are turned round. Each renaming is checked by loading it again.
    """
    try:
        config = kind.config_class()
        with torch.device("meta"):
            model = kind._from_config(config)  # noqa: SLF001 - what `from_config` calls
    except (ValueError, TypeError, KeyError, AttributeError, ImportError, NotImplementedError):
        return {}  # a class that cannot be built from defaults
    rules = get_model_conversion_mapping(model, add_legacy=False)
    renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
    if not renamings:
        return {}
    loading = renamings, [rule for rule in rules if isinstance(rule, WeightConverter)]
    found: dict[str, str] = {}
    state = model.state_dict()
    for name in state:
        newer = _pattern(name)
        for older in _older(name, renamings):
            goes, converter = rename_source_key(older, *loading, model.base_model_prefix, state)
            if goes == name and converter is None and _pattern(older) != newer:
                found.setdefault(*_modules(newer, _pattern(older)))
                newer = _pattern(older)
    return {name: older for name, older in sorted(found.items()) if name != older}


def _older(name: str, renamings: Iterable[WeightRenaming]) -> Iterator[str]:
    """A name in older checkpoints: without the prefixes that some of them have, and with them."""
    for keeps in (False, True):
        older = name
        for rule in reversed(list(renamings)):
            if keeps or not isinstance(rule, PrefixChange):
                older, _ = rule.reverse_transform().rename_source_key(older)
        yield older


def _pattern(name: str) -> str:
    """A name with `*` for the numbers of layers."""
    return _NUMBER.sub("*", name)


def _modules(name: str, older: str) -> tuple[str, str]:
    """The names of the modules, where both names end on the same tensor of one."""
    for end in _TENSORS:
        if name.endswith(end) and older.endswith(end):
            return name.removesuffix(end), older.removesuffix(end)
    return name, older
