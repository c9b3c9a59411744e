"""Encode side files: the differences between the small files of the tuned model and the base."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from skillpm.errors import SpecError
from skillpm.flows.packs.config_diff import needed_patch
from skillpm.flows.packs.side_files import VOLATILE
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.loading_keys import CODE, refusal_of
from skillpm.spec.manifest import ArchitectureFacts, SideFile
from skillpm.spec.parts import MODULES
from skillpm.spec.rotary import KEYS as ROTARY
from skillpm.spec.rotary import same_rotary
from skillpm.spec.sidefiles import (
    CONFIG,
    FILE,
    GENERATION,
    PATCH,
    PATCHED,
    REMOVED,
    TOKENIZER,
    check_content,
    check_name,
    check_side_file,
    diff_patch,
    merge_patch,
    same_json,
    suffix_of,
)

WHOLE = (
    "added_tokens.json", "chat_template.jinja", "chat_template.json", "merges.txt",
    "preprocessor_config.json", "processor_config.json", "sentencepiece.bpe.model",
    "special_tokens_map.json", "spiece.model", "tokenizer.json", "tokenizer.model", "vocab.json",
    "vocab.txt",
)  # fmt: skip
TOKENS = frozenset(WHOLE) - {"preprocessor_config.json", "processor_config.json"}
"""The files of `WHOLE` from which a tokenizer is loaded."""
SETTINGS = frozenset({"preprocessor_config.json", "processor_config.json", "tokenizer.json"})
"""The files of `WHOLE` that are carried as a patch if a patch can express the change exactly.

Often only one setting changes, and a whole tokenizer is many times larger.
"""
ENTANGLED = frozenset({"model", "added_tokens"})
"""Keys of a tokenizer that cannot be patched in part: the tokens of two packs cannot be merged."""
_VOLATILE_OF_TOKENIZERS = frozenset({
    "name_or_path", "is_local", "local_files_only", "special_tokens_map_file", "_commit_hash",
})  # fmt: skip
"""Keys that a tokenizer class writes when it saves and overwrites when it loads."""
_LEFT = ("quant", "transformers_weights", "configuration_files", "model_type")
"""Prefixes of keys whose removal changes how weights are read."""


Files = Callable[[str], bytes | None]
"""Reads a model's small file by name; returns None if the model has no such file."""
SidePart = tuple[SideFile, bytes | None]
"""A side file and its bytes in the pack; None for a removed file."""

_BY_TOKENIZERS = frozenset({".model", ".jinja", ".tiktoken", ".spm", ".vocab", ".bpe"})
"""Suffixes that only files of tokenizers have."""
_LOADED = frozenset({
    "config_sentence_transformers.json", "entity_vocab.json", "normalizer.json",
    "tekken.json", "video_preprocessor_config.json",
})  # fmt: skip
"""JSON files that libraries read, so they are carried even if the base has no such file."""
_IS_MODULE = re.compile(r"sentence_[a-z-]+_config\.json")
"""The settings of sentence-transformers for its transformer module, one name per model type."""


def encode_side_files(
    before: Files, after: Files, facts: ArchitectureFacts, *, names: Iterable[str] | None = None
) -> Iterator[SidePart]:
    """The side files for the differences between the small files of base and tuned model.

    `facts` are those of the base's architecture. `names` are further files beside the weights; they
    are carried if a pack may carry them. Without `names`, the tuned side is not a whole model
    folder, so a missing file does not count as removed. Raises `SpecError` if a key differs that no
    pack may change.
    """
    yield from _patched(before, after, facts, complete=names is not None)
    for name in WHOLE:
        new, old = after(name), before(name)
        if new is None and old is not None and name in TOKENS and has_tokenizer(after):
            yield SideFile(path=name, digest=Digest.of(old), kind=REMOVED), None
        if new is not None and not same_file(name, before(name), new):
            check_name(name)
            change = _exact_patch(name, before(name), new, SETTINGS)
            _check_whole(name, new)
            yield _part(name, new, change)
    for name in sorted(set(names or ()).difference(PATCHED, WHOLE, {MODULES})):
        part = _further(name, before(name), after(name))
        if part is not None and (part[1] is not None or has_tokenizer(after)):
            yield part


def _patched(
    before: Files, after: Files, facts: ArchitectureFacts, *, complete: bool
) -> Iterator[SidePart]:
    for name in PATCHED:
        new = after(name)
        if complete and name == GENERATION and new is None and after(CONFIG) is not None:
            new = None if before(name) is None else b"{}"  # without this file, defaults apply
        if new is None or (name == CONFIG and before(name) is None):
            continue
        patch = _patch(name, before(name), new, facts)
        if patch:
            data = json.canonical(patch)
            yield SideFile(path=name, digest=Digest.of(data), kind=PATCH), data


def _part(name: str, new: bytes, change: dict[str, Any] | None) -> SidePart:
    if change is None:
        return SideFile(path=name, digest=Digest.of(new), kind=FILE), new
    data = json.canonical(change)
    return SideFile(path=name, digest=Digest.of(data), kind=PATCH), data


def _further(name: str, old: bytes | None, new: bytes | None) -> SidePart | None:
    """The side file for a file of another name; None if it is unchanged or may not be carried."""
    is_json, by_tokenizers = suffix_of(name) == ".json", suffix_of(name) in _BY_TOKENIZERS
    if new is None:
        if old is None or not by_tokenizers or not _is_allowed(name, REMOVED):
            return None
        return SideFile(path=name, digest=Digest.of(old), kind=REMOVED), None
    if old is None and not (by_tokenizers or name in _LOADED or _IS_MODULE.fullmatch(name)):
        return None
    try:
        if same_file(name, old, new):
            return None
        change = _exact_patch(name, old, new, {name} if is_json else frozenset())
        check_side_file(name, FILE if change is None else PATCH)
        if change is not None:
            check_content(name, change, keys=(), patch=True)
        elif is_json:
            _check_whole(name, new)
    except SpecError:
        return None
    return _part(name, new, change)


