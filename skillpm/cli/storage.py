"""`gc` and `cache`: the store and caches in `SKILLPM_HOME`, and removing what is not needed."""

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from skillpm.cli.output import clean, confirm, emit_json, emit_line, emit_table, size_text
from skillpm.cli.state import Command, State, command_client, global_params
from skillpm.cli.types import FiniteRange, LocalPath
from skillpm.cli.upkeep_documents import (
    CacheDocument,
    CheckedCache,
    CleanedCache,
    DamagedBlob,
    GarbageDocument,
    HomeDocument,
    StoredRelease,
)
from skillpm.errors import UsageError
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.api.client import Client
    from skillpm.api.results import Collected
    from skillpm.api.storage import GcOptions

_PATH = LocalPath()


class GcLimits(TypedDict):
    """The limits of `skillpm gc`; the names are those of `GcOptions`."""

    keep: int | None
    older_than: float | None
    grace: float
    forget: tuple[Path, ...]
    transfers: float | None


@click.command(cls=Command)
@click.option("--dry-run", is_flag=True, help="Show what would be removed.")
@click.option(
    "--keep",
    metavar="N",
    type=click.IntRange(min=1),
    help="Generations to keep in each project (default: 10).",
)
@click.option(
    "--older-than",
    metavar="DAYS",
    type=FiniteRange(min=0),
    help="Age from which generations are pruned (default: 30).",
)
@click.option(
    "--grace",
    metavar="HOURS",
    type=FiniteRange(min=0),
    default=24.0,
    show_default=True,
    help="Keep blobs that are younger than this.",
)
@click.option(
    "--forget",
    metavar="DIR",
    type=_PATH,
    multiple=True,
    help="Keep nothing for this project, for example a deleted one; repeatable.",
)
@click.option(
    "--transfers",
    metavar="DAYS",
    type=FiniteRange(min=0),
    help="Also remove answers and weights of transfers that were not used for this long.",
)
@click.pass_obj
def gc(state: State, *, dry_run: bool, **limits: Unpack[GcLimits]) -> None:
    r"""Remove old generations and blobs that are not needed.

    A blob is needed if the lock or a kept generation of any known project references it, directly
    or through a layered skill. By default, each project keeps its newest ten generations, and all
    that were current within the last thirty days. With --keep alone, age does not matter; with
    --older-than alone, the number does not. The current generation is always kept, and a project on
    a disk that is not mounted keeps everything.

    gc waits until no other command uses the store. It asks before it prunes more generations than
    by default. Answers and weights of transfers may have cost money: they are removed only with
    --transfers.

    \b
    Examples:
      skillpm gc --dry-run
      skillpm gc --keep 3
      skillpm gc --older-than 14 --grace 1 -y
    """
    from skillpm.api.storage import GcOptions, collect_garbage

    options = GcOptions(**limits)
    client = command_client(state)
    if not dry_run and (options.keep is not None or options.older_than is not None):
        _ask_to_prune(state, client, options)
    collected = collect_garbage(client, options, dry_run=dry_run)
    for note in collected.notes:
        state.say(note)
    if state.json:
        emit_json(_collected_document(collected, dry_run=dry_run))
        return
    _show_collected(collected, "would be freed" if dry_run else "freed")


def _show_collected(collected: "Collected", verb: str) -> None:
    for pruned in collected.pruned:
        emit_line(f" - generation {pruned.number} of {clean(pruned.project)}")
    emit_line(
        f"{size_text(collected.freed.size)} {verb} ({counted(collected.freed.blobs, 'blob')}), "
        f"{size_text(collected.cache_bytes)} of caches; "
        f"{size_text(collected.kept.size)} kept for {counted(len(collected.projects), 'project')}, "
        f"{size_text(collected.young.size)} too young to remove"
    )
    if collected.transfer_bytes:
        emit_line(f"{size_text(collected.transfer_bytes)} of transfers {verb}")


def _ask_to_prune(state: State, client: "Client", options: "GcOptions") -> None:
    """Ask before more generations are pruned than by default. Raises `UsageError` without a yes."""
    from skillpm.api.storage import pruned_beyond_default

    extra = pruned_beyond_default(client, options)
    if not extra or state.yes:
        return
    listed = ", ".join(map(str, extra))
    count = counted(len(extra), "generation")
    question = f"prune {count} that gc keeps by default ({listed})? This cannot be undone."
    if not confirm(question):
        raise UsageError(
            f"{count} would be pruned that gc keeps by default ({listed}); nothing was removed",
            hint="add `-y` to prune them, or `--dry-run` to list them",
        )


