"""Side files of packs: which names are allowed, and what their contents may change."""

import re
from collections.abc import Callable, Collection
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
from skillpm.spec.module_keys import check_embedding_settings, check_module_config
from skillpm.spec.parts import (
    MODULES,
    PICKLE,
    WEIGHTS,
    WEIGHTS_LIMIT,
    check_modules,
    is_part_folder,
    split_part,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)
READ_SUFFIXES = frozenset(
    {".json", ".txt", ".model", ".jinja", ".tiktoken", ".spm", ".vocab", ".bpe"}
)
"""Suffixes of the files that packs may carry."""
_REFUSED = frozenset({
    "adapter_config.json", "modules.json", "quantize_config.json", "quant_config.json",
    "hf_quant_config.json", "quantization_config.json", "model_index.json", "params.json",
    "decision_config.json", "judge_config.json", "calibration.json",
})  # fmt: skip
"""Files that choose what a library loads: adapters, code, quantisation of weights."""
_LICENCES = re.compile(r"(?:licen[cs]e|copying|notice|copyright|use_policy)(?:[._-].*)?")
CONFIG, GENERATION, TOKENIZER = "config.json", "generation_config.json", "tokenizer_config.json"
SPECIAL_TOKENS = "special_tokens_map.json"
EMBEDDING = "config_sentence_transformers.json"
_TRANSFORMER = re.compile(r"sentence_[a-z-]+_config\.json")
"""Settings of the sentence-transformers module `Transformer`, named after its first model type."""
VOCABULARIES = frozenset({"tokenizer.json", "vocab.json", "added_tokens.json"})
"""Files whose keys may be tokens, so that any key is allowed."""
PATCHED = (CONFIG, GENERATION, TOKENIZER)
"""Files that are allowed only in this spelling and only as patches, so each key is checked."""
FILE: Final = "file"
PATCH: Final = "patch"
REMOVED: Final = "removed"


def suffix_of(name: str) -> str:
    """The last suffix in lower case, with its dot; empty if there is none."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def check_name(name: str) -> None:
    """Raise `SpecError` unless `name` is a plain file name that packs may carry."""
    if _NAME.fullmatch(name) is None:
        raise SpecError(f"{name!r} is not a plain file name")
    if suffix_of(name) not in READ_SUFFIXES:
        suffixes = ", ".join(sorted(READ_SUFFIXES))
        raise SpecError(f"{name!r} has a suffix that is not allowed; expected one of {suffixes}")
    folded = name.casefold()
    if folded in _REFUSED or folded.endswith((".index.json", ".skillpm-graft.json")):
        raise SpecError(f"{name!r} is not allowed in a pack: it chooses what is loaded")
    if folded in PATCHED and name not in PATCHED:
        raise SpecError(f"{name!r} must be spelled `{folded}`")
    if _is_versioned(folded):
        raise SpecError(
            f"{name!r} is not allowed in a pack: some versions of transformers would read it "
            "instead of another file"
        )


def check_side_file(name: str, kind: str) -> None:
    """Raise `SpecError` unless a pack may carry, patch or remove a file of this name.

    `kind` is `file`, `patch` or `removed`. Files of a module, such as `2_Dense/config.json`, cannot
    be patched.
    """
    part = split_part(name)
    if part is not None or name == MODULES:
        _check_of_parts(name, part, kind)
        return
    check_name(name)
    if name in PATCHED and kind != PATCH:
        raise SpecError(f"`{name}`: expected kind `{PATCH}`, found `{kind}`")
    if kind == PATCH and suffix_of(name) != ".json":
        raise SpecError(f"{name!r} is not a JSON file, so it cannot be patched")
    if kind == REMOVED and _LICENCES.fullmatch(name.casefold()):
        raise SpecError(f"{name!r} is a licence; a pack must not remove it")
    if kind == REMOVED and name.casefold().endswith("config.json"):
        raise SpecError(f"{name!r} is a config; a pack must not remove it")


def _check_of_parts(path: str, part: tuple[str, str] | None, kind: str) -> None:
    if kind == PATCH or (part is None and kind != FILE):
        raise SpecError(f"`{path}`: expected kind `{FILE}`, found `{kind}`")
    if part is None:
        return
    folder, name = part
    if not is_part_folder(folder):
        raise SpecError(f"{path!r} is not in a module folder such as `1_Pooling`")
    if name == WEIGHTS or (name == PICKLE and kind == REMOVED):
        return
    check_name(name)
    if kind == REMOVED and _LICENCES.fullmatch(name.casefold()):
        raise SpecError(f"{path!r} is a licence; a pack must not remove it")


def size_limit(path: str) -> int:
    """The size limit of a side file in bytes. Side files are read into memory."""
    part = split_part(path)
    return WEIGHTS_LIMIT if part is not None and part[1] in (WEIGHTS, PICKLE) else json.SIZE_LIMIT


def _is_versioned(folded: str) -> bool:
    """Whether transformers reads a file only from some version on: `config.4.0.0.json`."""
    return re.fullmatch(r"(?:.*_)?(?:config|tokenizer)\.[0-9].*\.json", folded) is not None


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396, section 2). The arguments are not changed."""
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

    A merge patch cannot set null: a key that becomes null is deleted. Readers of these configs use
    the default for a missing key.
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
    """Whether two values are the same JSON. 1, 1.0 and true differ, and NaN equals NaN."""
    if type(old) is not type(new):
        return False
    return json.canonical(old, foreign=True) == json.canonical(new, foreign=True)


def check_content(name: str, content: Any, *, keys: Collection[str], patch: bool) -> None:
    """Raise `SpecError` if a JSON side file changes what no pack may change.

    `keys` are the keys that the architecture declares for `config.json`. `patch` is whether the
    file is a merge patch.
    """
    what = f"side file `{name}`"
    part = split_part(name)
    if part is not None:
        _check_part_content(part[1], content, what)
    elif name == MODULES:
        check_modules(content, what)
    elif name == CONFIG:
        check_config_patch(content, keys, what)
    elif name == EMBEDDING:
        check_embedding_settings(content, what)
    elif _TRANSFORMER.fullmatch(name):
        check_module_config(content, what)
    elif name.casefold() not in (*_BY_NAME, *VOCABULARIES):
        check_settings(content, what)
    elif name.casefold() in _BY_NAME:
        _BY_NAME[name.casefold()](content, what)
    elif patch:
        check_code(content, what)


_BY_NAME: dict[str, Callable[[Any, str], None]] = {
    GENERATION: check_generation_patch,
    TOKENIZER: check_tokenizer_patch,
    SPECIAL_TOKENS: check_special_tokens,
}


def _check_part_content(name: str, content: Any, what: str) -> None:
    """Check a JSON file of a module: a tokenizer file by its name, else a module config."""
    folded = name.casefold()
    if folded in VOCABULARIES:
        check_code(content, what)
    else:
        _BY_NAME.get(folded, check_module_config)(content, what)
