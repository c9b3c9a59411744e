"""The project file `skillpm.toml`: base, requirements, registries and settings of a project."""

from collections.abc import Callable, Mapping
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
from skillpm.spec.faults import describe_value
from skillpm.spec.fields import (
    DigestField,
    Document,
    LocationField,
    SkillNameField,
    collect,
    empty_dict,
    empty_list,
    one_of,
    unknown_keys,
    unknown_names,
)
from skillpm.spec.hub import PREFIX, HubModel
from skillpm.spec.memo import parse_once
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
from skillpm.spec.weights import check_bounds, check_number

DEFAULT_REGISTRY = "default"
_ELSEWHERE = ("config", "trust")
"""Tables that are read and checked elsewhere."""


def _as_table(key: str, kind: type[Document]) -> BeforeValidator:
    """Accept text in place of a table that has only this key."""

    def read(plain: Any) -> Any:
        if isinstance(plain, str):
            return {key: plain}
        if not isinstance(plain, dict | Document):
            raise ValueError(f"expected text or a table, found {describe_value(plain)}")  # noqa: TRY004 - pydantic handles only ValueError
        return plain

    return BeforeValidator(read, json_schema_input_type=str | kind)


def _parseable(parse: Callable[[str], object]) -> AfterValidator:
    """Text that `parse` accepts. The text itself is kept."""

    def read(text: str) -> str:
        try:
            parse(text)
        except SpecError as problem:
            raise ValueError(problem.message) from problem
        return text

    return AfterValidator(read)


def _normalized(parse: Callable[[str], str]) -> AfterValidator:
    """A name, normalized with `parse`."""

    def normalize(text: str) -> str:
        try:
            return parse(text)
        except SpecError as problem:
            raise ValueError(problem.message) from problem

    return AfterValidator(normalize)


SkillKey = Annotated[str, _parseable(SkillName.parse)]


class ProjectRequirement(Document):
    """The entry of a skill in `[skills]`: a version requirement as text, or a table."""

    version: Annotated[str, _parseable(VersionRange.parse)] = "*"
    registry: str | None = None
    weight: Annotated[
        float, Field(strict=False), BeforeValidator(check_number), AfterValidator(check_bounds)
    ] = 1.0


class RegistryEntry(Document):
    """A named registry, and the namespaces that are bound to it."""

    url: LocationField
    namespaces: list[str] = Field(default_factory=empty_list)


def _base(text: str) -> str:
    """The base as written. Raises `SpecError` for a bad name of a Hugging Face model."""
    if text.startswith(PREFIX):
        HubModel.parse(text)
    return text


class ProjectTable(Document):
    """The `[project]` table: the base and its root.

    The base is a path relative to the file, or `hf:org/model@commit`, a model of the Hugging Face
    cache.
    """

    base: Annotated[str, _parseable(_base)]
    root: DigestField


Setting = Annotated[Scalar, one_of("text, a number, true or false", str, int, float, bool)]


class GraftTable(Document):
    """The `[graft]` table: how the skills are merged or routed."""

    mode: Annotated[str, _normalized(parse_mode)] = MERGED
    method: Annotated[str, _normalized(parse_method)] = SUM
    settings: dict[str, Setting] = Field(default_factory=empty_dict)
    precedence: list[SkillNameField] = Field(default_factory=empty_list)
    """Skills in order of precedence among near-equal router signatures; the first one wins."""

    @field_validator("precedence")
    @classmethod
    def _once(cls, precedence: list[SkillName]) -> list[SkillName]:
        duplicates = sorted({skill for skill in precedence if precedence.count(skill) > 1})
        if duplicates:
            raise ValueError(f"duplicate skill `{duplicates[0]}`")
        return precedence

    @field_validator("settings")
    @classmethod
    def _known(cls, settings: dict[str, Scalar], info: ValidationInfo) -> dict[str, Scalar]:
        method = info.data.get("method")  # None if `method` is invalid
        problems = list(setting_problems(method, settings)) if method else []
        if problems:
            raise ValueError("; ".join(problems))
        return settings

    @property
    def merging(self) -> Merging:
        """The method with all its settings."""
        return Merging(self.method, self.settings)


class ProjectFile(Document):
    """The whole project file, except for the tables `[config]` and `[trust]`."""

    project: ProjectTable
    skills: dict[
        SkillKey, Annotated[ProjectRequirement, _as_table("version", ProjectRequirement)]
    ] = Field(default_factory=dict)
    graft: GraftTable = GraftTable.model_construct()
    registries: dict[str, Annotated[RegistryEntry, _as_table("url", RegistryEntry)]] = Field(
        default_factory=empty_dict
    )
    audit: AuditTable = AuditTable.model_construct()

    @property
    def root(self) -> Digest:
        """The root that the base must have."""
        return self.project.root

    @property
    def base_name(self) -> str:
        """The base's name in the lock: `org/model` of the hub, or the last part of its path."""
        named = self.project.base
        if named.startswith(PREFIX):
            return HubModel.parse(named).name
        parts = [part for part in named.split("/") if part not in ("", ".")]
        return parts[-1] if parts else ""

    @property
    def project_requirements(self) -> dict[SkillName, ProjectRequirement]:
        """The entries of `[skills]`, sorted by name."""
        return dict(sorted((SkillName.parse(name), entry) for name, entry in self.skills.items()))

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """`[skills]` as requirements, sorted by name."""
        ranges = (
            (skill, VersionRange.parse(entry.version))
            for skill, entry in self.project_requirements.items()
        )
        return tuple(Requirement(skill, range_) for skill, range_ in ranges)

    def with_skills(self, skills: Mapping[str, Any]) -> "ProjectFile":
        """The file with exactly these `[skills]`, each a version or a table."""
        tables = {
            name: ProjectRequirement.model_validate(
                {"version": table} if isinstance(table, str) else table
            )
            for name, table in skills.items()
        }
        return self.model_copy(update={"skills": tables})

    def with_graft(self, graft: GraftTable) -> "ProjectFile":
        """The file with this `[graft]`."""
        return self.model_copy(update={"graft": graft})

    def registry_of(self, skill: SkillName) -> str:
        """The registry of a skill: from its entry, else from its namespace, else the default."""
        entry = self.skills.get(str(skill))
        if entry and entry.registry:
            return entry.registry
        for name, registry in self.registries.items():
            if skill.namespace in registry.namespaces:
                return name
        return DEFAULT_REGISTRY


@parse_once
def parse_project(text: str, what: str = "skillpm.toml") -> ProjectFile:
    """Read a project file. Raises `SpecError` with every problem and its path."""
    plain, problems = toml.parse(text, what), Problems(what)
    project = collect(ProjectFile, plain, problems)
    if project is None:
        problems.extend(unknown_names(ProjectFile, plain.keys() - set(_ELSEWHERE)))
        problems.raise_if_any()
        raise AssertionError
    problems.extend(unknown_keys(project, allowed=_ELSEWHERE))
    for name, entry in project.skills.items():
        if entry.registry not in (None, DEFAULT_REGISTRY, *project.registries):
            problem = f"unknown registry {entry.registry!r}; `[registries]` does not define it"
            problems.add(f"skills.{name}.registry", problem)
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
                problems.append((path, f"{namespace!r} is not a valid namespace"))
            elif bound.setdefault(namespace, name) != name:
                problem = f"{namespace!r} is already bound to `{bound[namespace]}`"
                problems.append((path, problem))
    return problems
