"""A file that may not be read is reported as such, not as damaged."""

from collections.abc import Callable
from pathlib import Path

import pytest
from skillpm_world import World
from unprivileged import bound_command, run_bound

PLACES: dict[str, tuple[Callable[[World, Path], Path], tuple[str, ...]]] = {
    "project file": (lambda w, _: w.file, ("install", "list", "doctor")),
    "lock": (lambda w, _: w.project / "skillpm.lock", ("install", "graft")),
    "state": (lambda w, _: w.project / ".skillpm", ("install", "list", "audit")),
    "pointer": (lambda w, _: w.project / ".skillpm/current", ("install", "list")),
    "generation": (lambda w, _: w.project / ".skillpm/generations/1.json", ("graft", "list")),
    "base": (lambda _, base: base, ("graft", "audit", "identify BASE")),
    "base file": (lambda _, base: base / "model.safetensors", ("graft", "identify BASE")),
    "base config": (lambda _, base: base / "config.json", ("graft --fresh", "identify BASE")),
    "pack": (lambda w, _: w.folder / "acme-math-1.0.0.skillpack", ("inspect PACK", "publish PACK")),
    "store": (lambda w, _: w.home / "store", ("install", "graft --fresh", "cache verify")),
    "home": (lambda w, _: w.home, ("install", "search math", "doctor")),
    "registry": (lambda w, _: w.home / "registry", ("search math", "publish PACK")),
    "catalogue": (lambda w, _: w.home / "registry/registry.db", ("search math", "publish PACK")),
    "registry's blobs": (lambda w, _: w.home / "registry/blobs", ("publish PACK",)),
    "records": (lambda w, _: w.home / "projects", ("gc -y", "cache info")),
}
UNHURT = {("project file", "list"), ("base config", "identify BASE")}
"""Commands that work without the file."""
REFUSALS = ("permission denied", "read-only for this user", "is not readable")


@pytest.mark.parametrize("name", PLACES)
def test_unreadable_file_is_reported_as_unreadable(
    installed: World, math: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    bound_command()
    base, pack = math[0], installed.folder / "acme-math-1.0.0.skillpack"
    where, commands = PLACES[name]
    place = where(installed, base)
    mode = place.stat().st_mode
    place.chmod(0)
    try:
        for command in commands:
            words = [{"BASE": base, "PACK": pack}.get(word, word) for word in command.split()]
            outcome = run_bound(*words)
            said = (outcome.err + outcome.out).lower()
            if (name, command) not in UNHURT:
                assert outcome.code in (1, 2, 5), (command, outcome)
                assert any(refusal in said for refusal in REFUSALS), (command, said)
            for wrong in ("damaged", "corrupt", "traceback", "is not json", "internal"):
                assert wrong not in said, (command, said)
    finally:
        place.chmod(mode)
