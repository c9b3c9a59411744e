"""A pack on its base: decoded, and its manifest held against what came out (ADR 25).

`verify`, `install` and `audit` share it. Costs one decode of the pack and of what it is layered on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from skillpm.architecture.ask import ask_facts
from skillpm.checkpoint.model import CONFIG, Checkpoint, VerifiedCheckpoint
from skillpm.delta.apply.compose import Composition, WeightedPack
from skillpm.delta.apply.open_pack import OpenPack
from skillpm.delta.apply.recompute import DecodedTensor, decode_all
from skillpm.errors import IntegrityError, SkillpmError
from skillpm.flows.packs.base_parts import check_part_configs, part_warnings
from skillpm.flows.packs.composition import check_composed, opened, total_bytes
from skillpm.flows.packs.find import with_lower
from skillpm.flows.packs.protocol import AnyPack, side_packs
from skillpm.flows.packs.side_files import apply_side_files, files_of
from skillpm.flows.session.base_model import check_footprint, footprint_fits
from skillpm.flows.session.session import Session
from skillpm.spec import json
from skillpm.spec.config_numbers import check_numbers
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.manifest import ArchitectureFacts, Manifest
from skillpm.spec.merkle import Identity, leaf_of_chunks, merkle_root
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
        """What a library here says of the architecture; asked once, which may take seconds."""
        return ask_facts(self.model.config or {})


def documents_of(pack: AnyPack) -> PackDocuments:
    """A pack's documents, for the checks that need no base."""
    return PackDocuments(pack.image, pack.manifest, pack.size, pack.read)


def _check_config(
    manifest: Manifest, config: bytes | None, specs: Mapping[str, TensorSpec]
) -> None:
    """Raise `IntegrityError` where a config that the pack changes describes no such tensors."""
    if config is None:
        return
    try:
        check_numbers(json.parse_object(config, f"`{CONFIG}`", foreign=True), specs)
    except ValueError as problem:
        raise IntegrityError(
            f"{manifest.ref} changes `{CONFIG}` so that {problem}",
            hint="do not use this pack; ask its author for one that `skillpm pack` made",
        ) from problem


def _check_part_configs(
    manifest: Manifest, base: Checkpoint, side: Mapping[str, bytes | None]
) -> None:
    """Raise `IntegrityError` where the config of a part does not describe the part's tensors."""
    try:
        check_part_configs(base, side)
    except ValueError as problem:
        raise IntegrityError(
            f"{manifest.ref} changes the config of a part so that {problem}",
            hint="do not use this pack; ask its author for one that `skillpm pack` made",
        ) from problem


def warn_of_parts(session: Session, pack: AnyPack, base: Checkpoint) -> tuple[str, ...]:
    """A sentence where the base has other parts than the pack, or the set below, was cut from."""
    packs = with_lower(session, [pack])
    side = apply_side_files(files_of(base), side_packs(packs))
    return tuple(part_warnings([pack.manifest], base, side))


def verify_on_base(
    session: Session,
    pack: AnyPack,
    base: HashedBase,
    *,
    accept_footprint: bool = False,
    shown: bool = False,
) -> Digest:
    """Hold all that can be recomputed of a manifest against the pack; the root of base + pack.

    On a base that only has the same footprint (law 8) every tensor's `result` is compared, and what
    is said of the whole base is not. With `shown`, what registries show of the pack is compared
    too: an installed pack is not refused for that. Raises `IntegrityError` where anything does not
    hold, and what `graft` raises of a pack that cannot be grafted.
    """
    documents = documents_of(pack)
    earlier = check_documents(documents, shown=shown, decodes=True)
    try:
        return _recompute(session, pack, base, earlier, accept_footprint=accept_footprint)
    except FalseManifestError:
        raise
    except SkillpmError:
        refuse_false(pack.manifest, earlier)
        raise


def _recompute(
    session: Session,
    pack: AnyPack,
    base: HashedBase,
    earlier: Iterable[Discrepancy],
    *,
    accept_footprint: bool,
) -> Digest:
    exact = base.identity.root == pack.manifest.base.root
    if not exact:
        _check_nearly(pack, base, accept_footprint=accept_footprint)
    check_footprint(pack.manifest, base.identity.leaves)
    packs = with_lower(session, [pack])
    side = apply_side_files(files_of(base.model), side_packs(packs))
    layered = opened(packs)
    composition = Composition(base.model, [WeightedPack(each) for each in layered])
    top = next(each for each in layered if each.skill == pack.manifest.skill)
    _check_config(pack.manifest, side.get(CONFIG), composition.specs)
    _check_part_configs(pack.manifest, base.model, side)
    tensors, leaves = _decode(session, composition, top, base.identity)
    check_composed(composition, base.identity, leaves)
    root = merkle_root(leaves)
    promised = pack.manifest.result_root
    if exact and root != promised:
        earlier = (*earlier, Discrepancy("result_root", promised, root))
    lower = tuple((each.digest, each.manifest) for each in packs if each.digest != pack.digest)
    decoded = Decoded(tensors, composition.reference_of(top.skill).specs, lower)
    check_decoded(documents_of(pack), decoded, _facts(base, exact=exact), earlier)
    return root


def _check_nearly(pack: AnyPack, base: HashedBase, *, accept_footprint: bool) -> None:
    """Raise `IntegrityError` for a base that is not the one; say where it is nearly right."""
    fits = footprint_fits(pack.manifest, base.identity.leaves)
    if fits and accept_footprint:
        return
    path = base.model.path
    raise IntegrityError(
        f"{pack.manifest.ref} was cut from base `{pack.manifest.base.root}`, "
        f"but `{path}` is `{base.identity.root}`"
        + ("; but all tensors that the pack touches are the same" if fits else ""),
        hint="`--accept-footprint` goes on"
        if fits
        else f"`skillpm identify {path}` shows what this model is",
    )


def _decode(
    session: Session, composition: Composition, top: OpenPack, base: Identity
) -> tuple[Mapping[str, DecodedTensor], dict[str, Digest]]:
    """The tensors of the pack on top, and every leaf of base + all packs."""
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
