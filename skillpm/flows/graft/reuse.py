"""What a graft takes over from the one that it replaces: whole files, and tensors within files.

The leaves that its files are remembered by only say what is worth taking. All that is taken is
hashed again when it is taken, and a graft that is left alone is hashed whole (ADR 24).
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
from skillpm.delta.apply.compose import Composition
from skillpm.errors import IntegrityError, SkillpmError
from skillpm.flows.graft.assemble import (
    AssembledGraft,
    Assembly,
    header_of,
    is_untouched,
    shards_of,
    small_contents,
    stamp_bytes,
)
from skillpm.flows.graft.graft_record import check_graft, read_stamp
from skillpm.flows.packs.composition import check_effect
from skillpm.flows.session.session import Session, open_model
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedSkill
from skillpm.spec.merkle import Identity, merkle_root
from skillpm.spec.names import SkillName

SUMS = "sums"


def sums_of(composition: Composition, locked: Sequence[LockedSkill]) -> dict[str, str]:
    """For each tensor whose leaf no manifest tells: a digest of what it is the sum of.

    A pack's digest says what it lies over, so packs and weights are all that decides a sum. Where
    another method decides, it counts too, with its settings and what it takes for one vector.
    """
    parts = {one.skill: [str(one.digest), one.weight] for one in locked}
    return {
        tensor: str(Digest.of(json.canonical(_recipe(composition, tensor, parts))))
        for tensor in sorted(composition.rewritten)
        if _promised(composition, tensor) is None
    }


def _recipe(
    composition: Composition, tensor: str, parts: Mapping[SkillName, list[object]]
) -> object:
    if not composition.merges(tensor):
        return [parts[skill] for skill in composition.touched[tensor]]
    vectors = composition.vectors(tensor)
    return {
        "method": composition.merging.method,
        "settings": composition.merging.plain,
        "vectors": {str(top): [parts[s] for s in skills] for top, skills in vectors.items()},
    }


def _promised(composition: Composition, tensor: str) -> Digest | None:
    entry = composition.sole(tensor)
    return entry.result if entry is not None else None


@dataclass(frozen=True)
class OldGraft:
    """A graft of the same base that is there and whole; `seen` is what its files were like."""

    folder: Path
    model: Checkpoint
    identity: Identity
    stamp: Mapping[str, Any]
    seen: Mapping[str, tuple[int, ...]]


def open_old(
    session: Session, folder: Path, base: Digest, *, cached: bool = True
) -> OldGraft | None:
    """The graft in a folder; None where there is none of this base, or it is damaged."""
    if not is_graft(folder):
        return None
    try:
        for path, kind in foreign_entries(folder):
            raise IntegrityError(f"`{folder / path}` is {kind}")
        stamp = read_stamp(folder)
        if stamp.get("format") != 1 or stamp.get("base_root") != str(base):
            return None
        model = open_model(folder)
        seen = {name: shard.file.key()[:4] for name, shard in model.shards.items()}
        identity = session.identify(model, "checking the graft that is there", cached=cached)
        check_graft(folder, dict(stamp), identity)
    except (SkillpmError, OSError) as problem:
        session.say(f"the graft that is there is written anew: {problem}")
        return None
    return OldGraft(folder, model, identity, stamp, seen)


@dataclass(frozen=True)
class Reuse:
    """What of an old graft comes out the same in a new one."""

    assembly: Assembly
    old: OldGraft

    @cached_property
    def expected(self) -> dict[str, Digest | None]:
        """Each tensor's leaf, as far as it is known without decoding."""
        composition, found = self.assembly.composition, dict[str, Digest | None]()
        before, now = self.old.stamp.get(SUMS), self.assembly.stamp[SUMS]
        before = before if isinstance(before, dict) else {}
        for tensor in composition.specs:
            if tensor not in composition.touched:
                found[tensor] = self.assembly.identity.leaves[tensor]
            elif tensor not in now:
                found[tensor] = _promised(composition, tensor)
            else:
                same = before.get(tensor) == now[tensor]
                found[tensor] = self.old.identity.leaves.get(tensor) if same else None
        return found

    @cached_property
    def shards(self) -> dict[str, list[str]]:
        """The tensors of each file of the new graft."""
        return shards_of(self.assembly)

    def _same_tensor(self, tensor: str) -> bool:
        leaf = self.expected[tensor]
        return leaf is not None and self.old.identity.leaves.get(tensor) == leaf

    def same_shard(self, name: str) -> bool:
        """Whether a file of the old graft has the very bytes that the new one's will have."""
        old, tensors = self.old.model.shards.get(name), self.shards[name]
        if old is None or {p.spec.name for p in old.header.tensors} != set(tensors):
            return False
        head = header_of(self.assembly.composition, self.assembly.base.shards[name], tensors)
        start = old.header.data_start
        return head == old.file.read(0, start) and all(map(self._same_tensor, tensors))

    def _untouched(self, name: str) -> bool:
        """Whether the base's file goes into the new graft as it is."""
        source = self.assembly.base.shards[name]
        return is_untouched(self.assembly.composition, source, self.shards[name])

    def take(self, name: str, target: Path) -> bool:
        """Put a file that comes out the same in its place; the base is linked to, where asked."""
        if (self.assembly.link and self._untouched(name)) or not self.same_shard(name):
            return False
        if not link_own_file(self.old.folder / name, target):
            return False
        if target.stat().st_ino != self.old.seen[name][1]:
            raise IntegrityError(f"`{self.old.folder / name}` was exchanged meanwhile")
        return True

    def chunks(self, tensor: str) -> Iterator[bytes] | None:
        """A decoded tensor that comes out the same; the caller hashes it."""
        touched = tensor in self.assembly.composition.touched
        return self.old.model.raw_chunks(tensor) if touched and self._same_tensor(tensor) else None

    def check_leaf(self, tensor: str, actual: Digest) -> None:
        """Raise `IntegrityError` unless what was taken over of a tensor has the leaf it should."""
        self.old.model.check_leaf(tensor, self.old.identity.leaves[tensor], actual)

    def check_unmoved(self) -> None:
        """Raise `IntegrityError` where the old graft was written to while it was taken over."""
        for name, seen in self.old.seen.items():
            if self.old.model.shards[name].file.key()[:4] != seen:
                raise IntegrityError(f"`{self.old.folder / name}` was changed meanwhile")

    def as_it_is(self, session: Session) -> AssembledGraft | None:
        """The old graft, where the new one would be the same in every byte of every file.

        Costs one read and SHA-256 of the graft where it looks the same.
        """
        leaves = {tensor: leaf for tensor, leaf in self.expected.items() if leaf is not None}
        names = [name for name, tensors in self.shards.items() if tensors]
        if len(leaves) < len(self.expected) or not all(map(self._in_place, names)):
            return None
        small = small_contents(self.assembly, self.shards)
        found = {str(p.relative_to(self.old.folder)) for p in self.old.folder.rglob("*")
                 if p.is_symlink() or not p.is_dir()}  # fmt: skip
        stamp = (self.old.folder / STAMP).read_bytes()
        if found != {*names, *small, STAMP} or stamp != stamp_bytes(self.assembly, leaves, small):
            return None
        label = "hashing the graft that is there"
        if session.identify(self.old.model, label, cached=False).leaves != leaves:
            return None
        check_effect(self.assembly.composition, self.assembly.identity, leaves)
        size = sum(shard.file.size for shard in self.old.model.shards.values())
        return AssembledGraft(merkle_root(leaves), leaves, 0, 0, size, unchanged=True)

    def _in_place(self, name: str) -> bool:
        """Whether a file is what it should be, and linked to the base only where that is asked."""
        path, source = self.old.folder / name, self.assembly.base.shards[name]
        if path.is_symlink() or not self.same_shard(name):
            return False
        if self.assembly.link and self._untouched(name):
            there = path.stat()
            based = source.file.path.stat()
            if there.st_dev == based.st_dev:
                return there.st_ino == based.st_ino and is_read_only(path)
        return path.stat().st_nlink == 1


def remember_leaves(session: Session, folder: Path, leaves: Mapping[str, Digest]) -> None:
    """Have the next graft trust what was hashed as it was written, where the files have settled.

    The stamp is written last, so its time is the file system's own "now". Links made and removed
    while the folder was replaced moved a file's ctime, and nothing else of it.
    """
    now = (folder / STAMP).stat().st_mtime_ns
    for shard in open_model(folder).shards.values():
        key = shard.file.key()
        if now - key[3] > SETTLED_NS:
            session.cache.put(key, {p.spec.name: leaves[p.spec.name] for p in shard.header.tensors})
