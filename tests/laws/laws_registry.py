"""A registry of a few real skills, and projects that install from it, all in this process."""

import shutil
from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plain_models import plain_tensors, write_plain, write_tuned
from skillpm_world import Outcome, root_of, run_here, snapshot

from skillpm.environment.edit import set_skills
from skillpm.environment.project import requirements_table
from skillpm.spec.lockfile import parse_lockfile
from skillpm.spec.project import parse_project

# Skill and version, the tensors that it changes, and its requirements or conflicts. `gamma`
# changes some tensors of `alpha` and `beta`, so that their sum differs from either.
RELEASES = (
    ("acme/alpha", "1.0.0", "up_proj", ()),
    ("acme/alpha", "1.1.0", "up_proj", ()),
    ("acme/alpha", "2.0.0", "up_proj", ()),
    ("acme/beta", "1.0.0", "self_attn", ()),
    ("acme/beta", "1.1.0", "self_attn", ("--requires", "acme/gamma ^1")),
    ("acme/gamma", "1.0.0", "proj", ()),
    ("acme/gamma", "1.2.0", "proj", ()),
    ("other/delta", "1.0.0", "lm_head", ("--requires", "acme/gamma >=1.2")),
    ("other/foe", "1.0.0", "norm", ("--conflicts", "acme/alpha >=2")),
)
SKILLS = tuple(sorted({skill for skill, *_ in RELEASES}))
Final = tuple[str, str]
"""The result of a project: the text of its lock, and its graft's root."""


class Market:
    """A home with a registry of `RELEASES`, and a base."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._projects = 0
        self._known: dict[str, Final] = {}

    def __repr__(self) -> str:
        return "market"

    @classmethod
    def stocked(cls, folder: Path) -> "Market":
        """Make and publish every release."""
        write_plain(folder / "base", plain_tensors())
        for seed, (skill, version, only, more) in enumerate(RELEASES, 1):
            tuned = write_tuned(folder / "tuned" / str(seed), only, seed)
            file = folder / f"{seed}.skillpack"
            words = ("pack", folder / "base", tuned, "--name", skill, "--version", version)
            assert run_here(*words, "-o", file, *more).code == 0
            assert run_here("publish", file).code == 0
        return cls(folder)

    @property
    def base_root(self) -> str:
        """The root of the base."""
        return root_of(self.folder / "base")

    def project(self) -> "Shopper":
        """A new project, with nothing installed."""
        self._projects += 1
        folder = self.folder / f"project{self._projects}"
        folder.mkdir()
        made = Shopper(folder)
        made.ask("init", "--base", "../base")
        return made

    def straight(self, requirements: Mapping[str, Any], versions: Mapping[str, str]) -> Final:
        """The result of a new project that installs the same requirements at once."""
        key = str((sorted(requirements.items()), sorted(versions.items())))
        if key not in self._known:
            made = self.project()
            weights = {
                name: requirement.get("weight") for name, requirement in requirements.items()
            }
            made.set_requirements({n: {"version": f"={v}", "weight": weights.get(n)}
                       for n, v in versions.items()})  # fmt: skip
            made.ask("install")
            made.set_requirements(requirements)
            made.ask("install")
            self._known[key] = made.final()
            made.leave()
        return self._known[key]


@dataclass
class Shopper:
    """A project, and its command line."""

    folder: Path

    def run(self, *words: object) -> Outcome:
        with chdir(self.folder):
            return run_here(*words, "--json")

    def ask(self, *words: object) -> dict[str, Any]:
        """The document of a command that must succeed."""
        outcome = self.run(*words)
        assert outcome.code == 0, (words, outcome)
        return outcome.json

    @property
    def file(self) -> Path:
        return self.folder / "skillpm.toml"

    @property
    def lock(self) -> str:
        """The lock's text."""
        return (self.folder / "skillpm.lock").read_text()

    @property
    def versions(self) -> dict[str, str]:
        """The skills of the lock."""
        return {str(one.skill): str(one.version) for one in parse_lockfile(self.lock).skill}

    @property
    def requirements(self) -> dict[str, Any]:
        """The requirements of the project file."""
        return requirements_table(parse_project(self.file.read_text()))

    def set_requirements(self, requirements: Mapping[str, object]) -> None:
        """Edit the text of the project file."""
        self.file.write_text(set_skills(self.file.read_text(), requirements))

    def final(self) -> Final:
        """Graft; return the lock, which then has the root, and the root."""
        root = self.ask("graft")["root"]
        return self.lock, root

    def seen(self) -> dict[str, str]:
        """Every file, except the lock file that commands hold."""
        return {name: text for name, text in snapshot(self.folder).items() if "lock" not in
                name.split("/")}  # fmt: skip

    def leave(self) -> None:
        """Remove the project."""
        shutil.rmtree(self.folder)
