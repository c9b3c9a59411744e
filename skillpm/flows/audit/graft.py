"""A graft on disk, held against base, packs and lock: what is damaged is named by tensor.

What each tensor should be is not asked of the graft: an untouched one has the base's leaf, one
that a single pack decides the leaf of its manifest. Only sums of packs have to be computed again,
and only where the graft's root says that something is wrong.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from skillpm.audit.findings import Finding
from skillpm.checkpoint.folder import STAMP, foreign_entries
from skillpm.checkpoint.model import Checkpoint, VerifiedCheckpoint
from skillpm.delta.apply.compose import Composition, WeightedPack
from skillpm.errors import SkillpmError
from skillpm.files.errors import DeniedError
from skillpm.files.folder import Folder
from skillpm.files.tree import entries
from skillpm.flows.graft.assemble import header_of
from skillpm.flows.graft.graft import stamp_of
from skillpm.flows.graft.graft_record import read_stamp, wrong_files
from skillpm.flows.packs.composition import opened
from skillpm.flows.session.session import Session, open_model
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedGraft, Lockfile
from skillpm.spec.merging import Merging
from skillpm.spec.merkle import Identity, leaf_of_chunks
from skillpm.store.packs import load_pack

CAP = 100
"""Findings of one kind; a graft that is damaged throughout is told in fewer words."""


@dataclass(frozen=True)
class AuditedBase:
    """The project's base, hashed in this audit."""

    model: VerifiedCheckpoint
    identity: Identity


@dataclass(frozen=True)
class AuditedGraft:
    """A graft's folder, what is installed, and the root that the lock has for that."""

    folder: Path
    installed: Lockfile
    root: Digest | None


@dataclass(frozen=True)
class Read:
    """A graft as it lies on disk."""

    stamp: Mapping[str, Any]
    model: Checkpoint
    identity: Identity


def graft_findings(
    session: Session, graft: AuditedGraft, based: AuditedBase | None
) -> Iterator[Finding]:
    """All that is wrong with a graft."""
    try:
        stamp = read_stamp(graft.folder)
        foreign = list(_foreign(graft.folder))
    except DeniedError as problem:
        yield Finding("high", "graft-damaged", None, problem.message)
        return
    except SkillpmError as problem:
        yield _damaged(problem.message)
        return
    yield from _capped(_files(graft.folder, stamp))
    if foreign:
        yield from _capped(iter(foreign))
        return
    try:
        model = open_model(graft.folder)
        read = Read(stamp, model, session.identify(model, "hashing graft", cached=False))
    except SkillpmError as problem:
        yield _damaged(problem.message)
        return
    yield from _capped(_strays(graft.folder, read))
    current = _is_current(graft, stamp)
    if not current:
        yield Finding(
            "low", "graft-stale", None, f"the graft in `{graft.folder}` is of another set"
        )
    known = graft.root if current else None
    composition = _composition(session, stamp, based)
    found: list[Finding] = []
    if composition is not None and based is not None:
        found = [*_tensors(read, composition, based), *_headers(read, composition, based)]
        if not found and _wrong_root(read, known):
            found = list(_sums(read, composition))
    yield from _capped(iter(found or _roots(read, known)))


def _damaged(text: str, *, skill: str | None = None, tensor: str | None = None) -> Finding:
    return Finding("critical", "graft-damaged", skill, text, tensor=tensor)


def _capped(findings: Iterator[Finding]) -> Iterator[Finding]:
    yield from islice(findings, CAP)
    more = list(findings)
    if more:
        yield Finding(more[0].level, more[0].code, None, f"… and {len(more)} more of this kind")


def _is_current(graft: AuditedGraft, stamp: Mapping[str, Any]) -> bool:
    wanted = stamp_of(graft.installed, graft.installed.base.root)
    found = {**stamp, "graft": _manner(stamp)}
    return all(found.get(key) == wanted[key] for key in ("base_root", "skills", "graft"))


def _manner(stamp: Mapping[str, Any]) -> Any:
    """How a graft was made; one by skillpm 0.1 does not say, and is a sum."""
    return stamp.get("graft", LockedGraft().merge_options)


def _files(folder: Path, stamp: Mapping[str, Any]) -> Iterator[Finding]:
    """The small files, each by the digest that the stamp has of it."""
    for name, problem in wrong_files(folder, stamp):
        yield _damaged(f"`{folder / STAMP}` lists `{name}`, which {problem}")


def _foreign(folder: Path) -> Iterator[Finding]:
    """Links, pipes and devices: a graft has none, and none is opened."""
    for path, kind in foreign_entries(folder):
        yield _damaged(f"`{folder / path}` should be a regular file, is {kind}: it is not read")


