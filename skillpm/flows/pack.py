"""`pack`: cut the difference between a tuned model and its base into a SkillPack."""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from skillpm.archive.writer import write_archive
from skillpm.checkpoint.files import OpenFile
from skillpm.checkpoint.folder import is_graft
from skillpm.checkpoint.model import Checkpoint
from skillpm.delta.compose import Applied, Composition
from skillpm.delta.cut import Block, Work, cast_leaf, encode_blocks, measure_pack
from skillpm.delta.match import Pair, pair_up
from skillpm.delta.packs import OpenPack
from skillpm.delta.payload import PayloadReader
from skillpm.delta.ports import Source
from skillpm.delta.schemes import Scheme
from skillpm.errors import GraftError, IntegrityError
from skillpm.flows.compose import composed_identity, opened, total_bytes
from skillpm.flows.lower import AnyPack, find_pack, side_packs, with_lower
from skillpm.flows.manifest_of import (
    Against,
    Cut,
    EncodedTensor,
    Reference,
    Request,
    build_image,
    build_manifest,
    draft_entries,
)
from skillpm.flows.setting import Setting, open_model
from skillpm.flows.sidefiles import apply_side_files, cut_side_files, files_of
from skillpm.flows.solve import check_set
from skillpm.flows.tuned import find_tuned, tuned_side
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Manifest
from skillpm.spec.merkle import Identity, merkle_root
from skillpm.store.blobs import HashingSink
from skillpm.store.scratch import disk_errors, scratch

_SPOOL = 8 << 20


@dataclass(frozen=True)
class Packed:
    """A pack that was written."""

    manifest: Manifest
    path: Path
    digest: Digest
    file_bytes: int


def pack(setting: Setting, request: Request, scheme: Scheme) -> Packed:
    """Cut, measure, prove, write. Nothing is left behind where any step fails.

    Streams tensor by tensor. Raises `GraftError` where there is nothing to pack or it cannot be.
    """
    base, found = open_model(request.base), find_tuned(request.tuned)
    lower = _lower(setting, request, base)
    reference = _reference(setting, base, lower)
    side = tuned_side(setting, request, found, reference, scheme)
    tuned, tuned_identity, request, scheme = side.source, side.identity, side.request, side.scheme
    pairs, renaming = pair_up(reference.source.specs, tuned.specs, cast=request.cast)
    differing = [p for p in pairs if _differs(p, reference.identity, tuned, tuned_identity)]
    if not differing:
        raise _nothing(request)
    against = Against(reference, tuned, tuned_identity, pairs, differing, renaming, side.files)
    with scratch(setting.home, "pack") as folder, disk_errors(folder):
        cut = _cut(setting, request, against, scheme, folder)
        manifest = build_manifest(request, against, cut, scheme, setting.created)
        if scheme.name == "lossless":
            _prove(against, cut, manifest.result_root)
        return _write(request, manifest, cut)


def _nothing(request: Request) -> GraftError:
    return GraftError(
        f"`{request.tuned}` has the same tensors as its base: there is nothing to pack",
        hint=f"`skillpm identify {request.tuned} --against {request.base}` compares them",
    )


def _lower(setting: Setting, request: Request, base: Checkpoint) -> list[AnyPack]:
    if is_graft(base.folder or base.path.parent):
        raise GraftError(
            f"`{request.base}` is a graft: a pack is cut from the original base",
            hint="name the original base, and the installed set with `--over REF…`",
        )
    return with_lower(setting, [find_pack(setting, ref) for ref in request.over])


