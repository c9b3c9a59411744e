"""`resolve`: requirements against a saved index."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skillpm.cli.output import emit_json, emit_line
from skillpm.cli.params import LOWEST, REQUIREMENT, TIMEOUT
from skillpm.cli.result_documents import ResolvedDocument
from skillpm.cli.state import Command, State
from skillpm.cli.types import LocalPath
from skillpm.errors import SpecError, UsageError
from skillpm.spec.digests import Digest

if TYPE_CHECKING:
    from skillpm.spec.requirements import Requirement


@click.command(cls=Command)
@click.option(
    "--index",
    metavar="FILE",
    required=True,
    type=LocalPath(),
    help="Saved index, a JSON file.",
)
@click.option("--allow-yanked", is_flag=True, help="Allow yanked releases.")
@LOWEST
@TIMEOUT
@click.argument(
    "requirements",
    metavar="REQ...",
    type=REQUIREMENT,
    nargs=-1,
    required=True,
    help="Skills, each with an optional range: `acme/math ^1`.",
)
@click.pass_obj
def resolve(
    state: State,
    /,
    *,
    index: Path,
    allow_yanked: bool,
    lowest: bool,
    timeout: float,
    requirements: "tuple[Requirement, ...]",
) -> None:
    r"""Resolve requirements against a saved index.

    Uses no registry, base or project, so that a bug report can contain the whole input. With --base
    sha256:…, only releases for the base with this root are considered.

    \b
    Examples:
      skillpm resolve --index index.json "acme/math ^1"
      skillpm resolve --index index.json acme/math --lowest --base sha256:…
    """
    from skillpm.api.reading import resolve_saved

    versions = resolve_saved(
        index,
        requirements,
        timeout=timeout,
        root=_root(state),
        allow_yanked=allow_yanked,
        lowest=lowest,
    )
    if state.json:
        document: ResolvedDocument = {
            "resolved": {str(skill): str(version) for skill, version in versions.items()}
        }
        emit_json(document)
        return
    for skill, version in versions.items():
        emit_line(f"{skill} {version}")


def _root(state: State) -> Digest | None:
    """The root that `--base` names; a path in SKILLPM_BASE is ignored. Raises `UsageError`."""
    text = str(state.base or "")
    if not text or text == os.environ.get("SKILLPM_BASE"):
        return None
    try:
        return Digest(text)
    except SpecError as problem:
        raise UsageError(
            f"`resolve --base` expects a root such as `sha256:…`, found {text!r}",
            hint="`skillpm identify ./model` shows the root of a model",
        ) from problem
