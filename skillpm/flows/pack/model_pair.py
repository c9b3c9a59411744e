"""Stage 1 of `pack`: open and hash both models, and pair their tensors by name."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from skillpm.adapters.adapter import Adapter
from skillpm.architecture.ask import ask_facts
from skillpm.checkpoint.model import Checkpoint
from skillpm.delta.encoding.encode import cast_leaf
from skillpm.delta.tensors.pairing import Pair, Renaming, pair_up
from skillpm.delta.tensors.ports import Source
from skillpm.errors import GraftError
from skillpm.flows.pack.first_stages import plan_hashing
from skillpm.flows.pack.reference import Reference, find_layers, open_reference
from skillpm.flows.pack.tuned_model import AppliedAdapter, TunedModel, find_tuned, open_tuned
from skillpm.flows.packs.base_parts import differing_parts
from skillpm.flows.session.session import Session, open_model
from skillpm.spec.manifest import ArchitectureFacts
from skillpm.spec.merkle import Identity
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement
from skillpm.spec.versions import Version


@dataclass(frozen=True)
class PackRequest:
    """What to pack, and what its manifest states. `license` is a normalised SPDX expression."""

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
    cast: bool = False
    tuned_is: str | None = None
    method: str | None = None
    sources: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    flops: float | None = None

    @property
    def path(self) -> Path:
        """The file to write."""
        return self.output or Path(self.skill.pack_file(self.version))


@dataclass(frozen=True)
class ModelPair:
    """The reference and the tuned model of a request, paired tensor by tensor.

    `differing` are the pairs whose tensors differ, at least one. `files` reads the tuned model's
    small files, and `folder` is its folder. `adapter` is the adapter that was applied, if any.
    """

    request: PackRequest
    reference: Reference
    tuned: Source
    tuned_identity: Identity
    pairs: tuple[Pair, ...]
    differing: tuple[Pair, ...]
    renaming: Renaming
    files: Callable[[str], bytes | None]
    facts: ArchitectureFacts
    folder: Path | None = None
    adapter: AppliedAdapter | None = None

    @property
    def delta_bytes(self) -> int:
        """The bytes of all differing tensors of the tuned model, dense, in their stored dtype."""
        return sum(pair.tuned.nbytes for pair in self.differing if pair.tuned)


def _paired(
    request: PackRequest, reference: Reference, tuned: TunedModel
) -> tuple[list[Pair], Renaming]:
    """Pair the tensors. The hint of an error names the command that compares the models."""
    try:
        return pair_up(reference.source.specs, tuned.source.specs, cast=request.cast)
    except GraftError as problem:
        if problem.hint is None and tuned.folder is not None:
            paths = [shlex.quote(str(path)) for path in (request.tuned, request.base)]
            problem.hint = f"`skillpm identify {paths[0]} --against {paths[1]}` shows what differs"
        raise


def pair_models(session: Session, request: PackRequest) -> ModelPair:
    """Open, hash and pair both models; an adapter is applied to the reference.

    Costs one read and SHA-256 of both. Raises `GraftError` if no tensor differs or a model cannot
    be packed, `IntegrityError` if a pack of `--over` or an adapter belongs to another base.
    """
    base, found = open_models(session, request)
    plan_hashing(session, base, found, layered=bool(request.over))
    layered_on = find_layers(session, base, request.base, request.over)
    is_adapter = isinstance(found, Adapter)  # it is applied by one read of the base
    reference = open_reference(session, base, layered_on, on_first_read=is_adapter)
    tuned = open_tuned(session, found, reference)
    pairs, renaming = _paired(request, reference, tuned)
    differing = tuple(pair for pair in pairs if _differs(pair, reference.identity, tuned))
    if not differing:
        raise nothing_to_pack(request, base, found)
    return ModelPair(
        request,
        reference,
        tuned.source,
        tuned.identity,
        tuple(pairs),
        differing,
        renaming,
        tuned.files,
        ask_facts(base.config or {}),
        tuned.folder,
        tuned.adapter,
    )


def open_models(session: Session, request: PackRequest) -> tuple[Checkpoint, Checkpoint | Adapter]:
    """Open the base and the tuned model of a request, which may be an adapter; hashes nothing."""
    base = open_model(request.base, session.say)
    return base, find_tuned(request.tuned, request.tuned_is, session.say)


def _differs(pair: Pair, reference: Identity, tuned: TunedModel) -> bool:
    if pair.change != "changed":
        return True
    leaf = cast_leaf(tuned.source, pair) if pair.cast else tuned.identity.leaves[pair.read_name]
    return reference.leaves[pair.tensor] != leaf


def nothing_to_pack(
    request: PackRequest, base: Checkpoint, tuned: Checkpoint | Adapter
) -> GraftError:
    """The error if no tensor differs; it names the differing parts, if any."""
    parts = differing_parts(base, tuned) if isinstance(tuned, Checkpoint) else []
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
