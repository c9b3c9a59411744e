"""The folders of an attack: a project, its home, the files it targets, and a witness."""

import hashlib
import json
import os
import shutil
import signal
import stat
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from skillpm_world import Outcome, World, run_here

from skillpm.files.folder import Folder

MARK = "MARK-5d1f-of-the-user"
"""Text in every file of the user; no output may contain it."""
SECONDS = 20


class TooSlowError(BaseException):
    """A command that did not end; `except Exception` must not catch it."""


@dataclass(frozen=True)
class Ground:
    """The folders of one attack. `folder` is always the same: a home knows projects by path."""

    folder: Path

    @property
    def project(self) -> Path:
        return self.folder / "case" / "project"

    @property
    def home(self) -> Path:
        return self.folder / "case" / "home"

    @property
    def outside(self) -> Path:
        """The user's own files, which must never be opened."""
        return self.folder / "outside"

    @property
    def elsewhere(self) -> Path:
        """Paths that a project file may name as base or registry: readable, but unchanged."""
        return self.folder / "elsewhere"

    def fresh(self) -> None:
        """Project and home as they were before any attack."""
        self.clear()
        shutil.copytree(self.folder / "template", self.folder / "case", symlinks=True)

    def clear(self) -> None:
        """Remove the files of an attack, which may be deeper than `shutil` supports."""
        with Folder.open(self.folder) as folder:
            folder.remove_tree("case")

    def base_root(self) -> str:
        text = (self.project / "skillpm.toml").read_text()
        return text.partition('root = "')[2].partition('"')[0]

    @contextmanager
    def at_home(self) -> Iterator[None]:
        """Commands run in the project, with its home."""
        before = dict(os.environ)
        os.environ["SKILLPM_HOME"] = str(self.home)
        os.environ["SKILLPM_CONFIG"] = str(self.folder / "config.toml")
        os.environ["SKILLPM_LOCK_TIMEOUT"] = "1"
        try:
            with chdir(self.project):
                yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def run(self, *command: str) -> Outcome:
        """Run a command, which must end within some seconds."""
        before = signal.signal(signal.SIGALRM, _too_slow)
        signal.alarm(SECONDS)
        try:
            with self.at_home():
                return run_here(*command, "--json")
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)


def _too_slow(_number: int, _frame: FrameType | None) -> None:
    raise TooSlowError(f"not done after {SECONDS} s")


def make_ground(world: World, models: Any) -> Ground:
    """A project with two generations, three releases in its registry, and a graft."""
    ground = Ground(world.folder)
    pairs = [("acme/math", models.tuned("mlp")), ("acme/code", models.tuned("attn"))]
    for name, pair in (*pairs, ("acme/more", models.tuned("mlp", seed=3))):
        world.publish(pair, name, "1.0.0")
    world.init(pairs[0][1][0])
    world.ask("install", "acme/math")
    world.ask("graft")
    world.ask("install", "acme/code")
    (world.folder / "template").mkdir()
    for name in ("project", "home"):
        (world.folder / name).rename(world.folder / "template" / name)
    text = (ground.folder / "template" / "project" / "skillpm.toml").read_text()
    base = os.path.relpath(pairs[0][1][0], world.folder / "project")
    moved = text.replace(f'base = "{base}"', f'base = "{pairs[0][1][0]}"')
    (ground.folder / "template" / "project" / "skillpm.toml").write_text(moved)
    ground.fresh()
    for record in (ground.folder / "template" / "home" / "projects").iterdir():
        record.unlink()
    make_outside(ground.outside)
    make_outside(ground.elsewhere)
    return ground


def make_outside(place: Path) -> None:
    """Files that an attacker would read, replace or remove, each of a different kind."""
    place.mkdir()
    (place / "secret.txt").write_text(f"{MARK}\n")
    (place / "settings.json").write_text(json.dumps({"kind": MARK, "number": 1}))
    (place / "number").write_text("1\n")
    (place / "1.json").write_text(json.dumps({"format": 1, "action": MARK}))
    (place / "skillpm.toml").write_text(f'[project]\nbase = "{MARK}"\nroot = "{MARK}"\n')
    (place / "skillpm.lock").write_text(f'version = 1\n[base]\nname = "{MARK}"\n')
    for name in ("precious", ".precious.skillpm-new", ".precious.skillpm-old", "tmp", "state"):
        (place / name).mkdir()
        (place / name / "thesis.tex").write_text(MARK)
    (place / "precious" / ".skillpm-graft.json").write_text(json.dumps({"format": 1}))
    (place / ".precious.skillpm-new" / ".skillpm-graft.json").write_text("{}")
    (place / "state" / "generations").mkdir()
    for name in ("current", "generations/0.json", "generations/1.json", "journal.json"):
        (place / "state" / name).write_text(f'"{MARK}"')
    (place / "empty").mkdir()
    os.mkfifo(place / "pipe")
    with (place / "huge").open("wb") as file:
        file.truncate(1 << 40)


def fingerprint(place: Path) -> dict[str, tuple[object, ...]]:
    """Every entry below with its kind, mode, times and content."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(place.rglob("*")):
        status = path.lstat()
        small = stat.S_ISREG(status.st_mode) and status.st_size < 1 << 20
        content = hashlib.sha256(path.read_bytes()).hexdigest() if small else None
        found[str(path.relative_to(place))] = (
            status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns,
            content,
        )  # fmt: skip
    return found
