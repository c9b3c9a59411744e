"""Fixtures: a project, and a folder outside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from graft_records import STAMPED

from skillpm.checkpoint.folder import STAMP
from skillpm.environment.edit import new_project_file
from skillpm.environment.project import ProjectFolder, first_generation
from skillpm.environment.transaction import commit, writing
from skillpm.spec.digests import Digest

CREATED = "2024-05-17T00:00:00Z"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    place = tmp_path / "outside"
    for name in ("thesis", ".thesis.skillpm-new", ".thesis.skillpm-old"):
        (place / name).mkdir(parents=True)
        (place / name / STAMP).write_text(STAMPED)
    return place


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    """A project at generation 0."""
    made = ProjectFolder(tmp_path / "project")
    made.folder.mkdir()
    made.file.write_text(new_project_file("model", Digest.of(b"base")))
    with writing(made, "init", timeout=1, say=lambda _text: None):
        first = first_generation(made.read_file(), CREATED)
        commit(made, first, {made.lock_file: first.lock})
    return made


@pytest.fixture
def unharmed(outside: Path) -> Iterator[None]:
    """Check after each test that the user's folder is unchanged."""
    before = sorted(outside.rglob("*"))
    yield
    assert sorted(outside.rglob("*")) == before
