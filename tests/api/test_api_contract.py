"""The Python API of the contract, section 7: names, parameters, defaults and fields."""

import inspect
from dataclasses import fields
from typing import Any

import pytest

import skillpm
from skillpm import errors

REQUIRED = inspect.Parameter.empty
CALLS: dict[str, dict[str, Any]] = {
    "open_project": {"folder": ".", "home": None, "base": None, "workers": None},
    "pack": {
        "base": REQUIRED, "tuned": REQUIRED, "name": REQUIRED, "version": REQUIRED, "budget": None,
        "keep": None, "calibration": None,
    },
    "inspect": {"path": REQUIRED},
    "verify": {"path": REQUIRED, "base": None},
    "identify": {"path": REQUIRED},
    "Project.install": {"wanted": REQUIRED, "dry_run": False},
    "Project.uninstall": {"skills": REQUIRED},
    "Project.upgrade": {"skills": REQUIRED},
    "Project.rollback": {"n": None},
    "Project.audit": {},
    "Project.graft": {"target": None, "link": False},
    "Project.load_model": {"device": "cpu", "dtype": "auto", "cache_bytes": None},
    "Project.route": {"texts": REQUIRED},
}  # fmt: skip
FIELDS = {
    "InstalledSkill": ("name", "version", "digest", "weight", "scheme"),
    "Change": ("added", "removed", "changed", "generation"),
    "GraftResult": ("path", "root", "written_bytes", "seconds"),
    "RouteDecision": ("skill", "score", "reason"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_has_the_parameters_and_defaults_of_the_contract(name: str) -> None:
    target: Any = skillpm
    for step in name.split("."):
        target = getattr(target, step)
    given = inspect.signature(target).parameters
    for parameter, default in CALLS[name].items():
        assert given[parameter].default == default, parameter
    added = [given[other] for other in given.keys() - CALLS[name].keys() - {"self"}]
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    assert all(other.default is not REQUIRED or other.kind in variadic for other in added)


@pytest.mark.parametrize("name", FIELDS)
def test_a_result_begins_with_the_fields_of_the_contract(name: str) -> None:
    listed = tuple(field.name for field in fields(getattr(skillpm, name)))
    assert listed[: len(FIELDS[name])] == FIELDS[name]


def test_every_family_of_errors_is_exported() -> None:
    families = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__base__ is errors.SkillpmError
    }
    assert {"SkillpmError", *families} == {
        name for name in skillpm.__all__ if name.endswith("Error")
    }
