"""The tables of docs/architecture.md and CONTRIBUTING.md that lead a newcomer to a file."""

import re

import pytest
from skillpm_world import REPOSITORY

ARCHITECTURE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
TABLES = ARCHITECTURE.partition("\n## Where a change goes\n")[2]
PAGES = TABLES + (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
PLACED = sorted(set(re.findall(r"`(\w+)` (?:in|of) `((?:skillpm|registry)/[\w/]+\.py)`", PAGES)))
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split(" | "))
    for line in TABLES.splitlines()
    if line.startswith("| ") and not line.startswith("| change")
]


@pytest.mark.parametrize(("name", "path"), PLACED)
def test_file_has_the_name_that_a_row_places_in_it(name: str, path: str) -> None:
    source = (REPOSITORY / path).read_text(encoding="utf-8")
    assert re.search(rf"^\s*(?:def|class)? ?{name}\b", source, re.MULTILINE), f"{name} in {path}"


def test_rows_are_different_and_each_names_a_place() -> None:
    changes = [row[0] for row in ROWS]
    assert len(set(changes)) == len(changes) > 25
    for change, place in ROWS:
        assert re.search(r"`(?:skillpm|registry|docs)/[\w/.-]+`", place), change
