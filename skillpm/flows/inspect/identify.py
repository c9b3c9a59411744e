"""`identify`: the root of a model, and its differences from another model."""

from dataclasses import dataclass
from pathlib import Path

from skillpm.checkpoint.parts import module_folders
from skillpm.delta.tensors.differences import Difference, measure_difference
from skillpm.flows.packs.base_parts import differing_parts
from skillpm.flows.session.session import Session, open_model
from skillpm.spec.merkle import Identity


@dataclass(frozen=True)
class Identified:
    """The identity of a model; with `--against`, its differences from the other model.

    `parts` are the module folders that sentence-transformers loads with the model; the root does
    not cover them. `differing_files` are the files in them that differ from the other model's.
    """

    identity: Identity
    architecture: str
    against: Identity | None = None
    differences: tuple[Difference, ...] = ()
    parts: tuple[str, ...] = ()
    differing_files: tuple[str, ...] = ()


def identify_model(session: Session, path: Path, against: Path | None) -> Identified:
    """Hash the model at `path`, and compare it tensor by tensor with the model at `against`."""
    model = open_model(path, session.say)
    identity = session.identify(model, "hashing", cached=False)
    parts = module_folders(model.folder) if model.folder is not None else ()
    if against is None:
        return Identified(identity, model.architecture, parts=parts)
    other_model = open_model(against, session.say)
    other_identity = session.identify(other_model, "hashing the other model", cached=False)
    leaves, other_leaves = identity.leaves, other_identity.leaves
    names = sorted(leaves.keys() | other_leaves.keys())
    differing = [name for name in names if leaves.get(name) != other_leaves.get(name)]
    differences = tuple(
        measure_difference(name, before=other_model, after=model) for name in differing
    )
    files = tuple(differing_parts(model, other_model))
    return Identified(identity, model.architecture, other_identity, differences, parts, files)
