"""The project file, `skillpm.toml`: what the person asks for."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
)

from skillpm.errors import Problems, SpecError
from skillpm.spec import toml
from skillpm.spec.digests import Digest
from skillpm.spec.fields import (
    DigestField,
    Document,
    LocationField,
    SkillNameField,
    collect,
    unknown_keys,
    unknown_names,
)
from skillpm.spec.merging import (
    MERGED,
    SUM,
    Merging,
    Scalar,
    parse_method,
    parse_mode,
    setting_problems,
)
from skillpm.spec.names import SkillName, is_half
from skillpm.spec.policy import AuditTable
from skillpm.spec.requirements import Requirement, VersionRange

DEFAULT_REGISTRY = "default"
WEIGHT_LIMIT = 1e6
_ELSEWHERE = ("config", "trust")
"""Tables that others read."""


def _as_table(key: str) -> BeforeValidator:
    def read(plain: Any) -> Any:
        if isinstance(plain, str):
            return {key: plain}
        if not isinstance(plain, dict | Document):
            raise ValueError(f"expected text or a table, found {type(plain).__name__}")  # noqa: TRY004 - pydantic reads ValueError alone
        return plain

    return BeforeValidator(read)


def _spoken(parse: Callable[[str], object]) -> AfterValidator:
    """Text that `parse` takes, kept as it is."""

    def read(text: str) -> str:
        try:
            parse(text)
        except SpecError as problem:
            raise ValueError(problem.message) from problem
        return text

    return AfterValidator(read)


def _named(read: Callable[[str], str]) -> AfterValidator:
    """A word as `read` spells it."""

    def spelt(text: str) -> str:
        try:
            return read(text)
        except SpecError as problem:
            raise ValueError(problem.message) from problem

    return AfterValidator(spelt)


def _number(weight: object) -> object:
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise ValueError(f"a weight is a number, found {weight!r}")  # noqa: TRY004 - pydantic's way
    return weight


def _bounded(weight: float) -> float:
    if not -WEIGHT_LIMIT < weight < WEIGHT_LIMIT:
        raise ValueError(f"a weight lies between -{WEIGHT_LIMIT:.0f} and {WEIGHT_LIMIT:.0f}")
    return weight


SkillKey = Annotated[str, _spoken(SkillName.parse)]


class ProjectRequirement(Document):
    """What `[skills]` says of one skill: a version requirement, or a table."""

    version: Annotated[str, _spoken(VersionRange.parse)] = "*"
    registry: str | None = None
    weight: Annotated[
        float, Field(strict=False), BeforeValidator(_number), AfterValidator(_bounded)
    ] = 1.0


class RegistryEntry(Document):
    """One named registry, and the namespaces that are bound to it."""

    url: LocationField
    namespaces: list[str] = Field(default_factory=list)


class ProjectTable(Document):
    """`[project]`: where the base lies (relative to the file), and its root."""

    base: str
    root: DigestField


class GraftTable(Document):
    """`[graft]`: how the set is put together."""

    mode: Annotated[str, _named(parse_mode)] = MERGED
    method: Annotated[str, _named(parse_method)] = SUM
    settings: dict[str, Scalar] = Field(default_factory=dict)
    precedence: list[SkillNameField] = Field(default_factory=list)
    """Which skills win among near-equal router signatures, the first first."""

    @field_validator("precedence")
    @classmethod
    def _once(cls, precedence: list[SkillName]) -> list[SkillName]:
        twice = sorted({skill for skill in precedence if precedence.count(skill) > 1})
        if twice:
            raise ValueError(f"`{twice[0]}` stands twice in the order of precedence")
        return precedence

    @field_validator("settings")
    @classmethod
    def _known(cls, settings: dict[str, Scalar], info: ValidationInfo) -> dict[str, Scalar]:
        method = info.data.get("method")  # none where that is a problem already
        problems = list(setting_problems(method, settings)) if method else []
        if problems:
            raise ValueError("; ".join(problems))
        return settings

    @property
    def merging(self) -> Merging:
        """The method with all its settings."""
        return Merging(self.method, self.settings)


class ProjectFile(Document):
    """The whole file. Who reads `[config]` and `[trust]` checks what is in them."""

    project: ProjectTable
    skills: dict[SkillKey, Annotated[ProjectRequirement, _as_table("version")]] = Field(
        default_factory=dict
    )
    graft: GraftTable = GraftTable()
    registries: dict[str, Annotated[RegistryEntry, _as_table("url")]] = Field(default_factory=dict)
    audit: AuditTable = AuditTable()

    @property
    def root(self) -> Digest:
        """The root that the base must have."""
        return self.project.root

    @property
    def project_requirements(self) -> dict[SkillName, ProjectRequirement]:
        """`[skills]` by name, sorted."""
        return dict(sorted((SkillName.parse(name), entry) for name, entry in self.skills.items()))

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """`[skills]` as requirements, sorted by name."""
        ranges = (
            (skill, VersionRange.parse(entry.version))
            for skill, entry in self.project_requirements.items()
        )
        return tuple(Requirement(skill, range_) for skill, range_ in ranges)

    def registry_of(self, skill: SkillName) -> str:
        """The one registry that a skill is looked up in: its own, its namespace's, the default."""
        entry = self.skills.get(str(skill))
        if entry and entry.registry:
            return entry.registry
        for name, entry in self.registries.items():
            if skill.namespace in entry.namespaces:
                return name
        return DEFAULT_REGISTRY


def parse_project(text: str, what: str = "skillpm.toml") -> ProjectFile:
    """Read a project file; raise `SpecError` with every problem and its path."""
    plain, problems = toml.parse(text, what), Problems(what)
    project = collect(ProjectFile, plain, problems)
    if project is None:
        problems.extend(unknown_names(ProjectFile, plain.keys() - set(_ELSEWHERE)))
        problems.raise_if_any()
        raise AssertionError
    problems.extend(unknown_keys(project, allowed=_ELSEWHERE))
    for name, entry in project.skills.items():
        if entry.registry not in (None, DEFAULT_REGISTRY, *project.registries):
            problems.add(f"skills.{name}.registry", f"`[registries]` has no {entry.registry!r}")
    problems.extend(_registry_problems(project))
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


def requirement_to_toml(entry: ProjectRequirement) -> Any:
    """How a entry stands in `[skills]`: a string where the version says all."""
    table = entry.model_dump(exclude_defaults=True)
    table.setdefault("version", entry.version)
    return entry.version if list(table) == ["version"] else table
