"""The model that a delta is relative to: the base, or its graft with the packs of `--over`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from skillpm.checkpoint.folder import is_graft
from skillpm.checkpoint.model import Checkpoint, VerifiedCheckpoint
from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.delta.tensors.ports import Source
from skillpm.errors import GraftError, IntegrityError
from skillpm.flows.locking.solve import check_set
from skillpm.flows.packs.composition import composed_identity, opened, total_bytes
from skillpm.flows.packs.find import find_pack, with_layers
from skillpm.flows.packs.protocol import AnyPack, side_packs
from skillpm.flows.packs.side_files import apply_side_files, files_of
from skillpm.flows.session.session import Session
from skillpm.spec.merkle import Identity

_LABEL = "hashing base"


@dataclass(frozen=True)
class Reference:
    """The base, or its graft with the packs `layered_on`: tensors, identity, small files.

    `base` is the base itself. `files` reads a small file by name; None if there is none.
    `composed` is the identity of the graft; None without packs.
    """

    base: VerifiedCheckpoint
    source: Source
    layered_on: tuple[AnyPack, ...]
    files: Callable[[str], bytes | None]
    composed: Identity | None = None

    @property
    def identity(self) -> Identity:
        """The identity of `source`."""
        return self.composed or self.base.identity


def find_layers(
    session: Session, base: Checkpoint, path: Path, over: Sequence[str]
) -> list[AnyPack]:
    """The packs of `--over`, with the packs that these are layered on.

    Raises `GraftError` if the base, given as `path`, is a graft.
    """
    if is_graft(base.folder or base.path.parent):
        raise GraftError(
            f"`{path}` is a graft; a pack must be built from the original base",
            hint="give the original base, and the packs of the graft with `--over REF…`",
        )
    return with_layers(session, [find_pack(session, ref) for ref in over])


def open_reference(
    session: Session, base: Checkpoint, layered_on: list[AnyPack], *, on_first_read: bool = False
) -> Reference:
    """Hash the base, and compose it with the packs that the new one is layered on.

    With `on_first_read`, a base without such packs is hashed when it is read. Raises
    `IntegrityError` if a pack of `layered_on` was built for another base.
    """
    before = files_of(base)
    if on_first_read and not layered_on:
        unread = session.hash_on_first_read(base, _LABEL)
        return Reference(unread, unread, (), before)
    verified = session.hash_model(base, _LABEL, cached=False)
    if not layered_on:
        return Reference(verified, verified, (), before)
    identity = verified.identity
    for pack in layered_on:
        if pack.manifest.base.root != identity.root:
            raise IntegrityError(
                f"`--over` {pack.manifest.ref} was built for base `{pack.manifest.base.root}`, "
                f"but `{base.label}` is `{identity.root}`"
            )

    def identify(composition: Composition) -> Identity:
        advance = session.progress("grafting the packs below", total_bytes(composition))
        return composed_identity(composition, identity, workers=session.workers, advance=advance)

    return compose_reference(verified, verified, layered_on, identify)


def compose_reference(
    base: VerifiedCheckpoint,
    source: Source,
    layered_on: list[AnyPack],
    identify: Callable[[Composition], Identity],
) -> Reference:
    """The composition of packs with the base, read through `source`. Raises `ResolutionError`."""
    check_set([pack.manifest for pack in layered_on], {})
    composition = Composition(source, [WeightedPack(decoder) for decoder in opened(layered_on)])
    composed = identify(composition)
    before = files_of(base)
    side = apply_side_files(before, side_packs(layered_on))
    return Reference(
        base,
        composition,
        tuple(layered_on),
        lambda name: side[name] if name in side else before(name),
        composed,
    )
