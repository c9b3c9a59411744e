"""Side files: what the tuned model's small files differ in from the base's, and putting it on."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from skillpm.checkpoint.model import Checkpoint, read_small
from skillpm.errors import ResolutionError
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import SideFile
from skillpm.spec.names import SkillName
from skillpm.spec.sidefiles import (
    check_name,
    diff_patch,
    forbid_code,
    merge_patch,
    same_json,
    suffix_of,
)

PATCHED = ("config.json", "generation_config.json", "tokenizer_config.json")
WHOLE = (
    "added_tokens.json", "chat_template.jinja", "chat_template.json", "merges.txt",
    "preprocessor_config.json", "processor_config.json", "sentencepiece.bpe.model",
    "special_tokens_map.json", "spiece.model", "tokenizer.json", "tokenizer.model", "vocab.json",
    "vocab.txt",
)  # fmt: skip
SETTINGS = frozenset({"preprocessor_config.json", "processor_config.json", "tokenizer.json"})
"""Of `WHOLE`, those that travel as a patch where one says exactly what changed. Often only a
setting does, and a tokenizer is many times larger."""
ENTANGLED = frozenset({"model", "added_tokens"})
"""Keys of a tokenizer whose parts mean something together only: two packs' tokens do not add up."""
VOLATILE = ("_name_or_path", "transformers_version")
"""Keys that say where and by what a model was saved, and nothing of the model."""

INERT = frozenset({
    *VOLATILE, "dtype", "torch_dtype", "use_cache", "id2label", "label2id", "problem_type",
    "bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id",
})  # fmt: skip
"""Keys of a config by which no model is built otherwise: what its weights compute stays."""


_SILENT = frozenset({
    "config.json", "generation_config.json", "chat_template.jinja", "chat_template.json",
})  # fmt: skip


def tokenizes(names: Iterable[str]) -> bool:
    """Whether one of these side files has a say in how a text becomes tokens."""
    return not _SILENT.issuperset(names)


@dataclass(frozen=True)
class SidePack:
    """The side files of one pack, parsed, and the skills that it lies over."""

    skill: SkillName
    files: tuple[tuple[SideFile, Any], ...]
    below: frozenset[SkillName] = frozenset()


def files_of(model: Checkpoint) -> Callable[[str], bytes | None]:
    """A model's small files by name; None where it has no such file."""
    return files_in(model.folder)


def files_in(folder: Path | None) -> Callable[[str], bytes | None]:
    """A folder's small files by name; None where it has no such file, or there is no folder."""

    def read(name: str) -> bytes | None:
        path = folder / name if folder else None
        return read_small(path) if path and path.is_file() else None

    return read


def cut_side_files(
    before: Callable[[str], bytes | None], after: Callable[[str], bytes | None]
) -> Iterator[tuple[SideFile, bytes]]:
    """What the tuned model's small files differ in. Raises `SpecError` for a new `auto_map`."""
    for name in PATCHED:
        new = after(name)
        if new is None:
            continue
        old = json.parse_object(before(name) or b"{}", f"the base's {name}")
        patch = diff_patch(_settled(old), _settled(json.parse_object(new, f"`{name}`")))
        forbid_code(patch, name)
        if patch:
            data = json.canonical(patch)
            yield SideFile(path=name, digest=Digest.of(data), kind="patch"), data
    for name in WHOLE:
        new = after(name)
        if new is not None and not _same(name, before(name), new):
            check_name(name)
            change = _exact_patch(name, before(name), new)
            if change is None:
                yield SideFile(path=name, digest=Digest.of(new), kind="file"), new
            else:
                data = json.canonical(change)
                yield SideFile(path=name, digest=Digest.of(data), kind="patch"), data


def _exact_patch(name: str, old: bytes | None, new: bytes) -> dict[str, Any] | None:
    """A patch that gives `new` to the last null, if there is one and it is smaller."""
    if name not in SETTINGS or old is None:
        return None
    before, after = json.parse(old, f"the base's `{name}`"), json.parse(new, f"`{name}`")
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return None
    patch = diff_patch(before, after)
    exact = same_json(merge_patch(before, patch), after) and not ENTANGLED & patch.keys()
    return patch if exact and len(json.canonical(patch)) < len(new) else None


def _settled(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in VOLATILE}


def _same(name: str, old: bytes | None, new: bytes) -> bool:
    if old is not None and new != old and suffix_of(name) == ".json":
        return same_json(json.parse(old, f"the base's `{name}`"), json.parse(new, f"`{name}`"))
    return new == old


def apply_side_files(
    before: Callable[[str], bytes | None], packs: Iterable[SidePack]
) -> dict[str, bytes]:
    """The side files of a graft: the base's with every pack's patches and files laid on.

    A pack comes after those that it lies over, and may change what they did. Raises
    `ResolutionError` where two others change the same key or file differently.
    """
    ordered = sorted(packs, key=lambda pack: (len(pack.below), pack.skill))
    check_clashes(ordered)
    result: dict[str, bytes] = {}
    for pack in ordered:
        for file, content in pack.files:
            if file.kind == "file":
                result[file.path] = content
                continue
            text = result.get(file.path) or before(file.path) or b"{}"
            config = json.parse_object(text, f"`{file.path}`")
            result[file.path] = json.pretty(merge_patch(config, content), sort_keys=False)
    return result


def changed_keys(old: bytes | None, new: bytes) -> frozenset[str]:
    """The keys at the top of a JSON file that another has otherwise."""
    before, after = json.parse_object(old or b"{}", "the base's"), json.parse_object(new, "it")
    both = {key for key in before.keys() & after.keys() if same_json(before[key], after[key])}
    return frozenset((before.keys() | after.keys()) - both)


def check_clashes(packs: Sequence[SidePack]) -> None:
    """Raise `ResolutionError` where two packs change the same key or file differently."""
    for one, other in combinations(packs, 2):
        if one.skill in other.below or other.skill in one.below:
            continue
        theirs = {file.path: content for file, content in other.files}
        for file, content in one.files:
            if file.path not in theirs:
                continue
            if not (isinstance(content, dict) and isinstance(theirs[file.path], dict)):
                if content == theirs[file.path]:
                    continue
                raise _conflict(one.skill, other.skill, f"file `{file.path}`")
            clash = clashing_key(content, theirs[file.path])
            if clash is not None:
                raise _conflict(one.skill, other.skill, f"key `{clash}` of `{file.path}`")


def _conflict(one: SkillName, other: SkillName, what: str) -> ResolutionError:
    return ResolutionError(
        f"`{one}` and `{other}` change the {what} differently: they cannot be grafted together",
        hint=f"install one of them: `skillpm uninstall {other}`",
    )


def clashing_key(one: dict[str, Any], other: dict[str, Any], path: str = "") -> str | None:
    """A key that two patches set differently, as a dotted path, if there is one."""
    for key in sorted(one.keys() & other.keys()):
        a, b = one[key], other[key]
        if isinstance(a, dict) and isinstance(b, dict):
            nested = clashing_key(a, b, f"{path}{key}.")
            if nested:
                return nested
        elif not same_json(a, b):
            return f"{path}{key}"
    return None
