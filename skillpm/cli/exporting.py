"""`export` and `bundle`: skills for other programs, and environments for other machines."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from skillpm.cli.documents import ExportDocument
from skillpm.cli.output import (
    clean,
    emit_json,
    emit_line,
    emit_lines,
    emit_table,
    size_text,
    skill_document,
)
from skillpm.cli.result_documents import BundleDocument
from skillpm.cli.state import Command, State, command_client
from skillpm.cli.types import FiniteRange, LocalPath
from skillpm.errors import UsageError
from skillpm.files.shown import shown
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.api.exporting import LoraOptions
    from skillpm.api.results import Exported, LowRankResult

_RANKS = ["own", "best", "8", "16", "32", "64", "128", "256", "320", "512"]
_RESIDUAL = 0.01
_SHOWN = 20


@click.command(cls=Command)
@click.argument(
    "skill", metavar="SKILL", help="Installed skill, release (`acme/math@1.0.0`) or pack file."
)
@click.argument("target", metavar="DIR", type=LocalPath(), help="Folder to write; absent or empty.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["peft", "merged"]),
    required=True,
    help="Output format.",
)
@click.option(
    "--rank",
    type=click.Choice(_RANKS),
    help="peft: one rank for all modules, with alpha = rank; `own`: the packed LoRA as it was "
    "(default: the packed LoRA, padded with zeros to one of these ranks; else best).",
)
@click.option(
    "--residual",
    type=FiniteRange(0, 1),
    metavar="SHARE",
    help=f"peft: largest ‖Δ - Δ̂‖/‖Δ‖ at the best rank (default: {_RESIDUAL}).",
)
@click.option("--partial", is_flag=True, help="peft: leave out tensors that a LoRA cannot carry.")
@click.pass_obj
def export(
    state: State,
    /,
    *,
    skill: str,
    target: Path,
    format_: str,
    rank: str | None,
    residual: float | None,
    partial: bool,
) -> None:
    r"""Export a skill as a PEFT adapter or a merged model.

    A skill that was packed from a LoRA is exported with its own factors. Ranks are padded with
    zeros to a value that vLLM accepts as --max-lora-rank, which leaves the update as it is. Any
    other delta is approximated at a rank, and the loss is printed.

    \b
    Examples:
      skillpm export acme/math --format peft ./math-lora
      skillpm export acme/math --format peft --rank 64 --partial ./math-lora
      skillpm export acme/math --format merged ./math-model
    """
    from skillpm.api.exporting import export_skill

    lora = _lora_options(format_=format_, rank=rank, residual=residual, partial=partial)
    exported = export_skill(command_client(state), skill, target, lora)
    if state.json:
        emit_json(_export_document(exported, format_))
        return
    emit_line(f"exported {exported.pack.manifest.ref} into {clean(shown(exported.path))}")
    if exported.root is not None:
        emit_line(f"  {exported.root}")
    if exported.lowered is not None:
        _show(state, exported.lowered)
        if exported.side_files:
            names = ", ".join(map(clean, exported.side_files))
            state.say(f"note: an adapter does not carry {names}; copy them from the pack")


def _lora_options(
    *, format_: str, rank: str | None, residual: float | None, partial: bool
) -> "LoraOptions | None":
    """What to export as a LoRA; None for a merged model. Raises `UsageError`."""
    from skillpm.api.exporting import LoraOptions

    if format_ == "merged":
        flags = {"rank": rank, "residual": residual, "partial": partial}
        given = [name for name, value in flags.items() if value]
        if given:
            raise UsageError(
                f"`--{min(given)}` needs `--format peft`, but `--format merged` is given"
            )
        return None
    if residual is not None and rank not in (None, "best"):
        raise UsageError(
            f"`--residual` and `--rank {rank}` cannot be used together",
            hint="`--residual` lets skillpm choose the best rank; give only one of them",
        )
    fixed = None if rank in (None, "own", "best") else int(rank)
    keep = rank is None and residual is None
    least = _RESIDUAL if residual is None else residual
    return LoraOptions(fixed, least, partial, keep, own=rank == "own")


def _export_document(exported: "Exported", format_: str) -> ExportDocument:
    lowered = exported.lowered
    document: ExportDocument = {
        "skill": str(exported.pack.manifest.skill),
        "version": str(exported.pack.manifest.version),
        "format": format_,
        "path": str(exported.path),
        "rank": lowered.rank if lowered else None,
        "residual": lowered.residual if lowered else None,
        "left_out": [],
        "root": str(exported.root) if exported.root else None,
        "seconds": round(exported.seconds, 3),
    }
    if lowered:
        document["total_residual"] = lowered.total_residual
        document["left_out"] = [
            {"tensor": entry.tensor, "reason": entry.reason, "share": entry.share}
            for entry in lowered.left_out
        ]
        document["kinds"] = [
            {"kind": entry.kind, "tensors": entry.tensors, "residual": entry.residual}
            for entry in lowered.kinds
        ]
        document["alpha"] = lowered.scaling.alpha if lowered.scaling else float(lowered.rank)
        document["side_files"] = list(exported.side_files)
    return document


def _rank_text(lowered: "LowRankResult") -> str:
    """The rank, and what it loses; α if it is that of the LoRA that was packed."""
    if lowered.scaling is None:
        return f"rank {lowered.rank}, residual {lowered.residual:.3g} of the delta it carries"
    scaling = lowered.scaling
    patterns = ", with patterns" if scaling.rank_pattern or scaling.alpha_pattern else ""
    kind = " (rsLoRA)" if scaling.rslora else ""
    padded = ", ".join(map(str, scaling.padded))
    zeros = f", padded with zeros from rank {padded}" if padded else ""
    return (
        f"the packed LoRA's own factors: rank {scaling.rank}, alpha {scaling.alpha:g}"
        f"{kind}{patterns}{zeros}"
    )


def _show(state: State, lowered: "LowRankResult") -> None:
    emit_lines(f"  {_rank_text(lowered)}\n")
    rows = [(entry.kind, entry.tensors, f"{entry.residual:.3g}") for entry in lowered.kinds]
    emit_table(rows, ("module", "tensors", "residual"))
    if not lowered.left_out:
        return
    total = lowered.total_residual
    end = "" if total is None else f"; with them the residual is {total:.3g}"
    state.say(
        f"warning: {counted(len(lowered.left_out), 'tensor is', 'tensors are')} left out{end}:"
    )
    for entry in lowered.left_out[:_SHOWN]:
        share = "share unknown" if entry.share is None else f"{entry.share:.2%} of the delta"
        state.say(f"  {entry.tensor} ({entry.reason}): {share}")
    if len(lowered.left_out) > _SHOWN:
        state.say(f"  … and {len(lowered.left_out) - _SHOWN} more")


@click.command(cls=Command)
@click.argument(
    "target", metavar="FILE", type=LocalPath(), help="File to write: `team.skillbundle`."
)
@click.option(
    "--generation",
    metavar="N",
    type=click.IntRange(min=0),
    help="Generation to bundle (default: the skills in skillpm.lock).",
)
@click.pass_obj
def bundle(state: State, target: Path, *, generation: int | None) -> None:
    r"""Write the environment to a file for offline use.

    The file holds the lock, the project file, every pack, and the identity of the base, but not
    the base itself. It is an OCI image layout in a tar archive. The same environment gives the
    same bytes.

    \b
    Examples:
      skillpm bundle team.skillbundle
      skillpm install --from team.skillbundle --base ./model
    """
    from skillpm.api.changes import write_bundle

    written = write_bundle(command_client(state), target, generation)
    if state.json:
        document: BundleDocument = {
            "path": str(written.path),
            "digest": str(written.digest),
            "bytes": written.size,
            "base_root": str(written.base.root),
            "skills": [skill_document(skill) for skill in written.skills],
        }
        emit_json(document)
        return
    count = counted(len(written.skills), "skill")
    emit_line(f"bundled {count} into {clean(shown(written.path))}, {size_text(written.size)}")
    emit_line(f"  for base {clean(written.base.name)} {written.base.root}")
