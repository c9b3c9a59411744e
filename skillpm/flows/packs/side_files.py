"""Side files: a model's small files, and what a graft has of them."""

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
class PackSideFiles:
    """The side files of one pack, parsed, and the skills that it is layered on.

    A patch is a dict, a file its bytes, and a removed file None.
    """

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
        return read_small(path, size_limit(name)) if path and path.is_file() else None

    return read


def apply_side_files(
    before: Callable[[str], bytes | None], packs: Iterable[PackSideFiles]
) -> dict[str, bytes | None]:
    """The side files of a graft: the base's with every pack's patches and files laid on.

    None is a file of the base that the graft does not have.

    A pack comes after those that it lies over, and may change what they did. Raises
    `ResolutionError` where two others change the same key or file differently.
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
                result[file.path] = None  # an empty one would hide the defaults of the config
                continue
            result[file.path] = json.pretty(merged, sort_keys=False, foreign=True)
    return result


def changed_keys(old: bytes | None, new: bytes) -> frozenset[str]:
    """The keys at the top of a JSON file that another has otherwise."""
    before = json.parse_object(old or b"{}", "the base's", foreign=True)
    after = json.parse_object(new, "it", foreign=True)
    both = {key for key in before.keys() & after.keys() if same_json(before[key], after[key])}
    return frozenset((before.keys() | after.keys()) - both)


def check_clashes(packs: Sequence[PackSideFiles]) -> None:
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
