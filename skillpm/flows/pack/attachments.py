"""Stage 2 of `pack`: what a pack carries beside its tensors, and the files that it leaves out."""

import filecmp
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skillpm.checkpoint.folder import other_weights_in, small_files, small_files_in
from skillpm.checkpoint.model import Checkpoint
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.errors import SpecError
from skillpm.flows.pack.encode_files import (
    Files,
    SidePart,
    encode_side_files,
    has_tokenizer,
    read_settings,
    same_file,
    without_spelling,
)
from skillpm.flows.pack.encode_parts import encode_parts
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.packs.config_diff import needed_patch
from skillpm.flows.packs.side_files import PackSideFiles, apply_side_files
from skillpm.flows.session.session import Session
from skillpm.spec import json
from skillpm.spec.effect import PackEffect
from skillpm.spec.manifest import Capability
from skillpm.spec.oci import CARD_TYPE, SINGLE_TYPES
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
"""Documentation and training records, which no library reads to load a model."""
_ADAPTER = frozenset({"adapter_config.json", "adapter_model.safetensors", CONFIG})
_STATES = frozenset({".pt", ".pth", ".ckpt", ".pkl", ".pickle"})
"""Suffixes of training checkpoints, which no library reads to load a model."""
_FEW = 10
"""The most files of one subfolder that are listed one by one."""


@dataclass(frozen=True)
class OmittedFile:
    """A file in which the graft will differ from the tuned folder.

    `is_read` if a library may read the file when it loads the model.
    """

    path: str
    reason: str
    is_read: bool


AttachedLayer = tuple[str, bytes, str]
"""The media type of a layer, its data and its title."""


MeasurePack = Callable[[OpenPack], PackEffect]
"""Runs the base with a pack, and compares it with the tuned model."""


@dataclass(frozen=True)
class Attachment:
    """What one function attaches to a pack: layers, and the capabilities that it measured.

    `effect` measures the pack when it is encoded, if the attachment can.
    """

    layers: tuple[AttachedLayer, ...] = ()
    capabilities: tuple[Capability, ...] = ()
    effect: MeasurePack | None = None


Attach = Callable[[Session, ModelPair], Attachment]
"""Computes an attachment from both models: probes or a router signature."""


@dataclass(frozen=True)
class Attachments:
    """All content of a pack except its tensors, and the files that the pack leaves out.

    `effect` measures the encoded pack on its probes.
    """

    side: tuple[SidePart, ...]
    layers: tuple[AttachedLayer, ...]
    capabilities: tuple[Capability, ...]
    left_out: tuple[OmittedFile, ...]
    effect: MeasurePack | None = None


def collect_attachments(
    session: Session, models: ModelPair, attach: Sequence[Attach]
) -> Attachments:
    """Compare the small files of both models, then call the functions in `attach` in order.

    Raises `SpecError` for a differing file that no pack can carry and for two layers of a type that
    a pack has once, `GraftError` if a model cannot be run.
    """
    side = side_files(models)
    left_out = _omitted_files(models, side)
    attached = [function(session, models) for function in attach]
    card = models.request.card
    layers = (
        *([(CARD_TYPE, card, "README.md")] if card else []),
        *(layer for attachment in attached for layer in attachment.layers),
    )
    _check_single(layers)
    return Attachments(
        side,
        layers,
        tuple(value for attachment in attached for value in attachment.capabilities),
        left_out,
        next((found.effect for found in attached if found.effect), None),
    )


def _check_single(layers: Sequence[AttachedLayer]) -> None:
    """Raise `SpecError` for two cards, probe files or routers, before the delta is encoded."""
    types = [media_type for media_type, _, _ in layers]
    for media_type in SINGLE_TYPES:
        count = types.count(media_type)
        if count > 1:
            raise SpecError(
                f"{count} layers of type `{media_type}` are attached; a pack has at most one"
            )


def side_files(models: ModelPair) -> tuple[SidePart, ...]:
    """The side files of a pack: the differences between the small files of both models."""
    names = None
    if isinstance(models.tuned, Checkpoint) and models.tuned.folder is not None:
        below = (file for pack in models.reference.layered_on for file in pack.manifest.files)
        names = {file.path for file in below if "/" not in file.path}
        for model in (models.reference.base, models.tuned):
            names |= {path.name for path in small_files(model) if _is_small(model, path)}
    before, after = models.reference.files, models.files
    plain = encode_side_files(before, after, models.facts, names=names)
    return (*plain, *encode_parts(before, after, _all_paths(models)))


