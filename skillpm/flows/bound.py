"""Which registry a skill belongs to, by the project file where there is one."""

from pathlib import Path

from skillpm.environment.project import Project
from skillpm.errors import UsageError
from skillpm.flows.setting import Setting
from skillpm.spec.names import SkillName
from skillpm.spec.project import DEFAULT_REGISTRY, ProjectFile


def url_of(setting: Setting, file: ProjectFile, name: str) -> str:
    """Where a named registry is. Raises `UsageError` for a name that the project file lacks."""
    if name == DEFAULT_REGISTRY and (setting.registry or name not in file.registries):
        return setting.default_registry
    if name not in file.registries:
        raise UsageError(
            f"skillpm.toml names no registry `{name}`",
            hint=f'add `{name} = "URL"` to `[registries]`',
        )
    url = file.registries[name].url
    return url if "://" in url else str(setting.project / Path(url).expanduser())


def registry_for(setting: Setting, skill: SkillName | None) -> str:
    """The URL of the registry that a skill is bound to; without one, of the default.

    What the person names wins; outside a project there is only the default. So a pack of a private
    namespace goes where the project looks it up, and nowhere else.
    """
    project = Project(setting.project)
    if setting.registry or not project.has_file:
        return setting.default_registry
    file = project.read_file()
    return url_of(setting, file, file.registry_of(skill) if skill else DEFAULT_REGISTRY)
