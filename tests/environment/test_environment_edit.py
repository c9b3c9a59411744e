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


def test_a_new_project_file_asks_for_nothing() -> None:
    file = parse_project(FIRST)
    assert (file.project.base, file.root, file.skills) == ("./model", ROOT, {})


def test_a_file_without_a_skills_table_gets_one() -> None:
    text = FIRST.replace("[skills]\n", "# no skills yet\n")
    edited = set_skills(text, {"acme/math": {"version": "^1"}})
    assert "# no skills yet" in edited
    assert edited.endswith('[skills]\n"acme/math" = "^1"\n')


def test_unchanged_requirements_are_not_rewritten() -> None:
    text = FIRST + '"acme/math" = {version="^1"}   # spaced so\n[skills."acme/sql"]\nweight = 1.0\n'
    wishes = {"acme/math": "^1", "acme/sql": {"version": "*", "weight": 1.0, "registry": None}}
    assert set_skills(text, wishes) == text


def test_an_edited_requirement_keeps_its_form_and_its_comment() -> None:
    text = FIRST + '"acme/math" = "^1"  # why\n[skills."acme/sql"]  # table\nversion = "1"\n'
    text += 'registry = "team"  # there\n'
    edited = set_skills(text, {"acme/math": "^2", "acme/sql": {"version": "^3", "weight": 0.5}})
    assert '"acme/math" = "^2"  # why\n' in edited
    assert '[skills."acme/sql"]  # table\nversion = "^3"\n' in edited
    assert "weight = 0.5" in edited
    assert "registry" not in edited


def test_a_requirement_with_further_keys_is_written_in_one_line() -> None:
    edited = set_skills(FIRST, {"acme/math": {"version": "^1", "weight": 0.5}})
    assert '"acme/math" = {version = "^1", weight = 0.5}' in edited
    assert set_skills(edited, {}) == FIRST


def test_text_that_is_not_toml_is_an_error() -> None:
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
def test_the_graft_table_is_replaced_whatever_it_held(table: str) -> None:
    text = table + FIRST if table.startswith("graft") else f"{FIRST}\n{table}"
    there = parse_project(text).graft
    edited = set_graft(text, TIES)
    assert parse_project(edited).graft.merging == TIES.merging
    assert edited.count("# as ever") == text.count("# as ever")
    back = set_graft(edited, there)
    assert parse_project(back).graft.merging == there.merging
    assert parse_project(back).graft.mode == there.mode
    assert set_graft(text, there) == text


def test_an_equivalent_graft_table_is_not_rewritten() -> None:
    text = FIRST + '[graft]\nmode = "merge"\nmethod = "task_arithmetic"\n'
    assert set_graft(text, GraftTable()) == text
    assert 'mode = "merge"\n' in set_graft(text, TIES)


def test_an_order_of_precedence_is_set_and_removed() -> None:
    order = [SkillName.parse("acme/sql"), SkillName.parse("acme/math")]
    edited = set_graft(FIRST, GraftTable(precedence=order))
    assert 'precedence = ["acme/sql", "acme/math"]' in edited
    assert parse_project(edited).graft.precedence == order
    assert parse_project(set_graft(edited, GraftTable())).graft.precedence == []


def test_an_unknown_key_of_graft_is_an_error_with_the_nearest_one() -> None:
    with pytest.raises(SpecError, match="precedance: unknown key; did you mean `precedence`"):
        parse_project(f'{FIRST}\n[graft]\nprecedance = ["acme/sql"]\n')
