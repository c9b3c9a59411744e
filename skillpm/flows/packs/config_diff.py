"""Which settings of a config differ from another, as transformers reads both."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from skillpm.flows.packs.module_layout import foreign_files, has_transformers
from skillpm.flows.packs.side_files import changed_keys
from skillpm.running.foreign import ForeignModelFiles
from skillpm.sandbox.errors import ForeignWorkError
from skillpm.spec import json
from skillpm.spec.loading_keys import refusal_of

_KIND = "model_type"
_DERIVED = frozenset({"tie_word_embeddings"})
"""Keys that a class may read into other settings: T5 scales its outputs by its ties."""


def changed_settings(
    foreign: ForeignModelFiles, old: bytes | None, new: bytes, *, ignored: frozenset[str]
) -> frozenset[str]:
    """The keys of a `config.json` by which another model is built, beyond the settings `ignored`.

    A default that only one of both spells out changes nothing: releases of transformers differ in
    what they write. Transformers reads both in the sandbox. Where it cannot read one, all keys that
    differ in the files are meant.
    """
    keys = changed_keys(old, new)
    named = keys - ignored
    if not (named or keys & _DERIVED) or _KIND in keys:
        return named
    try:
        return foreign.changed_settings(old or b"{}", new, keys, ignored=ignored)
    except ForeignWorkError:
        return named


def needed_patch(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    patch: dict[str, Any],
    keys: Collection[str],
) -> dict[str, Any]:
    """A config's patch without what is only spelled otherwise, as transformers reads both configs.

    `keys` are those that the architecture declares. A changed value of a declared key that both
    files have is no spelling; where there is nothing else, or no transformers here, the patch stays
    as it is. A key that no pack may change stays in it, to be refused by name.
    """
    paths = list(_paths(patch))
    if not has_transformers() or all(_is_value(path, before, after, keys) for path in paths):
        return patch
    if before.get(_KIND) != after.get(_KIND):
        return patch
    fixed = [path for path in paths if _is_refused(path, patch)]
    old, new, change = (json.canonical(dict(each), foreign=True) for each in (before, after, patch))
    try:
        patches = foreign_files().needed_patches(old, new, change, fixed)
    except ForeignWorkError:
        return patch
    declared = (each for each in patches if _are_declared(each, keys))
    return next(declared, patches[0] if patches else patch)


def _paths(patch: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The keys of a patch, those of a part after it."""
    for key, value in patch.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from _paths(value, (*path, key))


def _is_value(
    path: tuple[str, ...],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    keys: Collection[str],
) -> bool:
    """Whether a path is a declared key of both configs, or a part of both."""
    if ".".join(path) in keys:
        return _at(path, before) is not None and _at(path, after) is not None
    sides = _at(path, before), _at(path, after)
    return all(isinstance(side, dict) for side in sides)


def _at(path: tuple[str, ...], config: Any) -> Any:
    for key in path:
        config = config.get(key) if isinstance(config, Mapping) else None
    return config


def _is_refused(path: tuple[str, ...], patch: Mapping[str, Any]) -> bool:
    """Whether no pack may change a key; the `model_type` of a part is only how it is spelled."""
    if path[-1] == _KIND:
        return len(path) == 1
    return refusal_of(path[-1], _at(path, patch)) is not None


def _are_declared(patch: Mapping[str, Any], keys: Collection[str]) -> bool:
    parts = {key.rpartition(".")[0] for key in keys}
    return all(
        ".".join(path) in keys or ".".join(path) in parts or ".".join(path[:-1]) in keys
        for path in _paths(patch)
    )
