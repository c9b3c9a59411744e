"""The commonest errors as a whole terminal shows them: exit code, stdout and stderr."""

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager

import error_cases_projects  # noqa: F401 - registers its cases
import pytest
from error_cases import CASES, Desk
from output_snapshots import SNAPSHOTS, Snapshots
from skillpm_world import Outcome, World
from tiny_models import Models

_DIGEST = re.compile(r"sha256:[0-9a-f]{6,64}…?")
_BYTES = re.compile(r"\b\d{5,}(?=B?\b)")
"""Sizes of packs, which depend on the versions of libraries."""


def transcript(world: World, arguments: tuple[str, ...], outcome: Outcome) -> str:
    """The command and its outcome; folders, digests and sizes are placeholders."""
    typed = " ".join(f'"{word}"' if " " in word else word for word in arguments)
    parts = [f"$ skillpm {typed}", f"exit code: {outcome.code}"]
    for name, output in (("stdout", outcome.out), ("stderr", outcome.err)):
        if output:
            parts.append(f"--- {name}\n{output.rstrip()}")
    text = "\n".join(parts).replace(str(world.folder), "[FOLDER]")
    return _BYTES.sub("[BYTES]", _DIGEST.sub("sha256:[DIGEST]", text)) + "\n"


@contextmanager
def another_command(world: World) -> Iterator[None]:
    """Hold the lock of the project, as another command does."""
    with (world.project / ".skillpm" / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize("name", CASES)
def test_error_equals_its_snapshot(
    name: str, world: World, models: Models, snapshots: Snapshots
) -> None:
    arguments = CASES[name](Desk(world, models))
    if name == "locked_project":
        with another_command(world):
            outcome = world.run(*arguments)
    else:
        outcome = world.run(*arguments)
    assert "Traceback" not in outcome.err
    snapshots.check(f"errors/{name}", transcript(world, arguments, outcome))


def test_every_error_snapshot_has_a_case() -> None:
    assert {file.stem for file in (SNAPSHOTS / "errors").iterdir()} == set(CASES)
