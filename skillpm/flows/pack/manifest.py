"""Build the manifest of a pack from its encoded and measured delta."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import sqrt
from pathlib import Path
from typing import Any

from skillpm.checkpoint.model import VerifiedCheckpoint
from skillpm.delta.encoding.measured import MeasuredTensor
from skillpm.delta.encoding.schemes import Scheme
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
    """The options of `pack`. `attached` has the results of the functions in `attach`."""

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
    """Extra content of a pack: layers as (media type, data, title), and measured capabilities."""

    layers: tuple[tuple[str, bytes, str], ...] = ()
    capabilities: tuple[Capability, ...] = ()


@dataclass(frozen=True)
class Reference:
    """The model that the delta is relative to: the base, or its graft with `layered_on`."""

    base: VerifiedCheckpoint
    source: Source
    base_identity: Identity
    identity: Identity
    layered_on: tuple[AnyPack, ...]
    files: Callable[[str], bytes | None]


@dataclass(frozen=True)
class ModelPair:
    """The reference and the tuned model, paired tensor by tensor.

    `files` reads the tuned model's small files, and `folder` is its folder.
    """

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
"""Computes an attachment from both models. Runs before the delta is encoded."""


@dataclass(frozen=True, slots=True)
class EncodedTensor:
    """One encoded tensor: its codec, the layer that contains it, and its bytes in the layer."""

    codec: str
    layer: Digest
    stored: int


@dataclass(frozen=True)
class EncodedDelta:
    """The encoded and measured delta, from which a manifest is built."""

    draft: Mapping[str, FootprintEntry]
    encoded: Mapping[str, EncodedTensor]
    layers: Mapping[Digest, Path]
    measured: Mapping[str, MeasuredTensor]
    side: tuple[tuple[SideFile, bytes | None], ...]


def draft_entries(
    pairs: list[Pair], base: Identity, encoded: Mapping[str, EncodedTensor]
) -> dict[str, FootprintEntry]:
    """The footprint by tensor, without the results, which are not known yet."""
    return {pair.tensor: _entry(pair, base, encoded.get(pair.tensor)) for pair in pairs}


def _entry(pair: Pair, base: Identity, encoded: EncodedTensor | None) -> FootprintEntry:
    spec = pair.tuned or pair.base
    assert spec is not None  # noqa: S101 - a pair has a tensor on at least one side
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
    request: PackRequest, models: ModelPair, delta: EncodedDelta, scheme: Scheme, created: datetime
) -> Manifest:
    """The manifest. Raises `GraftError` if the decoded pack changes no tensor (law 6)."""
    reference = models.reference
    footprint, leaves = _results(reference, delta)
    if leaves == reference.identity.leaves:
        raise GraftError(
            f"after compression with scheme `{scheme.name}` the pack changes no tensor",
            hint="to keep the whole delta: `--scheme lossless`",
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
        over=[_over(pack) for pack in reference.layered_on],
        requires=[*request.requires, *_required(reference.layered_on)],
        conflicts=list(request.conflicts),
        capabilities=[c for attachment in request.attached for c in attachment.capabilities],
        compression=_compression(models, delta, scheme, footprint),
        footprint=footprint,
        result_root=merkle_root(leaves),
        files=[file for file, _ in delta.side],
        architecture_facts=models.facts,
        requires_capabilities=[],
        lineage=[],
        must_understand=[],
        sketch=encode_sketch(sum_sketches({n: m.sketch for n, m in delta.measured.items()})),
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
    reference: Reference, delta: EncodedDelta
) -> tuple[list[FootprintEntry], dict[str, Digest]]:
    """The footprint with results, and the leaves of all tensors of the resulting model."""
    leaves = dict(reference.identity.leaves)
    footprint: list[FootprintEntry] = []
    for name, entry in sorted(delta.draft.items()):
        result = delta.measured[name].leaf if name in delta.measured else None
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


def _required(packs: tuple[AnyPack, ...]) -> list[Requirement]:
    return [Requirement.exact(pack.manifest.skill, pack.manifest.version) for pack in packs]


def _compression(
    models: ModelPair, delta: EncodedDelta, scheme: Scheme, footprint: list[FootprintEntry]
) -> Compression:
    payload = sum(path.stat().st_size for path in delta.layers.values())
    dense = sum(entry.spec.nbytes for entry in footprint if entry.change != "removed")
    settings: dict[str, Any] = dict(scheme.settings)
    if models.renaming != Renaming():
        settings["renamed"] = {"base": models.renaming.base, "tuned": models.renaming.tuned}
    casts = sorted({pair.cast for pair in models.differing if pair.cast})
    if casts:
        settings["cast_from"] = casts
    return Compression(
        scheme=scheme.name,
        settings=settings,
        payload_bytes=payload,
        delta_bytes=dense,
        ratio=round(dense / payload, 4) if payload else 0.0,
        relative_error=_relative(list(delta.measured.values())),
        modules=_modules(delta),
    )


def _modules(delta: EncodedDelta) -> dict[Any, ModuleSummary]:
    modules: dict[Any, ModuleSummary] = {}
    for kind in KINDS:
        names = [name for name in sorted(delta.encoded) if kind_of(name) == kind]
        if names:
            modules[kind] = ModuleSummary(
                codec="+".join(sorted({delta.encoded[name].codec for name in names})),
                bytes=sum(delta.encoded[name].stored for name in names),
                relative_error=_relative([delta.measured[name] for name in names]),
            )
    return modules


def _relative(measured: list[MeasuredTensor]) -> float | None:
    """‖Δ-Δ̂‖/‖Δ‖ over these tensors. Tensors without a numeric delta are exact and count 0."""
    norm = sum(tensor.norm for tensor in measured)
    error = sum(tensor.error for tensor in measured)
    return sqrt(error / norm) if norm else 0.0
