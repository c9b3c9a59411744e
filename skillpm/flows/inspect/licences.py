"""`list --verbose`: what the manifests of the installed packs state."""

from contextlib import suppress

from skillpm.environment.generation import Generation
from skillpm.errors import SpecError
from skillpm.flows.session.session import Session
from skillpm.spec.names import SkillName
from skillpm.store.errors import DamagedBlobError, MissingBlobError
from skillpm.store.packs import load_pack


def licences_of(session: Session, generation: Generation) -> dict[SkillName, str | None]:
    """The licence that each installed pack states; None if it states none.

    A pack whose manifest is missing or damaged in the store is left out.
    """
    licences: dict[SkillName, str | None] = {}
    for skill, entry in generation.installed.items():
        with suppress(MissingBlobError, DamagedBlobError, SpecError):
            licences[skill] = load_pack(session.store, entry.digest).manifest.license
    return licences
