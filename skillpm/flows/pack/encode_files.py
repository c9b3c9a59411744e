"""Cutting side files: what the tuned model's small files differ in from the base's."""

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
"""Of `WHOLE`, those that a tokenizer is loaded from."""
SETTINGS = frozenset({"preprocessor_config.json", "processor_config.json", "tokenizer.json"})
"""Of `WHOLE`, those that travel as a patch where one says exactly what changed. Often only a
setting does, and a tokenizer is many times larger."""
ENTANGLED = frozenset({"model", "added_tokens"})
"""Keys of a tokenizer whose parts mean something together only: two packs' tokens do not add up."""
_VOLATILE_OF_TOKENIZERS = frozenset({
    "name_or_path", "is_local", "local_files_only", "special_tokens_map_file", "_commit_hash",
})  # fmt: skip
"""Keys that a tokenizer's class writes on saving and overwrites on loading."""
_LEFT = ("quant", "transformers_weights", "configuration_files", "model_type")
"""Starts of keys without which the base's weights would be read otherwise."""


Files = Callable[[str], bytes | None]
"""A model's small files by name; None where it has no such file."""
SidePart = tuple[SideFile, bytes | None]
"""A side file and the bytes that the pack has of it: none of a removed one."""

_BY_TOKENIZERS = frozenset({".model", ".jinja", ".tiktoken", ".spm", ".vocab", ".bpe"})
"""Suffixes that only files of tokenizers have."""
_LOADED = frozenset({
    "config_sentence_transformers.json", "entity_vocab.json", "normalizer.json",
    "tekken.json", "video_preprocessor_config.json",
})  # fmt: skip
"""Names of JSON files that libraries read, though the base has none of that name."""
_IS_MODULE = re.compile(r"sentence_[a-z-]+_config\.json")
"""Settings of the transformer as a module of sentence-transformers, by model type."""


def cut_side_files(
    before: Files, after: Files, facts: ArchitectureFacts, *, names: Iterable[str] | None = None
) -> Iterator[SidePart]:
    """What the tuned model's small files differ in; there are no bytes of a removed one.

    `facts` are of the base's architecture. `names` are those of further files beside the weights:
    what of them a pack may carry is carried. None where the tuned side is no folder of a model, so
    that what it lacks says nothing. Raises `SpecError` where a key is changed that no pack
    may change.
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
        found = _further(name, before(name), after(name))
        if found is not None and (found[1] is not None or has_tokenizer(after)):
            yield found


def _patched(
    before: Files, after: Files, facts: ArchitectureFacts, *, complete: bool
) -> Iterator[SidePart]:
    for name in PATCHED:
        new = after(name)
        if complete and name == GENERATION and new is None and after(CONFIG) is not None:
            new = None if before(name) is None else b"{}"  # a model without it decodes by defaults
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
    """A file of a name that is not known here, as a pack carries it; None where it may not."""
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
    """Whether a folder has a tokenizer of its own, so that what it lacks of one is gone.

    Many people save a tuned model's weights alone: then the base's tokenizer stays.
    """
    return any(files(name) is not None for name in (TOKENIZER, "tokenizer.json"))


def _patch(name: str, old: bytes | None, new: bytes, facts: ArchitectureFacts) -> dict[str, Any]:
    """The patch of one of `PATCHED`. A removed key that no pack may remove stays in the graft."""
    before, after = read_settings(name, old or b"{}"), read_settings(name, new)
    patch = diff_patch(before, after)
    if name == CONFIG:
        patch = without_spelling(patch, before, after)
        patch = needed_patch(before, after, patch, facts.config_keys)
    if name == CONFIG and patch and facts.library is None:
        raise SpecError(
            f"`{name}` changes `{min(patch)}`, but the base's architecture is unknown here: "
            "whether a pack may change that is unknown",
            hint="`pip install 'skillpm-graft[hf]'` asks transformers, where it has the model",
        )
    kept = _carried(patch, facts.config_keys) if name == CONFIG else _allowed(name, patch)
    check_content(name, kept, keys=facts.config_keys, patch=True)
    return kept


def without_spelling(
    patch: dict[str, Any], before: dict[str, Any], after: dict[str, Any]
) -> dict[str, Any]:
    """A config's patch without rotary settings that are spelled otherwise and mean the same.

    Parts of a composed config are looked into.
    """
    equal = ROTARY if same_rotary(before, after) else frozenset()
    kept: dict[str, Any] = {}
    for key, value in patch.items():
        ours, theirs = before.get(key), after.get(key)
        if key in equal:
            continue
        if isinstance(value, dict) and isinstance(ours, dict) and isinstance(theirs, dict):
            below = without_spelling(value, ours, theirs)
            kept |= {key: below} if below or not value else {}
        else:
            kept[key] = value
    return kept


def _carried(patch: dict[str, Any], keys: Sequence[str], prefix: str = "") -> dict[str, Any]:
    """A config's patch without the keys that the tuned model lost and the graft may keep.

    Nothing reads what the config class does not declare, but for the keys that say how weights
    are read; what chooses kernels is the base's to say. Parts are looked into.
    """
    kept: dict[str, Any] = {}
    for key, value in patch.items():
        path = f"{prefix}{key}"
        is_part = any(known.startswith(f"{path}.") for known in keys)
        is_read = path in keys and not refusal_of(key, None)
        if is_part and isinstance(value, dict):
            below = _carried(value, keys, f"{path}.")
            kept |= {key: below} if below else {}
        elif value is not None or is_part or is_read or key.startswith((CODE, *_LEFT)):
            kept[key] = value
    return kept


def _allowed(name: str, patch: dict[str, Any]) -> dict[str, Any]:
    """Another patch without the removals that no pack may make: the graft keeps the base's key."""

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
    """A patch that gives `new` to the last null, where `settings` has the name, and it is smaller.

    Of a file that no pack may carry whole, only the change is looked at.
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
    """One of `PATCHED`, without the keys that say how it was saved."""
    volatile = VOLATILE | (_VOLATILE_OF_TOKENIZERS if name == TOKENIZER else frozenset())
    return _settled(json.parse_object(data, f"`{name}`", foreign=True), volatile)


def _settled(config: dict[str, Any], volatile: frozenset[str]) -> dict[str, Any]:
    """A config, and the configs of its parts, without what says how it was saved."""
    return {
        key: _settled(value, volatile) if isinstance(value, dict) else value
        for key, value in config.items()
        if key not in volatile
    }


def same_file(name: str, old: bytes | None, new: bytes) -> bool:
    """Whether two files of one name hold the same: JSON is compared parsed."""
    if old is not None and new != old and suffix_of(name) == ".json":
        before = json.parse(old, f"the base's `{name}`", foreign=True)
        return same_json(before, json.parse(new, f"`{name}`", foreign=True))
    return new == old
