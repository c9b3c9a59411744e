"""Reuse whole files, and tensors within files, of the graft that a new one replaces.

Cached leaves of the existing graft only show what may be reused. Everything that is reused is
hashed again, and a graft that is left unchanged is hashed completely (ADR 24).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from skillpm.checkpoint.folder import STAMP, foreign_entries, is_graft
from skillpm.checkpoint.leaves import SETTLED_NS
from skillpm.checkpoint.model import Checkpoint
from skillpm.checkpoint.place import is_read_only, link_own_file
from skillpm.delta.decoding.compose import Composition
from skillpm.errors import IntegrityError, SkillpmError
from skillpm.flows.graft.assemble import (
    AssembledGraft,
    Assembly,
    header_of,
    is_untouched,
    metadata_bytes,
    shards_of,
    small_contents,
)
from skillpm.flows.graft.graft_record import check_graft, read_graft_metadata
from skillpm.flows.packs.composition import check_effect
from skillpm.flows.session.session import Session, open_model
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedSkill
from skillpm.spec.merkle import Identity, merkle_root
from skillpm.spec.names import SkillName

SUMS = "sums"


def merge_digests(composition: Composition, locked: Sequence[LockedSkill]) -> dict[str, str]:
    """Return a digest of the merge inputs of each tensor whose leaf is in no manifest.

    Packs and weights determine a sum, because a pack's digest covers the packs it is layered on.
    For another merge method, the digest also covers the method, its settings and its vectors.
    """
    parts = {entry.skill: [str(entry.digest), entry.weight] for entry in locked}
    return {
        tensor: str(Digest.of(json.canonical(_recipe(composition, tensor, parts))))
        for tensor in sorted(composition.rewritten)
        if _manifest_leaf(composition, tensor) is None
    }


def _recipe(
    composition: Composition, tensor: str, parts: Mapping[SkillName, list[object]]
) -> object:
    if not composition.merges(tensor):
        return [parts[skill] for skill in composition.touched[tensor]]
    vectors = composition.vectors(tensor)
    return {
        "method": composition.merging.method,
        "settings": composition.merging.all_settings,
        "vectors": {str(top): [parts[s] for s in skills] for top, skills in vectors.items()},
    }


def _manifest_leaf(composition: Composition, tensor: str) -> Digest | None:
    entry = composition.sole(tensor)
    return entry.result if entry is not None else None


@dataclass(frozen=True)
class ExistingGraft:
    """An existing, intact graft of the same base; `seen` is the status of its files when opened."""

    folder: Path
    model: Checkpoint
    identity: Identity
    metadata: Mapping[str, Any]
    seen: Mapping[str, tuple[int, ...]]


def open_existing_graft(
    session: Session, folder: Path, base: Digest, *, cached: bool = True
) -> ExistingGraft | None:
    """Return the graft in a folder; None if it is absent, of another base, or damaged."""
    if not is_graft(folder):
        return None
    try:
        for path, kind in foreign_entries(folder):
            raise IntegrityError(f"`{folder / path}` is {kind}")
        metadata = read_graft_metadata(folder)
        if metadata.get("format") != 1 or metadata.get("base_root") != str(base):
            return None
        model = open_model(folder)
        seen = {name: shard.file.key()[:4] for name, shard in model.shards.items()}
        identity = session.identify(model, "checking the existing graft", cached=cached)
        check_graft(folder, dict(metadata), identity)
    except (SkillpmError, OSError) as problem:
        session.say(f"the existing graft cannot be reused and is written again: {problem}")
        return None
    return ExistingGraft(folder, model, identity, metadata, seen)


@dataclass(frozen=True)
class Reuse:
    """The files and tensors of an existing graft that are the same in a new one."""

    assembly: Assembly
    old: ExistingGraft

    @cached_property
    def expected(self) -> dict[str, Digest | None]:
        """The leaf of each tensor, or None if only decoding can show it."""
        composition, leaves = self.assembly.composition, dict[str, Digest | None]()
        before, now = self.old.metadata.get(SUMS), self.assembly.metadata[SUMS]
        before = before if isinstance(before, dict) else {}
        for tensor in composition.specs:
            if tensor not in composition.touched:
                leaves[tensor] = self.assembly.base.identity.leaves[tensor]
            elif tensor not in now:
                leaves[tensor] = _manifest_leaf(composition, tensor)
            else:
                equal = before.get(tensor) == now[tensor]
                leaves[tensor] = self.old.identity.leaves.get(tensor) if equal else None
        return leaves

    @cached_property
    def shards(self) -> dict[str, list[str]]:
        """The tensors of each file of the new graft."""
        return shards_of(self.assembly)

    def _same_tensor(self, tensor: str) -> bool:
        leaf = self.expected[tensor]
        return leaf is not None and self.old.identity.leaves.get(tensor) == leaf

    def same_shard(self, name: str) -> bool:
        """Whether a file of the existing graft will have the same bytes in the new one."""
        old, tensors = self.old.model.shards.get(name), self.shards[name]
        if old is None or {p.spec.name for p in old.header.tensors} != set(tensors):
            return False
        head = header_of(self.assembly.composition, self.assembly.base.shards[name], tensors)
        start = old.header.data_start
        return head == old.file.read(0, start) and all(map(self._same_tensor, tensors))

    def _untouched(self, name: str) -> bool:
        """Whether the new graft has the base's file without changes."""
        source = self.assembly.base.shards[name]
        return is_untouched(self.assembly.composition, source, self.shards[name])

    def take(self, name: str, target: Path) -> bool:
        """Place an unchanged file at `target`; False if it changes, or if the base is linked."""
        if (self.assembly.link and self._untouched(name)) or not self.same_shard(name):
            return False
        if not link_own_file(self.old.folder / name, target):
            return False
        if target.stat().st_ino != self.old.seen[name][1]:
            raise IntegrityError(
                f"another program replaced `{self.old.folder / name}` during the graft"
            )
        return True

    def chunks(self, tensor: str) -> Iterator[bytes] | None:
        """Return the bytes of an unchanged decoded tensor, or None; the caller hashes them."""
        touched = tensor in self.assembly.composition.touched
        return self.old.model.raw_chunks(tensor) if touched and self._same_tensor(tensor) else None

    def check_leaf(self, tensor: str, actual: Digest) -> None:
        """Raise `IntegrityError` if a reused tensor has an unexpected leaf."""
        self.old.model.check_leaf(tensor, self.old.identity.leaves[tensor], actual)

    def check_unmoved(self) -> None:
        """Raise `IntegrityError` if a file of the existing graft changed while it was reused."""
        for name, seen in self.old.seen.items():
            if self.old.model.shards[name].file.key()[:4] != seen:
                raise IntegrityError(
                    f"another program changed `{self.old.folder / name}` during the graft"
                )

    def unchanged_graft(self, session: Session) -> AssembledGraft | None:
        """Return the existing graft if the new one would be equal in every byte, else None.

        Costs one read and SHA-256 of the graft, if it seems to be equal.
        """
        leaves = {tensor: leaf for tensor, leaf in self.expected.items() if leaf is not None}
        names = [name for name, tensors in self.shards.items() if tensors]
        if len(leaves) < len(self.expected) or not all(map(self._in_place, names)):
            return None
        small = small_contents(self.assembly, self.shards)
        files = {str(p.relative_to(self.old.folder)) for p in self.old.folder.rglob("*")
                 if p.is_symlink() or not p.is_dir()}  # fmt: skip
        metadata = (self.old.folder / STAMP).read_bytes()
        if files != {*names, *small, STAMP} or metadata != metadata_bytes(
            self.assembly, leaves, small
        ):
            return None
        label = "hashing the existing graft"
        if session.identify(self.old.model, label, cached=False).leaves != leaves:
            return None
        check_effect(self.assembly.composition, self.assembly.base.identity, leaves)
        size = sum(shard.file.size for shard in self.old.model.shards.values())
        return AssembledGraft(merkle_root(leaves), leaves, 0, 0, size, unchanged=True)

    def _in_place(self, name: str) -> bool:
        """Whether a file is as in the new graft, and linked to the base only on request."""
        path, source = self.old.folder / name, self.assembly.base.shards[name]
        if path.is_symlink() or not self.same_shard(name):
            return False
        if self.assembly.link and self._untouched(name):
            status = path.stat()
            base_status = source.file.path.stat()
            if status.st_dev == base_status.st_dev:
                return status.st_ino == base_status.st_ino and is_read_only(path)
        return path.stat().st_nlink == 1


def remember_leaves(session: Session, folder: Path, leaves: Mapping[str, Digest]) -> None:
    """Cache the leaves for the next graft, except of files that were just modified.

    The metadata file is written last, so its time is the current time of the file system. Linking
    and unlinking during the swap changed only the ctime of the files.
    """
    now = (folder / STAMP).stat().st_mtime_ns
    for shard in open_model(folder).shards.values():
        key = shard.file.key()
        if now - key[3] > SETTLED_NS:
            session.cache.put(key, {p.spec.name: leaves[p.spec.name] for p in shard.header.tensors})
