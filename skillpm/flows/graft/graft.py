"""`graft`: write base + installed set as a model folder that transformers can load."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skillpm.checkpoint.model import Checkpoint, VerifiedCheckpoint
from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.environment.generation import Generation
from skillpm.environment.known_projects import KnownProjects
from skillpm.environment.project import ProjectFolder
from skillpm.environment.swap import GraftPlace, Swap, check_target
from skillpm.environment.swap_record import SwapRecord
from skillpm.environment.transaction import update_file
from skillpm.errors import IntegrityError, NotFoundError, StateError
from skillpm.files.errors import write_error
from skillpm.files.named import expanded
from skillpm.flows.graft.assemble import AssembledGraft, assemble, report_links, seal_links
from skillpm.flows.graft.existing_graft import ExistingGraft, open_existing_graft, remember_leaves
from skillpm.flows.graft.graft_record import SUMS, graft_metadata, merge_digests
from skillpm.flows.graft.grafted_set import GraftedSet, GraftOptions, choose_set
from skillpm.flows.graft.plan import GraftInputs, GraftPlan, plan_graft
from skillpm.flows.locking.solve import check_facts_of
from skillpm.flows.packs.base_parts import part_warnings
from skillpm.flows.packs.composition import check_effect, opened
from skillpm.flows.packs.protocol import check_is, side_packs
from skillpm.flows.packs.restore import restoring
from skillpm.flows.packs.side_files import apply_side_files, files_of
from skillpm.flows.session.base_model import check_base, check_footprint, footprint_fits, open_base
from skillpm.flows.session.cleanup import project_transaction
from skillpm.flows.session.session import Session
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.spec.merkle import Identity, merkle_root
from skillpm.store.packs import StoredPack, load_pack

DEFAULT_TARGET = "graft"


@dataclass(frozen=True)
class Grafted:
    """A written graft, or an existing one that is `unchanged`; `of` is what was grafted."""

    path: Path
    root: Digest
    generation: int
    of: GraftedSet
    written_bytes: int
    linked_bytes: int
    reused_bytes: int
    unchanged: bool
    seconds: float

    @property
    def skills(self) -> tuple[LockedSkill, ...]:
        """The grafted releases, sorted by name."""
        return tuple(self.of.lock.skills.values())


def graft(session: Session, target: Path | None, options: GraftOptions) -> Grafted:
    """Write the graft of the current generation to `target`, and swap it in atomically.

    Reuses parts of an existing graft unless `fresh` is set. Hashes every byte of the graft as it is
    written; with `verify`, hashes the base first. Settings of one run change neither skillpm.toml
    nor skillpm.lock. Raises `IntegrityError` for a wrong base or root.
    """
    started = time.monotonic()
    project = ProjectFolder(session.project).require()
    path = expanded(target or session.project / DEFAULT_TARGET)
    with project_transaction(session, project, "graft"):
        if not project.has_environment:
            raise NotFoundError("nothing is installed here", hint="`skillpm install acme/math`")
        current = project.generation()
        chosen = choose_set(session, project, current.lockfile, options)
        base = open_base(session, project)
        place = check_target(project.folder, path, base.path, session.home)
        identity = session.identify(base, "hashing base", cached=not options.verify)
        check_project_base(session, current, base, identity)
        KnownProjects(session.home).remember(project.folder, current.lockfile.digests)
        request = _GraftRequest(project, chosen.lock, path, place, options)

        def write() -> AssembledGraft:
            chosen.check(session)
            return _write(session, request, VerifiedCheckpoint.of(base, identity))

        written = restoring(session, project, chosen.lock, write)
        if chosen.is_whole:
            _remember_root(project, current.lockfile, written.root)
    counts = (written.written, written.shared, written.reused, written.unchanged)
    return Grafted(path, written.root, current.number, chosen, *counts, time.monotonic() - started)


def check_project_base(
    session: Session, current: Generation, base: Checkpoint, identity: Identity
) -> None:
    """Check the base's root, and report a base of which only the footprint matches (law 8)."""
    try:
        check_base(identity.root, current.base_root, base.label)
    except IntegrityError as problem:
        packs = [load_pack(session.store, entry.digest) for entry in current.skills]
        if packs and all(footprint_fits(pack.manifest, identity.leaves) for pack in packs):
            raise IntegrityError(
                f"{problem.message}; all tensors that the installed packs change are equal",
                hint=f"to use that base, make a project of it: `skillpm init --base {base.label}`, "
                "then `skillpm install --accept-footprint …`",
            ) from problem
        raise


