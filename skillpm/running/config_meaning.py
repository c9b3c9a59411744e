"""What transformers reads of a `config.json`: two spellings of one value read alike.

Runs in the sandbox, as part of `tokenizer_worker`: the configs are strangers'.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from transformers import AutoConfig

STAMPS = frozenset({"transformers_version", "_name_or_path"})
"""What a config says of how it was saved."""
_DTYPE = "dtype"
Path = tuple[str, ...]


def read_config(plain: Mapping[str, Any], ignored: Collection[str] = ()) -> dict[str, Any]:
    """All settings that the class of a config has, but for those `ignored` in it and its parts.

    Raises whatever the class raises.
    """
    known = dict(plain)
    kind = str(known.pop("model_type", ""))
    settings: Any = json.loads(json.dumps(AutoConfig.for_model(kind, **known).to_dict()))
    return _normal(settings, STAMPS | set(ignored), settings.get(_DTYPE))


def _reads_as(
    plain: Mapping[str, Any], goal: Mapping[str, Any], ignored: Collection[str] = ()
) -> bool:
    """Whether a config is read as `goal`; one that its class refuses is not."""
    try:
        return read_config(plain, ignored) == goal
    except Exception:  # noqa: BLE001 - a class raises what it likes, its checks' own kinds too
        return False


def _normal(settings: dict[str, Any], left_out: Collection[str], dtype: Any) -> dict[str, Any]:
    """The settings, without two ways to say one thing that a class leaves side by side.

    A setting of null is as one that is not there: the class has all of its own.
    """
    kept: dict[str, Any] = {}
    for key, value in settings.items():
        if key in left_out:
            continue
        kept[key] = _normal(value, left_out, dtype) if isinstance(value, dict) else value
    if isinstance(kept.get("id2label"), dict) and not kept.get("label2id"):
        kept["label2id"] = {name: int(number) for number, name in kept["id2label"].items()}
    if "rope_type" in kept:
        kept.pop("type", None)  # version 4's name for it, left beside version 5's
    if kept.get(_DTYPE) is None and _DTYPE in kept:
        kept[_DTYPE] = dtype  # a part without a dtype has the whole's
    return {key: value for key, value in kept.items() if value is not None}


def changed_keys(configs: tuple[str, str], keys: list[str], ignored: list[str]) -> list[str]:
    """Of these keys of a file, those by which transformers reads another model.

    A class may read a key into other settings (`rope_theta` into `rope_parameters`, T5's ties into
    the scale of its outputs), so each key is also tried as the older config has it.
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
    """Merge patches of `before` that transformers reads as it reads `after`, the best first.

    They are what of `patch` is read otherwise; `patch` without what changes nothing, key by key;
    and what is read otherwise, in the spelling of the reading. The `fixed` paths stay in each, and
    the last is left out where there are any. Costs two readings per key.
    """
    goal = read_config(after)
    direct = _difference(read_config(before), goal)
    differing = {*fixed, *_paths(direct)}
    narrow = dict(patch)
    for path in list(_paths(patch)):
        if not any(each[: len(path)] == path or path[: len(each)] == each for each in differing):
            narrow = _without(narrow, path)
    found = [narrow]
    if not _reads_as(_merged(before, narrow), goal):
        found = [_shortened(before, patch, fixed, goal), *([] if fixed else [direct])]
    return [each for each in found if _reads_as(_merged(before, each), goal)]


def _shortened(
    before: Mapping[str, Any], patch: Mapping[str, Any], fixed: list[Path], goal: Mapping[str, Any]
) -> dict[str, Any]:
    """A patch without each key that changes nothing of the reading, until none is left."""
    left, count = dict(patch), 0
    while count != (count := sum(1 for _ in _paths(left))):
        for path in list(_paths(left)):
            shorter = _without(left, path)
            if path not in fixed and _reads_as(_merged(before, shorter), goal):
                left = shorter
    return left


def _paths(patch: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    """The keys of a patch, a part before the keys in it."""
    for key, value in patch.items():
        yield (*path, key)
        if isinstance(value, dict) and len(path) < 2:  # noqa: PLR2004 - as deep as parts are
            yield from _paths(value, (*path, key))


def _without(patch: dict[str, Any], path: Path) -> dict[str, Any]:
    key, *rest = path
    if key not in patch:
        return patch
    if not rest:
        return {name: value for name, value in patch.items() if name != key}
    below = _without(patch[key], tuple(rest))
    return {**patch, key: below} if below else _without(patch, (key,))


def _merged(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON merge patch applied (RFC 7396)."""
    merged = dict(before)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = merged.get(key)
            merged[key] = _merged(below if isinstance(below, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def _difference(current: Mapping[str, Any], goal: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch between two readings."""
    found: dict[str, Any] = {}
    for key in current.keys() | goal.keys():
        ours, theirs = current.get(key), goal.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            below = _difference(ours, theirs)
            found |= {key: below} if below else {}
        elif ours != theirs:
            found[key] = theirs
    return dict(sorted(found.items()))
