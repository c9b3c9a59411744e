"""`graft`: write base + set as a model directory that transformers loads as it is."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from skillpm.checkpoint.model import Checkpoint, VerifiedCheckpoint
from skillpm.delta.apply.compose import Composition, WeightedPack
from skillpm.environment.generation import Generation
from skillpm.environment.project import ProjectFolder
from skillpm.environment.swap import GraftPlace, Swap, check_target
from skillpm.environment.swaps import SwapRecord
from skillpm.environment.transaction import update_file
from skillpm.errors import (
    GraftError,
    IntegrityError,
    NotFoundError,
    StateError,
    UnknownSkillError,
)
from skillpm.files.errors import write_error
from skillpm.flows.change.plan import remember_project
from skillpm.flows.graft.assemble import AssembledGraft, Assembly, assemble
from skillpm.flows.graft.linked_files import say_linked, seal_links
from skillpm.flows.graft.reuse import SUMS, Reuse, open_old, remember_leaves, sums_of
from skillpm.flows.locking.lock_check import prune
from skillpm.flows.locking.solve import check_facts_of, check_together
from skillpm.flows.packs.base_parts import part_warnings
from skillpm.flows.packs.composition import opened
from skillpm.flows.packs.protocol import check_is, side_packs
from skillpm.flows.packs.restore import restoring
from skillpm.flows.packs.side_files import apply_side_files, files_of
from skillpm.flows.session.base_model import check_base, check_footprint, footprint_fits, open_base
from skillpm.flows.session.cleanup import project_transaction
from skillpm.flows.session.session import Session
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.spec.merging import MERGED
from skillpm.spec.merkle import Identity
from skillpm.spec.names import SkillName
from skillpm.store.packs import StoredPack, load_pack

DEFAULT_TARGET = "graft"


@dataclass(frozen=True)
class Grafted:
    """A graft that was written, or was there: then it is `unchanged`."""

    path: Path
    root: Digest
    generation: int
    skills: tuple[LockedSkill, ...]
    written_bytes: int
    linked_bytes: int
    reused_bytes: int
    unchanged: bool
    seconds: float


def graft(
    session: Session,
    target: Path | None,
    only: Sequence[SkillName],
    *,
    link: bool,
    fresh: bool = False,
    verify: bool = False,
) -> Grafted:
    """Write the graft of the current generation to `target` in one swap.

    What an existing graft has is reused unless a `fresh` one is asked for. All bytes of the graft
    are hashed where they are placed; with `verify` the base is hashed before too.
    """
    started = time.monotonic()
    project = ProjectFolder(session.project).require()
    path = (target or session.project / DEFAULT_TARGET).expanduser()
    with project_transaction(session, project, "graft"):
        if not project.has_environment:
            raise NotFoundError("nothing is installed here yet", hint="`skillpm install`")
        current = project.generation()
        base = open_base(session, project)
        place = check_target(project.folder, path, base.path, session.home)
        identity = session.identify(base, "hashing base", cached=not verify)
        check_project_base(session, current, base, identity)
        remember_project(session, project, current.lockfile)
        lock = _selected(_with_known_root(project, current.lockfile), only)
        order = _Order(project, lock, path, place, link, fresh, verify)

        def write() -> AssembledGraft:
            if lock.graft.routed:
                _check_part(session, lock, only)
            return _write(session, order, VerifiedCheckpoint.of(base, identity))

        written = restoring(session, project, lock, write)
        if not only:
            _remember_root(project, current.lockfile, written.root)
    counts = (written.written, written.shared, written.reused, written.unchanged)
    grafted = (path, written.root, current.number, tuple(lock.skills.values()))
    return Grafted(*grafted, *counts, time.monotonic() - started)


def check_project_base(
    session: Session, current: Generation, base: Checkpoint, identity: Identity
) -> None:
    """`check_base`, which also says where a base that is nearly right would do (law 8)."""
    try:
        check_base(identity.root, current.base_root, base.path)
    except IntegrityError as problem:
        packs = [load_pack(session.store, one.digest) for one in current.skills]
        if packs and all(footprint_fits(pack.manifest, identity.leaves) for pack in packs):
            raise IntegrityError(
                f"{problem.message}; but all tensors that the installed packs touch are the same",
                hint=f"a project of that base takes them: `skillpm init --base {base.path}`, then "
                "`skillpm install --accept-footprint …`",
            ) from problem
        raise


def _with_known_root(project: ProjectFolder, installed: Lockfile) -> Lockfile:
    """What is installed, with the root that skillpm.lock has for the same set."""
    lock = project.read_lock()
    known = lock.graft.root if lock is not None and lock.same_set(installed) else None
    return installed.with_root(known)


def _selected(lock: Lockfile, only: Sequence[SkillName]) -> Lockfile:
    """The lock, or the part of it that these skills need."""
    if not only:
        return lock
    for skill in only:
        if skill not in lock.skills:
            raise UnknownSkillError(f"`{skill}` is not installed", hint="`skillpm list`")
    return prune(lock, only).with_root(None)


def _check_part(session: Session, lock: Lockfile, only: Sequence[SkillName]) -> None:
    """Raise `GraftError` for the whole of a routed set, `ResolutionError` for parts that clash."""
    if lock.skill and not only:
        raise GraftError(
            "`[graft]` is routed: each answer is by one skill, and no one folder holds them all",
            hint=f"`skillpm graft --only {min(lock.skills)}` writes one skill's model; in Python, "
            '`skillpm.open_project(".").load_model()` has them all',
        )
    graft = lock.graft.model_copy(update={"mode": MERGED})
    packs = {skill: load_pack(session.store, one.digest) for skill, one in lock.skills.items()}
    check_together(lock.model_copy(update={"graft": graft}), packs)


def compose(
    session: Session, base: VerifiedCheckpoint, lock: Lockfile
) -> tuple[Composition, list[StoredPack]]:
    """Base + the packs of a lock, from the store, to be merged as the lock says.

    Of a routed lock this is the merger of what may well be no one model: prune it first. Raises
    `ResolutionError` where packs of an older lock state different facts of the architecture.
    """
    identity = base.identity
    packs = [load_pack(session.store, locked.digest) for locked in lock.skills.values()]
    for pack, locked in zip(packs, lock.skills.values(), strict=True):
        check_is(pack, locked.skill, locked.version)
        check_footprint(pack.manifest, identity.leaves)
        if pack.manifest.base.root != identity.root and not locked.accept_footprint:
            raise IntegrityError(f"`{locked.ref}` was cut from `{pack.manifest.base.root}`")
    check_facts_of(lock, dict(zip(lock.skills, packs, strict=True)))
    weights = [locked.weight for locked in lock.skills.values()]
    applied = [WeightedPack(p, w) for p, w in zip(opened(packs), weights, strict=True)]
    return Composition(base, applied, lock.graft.merging), packs


@dataclass(frozen=True)
class _Order:
    """A graft that is to be written."""

    project: ProjectFolder
    lock: Lockfile
    target: Path
    place: GraftPlace
    link: bool
    fresh: bool
    verify: bool


def _write(session: Session, order: _Order, base: VerifiedCheckpoint) -> AssembledGraft:
    """Write what differs from the graft that is there; leave that alone where nothing does."""
    composition, packs = compose(session, base, order.lock)
    side = apply_side_files(files_of(base), side_packs(packs))
    for warning in part_warnings([pack.manifest for pack in packs], base, side):
        session.say(f"warning: {warning}")
    sums = sums_of(composition, list(order.lock.skills.values()))
    stamp = {**stamp_of(order.lock, base.identity.root), SUMS: sums}
    assembly = Assembly(base, composition, side, order.link, stamp)
    old = None
    if not order.fresh:
        old = open_old(session, order.target, base.identity.root, cached=not order.verify)
    if old is None:
        return _swap_in(session, order, assembly)
    reuse = Reuse(assembly, old)
    written = reuse.as_it_is(session)
    if written is not None:
        check_root(order.lock, written.root)
        return written
    try:
        return _swap_in(session, order, replace(assembly, old=reuse), reuse)
    except IntegrityError as problem:
        session.say(f"the graft is written anew: {problem.message}")
        return _swap_in(session, order, assembly)


def check_root(lock: Lockfile, found: Digest) -> None:
    """Raise `IntegrityError` where a graft of a lock has another root than the lock says."""
    if lock.graft.root is not None and found != lock.graft.root:
        raise IntegrityError(
            f"the graft's root should be `{lock.graft.root}` by the lock, is `{found}`"
        )


def _swap_in(
    session: Session, order: _Order, assembly: Assembly, reuse: Reuse | None = None
) -> AssembledGraft:
    target = order.target
    record = SwapRecord(order.project, session.home, order.place)
    with order.place.open(create=True) as folder:
        swap = Swap(folder, order.place.name)
        record.write(ready=False)
        try:
            staged = swap.begin()
            written = assemble(session, assembly, staged)
            check_root(order.lock, written.root)
            if reuse is not None:
                reuse.check_unmoved()
            seal_links(staged, written)
            record.write(ready=True)
        except BaseException as problem:
            swap.discard()
            record.clear()
            if isinstance(problem, OSError):
                raise write_error(target, problem) from problem
            raise
        if not swap.complete():
            raise StateError(f"`{target}` was taken by something else meanwhile")
        record.clear()
    remember_leaves(session, target, written.leaves)
    if order.link:
        say_linked(session, target, assembly.base, written)
    return written


def stamp_of(lock: Lockfile, base: Digest) -> dict[str, object]:
    """What a graft says of itself, but for its root."""
    return {
        "format": 1,
        "base_root": str(base),
        "graft": lock.graft.merge_options,
        "skills": [
            {
                "skill": str(one.skill),
                "version": str(one.version),
                "digest": str(one.digest),
                "weight": one.weight,
            }
            for one in lock.skills.values()
        ],
    }


def _remember_root(project: ProjectFolder, installed: Lockfile, root: Digest) -> None:
    """Write the root into the lock, unless the lock has run ahead of the environment."""
    lock = project.read_lock()
    if lock is None or not lock.same_set(installed):
        return
    update_file(project, project.lock_file, lock.with_root(root).dumps())
