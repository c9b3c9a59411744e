"""The manifest and the OCI manifest of a pack that was cut."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import sqrt
from pathlib import Path
from typing import Any

from skillpm.checkpoint.model import VerifiedCheckpoint
from skillpm.delta.encode.encode import MeasuredTensor
from skillpm.delta.encode.schemes import Scheme
from skillpm.delta.tensors.countsketch import encode_sketch, sum_sketches
from skillpm.delta.tensors.module_kinds import KINDS, kind_of
from skillpm.delta.tensors.pairing import Pair, Renaming
from skillpm.delta.tensors.ports import Source
from skillpm.errors import GraftError
from skillpm.flows.packs.base_parts import base_parts
from skillpm.flows.packs.protocol import AnyPack
from skillpm.flows.session.session import Session
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import (
    ArchitectureFacts,
    BaseRef,
    Capability,
    Compression,
    FootprintEntry,
    Manifest,
    ModuleSummary,
    Over,
    Provenance,
    SideFile,
    parse_manifest,
)
from skillpm.spec.merkle import Identity, merkle_root
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement
from skillpm.spec.versions import Version
from skillpm.version import __version__

REMOVED = "none"


@dataclass(frozen=True)
class PackRequest:
    """What a person asks `pack` for; `attached` is what `attach` made, once it has run."""

    base: Path
    tuned: Path
    skill: SkillName
    version: Version
    output: Path | None = None
    summary: str = ""
    license: str | None = None
    authors: tuple[str, ...] = ()
    requires: tuple[Requirement, ...] = ()
    conflicts: tuple[Requirement, ...] = ()
    over: tuple[str, ...] = ()
    card: bytes | None = None
    attach: tuple["Attach", ...] = ()
    attached: tuple["Attachment", ...] = ()
    cast: bool = False
    tuned_is: str | None = None
    method: str | None = None
    sources: tuple[str, ...] = ()
    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attachment:
    """What goes into a pack beside its delta: layers as (media type, data, title), and figures."""

    layers: tuple[tuple[str, bytes, str], ...] = ()
    capabilities: tuple[Capability, ...] = ()


@dataclass(frozen=True)
class Reference:
    """What the delta is against: the base itself, or its graft with the set below."""

    base: VerifiedCheckpoint
    source: Source
    base_identity: Identity
    identity: Identity
    lower: tuple[AnyPack, ...]
    files: Callable[[str], bytes | None]


@dataclass(frozen=True)
class ModelPair:
    """Reference and tuned model, matched tensor by tensor; `folder` is where the tuned one is."""

    reference: Reference
    tuned: Source
    tuned_identity: Identity
    pairs: list[Pair]
    differing: list[Pair]
    renaming: Renaming
    files: Callable[[str], bytes | None]
    facts: ArchitectureFacts
    folder: Path | None = None


Attach = Callable[[Session, ModelPair], Attachment]
"""Makes what goes into a pack of base and tuned model; runs before anything is encoded."""


@dataclass(frozen=True, slots=True)
class EncodedTensor:
    """Where one tensor's parts went."""

    codec: str
    layer: Digest
    stored: int


@dataclass(frozen=True)
class EncodedDelta:
    """What was encoded and measured: all that a manifest says of it."""

    draft: Mapping[str, FootprintEntry]
    encoded: Mapping[str, EncodedTensor]
    layers: Mapping[Digest, Path]
    measured: Mapping[str, MeasuredTensor]
    side: tuple[tuple[SideFile, bytes | None], ...]


def draft_entries(
    pairs: list[Pair], base: Identity, encoded: Mapping[str, EncodedTensor]
) -> dict[str, FootprintEntry]:
    """The footprint before the results are known."""
    return {pair.tensor: _entry(pair, base, encoded.get(pair.tensor)) for pair in pairs}


def _entry(pair: Pair, base: Identity, encoded: EncodedTensor | None) -> FootprintEntry:
    spec = pair.tuned or pair.base
    assert spec is not None  # noqa: S101 - a pair has a tensor on one side at least
    return FootprintEntry(
        tensor=pair.tensor,
        change=pair.change,
        shape=spec.shape,
        dtype=spec.dtype,
        leaf=base.leaves.get(pair.tensor),
        result=None,
        codec=encoded.codec if encoded else REMOVED,
        layer=encoded.layer if encoded else None,
        source=pair.source,
    )


