"""`route`: select the installed skill for a text, or the base if no skill fits."""

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
    """Return the router of the installed set, and load the base if a skill has a signature.

    `runner` may return the project's base if it is loaded already; its root is not checked again.
    Skills with an invalid signature are left out. Raises `IntegrityError` for a wrong base or a
    damaged blob.
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
    features_of = partial(features, running)
    return ProjectRouter(
        Router.of(signatures, width, order), running, left_out, listed, features_of
    )


def _base_runner(session: Session, project: ProjectFolder, root: Digest, device: str) -> Runner:
    base = open_base(session, project)
    keys = file_keys(base)
    check_base(session.identify(base, "hashing base").root, root, base.label)
    runner = Runner.load(folder_of(base), device)
    check_unmoved(base, keys)
    return runner


def folder_of(base: Checkpoint) -> Path:
    """Return the folder of a base. Raises `GraftError` if the base is a file."""
    if base.folder is None:
        raise GraftError(
            f"the router runs the base; expected a model folder, found the file `{base.label}`",
            hint="name the folder with config.json and the tokenizer with `--base ./model`",
        )
    return base.folder
