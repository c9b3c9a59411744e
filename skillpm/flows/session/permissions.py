"""Places that someone else may write: named by `doctor`, and by every command that writes."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from skillpm.environment.project import ProjectFolder
from skillpm.errors import SkillpmError
from skillpm.files.ownership import Exposure, exposures
from skillpm.flows.session.bindings import location_of
from skillpm.flows.session.session import Session
from skillpm.spec.location import RegistryLocation
from skillpm.spec.project import DEFAULT_REGISTRY

REMEDY = "`skillpm doctor` lists all such places"


def exposed_places(session: Session) -> list[Exposure]:
    """Home, store, project and registries that someone else may write, or a folder above them.

    What is shared with a group on purpose (ADR 20) is not among them. Costs one `lstat` for each
    part of a path.
    """
    return exposures(written_places(session), shared=True)


def written_places(session: Session) -> Iterator[Path]:
    """What commands write here: home, store, the project's files and state, its registries."""
    yield from (session.home, session.store.folder, session.store.folder / "sha256")
    project = ProjectFolder(session.project)
    yield from (project.folder, project.file, project.lock_file, project.state)
    yield from (project.pointer, project.state / "generations")
    with suppress(SkillpmError, OSError):
        yield from _registry(session.default_registry)
        if not project.has_file:
            return
        file = project.read_file()
        for name in sorted({DEFAULT_REGISTRY, *file.registries}):
            yield from _registry(location_of(session, file, name))


def _registry(location: RegistryLocation) -> Iterator[Path]:
    if location.folder is not None:
        yield Path(location.folder)
