"""Verify a pack on its base: decode it, and compare the result with its manifest (ADR 25).

Used by `verify`, `install` and `audit`. Costs one decode of the pack and of the packs that it is
layered on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from skillpm.architecture.ask import ask_facts
from skillpm.checkpoint.model import CONFIG, Checkpoint, VerifiedCheckpoint
from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.decoding.recompute import DecodedTensor, decode_all
from skillpm.environment.project import ProjectFolder
from skillpm.errors import IntegrityError, SkillpmError
from skillpm.flows.packs.base_parts import check_part_configs, part_warnings
from skillpm.flows.packs.composition import check_composed, opened, total_bytes
from skillpm.flows.packs.find import with_layers
from skillpm.flows.packs.protocol import AnyPack, side_packs
from skillpm.flows.packs.side_files import apply_side_files, files_of
from skillpm.flows.session.base_model import check_footprint, footprint_fits, open_base
from skillpm.flows.session.session import Session
from skillpm.spec import json
from skillpm.spec.config_numbers import check_numbers
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.spec.manifest import ArchitectureFacts, Manifest
from skillpm.spec.merkle import Identity, leaf_of_chunks, merkle_root
from skillpm.spec.words import counted
from skillpm.store.packs import load_pack
from skillpm.verification.check import (
    FalseManifestError,
    check_decoded,
    check_documents,
    refuse_false,
)
from skillpm.verification.evidence import BaseFacts, Decoded, Discrepancy, PackDocuments


@dataclass(frozen=True)
class HashedBase:
    """A base whose tensors have been hashed."""

    model: VerifiedCheckpoint

    @property
    def identity(self) -> Identity:
        """The base's leaves, and the root over them."""
        return self.model.identity

    @cached_property
    def facts(self) -> ArchitectureFacts:
        """The facts of the architecture from an installed library. The first call takes seconds."""
        return ask_facts(self.model.config or {})


def documents_of(pack: AnyPack) -> PackDocuments:
    """A pack's documents, for the checks that do not need the base."""
    return PackDocuments(pack.image, pack.manifest, pack.size, pack.read)


def _check_config(
    manifest: Manifest, config: bytes | None, specs: Mapping[str, TensorSpec]
) -> None:
    """Raise `IntegrityError` if the config that the pack changes does not fit the tensors."""
    if config is None:
        return
    try:
        check_numbers(json.parse_object(config, f"`{CONFIG}`", foreign=True), specs)
    except ValueError as problem:
        raise IntegrityError(
            f"{manifest.ref} changes `{CONFIG}` so that {problem}",
            hint="do not use this pack; ask its author to build it again with `skillpm pack`",
        ) from problem


def _check_part_configs(
    manifest: Manifest, base: Checkpoint, side: Mapping[str, bytes | None]
) -> None:
    """Raise `IntegrityError` if the config of a part does not fit the part's tensors."""
    try:
        check_part_configs(base, side)
    except ValueError as problem:
        raise IntegrityError(
            f"{manifest.ref} changes the config of a part so that {problem}",
            hint="do not use this pack; ask its author to build it again with `skillpm pack`",
        ) from problem


def warn_of_parts(session: Session, pack: AnyPack, base: Checkpoint) -> tuple[str, ...]:
    """A warning if the base's parts differ from those of the base that the pack was built for."""
    packs = with_layers(session, [pack])
    side = apply_side_files(files_of(base), side_packs(packs))
    return tuple(part_warnings([pack.manifest], base, side))


def verify_on_base(
    session: Session,
    pack: AnyPack,
    base: HashedBase,
    *,
    accept_footprint: bool = False,
    shown: bool = False,
    decoder: OpenPack | None = None,
) -> Digest:
    """Recompute a manifest's statements and compare them; return the root of base + pack.

    On another base with the same footprint (law 8), the `result` of every tensor is compared, but
    statements about the whole base are not. With `shown`, the fields that registries display are
    compared too; `install` leaves them out. `decoder` is the pack, if it is open: the layers that
    it has read are not read again. Raises `IntegrityError` if a statement is false, and the errors
    of `graft` if the pack cannot be grafted.
    """
    documents = documents_of(pack)
    earlier = check_documents(documents, shown=shown, decodes=True)
    try:
        top = decoder or OpenPack.of(pack.manifest, pack.open_layer)
        return _recompute(session, (pack, top), base, earlier, accept_footprint=accept_footprint)
    except FalseManifestError:
        raise
    except SkillpmError:
        refuse_false(pack.manifest, earlier)
        raise


