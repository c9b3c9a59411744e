"""`export`: write a skill as a PEFT adapter, or merged with its base as a plain model folder."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from skillpm.checkpoint.folder import STAMP
from skillpm.checkpoint.model import Checkpoint, VerifiedCheckpoint
from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.environment.project import ProjectFolder
from skillpm.environment.swap import check_apart
from skillpm.errors import IntegrityError, NotFoundError, StateError
from skillpm.files.named import expanded
from skillpm.files.output import check_output_folder
from skillpm.flows.graft.assemble import assemble
from skillpm.flows.graft.peft import LayeredDelta, LoraRequest, LowRankResult, to_low_rank
from skillpm.flows.graft.plan import GraftInputs, plan_graft
from skillpm.flows.graft.write_peft import write_peft
from skillpm.flows.packs.base_parts import part_warnings
from skillpm.flows.packs.composition import opened
from skillpm.flows.packs.find import find_named, with_layers
from skillpm.flows.packs.protocol import AnyPack, side_packs
from skillpm.flows.packs.side_files import apply_side_files, files_of
from skillpm.flows.session.base_model import check_footprint, footprint_fits, open_base
from skillpm.flows.session.cleanup import clean_up
from skillpm.flows.session.session import Session, open_model
from skillpm.journal.atomic import sync_folder
from skillpm.spec.digests import Digest
from skillpm.spec.merkle import Identity
from skillpm.spec.words import base_option
from skillpm.store.scratch import staged_beside


@dataclass(frozen=True)
class Exported:
    """An exported skill: its path, the losses of an adapter, or the root of a merged model."""

    pack: AnyPack
    path: Path
    lowered: LowRankResult | None
    root: Digest | None
    side_files: tuple[str, ...]
    seconds: float


def export(session: Session, ref: str, target: Path, request: LoraRequest | None) -> Exported:
    """Write a skill, with the packs it is layered on, to a folder that is absent or empty.

    Writes an adapter if `request` is given, else the merged model. If a step fails, nothing is
    written. Raises `IntegrityError` for a wrong base, `GraftError` if a LoRA cannot hold the skill.
    """
    started = time.monotonic()
    clean_up(session)
    target = expanded(target)
    _check_target(target)
    check_output_folder(target)
    pack = find_named(session, ref)
    packs = with_layers(session, [pack])
    base = _base(session, pack)
    _check_outside(session, target, base)
    identity = session.identify(base, "hashing base")
    _check_base(pack, base, identity)
    verified = VerifiedCheckpoint.of(base, identity)
    decoders = opened(packs)
    composition = Composition(verified, [WeightedPack(decoder) for decoder in decoders])
    lowered, root = None, None
    if request is not None:
        layered = LayeredDelta(verified, decoders, composition, [p.manifest for p in packs])
        lowered = to_low_rank(session, layered, request)
        with _staged(session, target) as staged:
            write_peft(staged, layered, lowered, session.workers)
    else:
        side = apply_side_files(files_of(base), side_packs(packs))
        for warning in part_warnings([p.manifest for p in packs], base, side):
            session.say(f"warning: {warning}")
        with _staged(session, target) as staged:
            inputs = GraftInputs(verified, composition, side, link=False, metadata={})
            root = assemble(session, plan_graft(inputs), staged).root
            (staged / STAMP).unlink()
    files = tuple(file.path for p in packs for file in p.manifest.files)
    return Exported(pack, target, lowered, root, files, time.monotonic() - started)


def _base(session: Session, pack: AnyPack) -> Checkpoint:
    if session.base is not None:
        return open_model(session.base, session.say)
    project = ProjectFolder(session.project)
    if not project.has_file:
        raise NotFoundError(
            f"{pack.manifest.ref} is exported from its base, but `{session.project}` has no "
            "skillpm.toml that names it",
            hint=f"name the base: {base_option(pack.manifest.base.name)}",
        )
    return open_base(session, project)


def _check_base(pack: AnyPack, base: Checkpoint, identity: Identity) -> None:
    """Raise `IntegrityError` unless the base has the pack's root or its footprint (law 8)."""
    manifest = pack.manifest
    if identity.root != manifest.base.root and not footprint_fits(manifest, identity.leaves):
        raise IntegrityError(
            f"{manifest.ref} was built for the base `{manifest.base.root}`, "
            f"but `{base.label}` is `{identity.root}`",
            hint=f"name the pack's own base: {base_option(manifest.base.name)}",
        )
    check_footprint(manifest, identity.leaves)


def _check_target(target: Path) -> None:
    exists = target.is_symlink() or target.exists()
    if exists and (target.is_symlink() or not target.is_dir() or any(target.iterdir())):
        raise StateError(
            f"`{target}` already exists and is not empty; it is not overwritten",
            hint="name a folder that is absent or empty",
        )


def _check_outside(session: Session, target: Path, base: Checkpoint) -> None:
    state = session.project / ".skillpm"
    check_apart(target, {"base": base.path, "project's state": state, "home": session.home})


@contextmanager
def _staged(session: Session, target: Path) -> Iterator[Path]:
    """Yield a folder beside the target; on success it is renamed to the target, else removed."""
    target = target.absolute()
    staged = target.with_name(f".{target.name}.{os.getpid()}.skillpm-new")
    with staged_beside(session.home, staged):
        try:
            staged.mkdir(parents=True)
            yield staged
            _check_target(target)
            sync_folder(staged)
            if target.is_dir():
                target.rmdir()
            staged.rename(target)
            sync_folder(target.parent)
        except OSError as problem:
            raise StateError(f"`{target}` cannot be written: {problem.strerror}") from problem
        finally:
            shutil.rmtree(staged, ignore_errors=True)
