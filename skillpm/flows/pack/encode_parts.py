"""Encode the parts of a sentence-transformers model: changed files whole, and removed files."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from skillpm.errors import SpecError
from skillpm.flows.pack.encode_files import Files, SidePart
from skillpm.flows.packs.side_files import VOLATILE
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import ArchitectureFacts, SideFile
from skillpm.spec.pack import read_side_file
from skillpm.spec.parts import MODULES, PICKLE, WEIGHTS, folders_of, is_part_folder, split_part
from skillpm.spec.sidefiles import FILE, REMOVED, check_side_file

_NO_FACTS = ArchitectureFacts(tied={}, names={}, config_keys=[], library=None)


def encode_parts(before: Files, after: Files, paths: Collection[str]) -> Iterator[SidePart]:
    """The side files for the differing files of parts, among `paths` of base and tuned model.

    Without a `modules.json` in the tuned model there are none: no library loads its parts, so those
    of the base are kept. Raises `SpecError` for a differing file that no pack can carry.
    """
    parts = _PartsToEncode.of(before, after)
    if parts is None:
        return
    yield from parts.encode(MODULES)
    for path in sorted(paths):
        folder, slash, _ = path.partition("/")
        if slash and (folder in parts.known or is_part_folder(folder)):
            yield from parts.encode(path)


@dataclass(frozen=True)
class _PartsToEncode:
    """The files of base and tuned model, and the folders of their parts.

    `loaded` are the folders that the tuned model's `modules.json` lists, `known` those that either
    `modules.json` lists.
    """

    before: Files
    after: Files
    loaded: Collection[str]
    known: Collection[str]

    @classmethod
    def of(cls, before: Files, after: Files) -> "_PartsToEncode | None":
        loaded = _folders(after(MODULES))
        if loaded is None:
            return None
        return cls(before, after, loaded, {*loaded, *(_folders(before(MODULES)) or ())})

    def encode(self, path: str) -> Iterator[SidePart]:
        """The side file for a path; none if the file is the same in both or no library reads it."""
        new, old = self.after(path), self.before(path)
        if _is_same(path, old, new) or self._is_unread(path):
            return
        try:
            yield _removed(path, old) if new is None else _whole(path, new)
        except SpecError as problem:
            if path == MODULES or path.partition("/")[0] in self.loaded:
                raise _refusal(path, problem) from problem

    def _is_unread(self, path: str) -> bool:
        """Whether a file is a pickle beside safetensors weights, which libraries load instead."""
        part = split_part(path)
        if part is None or part[1] != PICKLE or self.after(path) is None:
            return False
        return self.after(f"{part[0]}/{WEIGHTS}") is not None


def _folders(modules: bytes | None) -> tuple[str, ...] | None:
    """The folders that a `modules.json` lists; None if it does not exist or cannot be parsed."""
    if modules is None:
        return None
    try:
        return folders_of(json.parse(modules, f"`{MODULES}`", foreign=True))
    except SpecError:
        return None


def _is_same(path: str, old: bytes | None, new: bytes | None) -> bool:
    """Whether both files are equal. JSON is compared as values, without the `VOLATILE` keys."""
    if old == new or old is None or new is None or not path.endswith(".json"):
        return old == new
    try:
        return json.canonical(_comparable(path, old), foreign=True) == json.canonical(
            _comparable(path, new), foreign=True
        )
    except SpecError:
        return False


def _comparable(path: str, data: bytes) -> Any:
    content = json.parse(data, f"`{path}`", foreign=True)
    if not isinstance(content, dict):
        return content
    return {key: value for key, value in content.items() if key not in VOLATILE}


def _removed(path: str, old: bytes | None) -> SidePart:
    check_side_file(path, REMOVED)
    return SideFile(path=path, digest=Digest.of(old or b""), kind=REMOVED), None


def _whole(path: str, new: bytes) -> SidePart:
    part = split_part(path)
    if part is not None and part[1] == PICKLE:
        raise SpecError(
            "its weights are a pickle, which can run code and is never loaded",
            hint="save the model with safetensors, then pack DIR: "
            '`python -c "from sentence_transformers import SentenceTransformer as S; '
            "S('TUNED').save_pretrained('DIR')\"`",
        )
    check_side_file(path, FILE)
    file = SideFile(path=path, digest=Digest.of(new), kind=FILE)
    read_side_file(file, new, _NO_FACTS)
    return file, new


def _refusal(path: str, problem: SpecError) -> SpecError:
    return SpecError(
        f"`{path}` belongs to a part of the tuned model and differs from the base's, but no pack "
        f"can carry it: {problem.message}",
        hint=problem.hint or "use the same part in base and tuned model, or remove it from both",
    )
