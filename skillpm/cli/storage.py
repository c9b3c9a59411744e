"""`gc`: remove what no project needs from `SKILLPM_HOME`."""

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from skillpm.cli.output import clean, confirm, emit_json, emit_line, size_text
from skillpm.cli.state import Command, State, command_client
from skillpm.cli.types import FiniteRange, LocalPath
from skillpm.cli.upkeep_documents import GarbageDocument
from skillpm.errors import UsageError
from skillpm.files.shown import shown
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
    _show_collected(collected, "would free" if dry_run else "freed", limits["grace"])


def _show_collected(collected: "Collected", verb: str, grace: float) -> None:
    for pruned in collected.pruned:
        emit_line(f" - generation {pruned.number} of {clean(shown(pruned.project))}")
    sizes = {
        counted(collected.freed.blobs, "blob"): collected.freed.size,
        "caches": collected.cache_bytes,
        "transfers": collected.transfer_bytes,
    }
    parts = [f"{size_text(size)} of {what}" for what, size in sizes.items() if size]
    emit_line(f"{verb} {', '.join(parts)}" if parts else "nothing to remove")
    count = counted(len(collected.projects), "project")
    emit_line(f"the store keeps {size_text(collected.kept.size)} for {count}")
    if collected.young.size:
        emit_line(
            f"{size_text(collected.young.size)} that no project needs are newer than {grace:g} "
            "hours, and stay (`--grace 0` removes them)"
        )


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
