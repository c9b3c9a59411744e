"""Side files: what a graft carries beside tensors, under plain names that cannot run anything."""

import re
from typing import Any

from skillpm.errors import SpecError
from skillpm.spec import json

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)
READ_SUFFIXES = frozenset(
    {".json", ".txt", ".model", ".jinja", ".tiktoken", ".spm", ".vocab", ".bpe"}
)
"""Of the files beside a model's weights that libraries read and that packs may carry."""
_REFUSED = frozenset({"adapter_config.json", "modules.json"})
PATCHED = ("config.json", "generation_config.json")


def suffix_of(name: str) -> str:
    """The last suffix, lower case, dot included; empty where there is none."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def check_name(name: str) -> None:
    """Raise `SpecError` unless `name` is a plain file name of a kind that packs may carry."""
    if _NAME.fullmatch(name) is None:
        raise SpecError(f"{name!r} is not a plain file name")
    if suffix_of(name) not in READ_SUFFIXES:
        raise SpecError(f"{name!r}: side files end in one of {', '.join(sorted(READ_SUFFIXES))}")
    if name.lower() in _REFUSED or name.lower().endswith((".index.json", ".skillpm-graft.json")):
        raise SpecError(f"{name!r} decides what is loaded, so no pack may carry it")


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396, section 2); neither argument is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def diff_patch(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The merge patch that turns `before` into `after`.

    A merge patch cannot write null: a key that becomes null is deleted, which every reader of
    these configs takes as its default.
    """
    gone = (key for key, old in before.items() if old is not None and after.get(key) is None)
    patch: dict[str, Any] = dict.fromkeys(gone)
    for key, value in after.items():
        old = before.get(key)
        if value is None or same_json(old, value):
            continue
        if isinstance(old, dict) and isinstance(value, dict):
            patch[key] = diff_patch(old, value)
        else:
            patch[key] = value
    return patch


def same_json(old: Any, new: Any) -> bool:
    """Whether both are the same JSON: 1, 1.0 and true differ, at any depth."""
    return type(old) is type(new) and json.canonical(old) == json.canonical(new)


def forbid_code(patch: Any, name: str) -> None:
    """Raise `SpecError` where a patch brings `auto_map`: a graft never brings code."""
    if isinstance(patch, dict):
        if "auto_map" in patch and patch["auto_map"] is not None:
            raise SpecError(
                f"{name} has a new or changed `auto_map`, which would run code from elsewhere",
                hint="save the tuned model with a model class that transformers has",
            )
        for value in patch.values():
            forbid_code(value, name)
    elif isinstance(patch, list):
        for value in patch:
            forbid_code(value, name)
