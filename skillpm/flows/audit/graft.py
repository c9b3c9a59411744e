"""Check a graft on disk against base, packs and lock, and report damage by tensor.

The expected leaves do not come from the graft's own metadata. An untouched tensor has the leaf of
the base, and a tensor that one pack determines has the leaf in that pack's manifest. Tensors that
several packs change are computed again, and only if the graft's root is wrong.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from skillpm.audit.findings import Finding
from skillpm.checkpoint.folder import STAMP, foreign_entries
from skillpm.checkpoint.model import Checkpoint, VerifiedCheckpoint
from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.errors import SkillpmError, SpecError
from skillpm.files.errors import DeniedError
from skillpm.files.folder import Folder
from skillpm.files.tree import entries
from skillpm.flows.graft.graft_record import graft_metadata, read_graft_metadata, wrong_files
from skillpm.flows.graft.plan import header_of
from skillpm.flows.packs.composition import opened
from skillpm.flows.session.session import Session, open_model
from skillpm.spec.digests import Digest
from skillpm.spec.fields import read_document
from skillpm.spec.lockfile import LockedGraft, Lockfile
from skillpm.spec.merging import Merging
from skillpm.spec.merkle import Identity, leaf_of_chunks
from skillpm.store.packs import load_pack

CAP = 100
"""The most findings of one kind that are listed; the rest are only counted."""


@dataclass(frozen=True)
class AuditedBase:
    """The project's base, hashed in this audit."""

    model: VerifiedCheckpoint
    identity: Identity


@dataclass(frozen=True)
class AuditedGraft:
    """A graft's folder, the installed set, and the root that the lock records for that set."""

    folder: Path
    installed: Lockfile
    root: Digest | None


@dataclass(frozen=True)
class GraftOnDisk:
    """A graft as read from disk: its metadata, its tensors and their hashes."""

    metadata: Mapping[str, Any]
    model: Checkpoint
    identity: Identity


def graft_findings(
    session: Session, graft: AuditedGraft, audited_base: AuditedBase | None
) -> Iterator[Finding]:
    """Yield every problem of a graft."""
    try:
        metadata = read_graft_metadata(graft.folder)
        foreign = list(_foreign(graft.folder))
    except DeniedError as problem:
        yield Finding("high", "graft-damaged", None, problem.message)
        return
    except SkillpmError as problem:
        yield _damaged(problem.message)
        return
    yield from _capped(_files(graft.folder, metadata))
    if foreign:
        yield from _capped(iter(foreign))
        return
    try:
        model = open_model(graft.folder)
        disk = GraftOnDisk(metadata, model, session.identify(model, "hashing graft", cached=False))
    except SkillpmError as problem:
        yield _damaged(problem.message)
        return
    yield from _capped(_strays(graft.folder, disk))
    current = _is_current(graft, metadata)
    if not current:
        yield _stale(graft, metadata)
    known = graft.root if current else None
    composition = _composition(session, metadata, audited_base)
    findings: list[Finding] = []
    if composition is not None and audited_base is not None:
        findings = [
            *_tensors(disk, composition, audited_base),
            *_headers(disk, composition, audited_base),
        ]
        if not findings and _wrong_root(disk, known):
            findings = list(_sums(disk, composition))
    yield from _capped(iter(findings or _roots(disk, known)))


def _stale(graft: AuditedGraft, metadata: Mapping[str, Any]) -> Finding:
    folder, expected = graft.folder, graft_metadata(graft.installed, graft.installed.base.root)
    if all(metadata.get(key) == expected[key] for key in ("base_root", "skills")):
        asked = graft.installed.graft.description
        problem = f"was made with `{_made_by(metadata)}`; the installed set asks for `{asked}`"
    else:
        problem = "was made from another set than the installed one, or with other weights"
    text = f"the graft in `{folder}` {problem}; `skillpm graft -o {folder}` writes it again"
    return Finding("low", "graft-stale", None, text)


def _made_by(metadata: Mapping[str, Any]) -> str:
    """How a graft was merged, in words. Its metadata is untrusted."""
    with suppress(SpecError):
        return read_document(LockedGraft, _merge_settings(metadata), STAMP).description
    return "an unknown method"


def _damaged(text: str, *, skill: str | None = None, tensor: str | None = None) -> Finding:
    return Finding("critical", "graft-damaged", skill, text, tensor=tensor)


def _capped(findings: Iterator[Finding]) -> Iterator[Finding]:
    yield from islice(findings, CAP)
    more = list(findings)
    if more:
        yield Finding(
            more[0].level, more[0].code, None, f"… and {len(more)} more `{more[0].code}` findings"
        )


def _is_current(graft: AuditedGraft, metadata: Mapping[str, Any]) -> bool:
    expected = graft_metadata(graft.installed, graft.installed.base.root)
    actual = {**metadata, "graft": _merge_settings(metadata)}
    return all(actual.get(key) == expected[key] for key in ("base_root", "skills", "graft"))


def _merge_settings(metadata: Mapping[str, Any]) -> Any:
    """Return how a graft was merged. skillpm 0.1 recorded nothing, and always used the sum."""
    return metadata.get("graft", LockedGraft().merge_options)


def _files(folder: Path, metadata: Mapping[str, Any]) -> Iterator[Finding]:
    """Check the small files against the digests in the graft's metadata."""
    for name, problem in wrong_files(folder, metadata):
        yield _damaged(f"`{folder / STAMP}` lists `{name}`, which {problem}{_again(folder)}")


def _foreign(folder: Path) -> Iterator[Finding]:
    """Yield links, pipes and devices. A graft has none, and the audit opens none."""
    for path, kind in foreign_entries(folder):
        text = f"`{folder / path}` is {kind}; expected a regular file, so it was not read"
        yield _damaged(text + _again(folder))


