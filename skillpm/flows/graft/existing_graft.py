"""The graft that a new one replaces: open it, check it, take its files, remember its leaves.

Cached leaves of the existing graft only show what may be reused. Everything that is reused is
hashed again, and a graft that is left unchanged is hashed completely (ADR 24).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skillpm.checkpoint.folder import STAMP, foreign_entries, is_graft
from skillpm.checkpoint.leaves import SETTLED_NS
from skillpm.checkpoint.model import Checkpoint
from skillpm.checkpoint.place import link_own_file
from skillpm.errors import IntegrityError, SkillpmError
from skillpm.flows.graft.graft_record import SUMS, check_graft, read_graft_metadata
from skillpm.flows.session.session import Session, open_model
from skillpm.spec.digests import Digest
from skillpm.spec.merkle import Identity


@dataclass(frozen=True)
class ExistingGraft:
    """An existing, intact graft of the same base; `seen` is the status of its files when opened."""

    folder: Path
    model: Checkpoint
    identity: Identity
    metadata: Mapping[str, Any]
    seen: Mapping[str, tuple[int, ...]]

    @property
    def merge_digests(self) -> Mapping[str, object]:
        """The recorded digests of the merge inputs of tensors; empty if there are none."""
        recorded = self.metadata.get(SUMS)
        return recorded if isinstance(recorded, dict) else {}

    def has_file(self, name: str, header: bytes) -> bool:
        """Whether a weight file starts with a header, which fixes its tensors and their places."""
        shard = self.model.shards.get(name)
        return shard is not None and shard.file.read(0, shard.header.data_start) == header

    def contains(self, names: Collection[str], metadata: bytes) -> bool:
        """Whether the folder has exactly these files, and a metadata file with this content."""
        paths = (path for path in self.folder.rglob("*") if path.is_symlink() or not path.is_dir())
        files = {str(path.relative_to(self.folder)) for path in paths}
        return files == {*names, STAMP} and (self.folder / STAMP).read_bytes() == metadata

    def take(self, name: str, target: Path) -> bool:
        """Hard-link a weight file to `target`; False, and nothing is done, if that is impossible.

        Raises `IntegrityError` if another program replaced the file.
        """
        if not link_own_file(self.folder / name, target):
            return False
        if target.stat().st_ino != self.seen[name][1]:
            raise IntegrityError(
                f"another program replaced `{self.folder / name}` during the graft"
            )
        return True

    def check_leaf(self, tensor: str, actual: Digest) -> None:
        """Raise `IntegrityError` if a reused tensor has an unexpected leaf."""
        self.model.check_leaf(tensor, self.identity.leaves[tensor], actual)

    def check_unmoved(self) -> None:
        """Raise `IntegrityError` if a weight file changed while it was reused."""
        for name, seen in self.seen.items():
            if self.model.shards[name].file.key()[:4] != seen:
                raise IntegrityError(
                    f"another program changed `{self.folder / name}` during the graft"
                )


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
