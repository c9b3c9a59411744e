"""`route`: which installed skill a text is for, or none: then the base answers."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from skillpm.checkpoint.model import Checkpoint
from skillpm.environment.project import ProjectFolder
from skillpm.errors import GraftError
from skillpm.flows.evaluate.routed_texts import ProjectRouter
from skillpm.flows.packs.signatures import drop_other_widths, signatures_of
from skillpm.flows.session.base_model import check_base, check_unmoved, file_keys, open_base
from skillpm.flows.session.session import Session
from skillpm.routing.features import features, width_of
from skillpm.routing.router import Router
from skillpm.running.runner import Runner
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.nearness import precedence_order


def open_routes(
    session: Session, *, device: str = "cpu", runner: Callable[[], Runner] | None = None
) -> ProjectRouter:
    """The router of what is installed. The base is loaded where a skill has a signature.

    Or `runner` gives the project's base as it runs already; who gives it answers for its root.
    A skill whose signature is not sound is left out. Raises `IntegrityError` where the base is not
    the one, or a blob is damaged.
    """
    project = ProjectFolder(session.project).require()
    current = project.generation()
    signatures, left_out = signatures_of(session.store, current.installed, current.base_root)
    if not signatures:
        return ProjectRouter(Router.of({}, 0), None, left_out)
    running = runner() if runner else _base_runner(session, project, current.base_root, device)
    width = width_of(running)
    drop_other_widths(signatures, left_out, width)
    listed = tuple(current.lockfile.graft.precedence)
    direct = map(SkillName.parse, current.wishes)
    order = precedence_order(signatures, listed, direct)
    see = partial(features, running)
    return ProjectRouter(Router.of(signatures, width, order), running, left_out, listed, see)


def _base_runner(session: Session, project: ProjectFolder, root: Digest, device: str) -> Runner:
    base = open_base(session, project)
    keys = file_keys(base)
    check_base(session.identify(base, "hashing base").root, root, base.path)
    runner = Runner.load(folder_of(base), device)
    check_unmoved(base, keys)
    return runner


def folder_of(base: Checkpoint) -> Path:
    """The folder of a base that is run. Raises `GraftError` where it is a bare file."""
    if base.folder is None:
        raise GraftError(
            f"the router runs the base, and `{base.path}` is no model folder",
            hint="name the folder with config and tokenizer: `--base PATH`",
        )
    return base.folder
