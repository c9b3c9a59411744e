"""Find places that another user can write; `doctor` and every command that writes name them."""

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
    """The places of `written_places` that another user can write, themselves or a parent folder.

    Folders that are shared with a group on purpose (ADR 20) are left out. Costs one `lstat` for
    each part of a path.
    """
    return exposures(written_places(session), shared=True)


def written_places(session: Session) -> Iterator[Path]:
    """The places that commands write: home, store, the project's files and state, registries."""
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
