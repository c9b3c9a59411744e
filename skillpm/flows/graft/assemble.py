"""Assemble a planned graft's folder: weight files, index, small files, and metadata file."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from skillpm.checkpoint.folder import STAMP
from skillpm.checkpoint.model import Checkpoint, open_shard
from skillpm.checkpoint.place import hash_shard, make_read_only, place_shard, why_not_linked
from skillpm.checkpoint.write import write_shard
from skillpm.flows.graft.existing_graft import ExistingGraft
from skillpm.flows.graft.graft_record import metadata_bytes
from skillpm.flows.graft.plan import FilePlan, GraftPlan, Origin
from skillpm.flows.packs.composition import check_composed
from skillpm.flows.session.session import Session
from skillpm.journal.atomic import sync_file, sync_folder
from skillpm.parallel import Advance
from skillpm.spec.digests import Digest
from skillpm.spec.merkle import merkle_root
from skillpm.spec.words import counted

_FILES = 2
"""The number of files that are written in parallel."""


@dataclass(frozen=True)
class AssembledGraft:
    """An assembled folder: its root and leaves, and its bytes by origin.

    Every leaf was hashed from the bytes in the folder. `shared` counts the bytes shared with the
    base, `reused` those of the existing graft. `linked` are the files that are hard links to the
    base's files.
    """

    root: Digest
    leaves: Mapping[str, Digest]
    written: int
    shared: int
    reused: int = 0
    unchanged: bool = False
    linked: tuple[str, ...] = ()


def assemble(session: Session, plan: GraftPlan, folder: Path) -> AssembledGraft:
    """Write a planned graft into an empty folder and fsync it. On an error, the caller removes it.

    Raises `IntegrityError` if a tensor does not have the leaf that base, existing graft or manifest
    give it, and `GraftError` if a skill has no effect.
    """
    inputs = plan.inputs
    leaves, counts = _write_files(session, plan, folder)
    check_composed(inputs.composition, inputs.base.identity, leaves)
    for name, data in plan.small.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    root = merkle_root(leaves)
    (folder / STAMP).write_bytes(metadata_bytes(inputs.metadata, root, plan.small))
    _sync_tree(folder)
    written = counts.written + sum(map(len, plan.small.values()))
    return AssembledGraft(root, leaves, written, counts.shared, counts.reused, linked=counts.linked)


@dataclass(frozen=True)
class _ByteCounts:
    """Bytes by origin, and the names of files that are hard links to the base's files."""

    written: int = 0
    shared: int = 0
    reused: int = 0
    linked: tuple[str, ...] = ()

    def plus(self, more: "_ByteCounts") -> "_ByteCounts":
        return _ByteCounts(
            self.written + more.written,
            self.shared + more.shared,
            self.reused + more.reused,
            self.linked + more.linked,
        )


def _write_files(
    session: Session, plan: GraftPlan, folder: Path
) -> tuple[dict[str, Digest], _ByteCounts]:
    """Return leaves and byte counts. Computes the next file while one is synced to disk."""
    specs = plan.inputs.composition.specs
    advance = session.progress("grafting", sum(spec.nbytes for spec in specs.values()))
    leaves: dict[str, Digest] = {}
    counts = _ByteCounts()
    with ThreadPoolExecutor(session.workers) as pool, ThreadPoolExecutor(_FILES) as files:

        def write(file: FilePlan) -> tuple[dict[str, Digest], _ByteCounts]:
            return _write_file(plan, file, folder / file.name, (pool, advance))

        try:
            for file_leaves, placed in files.map(write, plan.files):
                leaves |= file_leaves
                counts = counts.plus(placed)
        except BaseException:  # both at once: a file that is being written waits for `pool`
            files.shutdown(wait=False, cancel_futures=True)
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return leaves, counts