def _reference(setting: Setting, base: Checkpoint, lower: list[AnyPack]) -> Reference:
    """What the delta is against: the base, or its graft with the set that the pack lies over."""
    identity = setting.identify(base, "hashing base")
    base.expected = identity.leaves
    if not lower:
        return Reference(base, base, identity, identity, (), files_of(base))
    for pack_ in lower:
        if pack_.manifest.base.root != identity.root:
            raise IntegrityError(
                f"`--over` {pack_.manifest.ref} was cut from base `{pack_.manifest.base.root}`, "
                f"but `{base.path}` is `{identity.root}`"
            )
    check_set([each.manifest for each in lower], {})
    composition = Composition(base, [Applied(each) for each in opened(lower)])
    advance = setting.progress("grafting the set below", total_bytes(composition))
    composed = composed_identity(composition, identity, workers=setting.workers, advance=advance)
    before = files_of(base)
    side = apply_side_files(before, side_packs(lower))
    return Reference(
        base, composition, identity, composed, tuple(lower), lambda n: side.get(n) or before(n)
    )


def _differs(pair: Pair, base: Identity, tuned: Source, theirs: Identity) -> bool:
    if pair.change != "changed":
        return True
    leaf = cast_leaf(tuned, pair) if pair.cast else theirs.leaves[pair.read_name]
    return base.leaves[pair.tensor] != leaf


def _cut(setting: Setting, request: Request, against: Against, scheme: Scheme, folder: Path) -> Cut:
    """Encode into layer files under `folder`; decode them again; measure what came out."""
    reference, tuned, pairs = against.reference, against.tuned, against.differing
    total = sum(pair.tuned.nbytes for pair in pairs if pair.tuned)
    work = Work(reference.source, tuned, setting.workers, setting.progress("encoding", total))
    layers: dict[Digest, Path] = {}
    encoded: dict[str, EncodedTensor] = {}
    with ExitStack() as spools:  # an error between two blocks leaves some open
        spool = partial(_spool, folder, spools)
        for block in encode_blocks(work, pairs, scheme, spool):
            staged = folder / f"layer-{len(layers)}"
            digest = _write_layer(staged, block)
            stored = PayloadReader(OpenFile(staged), block.name).stored_bytes
            layers[digest] = staged
            for tensor, codec in block.codecs.items():
                encoded[tensor] = EncodedTensor(codec, digest, stored(tensor))
    draft = draft_entries(pairs, reference.base_identity, encoded)
    below = tuple(each.manifest.skill for each in reference.lower)
    trial = OpenPack(
        request.skill, str(request.skill), draft, below, lambda digest: OpenFile(layers[digest])
    )
    checking = Work(reference.source, tuned, setting.workers, setting.progress("checking", total))
    measured = measure_pack(checking, pairs, trial)
    side = tuple(cut_side_files(reference.files, against.files))
    return Cut(draft, encoded, layers, measured, side)


def _spool(folder: Path, spools: ExitStack) -> BinaryIO:
    file = tempfile.SpooledTemporaryFile(_SPOOL, dir=str(folder))  # noqa: SIM115 - `spools` closes
    return cast("BinaryIO", spools.enter_context(file))


def _write_layer(path: Path, block: Block) -> Digest:
    with path.open("xb") as file:
        sink = HashingSink(file)
        block.writer.write_to(sink)
    return sink.digest


def _prove(against: Against, cut: Cut, result_root: Digest) -> None:
    """A lossless pack gives the tuned model's root, or there is no pack (law 2)."""
    theirs = against.tuned_identity.leaves
    leaves = {
        pair.tensor: cast_leaf(against.tuned, pair) if pair.cast else theirs[pair.read_name]
        for pair in against.pairs
        if pair.tuned
    }
    wrong = sorted(name for name, one in cut.measured.items() if one.leaf != leaves[name])
    if wrong or merkle_root(leaves) != result_root:
        name = wrong[0] if wrong else "the root"
        raise IntegrityError(f"`{name}` does not decode to the tuned model's: no pack was written")


def _write(request: Request, manifest: Manifest, cut: Cut) -> Packed:
    image, blobs = build_image(request, manifest, cut)
    path = request.output or Path(_file_name(manifest))
    digest = write_archive(path, image.canonical(), str(manifest.version), blobs)
    return Packed(manifest, path, digest, path.stat().st_size)


def _file_name(manifest: Manifest) -> str:
    skill = manifest.skill
    return f"{skill.namespace}-{skill.name}-{manifest.version}.skillpack"
