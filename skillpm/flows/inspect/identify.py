"""`identify`: who is this model, and how does it differ from another."""

from dataclasses import dataclass
from pathlib import Path

from skillpm.checkpoint.parts import module_folders
from skillpm.delta.tensors.differences import Difference, measure_difference
from skillpm.flows.packs.base_parts import differing_parts
from skillpm.flows.session.session import Session, open_model
from skillpm.spec.merkle import Identity


@dataclass(frozen=True)
class Identified:
    """What a model is; with `--against`, what differs.

    `parts` are the folders beside the model that sentence-transformers loads with it: they are not
    of the root. `differing_files` are those of their files that the other model has otherwise.
    """

    identity: Identity
    architecture: str
    against: Identity | None = None
    differences: tuple[Difference, ...] = ()
    parts: tuple[str, ...] = ()
    differing_files: tuple[str, ...] = ()


def identify_model(session: Session, path: Path, against: Path | None) -> Identified:
    """Hash the model at `path`; compare it, tensor by tensor, with the one at `against`."""
    model = open_model(path)
    identity = session.identify(model, "hashing", cached=False)
    parts = module_folders(model.folder) if model.folder is not None else ()
    if against is None:
        return Identified(identity, model.architecture, parts=parts)
    other = open_model(against)
    theirs = session.identify(other, "hashing the other", cached=False)
    names = identity.leaves.keys() | theirs.leaves.keys()
    differ = sorted(n for n in names if identity.leaves.get(n) != theirs.leaves.get(n))
    found = tuple(measure_difference(name, before=other, after=model) for name in differ)
    files = tuple(differing_parts(model, other))
    return Identified(identity, model.architecture, theirs, found, parts, files)
