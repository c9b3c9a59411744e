"""Stage 5 of `pack`: the manifest of a pack, from its encoded and measured delta."""

from datetime import datetime
from math import sqrt
from typing import Any

from skillpm.checkpoint.model import VerifiedCheckpoint
from skillpm.delta.encoding.encode import cast_leaf
from skillpm.delta.encoding.measured import MeasuredTensor
from skillpm.delta.tensors.countsketch import encode_sketch, sum_sketches
from skillpm.delta.tensors.module_kinds import KINDS, kind_of
from skillpm.delta.tensors.pairing import Renaming
from skillpm.errors import GraftError, IntegrityError
from skillpm.flows.pack.attachments import Attachments
from skillpm.flows.pack.encoded_delta import EncodedDelta
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.pack.reference import Reference
from skillpm.flows.packs.base_parts import base_parts
from skillpm.flows.packs.protocol import AnyPack
from skillpm.spec.agreement import check_facts
from skillpm.spec.digests import Digest
from skillpm.spec.effect import PROBES
from skillpm.spec.manifest import (
    BaseRef,
    Compression,
    FootprintEntry,
    Manifest,
    ModuleSummary,
    Over,
    Provenance,
    parse_manifest,
)
from skillpm.spec.merkle import merkle_root
from skillpm.spec.requirements import Requirement
from skillpm.version import __version__


def build_manifest(
    created: datetime, models: ModelPair, attachments: Attachments, delta: EncodedDelta
) -> Manifest:
    """The manifest, checked against the packs below and the tuned model.

    Raises `ResolutionError` if a pack below states other architecture facts, `IntegrityError`
    unless a lossless pack decodes to the tuned model's root (law 2), and as `draft_manifest`.
    """
    manifest = draft_manifest(created, models, attachments, delta)
    check_facts([*(pack.manifest for pack in models.reference.layered_on), manifest])
    if delta.scheme.name == "lossless":
        _check_lossless(models, delta, manifest.result_root)
    return manifest


def draft_manifest(
    created: datetime, models: ModelPair, attachments: Attachments, delta: EncodedDelta
) -> Manifest:
    """The manifest, not compared with other packs or the tuned model.

    Raises `GraftError` if the decoded pack changes no tensor (law 6).
    """
    request, reference = models.request, models.reference
    footprint, leaves = _results(reference, delta)
    if leaves == reference.identity.leaves:
        raise GraftError(
            f"after compression with scheme `{delta.scheme.name}` the pack changes no tensor",
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
        base=_base_ref(reference.base),
        over=[_over(pack) for pack in reference.layered_on],
        requires=[*request.requires, *_required(reference.layered_on)],
        conflicts=list(request.conflicts),
        capabilities=list(attachments.capabilities),
        compression=_compression(models, delta, footprint),
        footprint=footprint,
        result_root=merkle_root(leaves),
        files=[file for file, _ in attachments.side],
        architecture_facts=models.facts,
        requires_capabilities=[],
        lineage=[],
        must_understand=[],
        sketch=encode_sketch(sum_sketches({n: m.sketch for n, m in delta.measured.items()})),
        provenance=_provenance(models),
    )
    return parse_manifest(manifest.canonical())


def _check_lossless(models: ModelPair, delta: EncodedDelta, result_root: Digest) -> None:
    theirs = models.tuned_identity.leaves
    leaves = {
        pair.tensor: cast_leaf(models.tuned, pair) if pair.cast else theirs[pair.read_name]
        for pair in models.pairs
        if pair.tuned
    }
    wrong = sorted(n for n, tensor in delta.measured.items() if tensor.leaf != leaves[n])
    if wrong or merkle_root(leaves) != result_root:
        name = f"`{wrong[0]}`" if wrong else "its root"
        raise IntegrityError(
            f"the decoded pack differs from the tuned model in {name}: no pack was written"
        )


def _provenance(models: ModelPair) -> Provenance:
    """The provenance that the request states, completed with the facts of an adapter."""
    request, adapter = models.request, models.adapter
    base = adapter.base_name if adapter is not None else None
    return Provenance(
        method=request.method or (adapter.method if adapter is not None else None),
        sources=[*request.sources, *([base] if base else [])],
        data=list(request.data),
        flops=request.flops,
        tool=f"skillpm {__version__}",
    )


def _results(
    reference: Reference, delta: EncodedDelta
) -> tuple[list[FootprintEntry], dict[str, Digest]]:
    """The footprint with results, and the leaves of all tensors of the resulting model."""
    leaves = dict(reference.identity.leaves)
    footprint: list[FootprintEntry] = []
    for name, entry in sorted(delta.layers.draft.items()):
        result = delta.measured[name].leaf if name in delta.measured else None
        footprint.append(entry.model_copy(update={"result": result}))
        leaves.pop(name, None)
        if result is not None:
            leaves[name] = result
    return footprint, leaves


def _base_ref(base: VerifiedCheckpoint) -> BaseRef:
    identity = base.identity
    return BaseRef(
        name=base.name,
        root=identity.root,
        architecture=base.architecture,
        dtype=identity.dtype,
        parameters=identity.parameters,
        tensors=len(identity.leaves),
        parts=base_parts(base),
    )


def _over(pack: AnyPack) -> Over:
    return Over(skill=pack.manifest.skill, version=pack.manifest.version, digest=pack.digest)


def _required(packs: tuple[AnyPack, ...]) -> list[Requirement]:
    return [Requirement.exact(pack.manifest.skill, pack.manifest.version) for pack in packs]


def _compression(
    models: ModelPair, delta: EncodedDelta, footprint: list[FootprintEntry]
) -> Compression:
    payload = sum(path.stat().st_size for path in delta.layers.files.values())
    dense = sum(entry.spec.nbytes for entry in footprint if entry.change != "removed")
    settings: dict[str, Any] = dict(delta.scheme.settings)
    if delta.probed is not None:
        settings[PROBES] = delta.probed.settings
    if models.renaming != Renaming():
        settings["renamed"] = {"base": models.renaming.base, "tuned": models.renaming.tuned}
    casts = sorted({pair.cast for pair in models.differing if pair.cast})
    if casts:
        settings["cast_from"] = casts
    return Compression(
        scheme=delta.scheme.name,
        settings=settings,
        payload_bytes=payload,
        delta_bytes=dense,
        ratio=round(dense / payload, 4) if payload else 0.0,
        relative_error=_relative(list(delta.measured.values())),
        modules=_modules(delta),
    )


def _modules(delta: EncodedDelta) -> dict[Any, ModuleSummary]:
    encoded, modules = delta.layers.encoded, dict[Any, ModuleSummary]()
    for kind in KINDS:
        names = [name for name in sorted(encoded) if kind_of(name) == kind]
        if names:
            modules[kind] = ModuleSummary(
                codec="+".join(sorted({encoded[name].codec for name in names})),
                bytes=sum(encoded[name].stored for name in names),
                relative_error=_relative([delta.measured[name] for name in names]),
            )
    return modules


def _relative(measured: list[MeasuredTensor]) -> float | None:
    """‖Δ-Δ̂‖/‖Δ‖ over these tensors. Tensors without a numeric delta are exact and count 0."""
    norm = sum(tensor.norm for tensor in measured)
    error = sum(tensor.error for tensor in measured)
    return sqrt(error / norm) if norm else 0.0
