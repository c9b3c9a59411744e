"""Side files: what a graft carries beside tensors, under plain names that cannot run anything."""

import re
from collections.abc import Collection
from typing import Any, Final

from skillpm.errors import SpecError
from skillpm.spec import json
from skillpm.spec.loading_keys import (
    check_code,
    check_config_patch,
    check_generation_patch,
    check_settings,
    check_special_tokens,
    check_tokenizer_patch,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)
READ_SUFFIXES = frozenset(
    {".json", ".txt", ".model", ".jinja", ".tiktoken", ".spm", ".vocab", ".bpe"}
)
"""Of the files beside a model's weights that libraries read and that packs may carry."""
_REFUSED = frozenset({
    "adapter_config.json", "modules.json", "quantize_config.json", "quant_config.json",
    "hf_quant_config.json", "quantization_config.json", "model_index.json", "params.json",
    "decision_config.json", "judge_config.json", "calibration.json",
})  # fmt: skip
"""Files by which libraries choose what else they load: an adapter, code, how weights are read."""
_LICENCES = re.compile(r"(?:licen[cs]e|copying|notice|copyright|use_policy)(?:[._-].*)?")
CONFIG, GENERATION, TOKENIZER = "config.json", "generation_config.json", "tokenizer_config.json"
SPECIAL_TOKENS = "special_tokens_map.json"
VOCABULARIES = frozenset({"tokenizer.json", "vocab.json", "added_tokens.json"})
"""Files whose keys may be tokens: any word may stand there."""
PATCHED = (CONFIG, GENERATION, TOKENIZER)
"""Files that exist in this spelling only, and only as patches: every changed key is looked at."""
FILE: Final = "file"
PATCH: Final = "patch"
REMOVED: Final = "removed"


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
    folded = name.casefold()
    if folded in _REFUSED or folded.endswith((".index.json", ".skillpm-graft.json")):
        raise SpecError(f"{name!r} decides what is loaded, so no pack may carry it")
    if folded in PATCHED and name not in PATCHED:
        raise SpecError(f"{name!r} is written `{folded}`")
    if _is_versioned(folded):
        raise SpecError(f"{name!r} would be read in place of another file by some versions")


def check_side_file(name: str, kind: str) -> None:
    """`check_name`, and whether a file of that name may be carried, patched or removed."""
    check_name(name)
    if name in PATCHED and kind != PATCH:
        raise SpecError(f"`{name}` is carried as a patch only, expected kind `{PATCH}`")
    if kind == PATCH and suffix_of(name) != ".json":
        raise SpecError(f"{name!r} is no JSON file, so it cannot be patched")
    if kind == REMOVED and _LICENCES.fullmatch(name.casefold()):
        raise SpecError(f"{name!r} is a licence: no pack may remove it")
    if kind == REMOVED and name.casefold().endswith("config.json"):
        raise SpecError(f"{name!r} is a config: no pack may remove it")


def _is_versioned(folded: str) -> bool:
    """`config.4.0.0.json`, `tokenizer.4.0.0.json`: transformers picks one by its own version."""
    return re.fullmatch(r"(?:.*_)?(?:config|tokenizer)\.[0-9].*\.json", folded) is not None


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
    """Whether both are the same JSON: 1, 1.0 and true differ, at any depth; NaN is NaN."""
    if type(old) is not type(new):
        return False
    return json.canonical(old, foreign=True) == json.canonical(new, foreign=True)


def check_content(name: str, content: Any, *, keys: Collection[str], patch: bool) -> None:
    """Raise `SpecError` where a side file, read as JSON, changes what no pack may change.

    `keys` are those that the architecture declares for `config.json`.
    """
    what = f"side file `{name}`"
    if name == CONFIG:
        check_config_patch(content, keys, what)
    elif name == GENERATION:
        check_generation_patch(content, what)
    elif name == TOKENIZER:
        check_tokenizer_patch(content, what)
    elif name.casefold() == SPECIAL_TOKENS:
        check_special_tokens(content, what)
    elif name.casefold() not in VOCABULARIES:
        check_settings(content, what)
    elif patch:
        check_code(content, what)
