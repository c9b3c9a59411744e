"""`identify`: who is this model, and how does it differ from another."""

from dataclasses import dataclass
from pathlib import Path

from skillpm.delta.differ import Difference, measure_difference
from skillpm.flows.setting import Setting, open_model
from skillpm.spec.merkle import Identity


@dataclass(frozen=True)
class Identified:
    """What a model is; with `--against`, what differs."""

    identity: Identity
    architecture: str
    against: Identity | None = None
    differences: tuple[Difference, ...] = ()


def identify_model(setting: Setting, path: Path, against: Path | None) -> Identified:
    """Hash the model at `path`; compare it, tensor by tensor, with the one at `against`."""
    model = open_model(path)
    identity = setting.identify(model, "hashing", cached=False)
    if against is None:
        return Identified(identity, model.architecture)
    other = open_model(against)
    theirs = setting.identify(other, "hashing the other", cached=False)
    names = identity.leaves.keys() | theirs.leaves.keys()
    differ = sorted(n for n in names if identity.leaves.get(n) != theirs.leaves.get(n))
    found = tuple(measure_difference(name, before=other, after=model) for name in differ)
    return Identified(identity, model.architecture, theirs, found)