def _collected_document(collected: "Collected", *, dry_run: bool) -> GarbageDocument:
    return {
        "dry_run": dry_run,
        "freed_blobs": collected.freed.blobs,
        "freed_bytes": collected.freed.size,
        "kept_blobs": collected.kept.blobs,
        "kept_bytes": collected.kept.size,
        "young_blobs": collected.young.blobs,
        "young_bytes": collected.young.size,
        "cache_bytes": collected.cache_bytes,
        "transfer_bytes": collected.transfer_bytes,
        "pruned": [
            {"project": str(pruned.project), "generation": pruned.number}
            for pruned in collected.pruned
        ],
        "projects": [str(folder) for folder in collected.projects],
        "notes": list(collected.notes),
    }


@click.group(params=global_params())
def cache() -> None:
    """Show, verify and clean the store and the caches."""


@cache.command("info", cls=Command)
@click.pass_obj
def cache_info(state: State) -> None:
    r"""Show the sizes of the store, caches and releases.

    \b
    Example:
      skillpm cache info
    """
    from skillpm.api.storage import cache_info as measure

    info = measure(command_client(state))
    if state.json:
        skills: list[StoredRelease] = [
            {
                "release": skill.ref,
                "digest": str(skill.digest),
                "bytes": skill.size,
                "own_bytes": skill.own,
            }
            for skill in info.skills
        ]
        document: CacheDocument = {
            "home": str(info.home),
            "blobs": info.blobs,
            "sizes": dict(info.sizes),
            "unreachable_bytes": info.unreachable,
            "skills": skills,
        }
        emit_json(document)
        return
    emit_line(f"{clean(info.home)}")
    rows = [(name, size_text(size)) for name, size in info.sizes.items()]
    emit_table([*rows, ("unreachable", size_text(info.unreachable))], ("part", "size"))
    if info.skills:
        emit_line("")
        table = [(skill.ref, size_text(skill.size), size_text(skill.own)) for skill in info.skills]
        emit_table(table, ("release", "size", "not shared"))


@cache.command("verify", cls=Command)
@click.option(
    "--repair", is_flag=True, help="Fetch damaged blobs again; remove those that are not needed."
)
@click.pass_obj
def cache_verify(state: State, *, repair: bool) -> None:
    r"""Check the digest of every blob in the store.

    Exit code 3 if a blob is damaged and was not repaired.

    \b
    Examples:
      skillpm cache verify
      skillpm cache verify --repair
    """
    from skillpm.api.storage import verify_cache

    result = verify_cache(command_client(state), repair=repair)
    if state.json:
        damaged: list[DamagedBlob] = [
            {
                "digest": str(blob.digest),
                "skills": list(blob.skills),
                "repaired": blob.repaired,
                "problem": blob.problem,
            }
            for blob in result.damage
        ]
        document: CheckedCache = {
            "checked": result.checked,
            "bytes": result.size,
            "damaged": damaged,
        }
        emit_json(document)
    else:
        for blob in result.damage:
            users = f"needed by {', '.join(blob.skills)}" if blob.skills else "not needed"
            verb = "repaired" if blob.repaired else "damaged"
            emit_line(f"{verb} {blob.digest}, {clean(users)}")
            if blob.problem:
                state.say(f"  {blob.problem}")
        count = len(result.damage)
        emit_line(f"{counted(result.checked, 'blob')}, {size_text(result.size)}: {count} damaged")
        if not result.holds and not repair:
            state.say("hint: `skillpm cache verify --repair` fetches them again")
    if not result.holds:
        raise click.exceptions.Exit(3)


@cache.command("clean", cls=Command)
@click.pass_obj
def cache_clean(state: State) -> None:
    r"""Remove cached hashes and measurements.

    They are computed again when they are needed. Packs in the store stay.

    \b
    Example:
      skillpm cache clean
    """
    from skillpm.api.storage import clean_cache

    freed = clean_cache(command_client(state))
    if state.json:
        document: CleanedCache = {"freed_bytes": freed}
        emit_json(document)
    else:
        emit_line(f"{size_text(freed)} freed")


@cache.command("path", cls=Command)
@click.pass_obj
def cache_path(state: State) -> None:
    r"""Print the folder of store, caches and registry.

    It is SKILLPM_HOME, by default the platform's folder for application data.

    \b
    Example:
      skillpm cache path
    """
    folder = state.options.home_folder
    if state.json:
        document: HomeDocument = {
            "home": str(folder),
            "store": str(folder / "store"),
            "cache": str(folder / "cache"),
        }
        emit_json(document)
    else:
        emit_line(str(folder))
