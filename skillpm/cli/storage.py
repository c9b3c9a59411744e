"""`gc`, `cache`: what the home holds, and letting go of what nothing needs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from skillpm.cli.output import clean, confirm, emit_json, emit_line, emit_table, size_text
from skillpm.cli.state import Command, State, command_session, global_params
from skillpm.cli.types import FiniteRange, LocalPath
from skillpm.errors import UsageError
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.flows.session.session import Session
    from skillpm.flows.upkeep.gc import Collected, GcRequest

_PATH = LocalPath()


@click.command(cls=Command)
@click.option("--dry-run", is_flag=True, help="Say what would go; remove nothing.")
@click.option(
    "--keep",
    metavar="N",
    type=click.IntRange(min=1),
    help="Prune generations but for the newest N of each project (alone: whatever their age).",
)
@click.option(
    "--older-than",
    metavar="DAYS",
    type=FiniteRange(min=0),
    help="Prune generations superseded so long ago (alone: however few they are).",
)
@click.option(
    "--grace",
    metavar="HOURS",
    type=FiniteRange(min=0),
    default=24.0,
    show_default=True,
    help="Never take a blob that came in less than so long ago.",
)
@click.option(
    "--forget",
    metavar="DIR",
    type=_PATH,
    multiple=True,
    help="Keep nothing for this project any more.",
)
@click.pass_obj
def gc(
    state: State,
    *,
    dry_run: bool,
    keep: int | None,
    older_than: float | None,
    grace: float,
    forget: tuple[Path, ...],
) -> None:
    r"""Prune old generations, and remove the blobs that no project needs.

    A blob is needed if the lock or a kept generation of any known project references it, directly
    or through a layered skill. Without --keep and --older-than, the newest ten generations of each
    project are kept, and all that were current within the last thirty days; the current one always
    is. A project on a disk that is not mounted keeps everything. gc waits until no other command
    uses the store, and asks before it prunes more generations than it would by default.

    \b
    skillpm gc --dry-run
    skillpm gc --keep 3
    skillpm gc --older-than 14 --grace 1 -y
    """
    from skillpm.environment.prune import Keeping
    from skillpm.flows.upkeep.gc import GcRequest, collect

    request = GcRequest(Keeping(keep, older_than), grace, dry_run, forget)
    session = command_session(state)
    if not dry_run and (keep is not None or older_than is not None):
        _agree(state, session, request)
    done = collect(session, request)
    for note in done.notes:
        state.say(note)
    if state.json:
        emit_json({"dry_run": dry_run, **_plain(done)})
        return
    _show_collected(done, "would be freed" if dry_run else "freed")


def _show_collected(done: "Collected", verb: str) -> None:
    for one in done.pruned:
        emit_line(f" - generation {one.number} of {clean(one.project)}")
    emit_line(
        f"{size_text(done.freed.size)} {verb} ({counted(done.freed.blobs, 'blob')}), "
        f"{size_text(done.cache_bytes)} of caches; "
        f"{size_text(done.kept.size)} kept for {counted(len(done.projects), 'project')}, "
        f"{size_text(done.young.size)} too young to go"
    )


def _agree(state: State, session: "Session", request: "GcRequest") -> None:
    """Ask before more generations are pruned than by default. Raises `UsageError` without a yes."""
    from dataclasses import replace

    from skillpm.environment.prune import Keeping
    from skillpm.flows.upkeep.gc import collect

    usual = replace(request, keeping=Keeping(None, None), dry_run=True)
    beyond = set(collect(session, replace(request, dry_run=True)).pruned)
    beyond -= set(collect(session, usual).pruned)
    if not beyond or state.yes:
        return
    listed = ", ".join(str(one.number) for one in sorted(beyond, key=lambda one: one.number))
    count = counted(len(beyond), "generation")
    question = f"prune {count} that gc keeps by default ({listed}): no way back to them. Go on?"
    if not confirm(question):
        raise UsageError(
            f"{count} would be pruned that gc keeps by default ({listed}); nothing was removed",
            hint="add `-y` to prune them, or `--dry-run` to see what would go",
        )


def _plain(done: "Collected") -> dict[str, object]:
    return {
        "freed_blobs": done.freed.blobs,
        "freed_bytes": done.freed.size,
        "kept_blobs": done.kept.blobs,
        "kept_bytes": done.kept.size,
        "young_blobs": done.young.blobs,
        "young_bytes": done.young.size,
        "cache_bytes": done.cache_bytes,
        "pruned": [{"project": str(one.project), "generation": one.number} for one in done.pruned],
        "projects": [str(folder) for folder in done.projects],
        "notes": done.notes,
    }


@click.group(params=global_params())
def cache() -> None:
    """See, check and clean what the home holds."""


@cache.command("info", cls=Command)
@click.pass_obj
def cache_info(state: State) -> None:
    r"""How much the store and the caches hold, and how much each release.

    \b
    skillpm cache info
    """
    from skillpm.flows.upkeep.cache import cache_info as flow

    found = flow(command_session(state))
    if state.json:
        skills = [
            {"release": s.ref, "digest": str(s.digest), "bytes": s.size, "own_bytes": s.own}
            for s in found.skills
        ]
        head = {"home": str(found.home), "blobs": found.blobs, "sizes": dict(found.sizes)}
        emit_json({**head, "unreachable_bytes": found.unreachable, "skills": skills})
        return
    emit_line(f"{clean(found.home)}")
    rows = [(name, size_text(size)) for name, size in found.sizes.items()]
    emit_table([*rows, ("unreachable", size_text(found.unreachable))], ("part", "size"))
    if found.skills:
        emit_line("")
        table = [(s.ref, size_text(s.size), size_text(s.own)) for s in found.skills]
        emit_table(table, ("release", "size", "shared with no other"))


@cache.command("verify", cls=Command)
@click.option("--repair", is_flag=True, help="Fetch damaged blobs again; remove those not needed.")
@click.pass_obj
def cache_verify(state: State, *, repair: bool) -> None:
    r"""Hash every blob of the store again. Exit code 3 where one is not what it should be.

    \b
    skillpm cache verify
    skillpm cache verify --repair
    """
    from skillpm.flows.upkeep.cache import cache_verify as flow

    found = flow(command_session(state), repair=repair)
    if state.json:
        damaged = [
            {
                "digest": str(one.digest),
                "skills": list(one.skills),
                "repaired": one.repaired,
                "problem": one.problem,
            }
            for one in found.damage
        ]
        emit_json({"checked": found.checked, "bytes": found.size, "damaged": damaged})
    else:
        for one in found.damage:
            who = f"needed by {', '.join(one.skills)}" if one.skills else "needed by nothing"
            emit_line(f"{'repaired' if one.repaired else 'damaged'} {one.digest}, {clean(who)}")
            if one.problem:
                state.say(f"  {one.problem}")
        count = len(found.damage)
        emit_line(f"{counted(found.checked, 'blob')}, {size_text(found.size)}: {count} damaged")
        if not found.holds and not repair:
            state.say("`skillpm cache verify --repair` fetches them again")
    if not found.holds:
        raise click.exceptions.Exit(3)


@cache.command("clean", cls=Command)
@click.pass_obj
def cache_clean(state: State) -> None:
    r"""Remove cached leaves, surveys and measurements, which are computed again when needed.

    \b
    skillpm cache clean
    """
    from skillpm.flows.upkeep.cache import cache_clean as flow

    freed = flow(command_session(state))
    if state.json:
        emit_json({"freed_bytes": freed})
    else:
        emit_line(f"{size_text(freed)} freed")


@cache.command("path", cls=Command)
@click.pass_obj
def cache_path(state: State) -> None:
    r"""Print where store, caches and the embedded registry lie.

    \b
    skillpm cache path
    """
    folder = state.options.home_folder
    if state.json:
        parts = {"store": folder / "store", "cache": folder / "cache"}
        emit_json({"home": str(folder), **{name: str(path) for name, path in parts.items()}})
    else:
        emit_line(str(folder))