def _is_allowed(name: str, kind: str) -> bool:
    try:
        check_side_file(name, kind)
    except SpecError:
        return False
    return True


def has_tokenizer(files: Files) -> bool:
    """Whether a folder has its own tokenizer, so that missing tokenizer files count as removed.

    Many tuned models are saved without a tokenizer. Then the base's tokenizer is kept.
    """
    return any(files(name) is not None for name in (TOKENIZER, "tokenizer.json"))


def _patch(name: str, old: bytes | None, new: bytes, facts: ArchitectureFacts) -> dict[str, Any]:
    """The patch for a file of `PATCHED`. A removed key that no pack may remove is kept."""
    before, after = read_settings(name, old or b"{}"), read_settings(name, new)
    patch = diff_patch(before, after)
    if name == CONFIG:
        patch = without_spelling(patch, before, after)
        patch = needed_patch(before, after, patch, facts.config_keys)
    if name == CONFIG and patch and facts.library is None:
        raise SpecError(
            f"`{name}` changes `{min(patch)}`, but the base's architecture is unknown, so skillpm "
            "cannot tell whether a pack may change this key",
            hint="install transformers, which may know it: `pip install 'skillpm-graft[hf]'`",
        )
    kept = _carried(patch, facts.config_keys) if name == CONFIG else _allowed(name, patch)
    check_content(name, kept, keys=facts.config_keys, patch=True)
    return kept


def without_spelling(
    patch: dict[str, Any], before: dict[str, Any], after: dict[str, Any]
) -> dict[str, Any]:
    """A config's patch without rotary settings that are spelled differently and mean the same.

    Nested configs are handled too.
    """
    equal = ROTARY if same_rotary(before, after) else frozenset()
    kept: dict[str, Any] = {}
    for key, value in patch.items():
        old, new = before.get(key), after.get(key)
        if key in equal:
            continue
        if isinstance(value, dict) and isinstance(old, dict) and isinstance(new, dict):
            nested = without_spelling(value, old, new)
            kept |= {key: nested} if nested or not value else {}
        else:
            kept[key] = value
    return kept


def _carried(patch: dict[str, Any], keys: Sequence[str], prefix: str = "") -> dict[str, Any]:
    """A config's patch without the removals of keys that the graft may keep.

    A key that the config class does not declare has no effect, except for the keys that decide how
    weights are read. Keys that choose kernels stay as in the base. Nested configs are handled too.
    """
    kept: dict[str, Any] = {}
    for key, value in patch.items():
        path = f"{prefix}{key}"
        is_part = any(known.startswith(f"{path}.") for known in keys)
        is_read = path in keys and not refusal_of(key, None)
        if is_part and isinstance(value, dict):
            nested = _carried(value, keys, f"{path}.")
            kept |= {key: nested} if nested else {}
        elif value is not None or is_part or is_read or key.startswith((CODE, *_LEFT)):
            kept[key] = value
    return kept


def _allowed(name: str, patch: dict[str, Any]) -> dict[str, Any]:
    """The patch of another file, without the removals that no pack may make."""

    def stays(key: str, value: Any) -> bool:
        if value is not None:
            return False
        try:
            check_content(name, {key: None}, keys=(), patch=True)
        except SpecError:
            return True
        return False

    return {key: value for key, value in patch.items() if not stays(key, value)}


def _check_whole(name: str, new: bytes) -> None:
    if suffix_of(name) == ".json":
        content = json.parse(new, f"`{name}`", foreign=True)
        check_content(name, content, keys=(), patch=False)


def _exact_patch(
    name: str, old: bytes | None, new: bytes, settings: Collection[str]
) -> dict[str, Any] | None:
    """A patch that turns `old` into exactly `new` and is smaller than `new`; else None.

    Only files whose name is in `settings` are patched.
    """
    if name not in settings or old is None:
        return None
    before = json.parse(old, f"the base's `{name}`", foreign=True)
    after = json.parse(new, f"`{name}`", foreign=True)
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return None
    patch = diff_patch(before, after)
    exact = same_json(merge_patch(before, patch), after) and not ENTANGLED & patch.keys()
    return patch if exact and len(json.canonical(patch)) < len(new) else None


def read_settings(name: str, data: bytes) -> dict[str, Any]:
    """Parse a file of `PATCHED`, without the keys that record how it was saved."""
    volatile = VOLATILE | (_VOLATILE_OF_TOKENIZERS if name == TOKENIZER else frozenset())
    return _without_keys(json.parse_object(data, f"`{name}`", foreign=True), volatile)


def _without_keys(config: dict[str, Any], volatile: frozenset[str]) -> dict[str, Any]:
    """A config and its nested configs without the keys in `volatile`."""
    return {
        key: _without_keys(value, volatile) if isinstance(value, dict) else value
        for key, value in config.items()
        if key not in volatile
    }


def same_file(name: str, old: bytes | None, new: bytes) -> bool:
    """Whether two files have the same content. JSON files are parsed and compared as values."""
    if old is not None and new != old and suffix_of(name) == ".json":
        before = json.parse(old, f"the base's `{name}`", foreign=True)
        return same_json(before, json.parse(new, f"`{name}`", foreign=True))
    return new == old
