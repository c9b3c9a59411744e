"""A class name has one meaning in the whole package."""

import ast
from collections import defaultdict

from skillpm_world import REPOSITORY

PACKAGES = (REPOSITORY / "skillpm", REPOSITORY / "registry" / "skillpm_registry")


def test_no_class_name_is_defined_twice() -> None:
    places = defaultdict(list)
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(str(path.relative_to(REPOSITORY)))
    assert len(places) > 500
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
