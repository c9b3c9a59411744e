"""Which registry a skill belongs to, by the project file where there is one."""

from dataclasses import replace
from os.path import expanduser
from pathlib import Path

from skillpm.environment.project import Project
from skillpm.errors import UsageError
from skillpm.flows.setting import Setting
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


def location_of(setting: Setting, file: ProjectFile, name: str) -> RegistryLocation:
    """Where a named registry is. Raises `UsageError` for a name that the project file lacks."""
    if name == DEFAULT_REGISTRY and (setting.registry or name not in file.registries):
        return setting.default_registry
    if name not in file.registries:
        raise UsageError(
            f"skillpm.toml names no registry `{name}`",
            hint=f'add `{name} = "URL"` to `[registries]`',
        )
    return resolved(file.registries[name].url, setting.project)


def registry_for(setting: Setting, skill: SkillName | None) -> RegistryLocation:
    """The location of the registry that a skill is bound to; without one, of the default.

    What the person names wins; outside a project there is only the default. So a pack of a private
    namespace goes where the project looks it up, and nowhere else.
    """
    project = Project(setting.project)
    if setting.registry or not project.has_file:
        return setting.default_registry
    file = project.read_file()
    return location_of(setting, file, file.registry_of(skill) if skill else DEFAULT_REGISTRY)
