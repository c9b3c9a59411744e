"""`probe`, and the options `--guard`, `--tune`, `--device` and `--budget` of other commands."""

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from skillpm.cli.documents import ProbeDocument
from skillpm.cli.output import clean, emit_json, emit_line, emit_lines, emit_table
from skillpm.cli.params import SKILL
from skillpm.cli.result_documents import ProbesDocument, TunedDocument
from skillpm.cli.state import Command, State, command_client
from skillpm.cli.types import LocalPath
from skillpm.errors import UsageError
from skillpm.spec.words import counted, distinct

if TYPE_CHECKING:
    from skillpm.api.results import Probed, ProbeResult, TunedWeights
    from skillpm.spec.manifest import Manifest
    from skillpm.spec.names import SkillName

DEVICE = click.option(
    "--device", metavar="NAME", default="cpu", show_default=True, help="Device for the model."
)

GUARD_DEVICE = click.option(
    "--device", metavar="NAME", help="With --guard: device for the model (default: cpu)."
)
GUARD = click.option(
    "--guard", is_flag=True, help="Apply the change only if the probes of all skills pass."
)


def device_of(device: str | None, *, flag: str, runs: bool) -> str:
    """The device, by default `cpu`. `UsageError` if it is given but `flag` does not run a model."""
    if device is not None and not runs:
        raise UsageError(f"`--device` needs `--{flag}`", hint=f"add `--{flag}`")
    return device or "cpu"


class GuardOptions(TypedDict):
    """The options `--guard` and `--device`, as methods of `Project` take them."""

    guard: bool
    device: str


def guard_options(*, guard: bool, device: str | None) -> GuardOptions:
    """Check the options. Raises `UsageError` for `--device` without `--guard`."""
    return {"guard": guard, "device": device_of(device, flag="guard", runs=guard)}


@click.command(cls=Command)
@click.argument(
    "skills",
    metavar="[SKILL]...",
    type=SKILL,
    nargs=-1,
    help="Skills to probe (default: all installed).",
)
@click.option(
    "--graft",
    metavar="DIR",
    type=LocalPath(exists=True, file_okay=False),
    help="Probe the model in this folder (default: a graft in memory).",
)
@DEVICE
@click.pass_obj
def probe(state: State, skills: "tuple[SkillName, ...]", graft: Path | None, device: str) -> None:
    r"""Run the probes of the installed skills.

    Grafts the installed skills in memory, runs the probes that their packs carry, and compares the
    values with those that the packs recorded. Each probe tolerates the loss of a share of its gain
    over the base. Exit code 1 if a value falls below that.

    \b
    Examples:
      skillpm probe
      skillpm probe acme/math --device cuda
    """
    from skillpm.api.evaluating import probe as run_probes

    report = run_probes(command_client(state), skills, device=device, graft=graft)
    _show(state, report)
    if not report.passed:
        raise click.exceptions.Exit(1)


_TRIALS = 40
"""The largest number of trials of `--tune` by default."""

TUNE = click.option(
    "--tune",
    is_flag=True,
    help="Search weights with the probes instead of grafting; --yes saves them.",
)
DEVICE_OF_TUNE = click.option(
    "--device", metavar="NAME", help="--tune, --compare: device for the model (default: cpu)."
)
BUDGET_OF_TUNE = click.option(
    "--budget",
    metavar="N",
    type=click.IntRange(min=1),
    help=f"--tune: largest number of trials (default: {_TRIALS}).",
)


def budget_of(budget: int | None, *, tune: bool) -> int:
    """The number of trials. Raises `UsageError` if it is given without `--tune`."""
    if budget is not None and not tune:
        raise UsageError("`--budget` needs `--tune`", hint="add `--tune`")
    return budget or _TRIALS


def tune_weights(state: State, budget: int, device: str) -> None:
    """Search weights and print them; with `--yes`, make them a new generation."""
    from skillpm.api.evaluating import tune_weights as tune

    tuned = tune(command_client(state), budget=budget, device=device, write=state.yes)
    if state.json:
        _emit_tuned(tuned)
        return
    rows = [(skill, tuned.before[skill], weight) for skill, weight in tuned.after.items()]
    emit_table(rows, ("skill", "weight", "tuned"))
    emit_lines(
        f"\nthe worst probe keeps {tuned.kept_after[0]:.0%} of its gain "
        f"(before: {tuned.kept_before[0]:.0%}); {counted(tuned.trials, 'trial')}"
    )
    if tuned.change is not None:
        emit_line(f"generation {tuned.change.generation} is current; `skillpm graft` writes it")
    elif tuned.after != tuned.before:
        state.say("the weights were not saved; `skillpm graft --tune --yes` saves them")


def _emit_tuned(tuned: "TunedWeights") -> None:
    document: TunedDocument = {
        "weights": {str(skill): weight for skill, weight in tuned.after.items()},
        "kept": {"before": tuned.kept_before[0], "after": tuned.kept_after[0]},
        "trials": tuned.trials,
        "generation": None if tuned.change is None else tuned.change.generation,
    }
    emit_json(document)


def _show(state: State, report: "Probed") -> None:
    if state.json:
        document: ProbesDocument = {
            "results": [probe_document(result) for result in report.results],
            "generation": report.generation,
            "mode": report.mode,
            "passed": report.passed,
            "without": list(map(str, report.without)),
        }
        emit_json(document)
        return
    if report.results:
        rows = [
            (result.skill, result.metric,
             *distinct(result.base, result.recorded, result.now, result.bound),
             result.samples, "passes" if result.passed else "FAILS")
            for result in report.results
        ]  # fmt: skip
        columns = ("skill", "metric", "base", "recorded", "now", "bound", "samples", "")
        emit_table(rows, columns)
    elif not report.without:
        state.say("no skills are installed")
    if report.without:
        names = clean(", ".join(map(str, report.without)))
        state.say(f"no probes in the packs of {names} (`skillpm pack --probes FILE` adds them)")


def show_capabilities(manifest: "Manifest") -> None:
    """Print the capabilities in a manifest; nothing if there are none."""
    if not manifest.capabilities:
        return
    emit_line()
    rows = [
        (
            capability.name,
            capability.metric,
            _number(capability.base_value),
            _number(capability.value),
            capability.samples or "-",
        )
        for capability in manifest.capabilities
    ]
    emit_table(rows, ("capability", "metric", "base", "tuned", "samples"))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def probe_document(result: "ProbeResult") -> ProbeDocument:
    """A result as JSON documents list it; a value that is not finite is null."""
    from math import isfinite

    return {
        "skill": str(result.skill),
        "metric": result.metric,
        "base": result.base,
        "recorded": result.recorded,
        "now": result.now if isfinite(result.now) else None,
        "passed": result.passed,
        "tolerance": result.tolerance,
        "bound": result.bound,
        "reference": result.reference,
        "samples": result.samples,
    }
