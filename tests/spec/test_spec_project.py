"""The project file is read, or refused with every problem."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_documents import PROJECT, A
from spec_strategies import altered, names, range_texts

from skillpm.errors import SpecError
from skillpm.spec import toml
from skillpm.spec.names import SkillName
from skillpm.spec.project import ProjectFile, ProjectRequirement, parse_project
from skillpm.spec.requirements import Requirement, VersionRange

GREEDY = 'outer = {url = "x", namespaces = ["acme"]}'


def test_project_file_is_read_in_the_specified_format() -> None:
    project = parse_project(PROJECT)
    assert str(project.root) == A
    assert project.project.base == "../base"
    assert [str(requirement) for requirement in project.requirements] == [
        "acme/b >=1, <2",
        "acme/math ^1.2",
    ]
    assert project.project_requirements[SkillName.parse("acme/b")].weight == 0.5
    assert project.graft.method == "sum"


@pytest.mark.parametrize(
    ("skill", "registry"),
    [("acme/b", "inner"), ("acme/math", "inner"), ("inner/x", "inner"), ("other/x", "default")],
)
def test_namespace_selects_the_registry_of_a_skill(skill: str, registry: str) -> None:
    assert parse_project(PROJECT).registry_of(SkillName.parse(skill)) == registry


def test_requirement_may_name_its_registry() -> None:
    text = PROJECT.replace('registry = "inner"', 'registry = "outer"')
    assert parse_project(text).registry_of(SkillName.parse("acme/b")) == "outer"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[project]", "[porject]", "project: missing"),
        ("[project]", "[porject]", "porject: unknown key; did you mean `project`?"),
        ("weight = 0.5", "wieght = 0.5", "skills.acme/b.wieght: unknown key; did you"),
        ("[project]", "[tool]\nx = 1\n[project]", "tool: unknown key; expected one of project, "),
        ("[project]", "[audit]\nfail-no = 'low'\n[project]", "audit.fail-no: unknown key; did you"),
        ('mode = "merge"', 'mehtod = "ties"', "graft.mehtod: unknown key; did you mean `method`?"),
        (f'root = "{A}"', 'root = "x"', "project.root: 'x' is not a digest"),
        ('"acme/math" = "^1.2"', '"Math" = "^1.2"', "skills.Math: 'Math' is not a skill name"),
        ('"acme/math" = "^1.2"', '"acme/math" = "^^"', "skills.acme/math.version: '^^' is not"),
        ('"acme/math" = "^1.2"', '"acme/math" = 1', "skills.acme/math: "),
        ("weight = 0.5", "weight = 2e6", "skills.acme/b.weight: expected a weight between"),
        ("weight = 0.5", "weight = inf", "skills.acme/b.weight: "),
        ("weight = 0.5", "weight = true", "skills.acme/b.weight: expected a number"),
        ("weight = 0.5", 'weight = "0.5"', "skills.acme/b.weight: expected a number"),
        ('registry = "inner"', 'registry = "x"', "skills.acme/b.registry: unknown registry 'x'"),
        ('"inner", "acme"', '"In ner"', "registries.inner.namespaces: 'In ner' is not a"),
        ('outer = "', f'{GREEDY}\nmore = "', "registries.outer.namespaces: 'acme' is already"),
        ('mode = "merge"', 'mode = "ties"', "graft.mode: unknown mode 'ties'; expected `merg"),
    ],
)  # fmt: skip
def test_problem_is_reported_with_its_path(old: str, new: str, problem: str) -> None:
    assert old in PROJECT
    with pytest.raises(SpecError) as caught:
        parse_project(PROJECT.replace(old, new, 1))
    lines = [line.strip() for line in caught.value.message.splitlines()[1:]]
    assert any(line.startswith(problem) for line in lines)


@pytest.mark.parametrize(
    ("table", "mode", "method", "settings"),
    [
        ("", "merged", "sum", {}),
        ('mode = "merge"', "merged", "sum", {}),
        ('mode = "routed"\nmethod = "task-arithmetic"', "routed", "sum", {}),
        ('method = "task_arithmetic"', "merged", "sum", {}),
        ('method = "ties"', "merged", "ties", {"density": 0.2, "scale": 1.0}),
        (
            'method = "dare"\nsettings = { density = 1, seed = 5 }',
            "merged",
            "dare",
            {"density": 1.0, "scale": 1.0, "seed": 5},
        ),
    ],
)
def test_graft_table_has_mode_method_and_settings(
    table: str, mode: str, method: str, settings: dict[str, Any]
) -> None:
    project = parse_project(PROJECT.replace('mode = "merge"', table))
    assert (project.graft.mode, project.graft.method) == (mode, method)
    assert project.graft.merging.all_settings == settings


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('method = "slerp"', "graft.method: unknown method 'slerp'; expected one of `sum`,"),
        ("settings = { density = 0.5 }", "graft.settings: `sum` has no setting 'density'"),
        (
            'method = "ties"\nsettings = { density = 0.0, seed = 1 }',
            "graft.settings: invalid `density` of `ties`: expected 0 < value <= 1, default 0.2,",
        ),
        ('method = "x"\nsettings = { y = 1 }', "graft.method: unknown method 'x'"),
    ],
)
def test_unknown_graft_values_are_refused_with_the_known_ones(table: str, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_project(PROJECT.replace('mode = "merge"', table))
    lines = [line.strip() for line in caught.value.message.splitlines()[1:]]
    assert len(lines) == 1
    assert lines[0].startswith(problem)


def test_several_problems_are_reported_at_once() -> None:
    text = (
        PROJECT.replace("^1.2", "^^").replace("weight = 0.5", "weight = 1e7").replace("merge", "x")
    )
    with pytest.raises(SpecError, match=r"^skillpm\.toml has 3 problems:"):
        parse_project(text)


@given(names, range_texts, st.floats(-1e5, 1e5), st.sampled_from([None, "default"]))
def test_requirement_round_trips_through_toml(
    name: SkillName, text: str, weight: float, registry: str | None
) -> None:
    requirement = ProjectRequirement(version=text, weight=weight, registry=registry)
    head = PROJECT.split("[skills]", maxsplit=1)[0]
    line = f"{toml.string(str(name))} = {toml.value(requirement.model_dump(exclude_none=True))}"
    project = parse_project(f"{head}[skills]\n{line}\n")
    assert project.project_requirements == {name: requirement}
    assert project.requirements == (Requirement(name, VersionRange.parse(text)),)


@given(altered(tomllib.loads(PROJECT)))
def test_any_altered_project_is_read_or_refused(plain: Any) -> None:
    try:
        project = ProjectFile.model_validate(plain)
    except ValueError:
        return
    try:
        again = parse_project("\n".join(_lines(plain)))
    except (SpecError, TypeError):
        return
    assert again == project


def _lines(plain: dict[str, Any]) -> list[str]:
    return [f"{toml.key(key)} = {toml.value(value)}" for key, value in plain.items()]
