"""The stages of `pack` before it is known what differs, for the progress bar."""

from skillpm.adapters.adapter import Adapter
from skillpm.checkpoint.model import Checkpoint
from skillpm.flows.session.session import Session
from skillpm.parallel import PlannedStage

_HASH, _COMPOSE, _APPLY, _PACK = 0.8e-9, 10e-9, 9e-9, 26e-9
"""Seconds per byte on one core: to hash, to graft packs, to apply an adapter, to encode exactly."""


def plan_hashing(
    session: Session, base: Checkpoint, tuned: Checkpoint | Adapter, *, layered: bool
) -> None:
    """Plan the first stages, and one that stands for all later ones until these are known."""
    size = sum(spec.nbytes for spec in base.specs.values())
    stages = [PlannedStage("hashing base", _HASH * size)]
    if layered:
        stages.append(PlannedStage("grafting the packs below", _COMPOSE * size))
    if isinstance(tuned, Adapter):
        stages.append(PlannedStage("hashing the adapter's base", _HASH * size))
        stages.append(PlannedStage("applying the adapter", _APPLY * size))
    else:
        stages.append(PlannedStage("hashing tuned", _HASH * size))
    session.plan((*stages, PlannedStage("encoding", _PACK * size)))