def _listed(metadata: Mapping[str, Any]) -> dict[str, Any]:
    files = metadata.get("files")
    return files if isinstance(files, dict) else {}


def _strays(folder: Path, disk: GraftOnDisk) -> Iterator[Finding]:
    """Yield files that skillpm did not write; a program that loads the graft may load them."""
    ours = {*disk.model.shards, *_listed(disk.metadata), STAMP}
    with Folder.open(folder) as opened:
        for path in entries(opened):
            if path not in ours:
                yield Finding(
                    "medium",
                    "graft-extra",
                    None,
                    f"`{folder / path}` was not written by skillpm; remove it, or run "
                    f"`skillpm graft -o {folder}`",
                )


def _composition(
    session: Session, metadata: Mapping[str, Any], audited_base: AuditedBase | None
) -> Composition | None:
    """Return base + the set in the graft's metadata, or None if a part is missing or damaged."""
    if audited_base is None or metadata.get("base_root") != str(audited_base.identity.root):
        return None
    try:
        listed = [(Digest(entry["digest"]), float(entry["weight"])) for entry in metadata["skills"]]
        packs = [load_pack(session.store, digest) for digest, _ in listed]
        weights = [weight for _, weight in listed]
        applied = [WeightedPack(p, w) for p, w in zip(opened(packs), weights, strict=True)]
        settings = _merge_settings(metadata)
        return Composition(
            audited_base.model, applied, Merging(settings["method"], settings["settings"])
        )
    except (SkillpmError, KeyError, TypeError, ValueError, AttributeError):
        return None  # a missing or damaged pack is reported as a separate finding


def _tensors(
    disk: GraftOnDisk, composition: Composition, audited_base: AuditedBase
) -> Iterator[Finding]:
    """Yield the tensors whose leaf differs from that of the base or of the pack's manifest."""
    leaves = disk.identity.leaves
    for name in sorted(composition.specs.keys() | leaves.keys()):
        where = _where(disk, name)
        if name not in composition.specs:
            yield _damaged(
                f"{where} belongs to neither the base nor an installed pack", tensor=name
            )
            continue
        entry = composition.sole(name)
        decides = composition.touched.get(name, ())
        leaf = (
            audited_base.identity.leaves[name] if not decides else entry.result if entry else None
        )
        skill = str(decides[0]) if len(decides) == 1 else None
        if name not in leaves:
            yield _damaged(f"{where} is missing{_again(disk.model.path)}", skill=skill, tensor=name)
        elif leaf is not None and leaves[name] != leaf:
            yield _wrong_leaf(disk, name, leaf, skill)


def _wrong_leaf(disk: GraftOnDisk, name: str, leaf: Digest, skill: str | None = None) -> Finding:
    actual = disk.identity.leaves[name]
    text = f"{_where(disk, name)} is damaged: expected the leaf `{leaf}`, found `{actual}`"
    return _damaged(text + _again(disk.model.path), skill=skill, tensor=name)


def _again(folder: Path) -> str:
    """Return the end of a message: the command that replaces a damaged graft."""
    return f"; `skillpm graft -o {folder}` writes the graft again"


def _where(disk: GraftOnDisk, name: str) -> str:
    return f"`{name}` in `{_place(disk, name)}`"


def _place(disk: GraftOnDisk, name: str) -> Path:
    folder = disk.model.folder or disk.model.path
    return folder / disk.model.shard_of(name).name if name in disk.model.specs else folder


def _sums(disk: GraftOnDisk, composition: Composition) -> Iterator[Finding]:
    """Compute again the tensors that several packs change, or one pack at another weight."""
    for name, spec in sorted(composition.rewritten.items()):
        if composition.sole(name) is None:
            try:
                leaf = leaf_of_chunks(spec, composition.chunks(name))
            except SkillpmError as problem:
                yield _damaged(
                    f"`{name}` cannot be recomputed from base and packs: {problem.message}",
                    tensor=name,
                )
                continue
            if disk.identity.leaves[name] != leaf:
                yield _wrong_leaf(disk, name, leaf)


def _headers(
    disk: GraftOnDisk, composition: Composition, audited_base: AuditedBase
) -> Iterator[Finding]:
    """Check the safetensors headers: no leaf covers metadata, padding and order."""
    for name, shard in disk.model.shards.items():
        source = audited_base.model.shards.get(name)
        if source is None:
            yield _damaged(f"`{shard.file.path}` has no file of the same name in the base")
            continue
        tensors = [placed.spec.name for placed in shard.header.tensors]
        wanted = header_of(composition, source, tensors)
        if shard.file.read(0, shard.header.data_start) != wanted:
            yield _damaged(
                f"the header of `{shard.file.path}` differs from the one that skillpm wrote"
            )


def _wrong_root(disk: GraftOnDisk, known: Digest | None) -> bool:
    root = disk.identity.root
    return disk.metadata.get("root") != str(root) or (known is not None and known != root)


def _roots(disk: GraftOnDisk, known: Digest | None) -> Iterator[Finding]:
    """Check the root alone, if no tensor can be checked by itself or none is wrong."""
    root, folder = disk.identity.root, disk.model.path
    if known is not None and known != root:
        text = f"the graft in `{folder}` has the root `{root}`; skillpm.lock records `{known}`"
        yield _damaged(text + _again(disk.model.path))
    elif disk.metadata.get("root") != str(root):
        recorded = disk.metadata.get("root")
        text = f"the graft in `{folder}` has the root `{root}`; its `{STAMP}` records `{recorded}`"
        yield _damaged(text + _again(disk.model.path))
