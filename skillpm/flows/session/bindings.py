"""Find the registry that a skill is bound to, from the project file if there is one."""

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
    """The location with an absolute folder. A path is relative to `folder`; `~` is expanded.

    The text that messages show for the location is unchanged.
    """
    if location.folder is None or not location.is_path:
        return location
    expanded = expanduser(location.folder)  # noqa: PTH111 - `Path.expanduser` raises for an unknown user
    return replace(location, folder=str(folder.absolute() / expanded))


def location_of(session: Session, file: ProjectFile, name: str) -> RegistryLocation:
    """The location of a named registry. Raises `UsageError` for a name not in skillpm.toml."""
    if name == DEFAULT_REGISTRY and (session.registry or name not in file.registries):
        return session.default_registry
    if name not in file.registries:
        raise UsageError(
            f"skillpm.toml has no registry `{name}`",
            hint=f'add `{name} = "URL"` to `[registries]` in skillpm.toml',
        )
    written = file.registries[name].url
    found = resolved(written, session.project)
    # Messages show the absolute folder: a relative path means nothing in another folder.
    own = written.is_path and found.folder is not None
    return RegistryLocation.of_folder(found.folder or "") if own else found


def check_can_be_made(session: Session, file: ProjectFile, name: str) -> None:
    """Raise `UsageError` if only the project file asks to create a registry outside the project.

    A project may come from someone else, and its paths may lead anywhere (law 5). A registry that
    the user names, or that is in the project or the home, is created by the first `publish`.
    """
    if name not in file.registries or (name == DEFAULT_REGISTRY and session.registry):
        return
    folder = location_of(session, file, name).folder
    if folder is None or not is_uninitialized(Path(folder)):
        return
    homes = [realpath(home) for home in (session.project, session.home)]
    if not any(Path(realpath(folder)).is_relative_to(home) for home in homes):
        raise UsageError(
            f"skillpm.toml names the registry `{folder}`, which does not exist; a project file "
            "alone is not enough for skillpm to create a registry outside the project",
            hint=f"to create it: `skillpm registry init {shlex.quote(folder)}`",
        )


def registry_for(
    session: Session, skill: SkillName | None, *, makes: bool = False
) -> RegistryLocation:
    """The location of the registry that a skill is bound to; of the default one without a skill.

    `--registry` takes precedence; outside a project there is only the default registry. So a pack
    of a private namespace is only published to the registry from which the project installs it.
    If the caller `makes` a missing registry, raises `UsageError` as `check_can_be_made` does.
    """
    project = ProjectFolder(session.project)
    if session.registry or not project.has_file:
        return session.default_registry
    file = project.read_file()
    name = file.registry_of(skill) if skill else DEFAULT_REGISTRY
    if makes:
        check_can_be_made(session, file, name)
    return location_of(session, file, name)
