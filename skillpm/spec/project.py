"""The project file, `skillpm.toml`: what the person asks for."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from skillpm.errors import Problems, SpecError
from skillpm.spec import toml
from skillpm.spec.digests import Digest
from skillpm.spec.fields import DigestField, Document, read_document
from skillpm.spec.names import SkillName, is_half
from skillpm.spec.requirements import Requirement, VersionRange

DEFAULT_REGISTRY = "default"
GRAFT_MODE = "merge"
GRAFT_METHOD = "sum"


def _as_table(key: str) -> BeforeValidator:
    return BeforeValidator(lambda plain: {key: plain} if isinstance(plain, str) else plain)


class Wish(Document):
    """What `[skills]` says of one skill: a version requirement, or a table."""

    version: str = "*"
    registry: str | None = None
    weight: Annotated[float, Field(strict=False)] = 1.0


class RegistryEntry(Document):
    """One named registry, and the namespaces that are bound to it."""

    url: str
    namespaces: list[str] = Field(default_factory=list)


class ProjectTable(Document):
    """`[project]`: where the base lies (relative to the file), and its root."""

    base: str
    root: DigestField


class GraftTable(Document):
    """`[graft]`: how the set is put together."""

    mode: str = GRAFT_MODE
    method: str = GRAFT_METHOD


class ProjectFile(Document):
    """The whole file; unknown tables are kept and ignored."""

    project: ProjectTable
    skills: dict[str, Annotated[Wish, _as_table("version")]] = Field(default_factory=dict)
    graft: GraftTable = GraftTable()
    registries: dict[str, Annotated[RegistryEntry, _as_table("url")]] = Field(default_factory=dict)

    @property
    def root(self) -> Digest:
        """The root that the base must have."""
        return self.project.root

    @property
    def wishes(self) -> dict[SkillName, Wish]:
        """`[skills]` by name, sorted."""
        return dict(sorted((SkillName.parse(name), wish) for name, wish in self.skills.items()))

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """`[skills]` as requirements, sorted by name."""
        ranges = ((skill, VersionRange.parse(wish.version)) for skill, wish in self.wishes.items())
        return tuple(Requirement(skill, range_) for skill, range_ in ranges)

    def registry_of(self, skill: SkillName) -> str:
        """The one registry that a skill is looked up in: its own, its namespace's, the default."""
        wish = self.skills.get(str(skill))
        if wish and wish.registry:
            return wish.registry
        for name, entry in self.registries.items():
            if skill.namespace in entry.namespaces:
                return name
        return DEFAULT_REGISTRY


def parse_project(text: str, what: str = "skillpm.toml") -> ProjectFile:
    """Read a project file; raise `SpecError` with every problem and its path."""
    project = read_document(ProjectFile, toml.parse(text, what), what)
    problems = Problems(what)
    for name, wish in project.skills.items():
        try:
            Requirement(SkillName.parse(name), VersionRange.parse(wish.version))
        except SpecError as problem:
            problems.add(f"skills.{name}", problem.message)
        if not -1e6 < wish.weight < 1e6:  # noqa: PLR2004 - a sane bound, said in the message
            problems.add(f"skills.{name}.weight", "a weight lies between -1e6 and 1e6")
        if wish.registry not in (None, DEFAULT_REGISTRY, *project.registries):
            problems.add(f"skills.{name}.registry", f"`[registries]` has no {wish.registry!r}")
    problems.extend(_registry_problems(project))
    if (project.graft.mode, project.graft.method) != (GRAFT_MODE, GRAFT_METHOD):
        known = f'mode = "{GRAFT_MODE}", method = "{GRAFT_METHOD}"'
        problems.add("graft", f"this skillpm grafts by {known} only")
    problems.raise_if_any()
    return project


def _registry_problems(project: ProjectFile) -> list[tuple[str, str]]:
    problems: list[tuple[str, str]] = []
    bound: dict[str, str] = {}
    for name, entry in project.registries.items():
        for namespace in entry.namespaces:
            path = f"registries.{name}.namespaces"
            if not is_half(namespace):
                problems.append((path, f"{namespace!r} is not a namespace"))
            elif bound.setdefault(namespace, name) != name:
                problems.append((path, f"{namespace!r} is bound to `{bound[namespace]}` already"))
    return problems


def plain_wish(wish: Wish) -> Any:
    """How a wish stands in `[skills]`: a string where the version says all."""
    table = wish.model_dump(exclude_defaults=True)
    table.setdefault("version", wish.version)
    return wish.version if list(table) == ["version"] else table