def _recompute(
    session: Session,
    verified: tuple[AnyPack, OpenPack],
    base: HashedBase,
    earlier: Iterable[Discrepancy],
    *,
    accept_footprint: bool,
) -> Digest:
    pack, top = verified
    exact = base.identity.root == pack.manifest.base.root
    if not exact:
        _check_nearly(pack, base, accept_footprint=accept_footprint)
    check_footprint(pack.manifest, base.identity.leaves)
    packs = with_layers(session, [pack])
    side = apply_side_files(files_of(base.model), side_packs(packs))
    others = {decoder.skill: decoder for decoder in opened(packs)}
    decoders = {**others, top.skill: top}.values()
    composition = Composition(base.model, [WeightedPack(decoder) for decoder in decoders])
    _check_config(pack.manifest, side.get(CONFIG), composition.specs)
    _check_part_configs(pack.manifest, base.model, side)
    tensors, leaves = _decode(session, composition, top, base.identity)
    check_composed(composition, base.identity, leaves)
    root = merkle_root(leaves)
    promised = pack.manifest.result_root
    if exact and root != promised:
        earlier = (*earlier, Discrepancy("result_root", promised, root))
    layers = tuple((layer.digest, layer.manifest) for layer in packs if layer.digest != pack.digest)
    decoded = Decoded(tensors, composition.reference_of(top.skill).specs, layers)
    check_decoded(documents_of(pack), decoded, _facts(base, exact=exact), earlier)
    return root


def _check_nearly(pack: AnyPack, base: HashedBase, *, accept_footprint: bool) -> None:
    """Raise `IntegrityError` for another base than the pack's, unless its footprint is accepted.

    The message says whether the footprint matches.
    """
    fits = footprint_fits(pack.manifest, base.identity.leaves)
    if fits and accept_footprint:
        return
    path = base.model.path
    raise IntegrityError(
        f"{pack.manifest.ref} was built for base `{pack.manifest.base.root}`, "
        f"but `{path}` is `{base.identity.root}`"
        + ("; all tensors that the pack changes are the same in both" if fits else ""),
        hint="to use the pack on this base: `--accept-footprint`"
        if fits
        else f"to show the identity of this model: `skillpm identify {path}`",
    )


def _decode(
    session: Session, composition: Composition, top: OpenPack, base: Identity
) -> tuple[Mapping[str, DecodedTensor], dict[str, Digest]]:
    """The decoded tensors of the pack `top`, and the leaves of the base with all packs."""
    advance = session.progress("verifying", total_bytes(composition))
    source = composition.reference_of(top.skill)
    tensors = decode_all(top, source, workers=session.workers, advance=advance)
    leaves: dict[str, Digest] = {}
    for name, spec in composition.specs.items():
        if name in tensors:
            leaves[name] = tensors[name].leaf
        elif name in composition.rewritten:
            leaves[name] = leaf_of_chunks(spec, composition.chunks(name))
            advance(spec.nbytes)
        else:
            leaves[name] = base.leaves[name]
    return tensors, leaves


def _facts(base: HashedBase, *, exact: bool) -> BaseFacts:
    model, identity = base.model, base.identity
    named = model.architecture if model.config is not None else None
    return BaseFacts(
        identity.root,
        named,
        identity.dtype,
        identity.parameters,
        identity.specs,
        exact,
        files_of(model),
        lambda: base.facts,
    )


def verify_locked(
    session: Session, project: ProjectFolder, lock: Lockfile, waiting: Sequence[LockedSkill]
) -> tuple[str, ...]:
    """Verify stored packs and record those that pass; return a note if there is no base.

    The root of the base may come from cached leaves, but the tensors that a pack is decoded against
    are hashed again. Raises the errors of `verify_on_base`, with a hint.
    """
    base = _project_base(session, project, lock)
    if isinstance(base, str):
        packs = counted(len(waiting), "pack")
        return (
            f"{packs} not verified: {base}; `skillpm install` verifies once the base is available",
        )
    for locked in waiting:
        session.say(f"verifying {locked.ref} on the base")
        pack = load_pack(session.store, locked.digest)
        try:
            verify_on_base(session, pack, base, accept_footprint=locked.accept_footprint)
        except SkillpmError as problem:
            problem.hint = problem.hint or f"install the other skills without `{locked.skill}`"
            raise
        for warning in warn_of_parts(session, pack, base.model):
            session.say(f"warning: {warning}")
        session.verified.remember(locked.digest, lock.base.root)
    return ()


def _project_base(session: Session, project: ProjectFolder, lock: Lockfile) -> HashedBase | str:
    """Return the project's base, or the reason why it cannot be used."""
    try:
        model = open_base(session, project)
        identity = session.identify(model, "hashing base")
    except SkillpmError as problem:
        return problem.message
    if identity.root != lock.base.root:
        return (
            f"`{model.path}` has the root `{identity.root}`; the project expects `{lock.base.root}`"
        )
    return HashedBase(VerifiedCheckpoint.of(model, identity))
