"""`init`: make a folder a project of one base."""

import os
from dataclasses import dataclass
from pathlib import Path

from skillpm.environment.edit import new_project_file
from skillpm.environment.generation import Generation
from skillpm.environment.project import Project
from skillpm.environment.transaction import commit, writing
from skillpm.errors import StateError
from skillpm.flows.setting import Setting, open_model
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedBase, LockedGraft, Lockfile


@dataclass(frozen=True)
class Initialised:
    """A new project."""

    folder: Path
    base: str
    root: Digest


def init_project(setting: Setting, base: Path) -> Initialised:
    """Write project file, lock and generation 0. Refuses where there is a project already."""
    project = Project(setting.project)
    whole = project.file.exists() and project.pointer.exists()
    if whole and not project.journal.exists():
        raise StateError(
            f"`{project.folder}` is a project already",
            hint="`skillpm list` shows what is installed",
        )
    model = open_model(base)
    root = setting.identify(model, "hashing base").root
    shown = _relative(base, project.folder)
    with writing(project, "init", timeout=setting.lock_timeout, say=setting.say):
        _commit_first(setting, project, shown, root)
    return Initialised(project.folder, shown, root)


def _commit_first(setting: Setting, project: Project, base: str, root: Digest) -> None:
    if project.pointer.exists():  # another init was faster, or a cut-off one was completed
        return
    if project.file.exists():
        raise StateError(
            f"`{project.file}` is there, but has no environment",
            hint=f"move it away, run `skillpm init --base {base}`, and put its skills back",
        )
    locked = LockedBase(name=Path(base).name, root=root)
    lock = Lockfile(base=locked, graft=LockedGraft(root=root))
    first = Generation(
        number=0,
        created=setting.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        action="init",
        base_root=root,
        skills=[],
        wishes={},
        lock=lock.with_root(None).dumps(),
    )
    text = new_project_file(base, root)
    commit(project, first, {project.file: text, project.lock_file: lock.dumps()})


def _relative(base: Path, folder: Path) -> str:
    """The base's path as the project file names it: relative where it lies near, else absolute."""
    absolute = base.expanduser().resolve()
    shown = os.path.relpath(absolute, folder.resolve())
    return str(absolute) if shown.count("..") > 3 else shown  # noqa: PLR2004 - near is up to three
