"""Open and pair the models of a request without hashing them, for `pack --dry-run`.

Leaves are placeholders of the right length. Whether tensors differ is found by comparing bytes:
all of them if the models are small, else a few pieces of each tensor.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from skillpm.adapters.adapter import Adapter
from skillpm.architecture.ask import ask_facts
from skillpm.checkpoint.model import Checkpoint, VerifiedCheckpoint
from skillpm.delta.decoding.compose import Composition
from skillpm.delta.tensors.pairing import Pair, pair_up
from skillpm.delta.tensors.ports import Source
from skillpm.errors import IntegrityError
from skillpm.flows.pack.model_pair import ModelPair, PackRequest, nothing_to_pack, open_models
from skillpm.flows.pack.named_base import find_named_base, has_same_files
from skillpm.flows.pack.reference import Reference, compose_reference, find_layers
from skillpm.flows.pack.tuned_model import (
    TunedModel,
    adapted_model,
    fit_adapter,
    unchanged_error,
)
from skillpm.flows.packs.protocol import AnyPack
from skillpm.flows.packs.side_files import files_of
from skillpm.flows.session.session import Session
from skillpm.spec.digests import Digest
from skillpm.spec.merkle import Identity, leaf_of_chunks

COMPARED = 1 << 29
"""Models of at most these bytes are compared whole."""
_PIECES, _PIECE = 8, 1 << 17
"""The pieces that are compared of a tensor of a larger model, and the bytes of each."""


@dataclass(frozen=True)
class UnhashedModels:
    """Both models, paired, and the bytes that `pack` hashes of base, tuned model and named base."""

    models: ModelPair
    hashed: dict[str, int]


def pair_unhashed(session: Session, request: PackRequest) -> UnhashedModels:
    """Open and pair both models as `pair_models` does. Raises the errors that it raises.

    An adapter's base is compared with the base by samples.
    """
    base, found = open_models(session, request)
    reference = _open_reference(base, find_layers(session, base, request.base, request.over))
    hashed = {"hashing base": _size(base)}
    if isinstance(found, Adapter):
        tuned, named = _apply(session, found, reference)
        if named is not None:
            hashed["hashing the adapter's base"] = _size(named)
    else:
        tuned = TunedModel(found, placeholder(found), files_of(found), found.folder)
        hashed["hashing tuned"] = _size(found)
    pairs, renaming = pair_up(reference.source.specs, tuned.source.specs, cast=request.cast)
    differing = _differing(reference, tuned, pairs)
    if not differing:
        raise nothing_to_pack(request, base, found)
    models = ModelPair(
        request, reference, tuned.source, tuned.identity, tuple(pairs), differing, renaming,
        tuned.files, ask_facts(base.config or {}), tuned.folder, tuned.adapter,
    )  # fmt: skip
    return UnhashedModels(models, hashed)


def _size(model: Checkpoint) -> int:
    return sum(spec.nbytes for spec in model.specs.values())


def placeholder(source: Source) -> Identity:
    """An identity whose leaves are not those of the tensors, but as long."""
    leaves = {name: Digest.of(name.encode()) for name in source.specs}
    return Identity(source.specs, leaves)


def _open_reference(base: Checkpoint, layered_on: list[AnyPack]) -> Reference:
    """The base, or its composition with packs.

    Raises `IntegrityError` if a pack was built for a base with other names or shapes.
    """
    verified = VerifiedCheckpoint.of(base, placeholder(base))
    if not layered_on:
        return Reference(verified, base, (), files_of(base))
    for pack in layered_on:
        _check_fits(pack, base)
    return compose_reference(verified, base, layered_on, placeholder)


def _check_fits(pack: AnyPack, base: Checkpoint) -> None:
    """Compare the leaf of the smallest tensor that the pack changes."""
    changed = [entry for entry in pack.manifest.footprint if entry.leaf is not None]
    known = [entry for entry in changed if entry.tensor in base.specs]
    smallest = min(known, key=lambda entry: entry.spec.nbytes, default=None)
    spec = smallest and base.specs[smallest.tensor]
    if smallest and spec and len(known) == len(changed):
        leaf = (
            Digest.of(b"")
            if spec.shape != smallest.shape
            else leaf_of_chunks(spec, base.chunks(spec.name))
        )
        if leaf == smallest.leaf or smallest.change == "resized":
            return
    raise IntegrityError(
        f"`--over` {pack.manifest.ref} was built for base `{pack.manifest.base.root}`, "
        f"but `{base.label}` is another model"
    )


def _apply(
    session: Session, adapter: Adapter, reference: Reference
) -> tuple[TunedModel, Checkpoint | None]:
    """The base with an adapter, and the adapter's base if `pack` hashes it too.

    Raises `IntegrityError` if that is another model, `GraftError` if the adapter changes nothing.
    """
    fitted = fit_adapter(session, adapter, reference, keep=False)
    name, named = find_named_base(session, adapter, reference)
    if named is not None and has_same_files(named, reference.base):
        named = None
    if named is not None and _differ(reference.base, named):
        raise IntegrityError(
            f"`{adapter.path}` was trained on `{named.label}`, but `{reference.base.label}` is "
            "another model",
            hint="use the base that the adapter names: "
            f"`skillpm pack {named.label} {adapter.path} …`",
        )
    adapted = fitted.adapted
    if not any(_changes(adapted, reference.source, tensor) for tensor in adapted.touched):
        raise unchanged_error(adapter)
    identity = placeholder(adapted)
    return adapted_model(adapter, reference, fitted, identity, name), named


def _differ(base: Checkpoint, other: Checkpoint) -> bool:
    if base.specs.keys() != other.specs.keys():
        return True
    return any(
        spec.shape != other.specs[name].shape
        or spec.dtype != other.specs[name].dtype
        or differ(base, other, Pair(name, spec, spec), whole=_size(base) <= COMPARED)
        for name, spec in base.specs.items()
    )


def _changes(tuned: Source, base: Source, tensor: str, *, chunks: int | None = None) -> bool:
    """Whether a tensor differs in its first `chunks`. Computes it up to the first that does."""
    before = base.specs.get(tensor)
    if before is None or before.shape != tuned.specs[tensor].shape:
        return True
    pairs = zip(tuned.chunks(tensor), base.chunks(tensor), strict=True)
    return any(new != old for new, old in islice(pairs, chunks))


def _differing(reference: Reference, tuned: TunedModel, pairs: list[Pair]) -> tuple[Pair, ...]:
    """The pairs that differ. With an adapter, all tensors that it touches count."""
    if tuned.adapter is not None:
        touched = set(tuned.adapter.tensors.touched)
        return tuple(pair for pair in pairs if pair.tensor in touched)
    whole = _size(reference.base) <= COMPARED
    for each in (whole, True):
        found = tuple(pair for pair in pairs if _differs(reference, tuned.source, pair, whole=each))
        if found:
            break
    return found


def _differs(reference: Reference, tuned: Source, pair: Pair, *, whole: bool) -> bool:
    """Whether a pair differs. One that is cast or renamed on top of packs counts as different."""
    if pair.change != "changed" or pair.cast or not isinstance(tuned, Checkpoint):
        return True
    source = reference.source
    if isinstance(source, Composition) and pair.tensor in source.rewritten:
        is_renamed = pair.read_name != pair.tensor
        return is_renamed or _changes(tuned, source, pair.tensor, chunks=None if whole else 1)
    return differ(reference.base, tuned, pair, whole=whole)


def differ(base: Checkpoint, tuned: Checkpoint, pair: Pair, *, whole: bool) -> bool:
    """Whether a tensor differs in both models: whole, or in some pieces."""
    assert pair.base is not None  # noqa: S101 - callers pass a pair of equal shapes
    return any(
        base.read_bytes(pair.tensor, *span) != tuned.read_bytes(pair.read_name, *span)
        for span in _spans(pair.base.nbytes, whole=whole)
    )


def _spans(size: int, *, whole: bool) -> Iterator[tuple[int, int]]:
    """Pieces of a tensor of `size` bytes, spread over it; all of it if `whole`."""
    if whole or size <= _PIECES * _PIECE:
        yield from ((start, min(size, start + _PIECE)) for start in range(0, size, _PIECE))
        return
    for number in range(_PIECES):
        start = number * (size - _PIECE) // (_PIECES - 1)
        yield start, start + _PIECE
