"""Compare two configs as transformers reads them: spelled-out defaults are not differences."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from skillpm.flows.packs.module_layout import foreign_files, has_transformers
from skillpm.flows.packs.side_files import changed_keys
from skillpm.running.untrusted_files import UntrustedModelFiles
from skillpm.sandbox.errors import ForeignWorkError
from skillpm.spec import json
from skillpm.spec.loading_keys import refusal_of

_KIND = "model_type"
_DERIVED = frozenset({"tie_word_embeddings"})
"""Keys from which a class derives other settings: T5 scales its outputs if its head is tied."""


def changed_settings(
    foreign: UntrustedModelFiles, old: bytes | None, new: bytes, *, ignored: frozenset[str]
) -> frozenset[str]:
    """The keys in which two versions of `config.json` describe different models.

    The keys in `ignored` are left out. A default that only one file spells out is no difference,
    because versions of transformers write different defaults. transformers reads both files in the
    sandbox. If it cannot read one of them, all keys that differ in the files are returned.
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
    """A config's patch without changes that only spell the same setting differently.

    transformers reads both configs in the sandbox and decides. `keys` are those that the
    architecture declares. If all changes are new values of declared keys that both files have, or
    transformers is not installed, the patch is returned as it is. Keys that no pack may change stay
    in the patch, so that the caller refuses them by name.
    """
    paths = list(_paths(patch))
    if not has_transformers() or all(_is_value(path, before, after, keys) for path in paths):
        return patch
    if before.get(_KIND) != after.get(_KIND):
        return patch
    fixed = [path for path in paths if _is_refused(path, patch)]
    old, new, change = (json.canonical(dict(doc), foreign=True) for doc in (before, after, patch))
    try:
        patches = foreign_files().needed_patches(old, new, change, fixed)
    except ForeignWorkError:
        return patch
    declared = (candidate for candidate in patches if _are_declared(candidate, keys))
    return next(declared, patches[0] if patches else patch)


def _paths(patch: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all keys of a patch; the keys of a nested config follow their parent."""
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
    """Whether a path is a declared key that both configs have, or a nested config of both."""
    if ".".join(path) in keys:
        return _at(path, before) is not None and _at(path, after) is not None
    sides = _at(path, before), _at(path, after)
    return all(isinstance(side, dict) for side in sides)


def _at(path: tuple[str, ...], config: Any) -> Any:
    for key in path:
        config = config.get(key) if isinstance(config, Mapping) else None
    return config


def _is_refused(path: tuple[str, ...], patch: Mapping[str, Any]) -> bool:
    """Whether no pack may change a key. The `model_type` of a nested config may be spelled out."""
    if path[-1] == _KIND:
        return len(path) == 1
    return refusal_of(path[-1], _at(path, patch)) is not None


def _are_declared(patch: Mapping[str, Any], keys: Collection[str]) -> bool:
    parts = {key.rpartition(".")[0] for key in keys}
    return all(
        ".".join(path) in keys or ".".join(path) in parts or ".".join(path[:-1]) in keys
        for path in _paths(patch)
    )