def build_manifest(
    request: PackRequest, against: ModelPair, cut: EncodedDelta, scheme: Scheme, created: datetime
) -> Manifest:
    """The manifest. Raises `GraftError` where the decoded pack changes no tensor (law 6)."""
    reference = against.reference
    footprint, leaves = _results(reference, cut)
    if leaves == reference.identity.leaves:
        raise GraftError(
            f"after `{scheme.name}` compression nothing of the delta is left",
            hint="`--scheme lossless` keeps all of it",
        )
    manifest = Manifest(
        format=2,
        skill=request.skill,
        version=request.version,
        summary=request.summary,
        license=request.license,
        authors=list(request.authors),
        created=created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        base=_base_ref(reference),
        over=[_over(pack) for pack in reference.lower],
        requires=[*request.requires, *_required(reference.lower)],
        conflicts=list(request.conflicts),
        capabilities=[one for each in request.attached for one in each.capabilities],
        compression=_compression(against, cut, scheme, footprint),
        footprint=footprint,
        result_root=merkle_root(leaves),
        files=[file for file, _ in cut.side],
        architecture_facts=against.facts,
        requires_capabilities=[],
        lineage=[],
        must_understand=[],
        sketch=encode_sketch(sum_sketches({n: m.sketch for n, m in cut.measured.items()})),
        provenance=_provenance(request),
    )
    return parse_manifest(manifest.canonical())


def _provenance(request: PackRequest) -> Provenance:
    return Provenance(
        method=request.method,
        sources=list(request.sources),
        data=list(request.data),
        tool=f"skillpm {__version__}",
    )


def _results(
    reference: Reference, cut: EncodedDelta
) -> tuple[list[FootprintEntry], dict[str, Digest]]:
    """The footprint with its results, and the leaves of the whole model that it gives."""
    leaves = dict(reference.identity.leaves)
    footprint: list[FootprintEntry] = []
    for name, entry in sorted(cut.draft.items()):
        result = cut.measured[name].leaf if name in cut.measured else None
        footprint.append(entry.model_copy(update={"result": result}))
        leaves.pop(name, None)
        if result is not None:
            leaves[name] = result
    return footprint, leaves


def _base_ref(reference: Reference) -> BaseRef:
    identity = reference.base_identity
    return BaseRef(
        name=reference.base.name,
        root=identity.root,
        architecture=reference.base.architecture,
        dtype=identity.dtype,
        parameters=identity.parameters,
        tensors=len(identity.leaves),
        parts=base_parts(reference.base),
    )


def _over(pack: AnyPack) -> Over:
    return Over(skill=pack.manifest.skill, version=pack.manifest.version, digest=pack.digest)


def _required(lower: tuple[AnyPack, ...]) -> list[Requirement]:
    return [Requirement.exact(pack.manifest.skill, pack.manifest.version) for pack in lower]


def _compression(
    against: ModelPair, cut: EncodedDelta, scheme: Scheme, footprint: list[FootprintEntry]
) -> Compression:
    payload = sum(path.stat().st_size for path in cut.layers.values())
    dense = sum(entry.spec.nbytes for entry in footprint if entry.change != "removed")
    settings: dict[str, Any] = dict(scheme.settings)
    if against.renaming != Renaming():
        settings["renamed"] = {"base": against.renaming.base, "tuned": against.renaming.tuned}
    casts = sorted({p.cast for p in against.differing if p.cast})
    if casts:
        settings["cast_from"] = casts
    return Compression(
        scheme=scheme.name,
        settings=settings,
        payload_bytes=payload,
        delta_bytes=dense,
        ratio=round(dense / payload, 4) if payload else 0.0,
        relative_error=_relative(list(cut.measured.values())),
        modules=_modules(cut),
    )


def _modules(cut: EncodedDelta) -> dict[Any, ModuleSummary]:
    modules: dict[Any, ModuleSummary] = {}
    for kind in KINDS:
        names = [name for name in sorted(cut.encoded) if kind_of(name) == kind]
        if names:
            modules[kind] = ModuleSummary(
                codec="+".join(sorted({cut.encoded[name].codec for name in names})),
                bytes=sum(cut.encoded[name].stored for name in names),
                relative_error=_relative([cut.measured[name] for name in names]),
            )
    return modules


def _relative(measured: list[MeasuredTensor]) -> float | None:
    """‖Δ-Δ̂‖/‖Δ‖ over these tensors; what is no delta in numbers is carried exactly."""
    norm = sum(one.norm for one in measured)
    error = sum(one.error for one in measured)
    return sqrt(error / norm) if norm else 0.0
