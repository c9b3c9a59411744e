"""Editing single values keeps everything else of a TOML file."""

import tomllib

import pytest

from skillpm.environment.edit_settings import edit_values
from skillpm.errors import SpecError

FILE = """\
# mine
[project]
base = "./model"  # here

[graft]  # how
method = "ties"  # why
settings = {density = 0.2}  # tried

[registries.default]
url = "./old"  # team
"""


def test_values_are_replaced_in_place_with_their_comments() -> None:
    values = {("graft", "method"): "dare", ("graft", "settings", "density"): 0.3}
    edited = edit_values(FILE, values, [], "it")
    assert edited == FILE.replace('"ties"', '"dare"').replace("0.2", "0.3")


def test_a_registry_with_a_table_of_its_own_gets_another_url() -> None:
    edited = edit_values(FILE, {("registries", "default"): "./new"}, [], "it")
    assert edited == FILE.replace("./old", "./new")


@pytest.mark.parametrize(
    "text", ["", FILE, FILE.removesuffix("\n"), "[graft.settings]\nscale = 2\n"]
)
def test_missing_tables_are_added(text: str) -> None:
    values = {("config", "workers"): 2, ("graft", "settings", "seed"): 3}
    edited = tomllib.loads(edit_values(text, values, [], "it"))
    before = tomllib.loads(text).get("graft", {}).get("settings", {})
    assert edited["config"] == {"workers": 2}
    assert edited["graft"]["settings"] == {**before, "seed": 3}


def test_removal_takes_an_empty_inline_table_along_and_ignores_what_is_missing() -> None:
    removed = [("graft", "settings", "density"), ("config", "workers"), ("graft", "x", "y")]
    edited = edit_values(FILE, {}, removed, "it")
    assert edited == FILE.replace("settings = {density = 0.2}  # tried\n", "")
    assert edit_values(FILE, {}, [("config", "workers")], "it") == FILE


@pytest.mark.parametrize("text", ["[graft", "graft = 3\n", "[graft]\nsettings = 1\n"])
def test_a_file_without_the_table_s_shape_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="it "):
        edit_values(text, {("graft", "settings", "seed"): 3}, [], "it")
