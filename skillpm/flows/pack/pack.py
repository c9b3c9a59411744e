"""`pack`: encode the difference between a tuned model and its base as a SkillPack."""

from dataclasses import dataclass, replace
from pathlib import Path

from skillpm.adapters.adapter import Adapter
from skillpm.architecture.ask import ask_facts
from skillpm.archive.writer import write_archive
from skillpm.audit.licences import normal_licence
from skillpm.checkpoint.folder import is_graft
from skillpm.checkpoint.model import Checkpoint, VerifiedCheckpoint
from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.delta.encoding.encode import cast_leaf, rounding_share
from skillpm.delta.encoding.schemes import Scheme
from skillpm.delta.tensors.pairing import Pair, pair_up
from skillpm.delta.tensors.ports import Source
from skillpm.errors import GraftError, IntegrityError
from skillpm.files.output import check_output, staged_path
from skillpm.flows.locking.solve import check_facts, check_set
from skillpm.flows.pack.encode_layers import encode_layers, measure
from skillpm.flows.pack.image import build_image
from skillpm.flows.pack.manifest import (
    EncodedDelta,
    ModelPair,
    PackRequest,
    Reference,
    build_manifest,
)
from skillpm.flows.pack.side_files import OmittedFile, omitted_files
from skillpm.flows.pack.target import EncodingTarget
from skillpm.flows.pack.tuned_side import TunedSide, find_tuned, tuned_side
from skillpm.flows.packs.base_parts import differing_parts
from skillpm.flows.packs.composition import composed_identity, opened, total_bytes
from skillpm.flows.packs.find import find_pack, with_layers
from skillpm.flows.packs.protocol import AnyPack, side_packs
from skillpm.flows.packs.side_files import apply_side_files, files_of
from skillpm.flows.session.cleanup import clean_up
from skillpm.flows.session.session import Session, open_model
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Manifest
from skillpm.spec.merkle import Identity, merkle_root
from skillpm.store.scratch import disk_errors, scratch, staged_beside


@dataclass(frozen=True)
class Packed:
    """A pack that was written.

    `left_out` are files of the tuned model that the pack does not carry. `rounding` is the error of
    `--cast` relative to the norm of the delta; None if nothing was cast.
    """

    manifest: Manifest
    path: Path
    digest: Digest
    file_bytes: int
    left_out: tuple[OmittedFile, ...] = ()
    rounding: float | None = None


def pack(session: Session, request: PackRequest, scheme: Scheme | EncodingTarget) -> Packed:
    """Encode the delta, measure it, check it and write the pack. A failed step leaves no files.

    Streams tensor by tensor. Raises `GraftError` if the models do not differ or cannot be packed.
    """
    clean_up(session)
    check_output(_output(request))
    if request.license is not None:
        request = replace(request, license=normal_licence(request.license))
    base, tuned_input = open_model(request.base), find_tuned(request.tuned, request.tuned_is)
    layered_on = _layered_on(session, request, base)
    reference = _reference(session, base, layered_on)
    side = tuned_side(session, request, tuned_input, reference, scheme)
    request, scheme = side.request, side.scheme
    models = _pair_models(reference, side, tuned_input)
    attached = tuple(attach(session, models) for attach in request.attach)
    request = replace(request, attached=attached)
    with scratch(session.home, "pack") as folder, disk_errors(folder):
        if isinstance(scheme, EncodingTarget):
            scheme, layers = scheme.fit(session, request, models, scheme, folder)
        else:
            layers = encode_layers(session, models, scheme, folder / "layers")
        delta = measure(session, request, models, layers)
        manifest = build_manifest(request, models, delta, scheme, session.created)
        check_facts([*(layer.manifest for layer in layered_on), manifest])
        if scheme.name == "lossless":
            _check_lossless(models, delta, manifest.result_root)
        omitted = omitted_files(request, models, delta.side)
        done = _write(session, request, manifest, delta)
    rounding = rounding_share(reference.source, models.tuned, models.pairs)
    return replace(done, left_out=omitted, rounding=rounding)


