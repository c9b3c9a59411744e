"""The small files of a pack's two folders: what a pack carries of them, and what it leaves out."""

import filecmp
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from skillpm.checkpoint.folder import other_weights_in, small_files, small_files_in
from skillpm.checkpoint.model import Checkpoint
from skillpm.flows.pack.encode_files import (
    Files,
    SidePart,
    cut_side_files,
    has_tokenizer,
    read_settings,
    same_file,
    without_spelling,
)
from skillpm.flows.pack.encode_parts import cut_parts
from skillpm.flows.pack.manifest import ModelPair, PackRequest
from skillpm.flows.packs.config_diff import needed_patch
from skillpm.flows.packs.side_files import PackSideFiles, apply_side_files
from skillpm.spec import json
from skillpm.spec.pack import read_side_file
from skillpm.spec.parts import PICKLE, WEIGHTS
from skillpm.spec.sidefiles import CONFIG, PATCHED, diff_patch
from skillpm.spec.words import counted

_DOCUMENTS = re.compile(
    r"(?:readme|licen[cs]e|copying|notice|copyright|use_policy|requirements)(?:[._-].*)?"
    r"|.*\.(?:md|png|jpe?g|gif|svg|pdf|csv|tsv|log|ipynb|ya?ml|html?|jsonl|parquet|py)"
    r"|trainer_state\.json|training_args\..*|(?:all|train|eval|test|predict)_results\..*",
    re.IGNORECASE,
)
"""Files for people, and records of a training: no library loads a model by them."""
_ADAPTER = frozenset({"adapter_config.json", "adapter_model.safetensors", CONFIG})
_STATES = frozenset({".pt", ".pth", ".ckpt", ".pkl", ".pickle"})
"""Suffixes of what trainers leave to go on from; no library loads a model by them."""
_FEW = 10
"""New files of one subfolder that are listed one by one."""


@dataclass(frozen=True)
class OmittedFile:
    """A file that the graft will have otherwise than the tuned folder has it.

    `is_read` where a library may read the file when it loads the model.
    """

    path: str
    reason: str
    is_read: bool


def side_files(against: ModelPair) -> tuple[SidePart, ...]:
    """What the tuned model's small files differ in, as a pack carries it."""
    names = None
    if isinstance(against.tuned, Checkpoint) and against.tuned.folder is not None:
        lower = (file for pack in against.reference.lower for file in pack.manifest.files)
        names = {file.path for file in lower if "/" not in file.path}
        for model in (against.reference.base, against.tuned):
            names |= {path.name for path in small_files(model) if _is_small(model, path)}
    before, after = against.reference.files, against.files
    plain = cut_side_files(before, after, against.facts, names=names)
    return (*plain, *cut_parts(before, after, _all_paths(against)))


def _all_paths(against: ModelPair) -> set[str]:
    """The paths of all small files that either side has, or the set below the pack."""
    paths = {path.as_posix() for path in small_files(against.reference.base)}
    paths |= {file.path for pack in against.reference.lower for file in pack.manifest.files}
    if against.folder is not None:
        paths |= {path.as_posix() for path in small_files_in(against.folder)}
    return {path for path in paths if not _DOCUMENTS.fullmatch(path.rpartition("/")[2])}


def _is_small(model: Checkpoint, path: Path) -> bool:
    """Whether a file lies beside the weights, may matter to a library, and may be read whole."""
    assert model.folder is not None  # noqa: S101 - it has files
    plain = len(path.parts) == 1 and not _DOCUMENTS.fullmatch(path.name)
    return plain and (model.folder / path).stat().st_size <= json.SIZE_LIMIT


def left_out(
    request: PackRequest, against: ModelPair, side: tuple[SidePart, ...]
) -> tuple[OmittedFile, ...]:
    """Every file that the graft will have otherwise than the tuned folder, by path.

    Compares what the graft will have with what the tuned folder has. Reads both folders once.
    """
    folder = request.tuned.expanduser()
    if not folder.is_dir():
        return ()
    facts = against.facts
    parsed = ((f, None if data is None else read_side_file(f, data, facts)) for f, data in side)
    pack = PackSideFiles(request.skill, tuple(parsed))
    before = against.reference.files
    base = set(small_files(against.reference.base))
    tuned = set(small_files_in(folder))
    if isinstance(against.tuned, Checkpoint):
        paths = base | tuned
    else:
        paths = {path for path in tuned if str(path) not in _ADAPTER}
    found = _Folders(
        against.reference.base.folder or folder,
        folder,
        before,
        against.files,
        apply_side_files(before, [pack]),
        facts.config_keys,
    )
    compared = [each for path in sorted(paths) if (each := found.compare(path)) is not None]
    exported = [each for path in other_weights_in(folder) if (each := found.exported(path))]
    return tuple(_folded(sorted([*compared, *exported], key=lambda each: each.path)))


