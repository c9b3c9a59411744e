"""Editing `skillpm.toml` changes exactly the requested entries."""

import pytest

from skillpm.environment.edit import edit_project, new_project_file, set_skills
from skillpm.environment.project import requirements_table
from skillpm.errors import SpecError
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.project import GraftTable, parse_project

ROOT = Digest.of(b"base")


def set_graft(text: str, graft: GraftTable) -> str:
    """The text with this `[graft]` and the skills that it has."""
    file = parse_project(text)
    return edit_project(text, requirements_table(file), before=file.graft, after=graft)


FIRST = new_project_file("./model", ROOT)


def test_new_project_file_has_no_requirements() -> None:
    file = parse_project(FIRST)
    assert (file.project.base, file.root, file.skills) == ("./model", ROOT, {})


def test_set_skills_adds_a_missing_skills_table() -> None:
    text = FIRST.replace("[skills]\n", "# no skills yet\n")
    edited = set_skills(text, {"acme/math": {"version": "^1"}})
    assert "# no skills yet" in edited
    assert edited.endswith('[skills]\n"acme/math" = "^1"\n')


def test_set_skills_does_not_rewrite_unchanged_requirements() -> None:
    text = FIRST + '"acme/math" = {version="^1"}   # spaced so\n[skills."acme/sql"]\nweight = 1.0\n'
    wishes = {"acme/math": "^1", "acme/sql": {"version": "*", "weight": 1.0, "registry": None}}
    assert set_skills(text, wishes) == text


def test_set_skills_keeps_form_and_comment_of_an_edited_requirement() -> None:
    text = FIRST + '"acme/math" = "^1"  # why\n[skills."acme/sql"]  # table\nversion = "1"\n'
    text += 'registry = "team"  # there\n'
    edited = set_skills(text, {"acme/math": "^2", "acme/sql": {"version": "^3", "weight": 0.5}})
    assert '"acme/math" = "^2"  # why\n' in edited
    assert '[skills."acme/sql"]  # table\nversion = "^3"\n' in edited
    assert "weight = 0.5" in edited
    assert "registry" not in edited


def test_set_skills_writes_a_requirement_with_options_in_one_line() -> None:
    edited = set_skills(FIRST, {"acme/math": {"version": "^1", "weight": 0.5}})
    assert '"acme/math" = {version = "^1", weight = 0.5}' in edited
    assert set_skills(edited, {}) == FIRST


def test_set_skills_refuses_text_that_is_not_toml() -> None:
    with pytest.raises(SpecError, match="not TOML"):
        set_skills("[skills", {})


TIES = GraftTable(method="ties", settings={"density": 0.4})


@pytest.mark.parametrize(
    "table",
    [
        "",
        '[graft]\nmode = "merge"\n',
        '[graft]\nmethod = "task-arithmetic"  # as ever\n',
        'graft = { mode = "merged" }\n',
        '[graft]\nmethod = "dare"\n[graft.settings]\nseed = 3\n',
        '[graft]\nmethod = "sce"  # as ever\nsettings = { density = 0.4 }  # much\n',
    ],
)
def test_edit_project_replaces_any_form_of_the_graft_table(table: str) -> None:
    text = table + FIRST if table.startswith("graft") else f"{FIRST}\n{table}"
    there = parse_project(text).graft
    edited = set_graft(text, TIES)
    assert parse_project(edited).graft.merging == TIES.merging
    assert edited.count("# as ever") == text.count("# as ever")
    back = set_graft(edited, there)
    assert parse_project(back).graft.merging == there.merging
    assert parse_project(back).graft.mode == there.mode
    assert set_graft(text, there) == text


def test_edit_project_does_not_rewrite_an_equivalent_graft_table() -> None:
    text = FIRST + '[graft]\nmode = "merge"\nmethod = "task_arithmetic"\n'
    assert set_graft(text, GraftTable()) == text
    assert 'mode = "merge"\n' in set_graft(text, TIES)


def test_edit_project_sets_and_removes_the_order_of_precedence() -> None:
    order = [SkillName.parse("acme/sql"), SkillName.parse("acme/math")]
    edited = set_graft(FIRST, GraftTable(precedence=order))
    assert 'precedence = ["acme/sql", "acme/math"]' in edited
    assert parse_project(edited).graft.precedence == order
    assert parse_project(set_graft(edited, GraftTable())).graft.precedence == []


def test_parse_project_suggests_the_nearest_key_for_an_unknown_graft_key() -> None:
    with pytest.raises(SpecError, match="precedance: unknown key; did you mean `precedence`"):
        parse_project(f'{FIRST}\n[graft]\nprecedance = ["acme/sql"]\n')
