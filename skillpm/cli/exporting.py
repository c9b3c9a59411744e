"""`export`: skills for programs that know no packs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.cli.changes import plain
from skillpm.cli.output import clean, emit_json, emit_line, emit_lines, emit_table, size_text
from skillpm.cli.state import Command, State, command_session
from skillpm.cli.types import FiniteRange, LocalPath
from skillpm.errors import UsageError
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.flows.graft.export import Exported
    from skillpm.flows.graft.peft import LowRankResult

_RANKS = ["best", "8", "16", "32", "64", "128", "256", "320", "512"]
_RESIDUAL = 0.01
_SHOWN = 20


@click.command(cls=Command)
@click.argument("skill", metavar="SKILL")
@click.argument("target", metavar="DIR", type=LocalPath())
@click.option(
    "--format", "format_", type=click.Choice(["peft", "merged"]), required=True, help="As what."
)
@click.option("--rank", type=click.Choice(_RANKS), help="peft: one rank for all (default: best).")
@click.option(
    "--residual",
    type=FiniteRange(0, 1),
    metavar="SHARE",
    help=f"peft: ‖Δ - Δ̂‖/‖Δ‖ that the best rank may leave (default: {_RESIDUAL}).",
)
@click.option("--partial", is_flag=True, help="peft: leave out what a LoRA cannot carry.")
@click.pass_obj
def export(state: State, /, **asked: Any) -> None:
    r"""Write a skill for others: as a PEFT adapter, or merged into a plain model.

    SKILL is installed, a release as `acme/math@1.0.0`, or a pack file; DIR is absent or empty. A
    LoRA that was packed comes back as its factors; any other delta is cut to a rank, and what
    that loses is printed.

    \b
    skillpm export acme/math --format peft ./math-lora
    skillpm export acme/math --format peft --rank 64 --partial ./math-lora
    skillpm export acme/math --format merged ./math-model
    """
    from skillpm.flows.graft.export import export as flow
    from skillpm.flows.graft.peft import LoraRequest

    given = {key: asked[key] for key in ("rank", "residual", "partial") if asked[key]}
    merged = asked["format_"] == "merged"
    if merged and given:
        raise UsageError(f"`--{min(given)}` goes with `--format peft` only")
    if asked["residual"] is not None and asked["rank"] not in (None, "best"):
        raise UsageError("`--residual` chooses the best rank, and `--rank` names one: give one")
    rank = None if asked["rank"] in (None, "best") else int(asked["rank"])
    residual = _RESIDUAL if asked["residual"] is None else asked["residual"]
    wanted = None if merged else LoraRequest(rank, residual, asked["partial"])
    done = flow(command_session(state), asked["skill"], asked["target"], wanted)
    if state.json:
        emit_json(_document(done, asked["format_"]))
        return
    emit_line(f"exported {done.pack.manifest.ref} into {clean(done.path)}")
    if done.root is not None:
        emit_line(f"  {done.root}")
    if done.lowered is not None:
        _show(state, done.lowered)
        if done.side_files:
            names = ", ".join(map(clean, done.side_files))
            state.say(f"note: an adapter does not carry {names}: take them from the pack")


def _document(done: "Exported", format_: str) -> dict[str, Any]:
    lowered = done.lowered
    document: dict[str, Any] = {
        "skill": str(done.pack.manifest.skill),
        "version": str(done.pack.manifest.version),
        "format": format_,
        "path": str(done.path),
        "rank": lowered.rank if lowered else None,
        "residual": lowered.residual if lowered else None,
        "left_out": [],
        "root": str(done.root) if done.root else None,
        "seconds": round(done.seconds, 3),
    }
    if lowered:
        document["total_residual"] = lowered.total_residual
        document["left_out"] = [vars(one) for one in lowered.left_out]
        document["kinds"] = [vars(one) for one in lowered.kinds]
        document["side_files"] = list(done.side_files)
    return document


def _show(state: State, lowered: "LowRankResult") -> None:
    emit_lines(f"  rank {lowered.rank}, residual {lowered.residual:.3g} of the delta it carries\n")
    rows = [(one.kind, one.tensors, f"{one.residual:.3g}") for one in lowered.kinds]
    emit_table(rows, ("module", "tensors", "residual"))
    if not lowered.left_out:
        return
    total = lowered.total_residual
    told = "" if total is None else f"; with them the residual is {total:.3g}"
    state.say(
        f"warning: {counted(len(lowered.left_out), 'tensor is', 'tensors are')} left out{told}:"
    )
    for one in lowered.left_out[:_SHOWN]:
        share = "no share in numbers" if one.share is None else f"{one.share:.2%} of the delta"
        state.say(f"  {one.tensor} ({one.reason}): {share}")
    if len(lowered.left_out) > _SHOWN:
        state.say(f"  … and {len(lowered.left_out) - _SHOWN} more")


@click.command(cls=Command)
@click.argument("target", metavar="FILE", type=LocalPath())
@click.option(
    "--generation",
    metavar="N",
    type=click.IntRange(min=0),
    help="Bundle this generation, not what skillpm.lock says.",
)
@click.pass_obj
def bundle(state: State, target: Path, *, generation: int | None) -> None:
    r"""Write the environment into one file, for a machine without a network.

    The file holds lock, project file, every pack, and the identity of the base, but not the base.
    It is an OCI image layout in a tar, and the same environment gives the same bytes.

    \b
    skillpm bundle team.skillbundle
    skillpm install --from team.skillbundle --base ./model
    """
    from skillpm.flows.change.bundle import write_environment

    done = write_environment(command_session(state), target, generation)
    if state.json:
        skills = [plain(one) for one in done.skills]
        facts = {"path": str(done.path), "digest": str(done.digest), "bytes": done.size}
        emit_json({**facts, "base_root": str(done.base.root), "skills": skills})
        return
    emit_line(f"bundled {counted(len(done.skills), 'skill')} into {clean(done.path)}, "
               f"{size_text(done.size)}")  # fmt: skip
    emit_line(f"  for base {clean(done.base.name)} {done.base.root}")
