"""What a project contains: its skills, generations, requirements and newer releases.

These functions write nothing but pictures. `list_outdated` asks registries, `read_licences` and
`plot_relations` read the store; the others read only the project's own files.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.api.client import Client
from skillpm.api.extras import needs_matplotlib
from skillpm.errors import SkillpmError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from skillpm.api.results import ComparedSet, Diff, History, Listing, OutdatedReport, Relations
    from skillpm.spec.digests import Digest
    from skillpm.spec.names import SkillName
    from skillpm.spec.requirements import Requirement
    from skillpm.spec.versions import Version


def list_installed(client: Client) -> "Listing":
    """The current generation, with notes if project file or lock have changed since."""
    from skillpm.flows.inspect.listing import list_installed as flow

    return flow(client.folder)


def read_licences(client: Client, listing: "Listing") -> "dict[SkillName, str | None]":
    """The licence that each installed pack states; None if it states none.

    A pack whose manifest is missing or damaged in the store is left out.
    """
    from skillpm.flows.inspect.licences import licences_of

    return licences_of(client.session, listing.generation)


def installed_names(client: Client) -> list[str]:
    """The names of the installed skills; an empty list if they cannot be read."""
    from skillpm.flows.inspect.listing import installed_names as flow

    try:
        folder = client.folder
    except (SkillpmError, OSError):
        return []
    return flow(folder)


def list_generations(client: Client) -> "History":
    """Every generation of the project, oldest first."""
    from skillpm.flows.inspect.listing import history

    return history(client.folder)


def generation_set(client: Client, number: int | None = None) -> "ComparedSet":
    """The set of a generation, by default of the current one, for `compare_sets`."""
    from skillpm.flows.inspect.listing import generation_side

    return generation_side(client.folder, number)


def lock_set(data: bytes, what: str) -> "ComparedSet":
    """The set of a lockfile, for `compare_sets`; `what` names it in messages.

    Raises `SpecError`, which lists every problem.
    """
    from skillpm.flows.inspect.listing import lock_side

    return lock_side(data, what)


def compare_sets(before: "ComparedSet", after: "ComparedSet") -> "Diff":
    """The releases that were added, removed and changed."""
    from skillpm.flows.inspect.listing import diff

    return diff(before, after)


def read_relations(client: Client, skills: "Iterable[SkillName]" = ()) -> "Relations":
    """The requirements between the installed skills.

    Raises `UnknownSkillError` if one of `skills` is not installed.
    """
    from skillpm.flows.inspect.relations import relations_of
    from skillpm.flows.locking.lock_check import not_installed

    relations = relations_of(client.folder)
    for skill in skills:
        if skill not in relations.skills:
            raise not_installed(skill, relations.skills)
    return relations


def plot_relations(
    client: Client, relations: "Relations", skills: "Collection[SkillName]", target: Path
) -> None:
    """Draw what skills of the installed set are built on, require and are derived from.

    Reads manifests from the store. The ending of `target` chooses PNG, SVG or PDF; PNG and PDF need
    the extra `plot`. Raises `UsageError` for another ending or without matplotlib, `StateError` if
    the picture would be too large.
    """
    from skillpm.flows.inspect.lineage import lineage_of
    from skillpm.journal.atomic import write_atomic
    from skillpm.pictures.formats import picture_format
    from skillpm.pictures.graph_svg import svg_of
    from skillpm.pictures.layout import arrange

    kind = picture_format(target)
    drawing = arrange(lineage_of(client.session, relations, skills))
    if kind == "svg":
        write_atomic(target, svg_of(drawing))
        return
    with needs_matplotlib(f"`--plot` draws a {kind.upper()} file"):
        from skillpm.pictures.canvas import figure_file
        from skillpm.pictures.graph_figure import draw_graph
    write_atomic(target, figure_file(draw_graph(drawing), kind))


def list_outdated(client: Client) -> "OutdatedReport":
    """Compare the lock with the registries.

    Raises `NotFoundError` without a lock, `RegistryError` if a registry cannot be reached.
    """
    from skillpm.flows.inspect.outdated import survey

    return survey(client.session)


def resolve_saved(
    index: Path,
    requirements: "tuple[Requirement, ...]",
    *,
    timeout: float,
    root: "Digest | None" = None,
    allow_yanked: bool = False,
    lowest: bool = False,
) -> "dict[SkillName, Version]":
    """Resolve against a saved index, with no registry, base or project.

    `root` is the base's; without it, any base that all releases share. `timeout` is in seconds.
    Raises `ResolutionError`.
    """
    import time

    from skillpm.flows.locking.resolve_index import SavedRequest
    from skillpm.flows.locking.resolve_index import resolve_saved as flow
    from skillpm.resolver.deadline import Deadline

    request = SavedRequest(requirements, root=root, allow_yanked=allow_yanked, lowest=lowest)
    return flow(index, request, Deadline.starting(time.monotonic, timeout))