@dataclass(frozen=True)
class _Folders:
    """Base and tuned folder, their small files by name, and the side files that a graft gets."""

    base: Path
    tuned: Path
    before: Files
    after: Files
    graft: Mapping[str, bytes | None]
    keys: Collection[str]

    def compare(self, path: Path) -> OmittedFile | None:
        """What the graft has otherwise than the tuned folder at this path, if anything."""
        name, is_read = path.as_posix(), _DOCUMENTS.fullmatch(path.name) is None
        if not (self.tuned / path).is_file():
            if name in self.graft and self.graft[name] is None:
                return None
            is_read = is_read and has_tokenizer(self.after)
            return OmittedFile(name, "only the base has it, and the graft keeps it", is_read)
        if name in PATCHED:
            return self._compare_settings(name)
        if name in self.graft or self._is_same(path):
            return None
        if path.name == PICKLE and (self.tuned / path).with_name(WEIGHTS).is_file():
            is_read = False
        reason = "differs from the base's" if self._is_known(path) else "the base does not have it"
        if path.suffix == ".safetensors":
            reason += "; no pack carries the weights of a further module"
        return OmittedFile(name, reason, is_read)

    def exported(self, path: Path) -> OmittedFile | None:
        """Weights in another form, unless the base has the very same: then they are not tuned."""
        if _DOCUMENTS.fullmatch(path.name) is not None:
            return None
        ours, theirs, nested = self.base / path, self.tuned / path, len(path.parts) > 1
        alike = ours.is_file() and ours.stat().st_size == theirs.stat().st_size
        if alike and (not nested or filecmp.cmp(ours, theirs, shallow=False)):
            return None
        is_read = nested and path.suffix.lower() not in _STATES
        return OmittedFile(path.as_posix(), "weights in another form; the graft has none", is_read)

    def _compare_settings(self, name: str) -> OmittedFile | None:
        """The keys of a config that stay as the base has them."""
        ours = self.graft[name] if name in self.graft else self.before(name)
        theirs = self.after(name)
        if ours is None and theirs is not None and read_settings(name, theirs):
            return OmittedFile(name, "the base does not have it", is_read=True)
        if ours is None or theirs is None:
            return None
        mine, tuned = read_settings(name, ours), read_settings(name, theirs)
        kept = without_spelling(diff_patch(mine, tuned), mine, tuned)
        if name == CONFIG:
            kept = needed_patch(mine, tuned, kept, self.keys)
        if not kept:
            return None
        keys = ", ".join(f"`{key}`" for key in sorted(kept))
        return OmittedFile(name, f"the graft keeps the base's {keys}", name != CONFIG)

    def _is_known(self, path: Path) -> bool:
        return (self.base / path).is_file()

    def _is_same(self, path: Path) -> bool:
        ours, theirs = self.base / path, self.tuned / path
        if not ours.is_file():
            return False
        if filecmp.cmp(ours, theirs, shallow=False):
            return True
        if max(ours.stat().st_size, theirs.stat().st_size) > json.SIZE_LIMIT:
            return False
        try:
            return same_file(path.name, ours.read_bytes(), theirs.read_bytes())
        except ValueError:
            return False


def _folded(found: Iterable[OmittedFile]) -> Iterable[OmittedFile]:
    """The same, a subfolder with many files as one entry."""
    found = list(found)
    counts = Counter(each.path.rpartition("/")[0] for each in found)
    told: set[str] = set()
    for each in found:
        folder = each.path.rpartition("/")[0]
        if not folder or counts[folder] <= _FEW:
            yield each
        elif folder not in told:
            told.add(folder)
            within = [one for one in found if one.path.rpartition("/")[0] == folder]
            is_read = any(one.is_read for one in within)
            yield OmittedFile(
                f"{folder}/", f"{counted(len(within), 'file differs', 'files differ')}", is_read
            )