def _write_file(
    plan: GraftPlan, file: FilePlan, path: Path, by: tuple[ThreadPoolExecutor, Advance]
) -> tuple[dict[str, Digest], _ByteCounts]:
    """Take one file whole or write its tensors; hash the tensors from the bytes in the new file."""
    if file.whole is Origin.EXISTING:
        leaves, counts = _take(plan.existing_graft, path, by)
    elif file.whole is Origin.BASE:
        source = plan.inputs.base.shards[file.name]
        placed = place_shard(source, path, link=plan.inputs.link, pool=by[0], advance=by[1])
        sync_file(path)
        linked = (file.name,) if placed.linked else ()
        leaves, counts = placed.leaves, _ByteCounts(placed.written, placed.shared, linked=linked)
    else:
        leaves = _write_tensors(plan, file, path, by)
        counts = _ByteCounts(path.stat().st_size)
    _check_leaves(plan, file, leaves)
    return leaves, counts


def _take(
    existing: ExistingGraft, path: Path, by: tuple[ThreadPoolExecutor, Advance]
) -> tuple[dict[str, Digest], _ByteCounts]:
    """Hard-link a file of the existing graft, or copy it if the file system has no hard links."""
    if existing.take(path.name, path):
        return hash_shard(open_shard(path), *by), _ByteCounts(reused=path.stat().st_size)
    source = existing.model.shards[path.name]
    placed = place_shard(source, path, link=False, pool=by[0], advance=by[1])
    return placed.leaves, _ByteCounts(placed.written, reused=placed.shared)


def _write_tensors(
    plan: GraftPlan, file: FilePlan, path: Path, by: tuple[ThreadPoolExecutor, Advance]
) -> dict[str, Digest]:
    """Write one file: each tensor is decoded, or copied from the base or the existing graft."""
    composition, base = plan.inputs.composition, plan.inputs.base

    def chunks(tensor: str) -> Iterator[bytes]:
        match file.tensors[tensor]:
            case Origin.BASE:
                return base.raw_chunks(tensor)
            case Origin.EXISTING:
                return plan.existing_graft.model.raw_chunks(tensor)
            case Origin.COMPOSED:
                return composition.chunks(tensor)

    specs = {tensor: composition.specs[tensor] for tensor in file.tensors}
    metadata = base.shards[file.name].header.metadata
    return write_shard(path, specs, chunks, metadata=metadata, pool=by[0], advance=by[1])


def _check_leaves(plan: GraftPlan, file: FilePlan, leaves: Mapping[str, Digest]) -> None:
    """Raise `IntegrityError` if a copied tensor has another leaf than in the place it is from."""
    base = plan.inputs.base
    for tensor, leaf in leaves.items():
        if file.tensors[tensor] is Origin.BASE:
            base.check_leaf(tensor, base.identity.leaves[tensor], leaf)
        elif file.tensors[tensor] is Origin.EXISTING:
            plan.existing_graft.check_leaf(tensor, leaf)


def seal_links(folder: Path, written: AssembledGraft) -> None:
    """Make linked files read-only. This affects the base too, because the files are the same."""
    for name in written.linked:
        make_read_only(folder / name)


def report_links(session: Session, target: Path, base: Checkpoint, written: AssembledGraft) -> None:
    """Report the files that are shared with the base, and those that could not be linked."""
    if written.linked:
        session.say(
            f"note: {counted(len(written.linked), 'file')} of `{target}` and of the base "
            f"`{base.path.resolve()}` are hard links to the same data, so an edit of the graft "
            "changes the base. They were made read-only; `skillpm graft` without `--link` writes "
            "copies"
        )
    for name in sorted(base.shards.keys() - written.linked):
        reason = why_not_linked(base.shards[name].file.path)
        if reason is not None:
            session.say(f"note: `{name}` of the base cannot be linked: {reason}")


def _sync_tree(folder: Path) -> None:
    for path, _, files in os.walk(folder):
        for name in files:
            sync_file(Path(path, name))
        sync_folder(Path(path))
