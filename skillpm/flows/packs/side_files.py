"""Side files: read a model's small files, and combine those of several packs for a graft."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from skillpm.checkpoint.model import Checkpoint, read_small
from skillpm.errors import ResolutionError
from skillpm.spec import json
from skillpm.spec.manifest import SideFile
from skillpm.spec.names import SkillName
from skillpm.spec.sidefiles import (
    GENERATION,
    PATCH,
    merge_patch,
    same_json,
    size_limit,
)

VOLATILE = frozenset({
    "_name_or_path", "transformers_version", "_attn_implementation_autoset", "_commit_hash",
    "_from_model_config", "_diffusers_version",
})  # fmt: skip
"""Keys that record how and where a model was saved, and do not describe the model."""
INERT = frozenset({
    *VOLATILE, "dtype", "torch_dtype", "use_cache", "id2label", "label2id", "problem_type",
    "bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id",
})  # fmt: skip
"""Keys of a config that do not change what the model's weights compute."""


_SILENT = frozenset({"config.json", "generation_config.json"})


def tokenizes(names: Iterable[str]) -> bool:
    """Whether one of these side files influences how a text or a chat is tokenized."""
    return not _SILENT.issuperset(names)


@dataclass(frozen=True)
class PackSideFiles:
    """The side files of one pack, parsed, and the skills that it is layered on.

    A patch is a dict, a file its bytes, and a removed file None.
    """

    skill: SkillName
    files: tuple[tuple[SideFile, Any], ...]
    below: frozenset[SkillName] = frozenset()


def files_of(model: Checkpoint) -> Callable[[str], bytes | None]:
    """A function that reads a model's small files by name; it returns None for a missing file."""
    return files_in(model.folder)


def files_in(folder: Path | None) -> Callable[[str], bytes | None]:
    """A function that reads a folder's small files by name.

    It returns None for a missing file, and always without a folder.
    """

    def read(name: str) -> bytes | None:
        path = folder / name if folder else None
        return read_small(path, size_limit(name)) if path and path.is_file() else None

    return read


def apply_side_files(
    before: Callable[[str], bytes | None], packs: Iterable[PackSideFiles]
) -> dict[str, bytes | None]:
    """The side files of a graft: those of the base, changed by the packs.

    None stands for a file of the base that the graft does not have. A layered pack is applied after
    the packs that it is layered on, and may override them. Raises `ResolutionError` if two other
    packs change the same key or file differently.
    """
    ordered = sorted(packs, key=lambda pack: (len(pack.below), pack.skill))
    check_clashes(ordered)
    result: dict[str, bytes | None] = {}
    for pack in ordered:
        for file, content in pack.files:
            if file.kind != PATCH:
                result[file.path] = content
                continue
            text = result[file.path] if file.path in result else before(file.path)
            config = json.parse_object(text or b"{}", f"`{file.path}`", foreign=True)
            merged = merge_patch(config, content)
            if file.path == GENERATION and merged.keys() <= VOLATILE:
                result[file.path] = None  # an empty file would hide the defaults of `config.json`
                continue
            result[file.path] = json.pretty(merged, sort_keys=False, foreign=True)
    return result


def changed_keys(old: bytes | None, new: bytes) -> frozenset[str]:
    """The top-level keys in which two versions of a JSON file differ."""
    before = json.parse_object(old or b"{}", "the base's file", foreign=True)
    after = json.parse_object(new, "the new file", foreign=True)
    equal = {key for key in before.keys() & after.keys() if same_json(before[key], after[key])}
    return frozenset((before.keys() | after.keys()) - equal)


def check_clashes(packs: Sequence[PackSideFiles]) -> None:
    """Raise `ResolutionError` if two packs change the same key or file differently."""
    for first, second in combinations(packs, 2):
        if first.skill in second.below or second.skill in first.below:
            continue
        theirs = {file.path: content for file, content in second.files}
        for file, content in first.files:
            if file.path not in theirs:
                continue
            if not (isinstance(content, dict) and isinstance(theirs[file.path], dict)):
                if content == theirs[file.path]:
                    continue
                raise _conflict(first.skill, second.skill, f"file `{file.path}`")
            clash = clashing_key(content, theirs[file.path])
            if clash is not None:
                raise _conflict(first.skill, second.skill, f"key `{clash}` of `{file.path}`")


def _conflict(first: SkillName, second: SkillName, what: str) -> ResolutionError:
    return ResolutionError(
        f"`{first}` and `{second}` change the {what} differently: they cannot be grafted together",
        hint=f"install only one of them: `skillpm uninstall {second}`",
    )


def clashing_key(first: dict[str, Any], second: dict[str, Any], path: str = "") -> str | None:
    """A key that two patches set to different values, as a dotted path; None if there is none."""
    for key in sorted(first.keys() & second.keys()):
        a, b = first[key], second[key]
        if isinstance(a, dict) and isinstance(b, dict):
            nested = clashing_key(a, b, f"{path}{key}.")
            if nested:
                return nested
        elif not same_json(a, b):
            return f"{path}{key}"
    return None