def _all_paths(models: ModelPair) -> set[str]:
    """The paths of all small files of both models and of the packs in `layered_on`."""
    paths = {path.as_posix() for path in small_files(models.reference.base)}
    paths |= {file.path for pack in models.reference.layered_on for file in pack.manifest.files}
    if models.folder is not None:
        paths |= {path.as_posix() for path in small_files_in(models.folder)}
    return {path for path in paths if not _DOCUMENTS.fullmatch(path.rpartition("/")[2])}


def _is_small(model: Checkpoint, path: Path) -> bool:
    """Whether a file is beside the weights, is not documentation, and is small enough to read."""
    assert model.folder is not None  # noqa: S101 - it has files
    plain = len(path.parts) == 1 and not _DOCUMENTS.fullmatch(path.name)
    return plain and (model.folder / path).stat().st_size <= json.SIZE_LIMIT


def _omitted_files(models: ModelPair, side: tuple[SidePart, ...]) -> tuple[OmittedFile, ...]:
    """Every file in which the graft will differ from the tuned folder, sorted by path.

    Reads both folders once.
    """
    folder = models.folder
    if folder is None:
        return ()
    facts = models.facts
    parsed = ((f, None if data is None else read_side_file(f, data, facts)) for f, data in side)
    pack = PackSideFiles(models.request.skill, tuple(parsed))
    before = models.reference.files
    base = set(small_files(models.reference.base))
    tuned = set(small_files_in(folder))
    if isinstance(models.tuned, Checkpoint):
        paths = base | tuned
    else:
        paths = {path for path in tuned if str(path) not in _ADAPTER}
    folders = _Folders(
        models.reference.base.folder or folder,
        folder,
        before,
        models.files,
        apply_side_files(before, [pack]),
        facts.config_keys,
    )
    compared = [file for path in sorted(paths) if (file := folders.compare(path)) is not None]
    exported = [file for path in other_weights_in(folder) if (file := folders.exported(path))]
    return tuple(_folded(sorted([*compared, *exported], key=lambda file: file.path)))


@dataclass(frozen=True)
class _Folders:
    """The folders of base and tuned model, and functions that read their small files.

    `graft` are the side files that a graft will have, `keys` the declared keys of the config.
    """

    base: Path
    tuned: Path
    before: Files
    after: Files
    graft: Mapping[str, bytes | None]
    keys: Collection[str]

    def compare(self, path: Path) -> OmittedFile | None:
        """The omitted file at this path; None if the graft has the same as the tuned folder."""
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
            reason += "; a pack cannot carry the weights of another module"
        return OmittedFile(name, reason, is_read)

    def exported(self, path: Path) -> OmittedFile | None:
        """Weights in another format as an omitted file; None if the base has the same file."""
        if _DOCUMENTS.fullmatch(path.name) is not None:
            return None
        ours, theirs, nested = self.base / path, self.tuned / path, len(path.parts) > 1
        alike = ours.is_file() and ours.stat().st_size == theirs.stat().st_size
        if alike and (not nested or filecmp.cmp(ours, theirs, shallow=False)):
            return None
        is_read = nested and path.suffix.lower() not in _STATES
        reason = "weights in another format, which no graft has"
        return OmittedFile(path.as_posix(), reason, is_read)

    def _compare_settings(self, name: str) -> OmittedFile | None:
        """The config as an omitted file, if the graft keeps keys of the base; else None."""
        ours = self.graft[name] if name in self.graft else self.before(name)
        theirs = self.after(name)
        if ours is None and theirs is not None and read_settings(name, theirs):
            return OmittedFile(name, "the base does not have it", is_read=True)
        if ours is None or theirs is None:
            return None
        graft, tuned = read_settings(name, ours), read_settings(name, theirs)
        kept = without_spelling(diff_patch(graft, tuned), graft, tuned)
        if name == CONFIG:
            kept = needed_patch(graft, tuned, kept, self.keys)
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


def _folded(files: Sequence[OmittedFile]) -> Iterable[OmittedFile]:
    """The files, with one entry for a subfolder that has more than `_FEW` of them."""
    counts = Counter(file.path.rpartition("/")[0] for file in files)
    folded: set[str] = set()
    for file in files:
        folder = file.path.rpartition("/")[0]
        if not folder or counts[folder] <= _FEW:
            yield file
        elif folder not in folded:
            folded.add(folder)
            within = [entry for entry in files if entry.path.rpartition("/")[0] == folder]
            is_read = any(entry.is_read for entry in within)
            yield OmittedFile(
                f"{folder}/", f"{counted(len(within), 'file differs', 'files differ')}", is_read
            )
