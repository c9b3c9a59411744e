"""Which registry a skill belongs to, by the project file where there is one."""

import shlex
from dataclasses import replace
from os.path import expanduser, realpath
from pathlib import Path

from skillpm.environment.project import ProjectFolder
from skillpm.errors import UsageError
from skillpm.flows.session.session import Session
from skillpm.index.empty import is_uninitialized
from skillpm.spec.location import RegistryLocation
from skillpm.spec.names import SkillName
from skillpm.spec.project import DEFAULT_REGISTRY, ProjectFile


def resolved(location: RegistryLocation, folder: Path) -> RegistryLocation:
    """A location whose folder is absolute: a path is relative to `folder`, and may begin with `~`.

    How it is shown stays.
    """
    if location.folder is None or not location.is_path:
        return location
    expanded = expanduser(location.folder)  # noqa: PTH111 - Path's own raises for `~nobody`
    return replace(location, folder=str(folder.absolute() / expanded))


def location_of(session: Session, file: ProjectFile, name: str) -> RegistryLocation:
    """Where a named registry is. Raises `UsageError` for a name that the project file lacks."""
    if name == DEFAULT_REGISTRY and (session.registry or name not in file.registries):
        return session.default_registry
    if name not in file.registries:
        raise UsageError(
            f"skillpm.toml names no registry `{name}`",
            hint=f'add `{name} = "URL"` to `[registries]`',
        )
    written = file.registries[name].url
    found = resolved(written, session.project)
    # A relative path means nothing to who reads it elsewhere: it is shown as what it leads to.
    own = written.is_path and found.folder is not None
    return RegistryLocation.of_folder(found.folder or "") if own else found


def check_can_be_made(session: Session, file: ProjectFile, name: str) -> None:
    """Raise `UsageError` where a project alone says that a registry be made outside of it.

    A project may come from a stranger, and its paths may lead anywhere (law 5). What the person
    names, and what lies in the project or the home, is made when something is published to it.
    """
    if name not in file.registries or (name == DEFAULT_REGISTRY and session.registry):
        return
    folder = location_of(session, file, name).folder
    if folder is None or not is_uninitialized(Path(folder)):
        return
    homes = [realpath(home) for home in (session.project, session.home)]
    if not any(Path(realpath(folder)).is_relative_to(home) for home in homes):
        raise UsageError(
            f"skillpm.toml names the registry `{folder}`, where there is none yet: a project does "
            "not decide that one is made outside of it",
            hint=f"`skillpm registry init {shlex.quote(folder)}` makes it",
        )


def registry_for(
    session: Session, skill: SkillName | None, *, makes: bool = False
) -> RegistryLocation:
    """The location of the registry that a skill is bound to; without one, of the default.

    What the person names wins; outside a project there is only the default. So a pack of a private
    namespace goes where the project looks it up, and nowhere else. Where the caller `makes` a
    registry that is not there yet, raises as `check_can_be_made` does.
    """
    project = ProjectFolder(session.project)
    if session.registry or not project.has_file:
        return session.default_registry
    file = project.read_file()
    name = file.registry_of(skill) if skill else DEFAULT_REGISTRY
    if makes:
        check_can_be_made(session, file, name)
    return location_of(session, file, name)
