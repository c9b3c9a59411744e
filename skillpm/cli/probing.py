"""`probe`, and what `--probes` and `--guard` hand to the flows that run models."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.api.extras import needs_hf
from skillpm.api.guarding import probe_guard
from skillpm.cli.output import clean, emit_json, emit_line, emit_lines, emit_table
from skillpm.cli.params import SKILL
from skillpm.cli.state import Command, State, command_session
from skillpm.cli.types import LocalPath
from skillpm.errors import UsageError
from skillpm.flows.session.words import distinct

if TYPE_CHECKING:
    from skillpm.flows.change.plan import Guard
    from skillpm.flows.evaluate.carried import ProbeResult
    from skillpm.flows.evaluate.probe_report import Probed
    from skillpm.spec.manifest import Manifest
    from skillpm.spec.names import SkillName

DEVICE = click.option(
    "--device", metavar="NAME", default="cpu", show_default=True, help="Where the model runs."
)

GUARD_DEVICE = click.option(
    "--device", metavar="NAME", help="With --guard: where the model runs (cpu)."
)
GUARD = click.option(
    "--guard",
    is_flag=True,
    help="Change nothing unless the probes of all skills then installed hold.",
)


def device_of(flags: dict[str, Any], runs: str) -> str:
    """Take the device out of the flags; `UsageError` where the flag that runs models is not set."""
    device: str | None = flags.pop("device")
    if device is not None and not flags[runs]:
        raise UsageError(
            "`--device` says where a model runs, and none is run here", hint=f"add `--{runs}`"
        )
    return device or "cpu"


def guard_of(flags: dict[str, Any]) -> "dict[str, Guard | None]":
    """What `--guard` hands to a flow; nothing is imported where it is not asked for.

    Takes the device out of the flags.
    """
    device = device_of(flags, "guard")
    return {"guard": probe_guard(enabled=flags["guard"], device=device)}


@click.command(cls=Command)
@click.argument("skills", metavar="[SKILL]...", type=SKILL, nargs=-1)
@click.option(
    "--graft",
    metavar="DIR",
    type=LocalPath(exists=True, file_okay=False),
    help="Ask the model in this folder, a graft say.",
)
@DEVICE
@click.pass_obj
def probe(state: State, skills: "tuple[SkillName, ...]", graft: Path | None, device: str) -> None:
    r"""Say whether each installed skill still does what its pack recorded.

    The installed set is put together as `graft` does it, in memory, and asked the probes that the
    packs carry. A value may fall behind the recorded one by the probe's tolerance, a share of the
    gain over the base. Exit code 1 where one falls further.

    \b
    skillpm probe
    skillpm probe acme/math --device cuda
    """
    from skillpm.flows.evaluate.probe_report import nothing_to_probe

    session = command_session(state)
    found = nothing_to_probe(session, skills)
    if found is None:
        with needs_hf("`probe` runs the model"):
            from skillpm.flows.evaluate.probe import probe as flow
        found = flow(session, skills, device=device, graft=graft)
    _show(state, found)
    if not found.passed:
        raise click.exceptions.Exit(1)


TUNE = click.option(
    "--tune",
    is_flag=True,
    help="Search weights by the probes; write no graft. With --yes they become a new generation.",
)
DEVICE_OF_TUNE = click.option(
    "--device", metavar="NAME", help="--tune: where the model runs (cpu)."
)
BUDGET_OF_TUNE = click.option(
    "--budget",
    metavar="N",
    type=click.IntRange(min=1),
    help="--tune: at most so many trials (40).",
)
BUDGET = 40


def budget_of(flags: dict[str, Any]) -> int:
    """Take the budget out of the flags; `UsageError` where nothing is tuned."""
    budget: int | None = flags.pop("budget")
    if budget is not None and not flags["tune"]:
        raise UsageError("`--budget` bounds the trials of a search", hint="add `--tune`")
    return budget or BUDGET


def tune_weights(state: State, budget: int, device: str) -> None:
    """Search weights and show them; make them a new generation where the person said yes."""
    with needs_hf("`--tune` runs the model"):
        from skillpm.flows.evaluate.tune import tune
    found = tune(command_session(state), budget=budget, device=device, write=state.yes)
    generation = None if found.change is None else found.change.generation
    if state.json:
        weights = {str(skill): weight for skill, weight in found.after.items()}
        kept = {"before": found.kept_before[0], "after": found.kept_after[0]}
        emit_json(
            {"weights": weights, "kept": kept, "trials": found.trials, "generation": generation}
        )
        return
    rows = [(skill, found.before[skill], weight) for skill, weight in found.after.items()]
    emit_table(rows, ("skill", "weight", "tuned"))
    emit_lines(
        f"\nthe worst probe keeps {found.kept_after[0]:.0%} of its gain, "
        f"and {found.kept_before[0]:.0%} before; {found.trials} trials"
    )
    if generation is not None:
        emit_line(f"generation {generation} is current; `skillpm graft` writes it")
    elif found.after != found.before:
        state.say("nothing was changed; `skillpm graft --tune --yes` makes it so")


def _show(state: State, found: "Probed") -> None:
    if state.json:
        head = {"generation": found.generation, "mode": found.mode, "passed": found.passed}
        without = [str(skill) for skill in found.without]
        emit_json({"results": [plain(one) for one in found.results], **head, "without": without})
        return
    if found.results:
        rows = [
            (one.skill, one.metric, *distinct(one.base, one.recorded, one.now, one.bound),
             one.samples, "holds" if one.passed else "FAILS")
            for one in found.results
        ]  # fmt: skip
        head_ = ("skill", "metric", "base", "recorded", "now", "bound", "samples", "")
        emit_table(rows, head_)
    elif not found.without:
        state.say("nothing is installed here to probe")
    if found.without:
        state.say(f"without probes: {clean(', '.join(map(str, found.without)))}")


def show_capabilities(manifest: "Manifest") -> None:
    """What a pack says that it can do, where it says so."""
    if not manifest.capabilities:
        return
    emit_line()
    rows = [
        (one.name, one.metric, *map(_number, (one.base_value, one.value)), one.samples or "-")
        for one in manifest.capabilities
    ]
    emit_table(rows, ("capability", "metric", "base", "tuned", "samples"))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def plain(one: "ProbeResult") -> dict[str, Any]:
    """A result as documents list it; what is no number is null."""
    from math import isfinite

    return {
        "skill": str(one.skill),
        "metric": one.metric,
        "base": one.base,
        "recorded": one.recorded,
        "now": one.now if isfinite(one.now) else None,
        "passed": one.passed,
        "tolerance": one.tolerance,
        "bound": one.bound,
        "reference": one.reference,
        "samples": one.samples,
    }