def _pair_models(
    reference: Reference, side: TunedSide, tuned_input: Checkpoint | Adapter
) -> ModelPair:
    """Pair the tensors of both models. Raises `GraftError` if no tensor differs."""
    request, tuned, identity = side.request, side.source, side.identity
    pairs, renaming = pair_up(reference.source.specs, tuned.specs, cast=request.cast)
    differing = [pair for pair in pairs if _differs(pair, reference.identity, tuned, identity)]
    if not differing:
        raise _nothing_to_pack(request, reference.base, tuned_input)
    return ModelPair(
        reference,
        tuned,
        identity,
        pairs,
        differing,
        renaming,
        side.files,
        ask_facts(reference.base.config or {}),
        tuned_input.folder if isinstance(tuned_input, Checkpoint) else tuned_input.path,
    )


def _nothing_to_pack(
    request: PackRequest, base: Checkpoint, tuned_input: Checkpoint | Adapter
) -> GraftError:
    """The error if no tensor differs; it names the differing parts, if any."""
    parts = differing_parts(base, tuned_input) if isinstance(tuned_input, Checkpoint) else []
    if parts:
        listed = ", ".join(f"`{path}`" for path in parts)
        return GraftError(
            f"`{request.tuned}` differs from its base only in its parts ({listed}); a pack must "
            "change a tensor of the model itself",
            hint="pack the folder of a part as a separate model: "
            f"`skillpm pack {request.base}/{parts[0].partition('/')[0]} …`",
        )
    return GraftError(
        f"`{request.tuned}` has the same tensors as its base: there is nothing to pack",
        hint=f"to compare them: `skillpm identify {request.tuned} --against {request.base}`",
    )


def _layered_on(session: Session, request: PackRequest, base: Checkpoint) -> list[AnyPack]:
    """The packs of `--over`, with the packs that these are layered on."""
    if is_graft(base.folder or base.path.parent):
        raise GraftError(
            f"`{request.base}` is a graft; a pack must be built from the original base",
            hint="give the original base, and the packs of the graft with `--over REF…`",
        )
    return with_layers(session, [find_pack(session, ref) for ref in request.over])


def _reference(session: Session, base: Checkpoint, layered_on: list[AnyPack]) -> Reference:
    """The model that the delta is relative to: the base, or its graft with `layered_on`.

    Raises `IntegrityError` if a pack of `layered_on` was built for another base.
    """
    identity = session.identify(base, "hashing base", cached=False)
    verified = VerifiedCheckpoint.of(base, identity)
    if not layered_on:
        return Reference(verified, verified, identity, identity, (), files_of(base))
    for pack_ in layered_on:
        if pack_.manifest.base.root != identity.root:
            raise IntegrityError(
                f"`--over` {pack_.manifest.ref} was built for base `{pack_.manifest.base.root}`, "
                f"but `{base.path}` is `{identity.root}`"
            )
    check_set([layer.manifest for layer in layered_on], {})
    composition = Composition(verified, [WeightedPack(decoder) for decoder in opened(layered_on)])
    advance = session.progress("grafting the packs below", total_bytes(composition))
    composed = composed_identity(composition, identity, workers=session.workers, advance=advance)
    before = files_of(base)
    side = apply_side_files(before, side_packs(layered_on))
    return Reference(
        verified,
        composition,
        identity,
        composed,
        tuple(layered_on),
        lambda n: side[n] if n in side else before(n),
    )


def _differs(pair: Pair, base: Identity, tuned: Source, theirs: Identity) -> bool:
    if pair.change != "changed":
        return True
    leaf = cast_leaf(tuned, pair) if pair.cast else theirs.leaves[pair.read_name]
    return base.leaves[pair.tensor] != leaf


def _check_lossless(models: ModelPair, delta: EncodedDelta, result_root: Digest) -> None:
    """Raise `IntegrityError` unless a lossless pack decodes to the tuned model's root (law 2)."""
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


def _write(
    session: Session, request: PackRequest, manifest: Manifest, delta: EncodedDelta
) -> Packed:
    image, blobs = build_image(request, manifest, delta)
    path = _output(request)
    with staged_beside(session.home, staged_path(path)):
        digest = write_archive(path, image.canonical(), str(manifest.version), blobs)
    return Packed(manifest, path, digest, path.stat().st_size)


def _output(request: PackRequest) -> Path:
    skill = request.skill
    name = f"{skill.namespace}-{skill.name}-{request.version}.skillpack"
    return request.output or Path(name)