def _listed(stamp: Mapping[str, Any]) -> dict[str, Any]:
    files = stamp.get("files")
    return files if isinstance(files, dict) else {}


def _strays(folder: Path, read: Read) -> Iterator[Finding]:
    """Files that no graft wrote, which what loads the graft may load too."""
    ours = {*read.model.shards, *_listed(read.stamp), STAMP}
    with Folder.open(folder) as opened:
        for path in entries(opened):
            if path not in ours:
                yield Finding(
                    "medium", "graft-extra", None, f"`{folder / path}` is not of the graft"
                )


def _composition(
    session: Session, stamp: Mapping[str, Any], based: AuditedBase | None
) -> Composition | None:
    """Base + the set that the stamp names; None where not all of it is at hand and whole."""
    if based is None or stamp.get("base_root") != str(based.identity.root):
        return None
    try:
        listed = [(Digest(one["digest"]), float(one["weight"])) for one in stamp["skills"]]
        packs = [load_pack(session.store, digest) for digest, _ in listed]
        weights = [weight for _, weight in listed]
        applied = [WeightedPack(p, w) for p, w in zip(opened(packs), weights, strict=True)]
        manner = _manner(stamp)
        return Composition(based.model, applied, Merging(manner["method"], manner["settings"]))
    except (SkillpmError, KeyError, TypeError, ValueError, AttributeError):
        return None  # a pack that is missing or damaged is a finding of its own


def _tensors(read: Read, composition: Composition, based: AuditedBase) -> Iterator[Finding]:
    """The tensors that are not what the base or the one pack that decides them has."""
    found = read.identity.leaves
    for name in sorted(composition.specs.keys() | found.keys()):
        where = f"`{name}` in `{_place(read, name)}`"
        if name not in composition.specs:
            yield _damaged(f"{where} is of no pack and not of the base", tensor=name)
            continue
        entry = composition.sole(name)
        decides = composition.touched.get(name, ())
        leaf = based.identity.leaves[name] if not decides else entry.result if entry else None
        skill = str(decides[0]) if len(decides) == 1 else None
        if name not in found:
            yield _damaged(f"{where} is missing", skill=skill, tensor=name)
        elif leaf is not None and found[name] != leaf:
            yield _not_it(where, leaf, found[name], skill, name)


def _not_it(where: str, leaf: Digest, found: Digest, skill: str | None, name: str) -> Finding:
    text = f"{where} is damaged: its leaf should be `{leaf}`, is `{found}`"
    return _damaged(text, skill=skill, tensor=name)


def _place(read: Read, name: str) -> Path:
    folder = read.model.folder or read.model.path
    return folder / read.model.shard_of(name).name if name in read.model.specs else folder


def _sums(read: Read, composition: Composition) -> Iterator[Finding]:
    """The tensors that several packs merge into, or one at another weight: computed again."""
    for name, spec in sorted(composition.rewritten.items()):
        if composition.sole(name) is None:
            try:
                leaf = leaf_of_chunks(spec, composition.chunks(name))
            except SkillpmError as problem:
                yield _damaged(f"`{name}` cannot be computed again: {problem.message}", tensor=name)
                continue
            if read.identity.leaves[name] != leaf:
                where = f"`{name}` in `{_place(read, name)}`"
                yield _not_it(where, leaf, read.identity.leaves[name], None, name)


def _headers(read: Read, composition: Composition, based: AuditedBase) -> Iterator[Finding]:
    """The bytes before the tensors: no leaf covers metadata, padding and order."""
    for name, shard in read.model.shards.items():
        source = based.model.shards.get(name)
        if source is None:
            yield _damaged(f"`{shard.file.path}` is no file of the base")
            continue
        tensors = [placed.spec.name for placed in shard.header.tensors]
        wanted = header_of(composition, source, tensors)
        if shard.file.read(0, shard.header.data_start) != wanted:
            yield _damaged(f"the header of `{shard.file.path}` is not what the graft wrote")


def _wrong_root(read: Read, known: Digest | None) -> bool:
    found = read.identity.root
    return read.stamp.get("root") != str(found) or (known is not None and known != found)


def _roots(read: Read, known: Digest | None) -> Iterator[Finding]:
    """The root alone: all that can be told where no tensor can be, and where none is wrong."""
    found, folder = read.identity.root, read.model.path
    if known is not None and known != found:
        yield _damaged(f"the graft in `{folder}` has the root `{found}`, the lock `{known}`")
    elif read.stamp.get("root") != str(found):
        stamped = read.stamp.get("root")
        yield _damaged(f"the graft in `{folder}` should be `{stamped}` by its stamp, is `{found}`")
