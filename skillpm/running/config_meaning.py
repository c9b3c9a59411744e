"""The settings that transformers reads from a `config.json`, whatever their spelling in the file.

Runs in the sandbox, as part of `tokenizer_worker`, because the configs are untrusted.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from transformers import AutoConfig

STAMPS = frozenset({"transformers_version", "_name_or_path"})
"""Keys about how a config was saved, which do not affect the model."""
_DTYPE = "dtype"
Path = tuple[str, ...]


def read_config(config: Mapping[str, Any], ignored: Collection[str] = ()) -> dict[str, Any]:
    """All settings of the config class after reading a config, except the keys `ignored`.

    The keys are ignored in nested configs too. Raises the errors of the config class.
    """
    arguments = dict(config)
    model_type = str(arguments.pop("model_type", ""))
    settings: Any = json.loads(json.dumps(AutoConfig.for_model(model_type, **arguments).to_dict()))
    return _normalize(settings, STAMPS | set(ignored), settings.get(_DTYPE))


def _reads_as(
    config: Mapping[str, Any], goal: Mapping[str, Any], ignored: Collection[str] = ()
) -> bool:
    """Whether reading a config gives the settings `goal`; False if its class refuses it."""
    try:
        return read_config(config, ignored) == goal
    except Exception:  # noqa: BLE001 - config classes raise errors of any type
        return False


def _normalize(settings: dict[str, Any], ignored: Collection[str], dtype: Any) -> dict[str, Any]:
    """The settings in one spelling: classes of transformers keep some settings twice.

    Settings of None are left out, because they equal missing settings.
    """
    kept: dict[str, Any] = {}
    for key, value in settings.items():
        if key in ignored:
            continue
        kept[key] = _normalize(value, ignored, dtype) if isinstance(value, dict) else value
    if isinstance(kept.get("id2label"), dict) and not kept.get("label2id"):
        kept["label2id"] = {name: int(number) for number, name in kept["id2label"].items()}
    if "rope_type" in kept:
        kept.pop("type", None)  # The name of `rope_type` in transformers 4; 5 keeps both.
    if kept.get(_DTYPE) is None and _DTYPE in kept:
        kept[_DTYPE] = dtype  # A nested config without a dtype inherits it.
    return {key: value for key, value in kept.items() if value is not None}


def changed_keys(configs: tuple[str, str], keys: list[str], ignored: list[str]) -> list[str]:
    """The subset of `keys` whose change from the old to the new config affects the model.

    `configs` are the old and the new file as text. A class may read a key into another setting
    (`rope_theta` into `rope_parameters`). Therefore each key is also tried with its old value: if
    that changes any setting, the key matters. Reads a config once for each key.
    """
    old, new = map(json.loads, configs)
    before, after = read_config(old, ignored), read_config(new, ignored)
    if before == after:
        return []
    absent = object()

    def matters(key: str) -> bool:
        if key not in ignored and before.get(key, absent) != after.get(key, absent):
            return True
        without = {name: value for name, value in new.items() if name != key}
        return not _reads_as(without | ({key: old[key]} if key in old else {}), after, ignored)

    return [key for key in keys if matters(key)]


def needed_patch(
    before: Mapping[str, Any], after: Mapping[str, Any], patch: Mapping[str, Any], fixed: list[Path]
) -> list[dict[str, Any]]:
    """Small merge patches of `before` after which transformers reads the settings of `after`.

    `patch` is the difference of the two files. The results, best first, are: the part of `patch`
    whose settings differ, if that is enough; else `patch` without the keys that have no effect, and
    then, if no paths are `fixed`, the difference between the settings themselves. The `fixed` paths
    are kept. Reads a config about twice for each key.
    """
    goal = read_config(after)
    direct = _difference(read_config(before), goal)
    differing = {*fixed, *_paths(direct)}
    narrow = dict(patch)
    for path in list(_paths(patch)):
        if not any(near[: len(path)] == path or path[: len(near)] == near for near in differing):
            narrow = _without(narrow, path)
    candidates = [narrow]
    if not _reads_as(_merge(before, narrow), goal):
        candidates = [_reduce(before, patch, fixed, goal), *([] if fixed else [direct])]
    return [candidate for candidate in candidates if _reads_as(_merge(before, candidate), goal)]


def _reduce(
    before: Mapping[str, Any], patch: Mapping[str, Any], fixed: list[Path], goal: Mapping[str, Any]
) -> dict[str, Any]:
    """Remove keys from a patch, one at a time, until every key left affects the settings."""
    left, count = dict(patch), 0
    while count != (count := sum(1 for _ in _paths(left))):
        for path in list(_paths(left)):
            shorter = _without(left, path)
            if path not in fixed and _reads_as(_merge(before, shorter), goal):
                left = shorter
    return left


def _paths(patch: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    """The paths of all keys of a patch; a nested config comes before the keys in it."""
    for key, value in patch.items():
        yield (*path, key)
        if isinstance(value, dict) and len(path) < 2:  # noqa: PLR2004 - configs nest no deeper
            yield from _paths(value, (*path, key))


def _without(patch: dict[str, Any], path: Path) -> dict[str, Any]:
    key, *rest = path
    if key not in patch:
        return patch
    if not rest:
        return {name: value for name, value in patch.items() if name != key}
    below = _without(patch[key], tuple(rest))
    return {**patch, key: below} if below else _without(patch, (key,))


def _merge(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a JSON merge patch (RFC 7396)."""
    merged = dict(before)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = merged.get(key)
            merged[key] = _merge(below if isinstance(below, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def _difference(current: Mapping[str, Any], goal: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch from one set of settings to another."""
    patch: dict[str, Any] = {}
    for key in current.keys() | goal.keys():
        old, new = current.get(key), goal.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            below = _difference(old, new)
            patch |= {key: below} if below else {}
        elif old != new:
            patch[key] = new
    return dict(sorted(patch.items()))