def compose(
    session: Session, base: VerifiedCheckpoint, lock: Lockfile
) -> tuple[Composition, list[StoredPack]]:
    """Return the composition of base and the stored packs of a lock, by its merge method.

    Prune a routed lock to one skill first: its skills are not meant to be merged. Raises
    `ResolutionError` if packs state different architecture facts, `IntegrityError` for a pack of
    another base.
    """
    identity = base.identity
    packs = [load_pack(session.store, locked.digest) for locked in lock.skills.values()]
    for pack, locked in zip(packs, lock.skills.values(), strict=True):
        check_is(pack, locked.skill, locked.version)
        check_footprint(pack.manifest, identity.leaves)
        if pack.manifest.base.root != identity.root and not locked.accept_footprint:
            raise IntegrityError(
                f"`{locked.ref}` was built for the base `{pack.manifest.base.root}`, but "
                f"`{base.label}` is `{identity.root}`",
                hint=f"`skillpm install {locked.skill} --accept-footprint` accepts this base",
            )
    check_facts_of(lock, dict(zip(lock.skills, packs, strict=True)))
    weights = [locked.weight for locked in lock.skills.values()]
    applied = [
        WeightedPack(pack, weight) for pack, weight in zip(opened(packs), weights, strict=True)
    ]
    return Composition(base, applied, lock.graft.merging), packs


@dataclass(frozen=True)
class _GraftRequest:
    """The parameters of a graft."""

    project: ProjectFolder
    lock: Lockfile
    target: Path
    place: GraftPlace
    options: GraftOptions


def _write(session: Session, request: _GraftRequest, base: VerifiedCheckpoint) -> AssembledGraft:
    """Write a graft with parts of an existing one, which is left alone if nothing changes."""
    inputs = _inputs(session, request, base)
    existing = None
    if not request.options.fresh:
        existing = open_existing_graft(
            session, request.target, base.identity.root, cached=not request.options.verify
        )
    if existing is None:
        return _swap_in(session, request, plan_graft(inputs))
    try:
        plan = plan_graft(inputs, existing)
        leaves = plan.unchanged
        if leaves is None or not _has_leaves(session, existing, leaves):
            return _swap_in(session, request, plan)
    except IntegrityError as problem:
        session.say(f"writing the whole graft again: {problem.message}")
        return _swap_in(session, request, plan_graft(inputs))
    check_effect(inputs.composition, base.identity, leaves)
    check_root(request.lock, merkle_root(leaves))
    size = sum(shard.file.size for shard in existing.model.shards.values())
    return AssembledGraft(merkle_root(leaves), leaves, 0, 0, size, unchanged=True)


def _inputs(session: Session, request: _GraftRequest, base: VerifiedCheckpoint) -> GraftInputs:
    composition, packs = compose(session, base, request.lock)
    side = apply_side_files(files_of(base), side_packs(packs))
    for warning in part_warnings([pack.manifest for pack in packs], base, side):
        session.say(f"warning: {warning}")
    digests = merge_digests(composition, list(request.lock.skills.values()))
    metadata = {**graft_metadata(request.lock, base.identity.root), SUMS: digests}
    return GraftInputs(base, composition, side, request.options.link, metadata)


def _has_leaves(session: Session, graft: ExistingGraft, leaves: Mapping[str, Digest]) -> bool:
    """Whether an existing graft has these leaves. Costs one read and SHA-256 of the graft."""
    label = "hashing the existing graft"
    return session.identify(graft.model, label, cached=False).leaves == leaves


def check_root(lock: Lockfile, root: Digest) -> None:
    """Raise `IntegrityError` if a graft does not have the root that its lock records."""
    if lock.graft.root is not None and root != lock.graft.root:
        raise IntegrityError(
            f"the graft has the root `{root}`, but skillpm.lock records `{lock.graft.root}`"
        )


def _swap_in(session: Session, request: _GraftRequest, plan: GraftPlan) -> AssembledGraft:
    target = request.target
    record = SwapRecord(request.project, session.home, request.place)
    with request.place.open(create=True) as folder:
        swap = Swap(folder, request.place.name)
        record.write(ready=False)
        try:
            staged = swap.begin()
            written = assemble(session, plan, staged)
            check_root(request.lock, written.root)
            if plan.existing is not None:
                plan.existing.check_unmoved()
            seal_links(staged, written)
            record.write(ready=True)
        except BaseException as problem:
            swap.discard()
            record.clear()
            if isinstance(problem, OSError):
                raise write_error(target, problem) from problem
            raise
        if not swap.complete():
            raise StateError(
                f"another program created `{target}` while the graft was written",
                hint=f"remove `{target}`, then run the same command again",
            )
        record.clear()
    remember_leaves(session, target, written.leaves)
    if request.options.link:
        report_links(session, target, plan.inputs.base, written)
    return written


def _remember_root(project: ProjectFolder, installed: Lockfile, root: Digest) -> None:
    """Write the root to the lock, unless the lock is for another set."""
    lock = project.read_lock()
    if lock is None or not lock.same_set(installed):
        return
    update_file(project, project.lock_file, lock.with_root(root).dumps())
