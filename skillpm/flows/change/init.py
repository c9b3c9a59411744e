"""`init`: make a folder a project for one base."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from skillpm.checkpoint.hub_cache import HubSnapshot
from skillpm.environment.edit import new_project_file, set_base
from skillpm.environment.known_projects import KnownProjects
from skillpm.environment.project import ProjectFolder, first_generation
from skillpm.environment.search import STATE, project_above
from skillpm.environment.transaction import commit
from skillpm.errors import NotFoundError, StateError
from skillpm.files.output import check_output_folder
from skillpm.flows.session.base_model import check_base
from skillpm.flows.session.cleanup import project_transaction
from skillpm.flows.session.session import Session, open_model
from skillpm.spec.digests import Digest
from skillpm.spec.hub import PREFIX, HubModel
from skillpm.spec.project import parse_project


@dataclass(frozen=True)
class Initialised:
    """A new project: its folder, its base as skillpm.toml names it, and the base's root."""

    folder: Path
    base: str
    root: Digest

    @property
    def label(self) -> str:
        """The base in messages: `org/model@commit` with a short commit, or its path."""
        return HubModel.parse(self.base).label if self.base.startswith(PREFIX) else self.base


def init_project(session: Session, base: Path, like: str | None = None) -> Initialised:
    """Write project file, lock and generation 0; in a clone, generation 0 alone.

    `like` is the text of a project file that the new one starts from; a project that another
    command has made meanwhile is kept. Without it, raises `StateError` if there is an environment
    already, `NotFoundError` if there is no such folder. Raises `IntegrityError` in a clone of a
    project for another base.
    """
    project = ProjectFolder(session.project)
    if not project.folder.exists():
        place = shlex.quote(str(project.folder))
        raise NotFoundError(f"there is no folder `{project.folder}`", hint=f"`mkdir {place}`")
    is_whole = project.has_file and project.has_environment and not project.was_cut_off
    if is_whole and like is None:
        raise _exists(project)
    check_output_folder(project.folder / STATE)
    _report_outer(session, project)
    model = open_model(base, session.say)
    root = session.identify(model, "hashing base", cached=False).root
    shown = recorded_base(model.path, project.folder)
    with project_transaction(session, project, "init") as completed:
        exists = project.has_file and project.has_environment and completed is None
        if exists and like is None:
            raise _exists(project)
        KnownProjects(session.home).remember(project.folder, ())
        text = new_project_file(shown, root) if like is None else set_base(like, shown)
        _commit_first(session, project, text, root)
    return Initialised(project.folder, shown, root)


def _report_outer(session: Session, project: ProjectFolder) -> None:
    """Say that the new project is inside another one, which its folder belonged to before."""
    outer = project_above(project.folder.parent)
    if outer is not None and not project.has_file:
        session.say(
            f"note: `{outer}` is a project too; commands in `{project.folder}` use the new one"
        )


def _exists(project: ProjectFolder) -> StateError:
    return StateError(
        f"`{project.folder}` is already a project",
        hint="`skillpm list` shows what is installed",
    )


def _commit_first(session: Session, project: ProjectFolder, text: str, root: Digest) -> None:
    created = session.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    if project.has_file:  # a clone: keep its requirements
        file = project.read_file()
        check_base(root, file.root, Path(parse_project(text).project.base))
        if not project.has_environment:  # else another `init` was faster, or recovery completed one
            commit(project, first_generation(file, created), {})
        return
    first = first_generation(parse_project(text), created)
    lock = first.lockfile.with_root(root)
    commit(project, first, {project.file: text, project.lock_file: lock.dumps()})


def recorded_base(base: Path, folder: Path) -> str:
    """The base for the project file: a snapshot of the Hugging Face cache by name, or a path.

    A path is relative if it is up to three folders away.
    """
    snapshot = HubSnapshot.at(base)
    if snapshot is not None and snapshot.is_in_cache:
        return snapshot.model.reference
    absolute = base.resolve()
    shown = os.path.relpath(absolute, folder.resolve())
    return str(absolute) if shown.count("..") > 3 else shown  # noqa: PLR2004 - near is up to three
